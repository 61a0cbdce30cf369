"""Uncropped: what cropping does to a picture, and how to read it back."""

import os

# Threads that wait by spinning make two programs on the same cores fifteen times as slow (a step of
# 41 ms took 700; without spinning 97, and 48 alone). Read when torch is loaded, by kernels too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
