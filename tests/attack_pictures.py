"""Pictures that the tests of attacks share: photographs, leaves, and sizes that fill no block."""

import cv2
import numpy as np
import torch
from skimage import data

from course_lib.leaves import dead_leaves

PHOTO = cv2.resize(data.astronaut(), (256, 256), interpolation=cv2.INTER_AREA)
PICTURES = {
    "photo": PHOTO,
    "leaves": dead_leaves((192, 256), 3),
    "odd": np.ascontiguousarray(PHOTO[20:223, 5:252]),  # 203 × 247
}


def batch(*pictures):
    """uint8 pictures of one size as a float tensor (n, 3, h, w)."""
    stacked = np.stack(pictures).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(stacked)).float() / 255


def levels(tensor):
    """A batch as gray levels, HWC each."""
    return 255 * tensor.detach().permute(0, 2, 3, 1).numpy()
