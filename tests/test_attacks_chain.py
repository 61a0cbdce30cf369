"""Attacks by name: every name of the vocabulary, real files against tensors, chains, refusals."""

import numpy as np
import pytest
import torch

from course_lib.attacks.chain import KINDS, Chain, attack, chain, published, random_chain
from course_lib.attacks.codec import through_jpeg
from course_lib.errors import UsageError
from tests.attack_pictures import PHOTO, PICTURES, batch, levels

BOUNDS = {  # mean difference of the tensor from the real picture, gray levels
    "none": 1e-3,
    "jpeg90": 1e-3,
    "jpeg70": 1e-3,
    "jpeg10": 1e-3,
    "resize75": 1.0,
    "resize50": 2.2,
    "median3": 1e-3,
    "median5": 1e-3,
    "blur1": 0.3,
    "blur2": 0.3,
    "contrast80": 0.3,
    "contrast120": 0.3,
    "brightness+20": 1e-3,
    "brightness-20": 1e-3,
}
CHANCE = ("noise5", "noise10", "dropout10")


@pytest.mark.parametrize("name", BOUNDS)
def test_the_same_on_tensors_and_on_pictures(name):
    for picture in PICTURES.values():
        real = published(picture, name)
        assert real.dtype == np.uint8 and real.shape == picture.shape
        seen = levels(attack(name)(batch(picture)))[0]
        assert np.abs(seen - real).mean() < BOUNDS[name]


@pytest.mark.parametrize("name", CHANCE)
def test_chance_is_alike_on_both(name):
    gray = np.full((128, 128, 3), 128, np.uint8)
    real = published(gray, name, seed=3)
    seen = levels(attack(name)(batch(gray), torch.Generator().manual_seed(3)))[0]
    assert real.std() == pytest.approx(seen.std(), rel=0.05)
    assert np.array_equal(real, published(gray, name, seed=3))
    assert not np.array_equal(real, published(gray, name, seed=4))


@pytest.mark.parametrize("name", [*BOUNDS, *CHANCE])
def test_every_attack_is_a_layer(name):
    pictures = batch(PHOTO).requires_grad_()
    seen = attack(name)(pictures, torch.Generator().manual_seed(0))
    assert seen.shape == pictures.shape and seen.min() >= 0 and seen.max() <= 1
    seen.sum().backward()
    assert torch.isfinite(pictures.grad).all() and pictures.grad.abs().sum() > 0


def test_chains_print_and_repeat_themselves():
    one = chain(["blur1", "noise5", "jpeg70"], seed=9)
    assert str(one) == "blur1 → noise5 → jpeg70 (seed 9)"
    first = one(batch(PHOTO))
    assert torch.equal(first, one(batch(PHOTO)))
    assert not torch.equal(first, chain(["blur1", "noise5", "jpeg70"], seed=8)(batch(PHOTO)))
    assert torch.allclose(255 * first, (255 * first).round(), atol=1e-3)  # 8 bits


def test_a_chain_is_its_attacks_in_their_order():
    there, back = (
        levels(chain(names)(batch(PHOTO)))[0]
        for names in (["median3", "brightness+20"], ["brightness+20", "median3"])
    )
    real = published(PHOTO, "median3,brightness+20")
    np.testing.assert_allclose(there, real, atol=1e-2)
    np.testing.assert_allclose(there, back, atol=1e-2)  # these two commute
    first, second = (
        levels(chain(names)(batch(PHOTO)))[0]
        for names in (["jpeg30", "resize50"], ["resize50", "jpeg30"])
    )
    assert np.abs(first - second).mean() > 1
    twice = published(PHOTO, "jpeg60, jpeg90")
    halved = through_jpeg(through_jpeg(PHOTO, 60, True), 90, True)
    assert np.array_equal(twice, halved)


def test_random_chains():
    rng = np.random.default_rng(0)
    drawn = [random_chain(rng) for _ in range(300)]
    assert {len(one.attacks) for one in drawn} == {1, 2, 3}
    assert all(one.attacks[-1].name.startswith("jpeg") for one in drawn)
    for one in drawn:
        kinds = [next(kind for kind in KINDS if a.name.startswith(kind)) for a in one.attacks]
        assert len(set(kinds)) == len(kinds)
    used = {a.name.rstrip("+-0123456789") for one in drawn for a in one.attacks}
    assert used == set(KINDS)
    assert str(random_chain(np.random.default_rng(5))) == str(
        random_chain(np.random.default_rng(5))
    )
    assert len(random_chain(rng, (8, 8)).attacks) == 8
    with pytest.raises(UsageError, match="give 1 to 8"):
        random_chain(rng, (0, 2))


def test_an_empty_chain_changes_nothing():
    assert torch.equal(Chain(())(batch(PHOTO)), batch(PHOTO))


@pytest.mark.parametrize("name", ["jpg70", "jpeg", "70", "", "brightness20", "jpeg+70", "noise-5"])
def test_unknown_names(name):
    with pytest.raises(UsageError, match="unknown: give none, or one such as jpeg90"):
        attack(name)
    with pytest.raises(UsageError, match="unknown"):
        published(PHOTO, name)


@pytest.mark.parametrize("name", ["jpeg0", "jpeg101", "median4", "dropout101", "resize0"])
def test_strengths_out_of_range(name):
    with pytest.raises(UsageError, match="out of range"):
        attack(name)


def test_attacks_say_what_they_do():
    assert attack("jpeg70").words == "JPEG of quality 70"
    assert attack("median3").words == "median of 3×3 pixels"
    assert attack("brightness-20").words == "brightness -20/255"
    assert str(attack("blur1")) == "blur1" and attack("blur1.5").words.endswith("1.5 px")
    assert attack("jpeg70") == attack("jpeg70") != attack("jpeg71")
