"""A system with all abilities, for the tests of the commands; it looks at brightness only."""
