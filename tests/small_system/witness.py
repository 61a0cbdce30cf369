from course_lib.checkpoints import find
from course_lib.geometry import Box
from course_lib.witness import Verdict


class Bright:
    """Believes that bright pictures are cropped, from the middle."""

    def protect(self, image):
        return image

    def examine(self, image):
        score = float(image.mean()) / 255
        box = Box(0.25, 0.25, 0.75, 1.0)
        return Verdict(score > 0.5, score, box, "It is bright.", {"means": image.mean((0, 1))})


def witness(weights):
    if weights is not None:
        find("small", "bright", weights)
    return Bright()
