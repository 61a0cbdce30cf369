"""FG-JPEG: a network learns what JPEG files do to pictures, at any quality, with gradients.

After Q. Ying et al., "Robust Image Protection Countering Cropping Manipulation" (2022), section
III-C. Importing this package loads nothing; `grid` needs NumPy only, the other rooms also torch.
"""
