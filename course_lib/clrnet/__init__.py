"""Bringing back what was cut away: a picture hides itself in itself, robustly.

After Q. Ying et al., "Robust Image Protection Countering Cropping Manipulation" (2022).
Importing this package loads nothing; `frame`, `thumbnail`, `template`, `capacity` and `coded` need
NumPy, OpenCV and SciPy only.
"""
