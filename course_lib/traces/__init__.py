"""Reading the traces of lens and photographer: where a patch was, whether a picture was cropped.

After B. Van Hoorick and C. Vondrick, "Dissecting Image Crops" (ICCV 2021). Importing this package
loads nothing; its rooms `examples`, `camera`, `patches` and `baseline` need NumPy and OpenCV only,
the others also torch.
"""
