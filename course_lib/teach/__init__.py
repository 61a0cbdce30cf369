"""The machinery of teaching: build, run and check lessons. It knows nothing about images."""
