"""Uncropped: what cropping does to a picture, and how to read it back."""
