"""A watermark that finds the crop: hide it, extract it from what is left, look up where that was.

After Q. Ying et al., "RWN: Robust Watermarking Network for Image Cropping Localization" (ICIP
2022). Importing this package loads nothing; its rooms `watermarks`, `match` and `carrier` need
NumPy, OpenCV and SciPy only, the others also torch.
"""
