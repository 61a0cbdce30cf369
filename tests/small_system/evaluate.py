import numpy as np

from course_lib.metrics import bootstrap
from course_lib.results import row


def evaluate(photos, *, weights, limit, seed, say, lens="none"):
    values = []
    for photo, picture in photos[:limit].pictures():
        say(photo.name)
        values.append(float(picture.mean() > 100))
    measured = bootstrap(np.array(values), seed=seed)
    return {
        "system": "small",
        "checkpoint": str(weights),
        "photos": len(values),
        "seed": seed,
        "rows": [row("crop_accuracy", measured, paper=0.86, variant="mean", lens=lens)],
    }
