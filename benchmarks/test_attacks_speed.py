"""How fast the JPEG layer is, forward and backward, next to kornia's, in one paired run.

Shortest processor times of several, taken in turn on one thread, so that other processes disturb
little and both alike. Speed without fidelity is worth nothing: that is compared as well.
"""

import time

import cv2
import kornia
import pytest
import torch
from skimage import data

from course_lib.attacks.codec import real_jpeg
from course_lib.attacks.jpeg import jpeg
from course_lib.attacks.simulators import jpeg_mixup

COUNT, SIDE = 8, 256
TIMES = 7


@pytest.fixture(scope="module")
def pictures():
    """Eight photographs' worth of pixels: four parts of one and of another, mirrored."""
    cut = [
        cv2.resize(photo[y : y + 300, x : x + 300], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        for photo in (data.astronaut(), data.coffee())
        for y, x in ((0, 0), (90, 0), (0, 200), (90, 200))
    ]
    tensors = [torch.from_numpy(one).permute(2, 0, 1).float() / 255 for one in cut]
    return torch.stack(tensors)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def there_and_back(layer, pictures):
    """Processor seconds of one pass forward and backward."""
    given = pictures.clone().requires_grad_()
    start = time.process_time()
    layer(given).square().sum().backward()
    seconds = time.process_time() - start
    assert given.grad.abs().max() > 0
    return seconds


def paired(pictures, *layers):
    """Shortest time of each layer, measured in turn."""
    rounds = [[there_and_back(layer, pictures) for layer in layers] for _ in range(TIMES)]
    return [min(times) for times in zip(*rounds, strict=True)]


def with_kornia(pictures):
    quality = torch.full((len(pictures),), 70.0)
    return kornia.enhance.jpeg_codec_differentiable(pictures, quality)


def test_twice_as_fast_as_kornia_and_as_faithful(pictures):
    ours, theirs = paired(pictures, lambda x: jpeg(x, 70), with_kornia)
    real = real_jpeg(pictures, 70)
    errors = [
        float((seen - real).square().mean()) for seen in (jpeg(pictures, 70), with_kornia(pictures))
    ]
    print(
        f"\nforward and backward, {COUNT} pictures of {SIDE}²: {1000 * ours:.0f} ms, kornia "
        f"{1000 * theirs:.0f} ms, {theirs / ours:.1f} times; off the real codec by "
        f"{10 * torch.tensor(errors[1] / errors[0]).log10():.1f} dB less"
    )
    assert ours < theirs / 2
    assert errors[0] <= errors[1]


def test_a_mixture_of_three_costs_three(pictures):
    source = torch.Generator().manual_seed(0)
    one, mixed = paired(pictures, lambda x: jpeg(x, 70), lambda x: jpeg_mixup(x, source))
    assert mixed < 3.3 * one


def test_a_real_file_straight_through_is_cheaper_still(pictures):
    simulated, real = paired(pictures, lambda x: jpeg(x, 70), lambda x: real_jpeg(x, 70))
    assert real < simulated
