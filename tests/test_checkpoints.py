"""Checkpoints: what is written can be read again, and everything doubtful is refused by name."""

import json
import pickle

import numpy as np
import pytest
import torch

from course_lib import checkpoints, paths
from course_lib.checkpoints import Card, CheckpointError, find, load, save, shipped
from course_lib.errors import CourseError, UsageError
from course_lib.metrics import Estimate
from course_lib.paths import CourseTree
from course_lib.photos import Photo, PhotoSource


@pytest.fixture
def path(tmp_path):
    tensors = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor(7)}
    card = Card.of_this_machine("small", "rings", seed=3, metrics={"iou": Estimate(0.5, 0.4, 1, 9)})
    return save(tmp_path, "rings", tensors, card)


def test_what_is_saved_is_loaded(path):
    tensors, card = load(path)
    assert tensors["weight"].tolist() == [[0, 1, 2], [3, 4, 5]] and tensors["steps"] == 7
    assert (card.system, card.variant, card.seed) == ("small", "rings", 3)
    assert card.metrics == {"iou": {"value": 0.5, "low": 0.4, "high": 1, "n": 9}}
    assert card.size == path.stat().st_size and card.commit and card.hardware and card.version
    assert load(path.parent, "rings")[1] == card
    assert not list(path.parent.glob("*.partial"))


def test_any_layout_and_kind_of_number(tmp_path):
    base = torch.arange(12).reshape(3, 4)
    tensors = {
        "turned": base.T,
        "view": base[1:],
        "same": base,
        "flags": torch.tensor([True, False]),
        "short": torch.ones(2, dtype=torch.bfloat16),
        "array": np.linspace(0, 1, 5),
        "channels last": torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last),
        "none": torch.empty(0, 3),
    }
    got, _ = load(save(tmp_path, "x", tensors, Card.of_this_machine("small", "x")))
    for name, value in tensors.items():
        assert torch.equal(got[name], torch.as_tensor(value)), name


def test_saving_replaces_as_a_whole(path):
    before = path.read_bytes()
    with pytest.raises(CourseError, match="cannot be written"):
        save(path.parent / "rings.json", "x", {}, Card.of_this_machine("a", "b"))
    with pytest.raises(TypeError):  # a card that JSON does not know
        save(path.parent, "y", {}, Card.of_this_machine("a", "b", config={"x": object()}))
    assert path.read_bytes() == before and not list(path.parent.glob("y.*"))
    save(path.parent, "rings", {"other": torch.ones(1)}, Card.of_this_machine("small", "rings"))
    assert list(load(path)[0]) == ["other"]


def test_cut_short(path):
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CheckpointError, match=r"rings.safetensors: is cut short \(\d+ of \d+"):
        load(path)


@pytest.mark.parametrize("position", [0, 20, -1])
def test_changed(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"rings.safetensors: was changed"):
        load(path)


class Trap:
    """Would write a file if it were unpickled."""

    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return open, (str(self.place), "w")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5, "torch"])
@pytest.mark.parametrize("name", ["rings.safetensors", "rings.pt"])
def test_pickles_are_not_opened(path, tmp_path, name, protocol):
    bad, trap = tmp_path / name, tmp_path / "sprung"
    if protocol == "torch":
        torch.save({"x": Trap(trap)}, bad)
    else:
        bad.write_bytes(pickle.dumps(Trap(trap), protocol))
    card = json.loads((tmp_path / "rings.json").read_text())
    card |= {
        "size": bad.stat().st_size,
        "sha256": checkpoints.hashlib.sha256(bad.read_bytes()).hexdigest(),
    }
    (tmp_path / "rings.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match=f"{name}: is a pickle"):
        load(bad)
    assert not trap.exists()


def test_no_safetensors_at_all(path):
    card = json.loads(path.with_suffix(".json").read_text())
    path.write_bytes(b"hello")
    card |= {"size": 5, "sha256": checkpoints.hashlib.sha256(b"hello").hexdigest()}
    path.with_suffix(".json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        load(path)


def test_missing(path):
    with pytest.raises(CheckpointError, match=r"other.safetensors: there is no such checkpoint"):
        load(path.parent, "other")
    path.with_suffix(".json").unlink()
    with pytest.raises(CheckpointError, match=r"its card rings.json is missing"):
        load(path)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("{", "cannot be read as a card"),
        ("[]", "it holds no object"),
        ({"seed": None}, "seed is missing"),
        ({"seed": "three"}, "seed is 'three'"),
        ({"config": []}, "config is"),
        ({"format": 9}, "its format is 9"),
        ({"colour": "red"}, "colour is unknown"),
    ],
)
def test_a_card_that_is_none(path, change, says):
    place = path.with_suffix(".json")
    if isinstance(change, dict):
        card = json.loads(place.read_text()) | change
        change = json.dumps({key: value for key, value in card.items() if value is not None})
    place.write_text(change)
    with pytest.raises(CheckpointError, match=f"rings.json: .*{says}"):
        load(path)


def test_shipped_weights_are_found(tmp_path, monkeypatch, path):
    monkeypatch.setattr(paths, "COURSE", CourseTree(tmp_path / "course"))
    assert shipped("small") == []
    with pytest.raises(UsageError, match=r"small/rings come with the course; there are: none"):
        find("small", "rings")
    place = tmp_path / "course/assets/checkpoints/small"
    save(place, "b", {}, Card.of_this_machine("small", "b"))
    save(place, "a", {}, Card.of_this_machine("small", "a"))
    assert shipped("small") == ["a", "b"] and find("small", "a") == place / "a.safetensors"
    with pytest.raises(UsageError, match=r"there are: a, b. .*course train small"):
        find("small", "rings")
    assert find("small", "rings", path.parent) == path


def test_photos_on_a_card():
    photos = [Photo(f"{n}", lambda: None, licence) for n, licence in enumerate(["CC0", "", "CC0"])]
    source = PhotoSource("/some/where/pictures", photos)
    assert checkpoints.describe_photos(source) == [
        {"name": "pictures", "count": 3, "licences": {"CC0": 2, "not stated": 1}}
    ]


def test_every_origin_is_listed_on_a_card():
    stated = [("Ada", "CC0"), ("", "CC0"), ("Bo", "CC BY"), ("Bo", ""), ("Bo", "CC BY")]
    photos = [Photo("x", lambda: None, licence, origin) for origin, licence in stated]
    assert checkpoints.describe_photos(PhotoSource("/some/where/pictures", photos)) == [
        {"name": "Bo", "count": 3, "licences": {"CC BY": 2, "not stated": 1}},
        {"name": "Ada", "count": 1, "licences": {"CC0": 1}},
        {"name": "pictures", "count": 1, "licences": {"CC0": 1}},
    ]


def test_a_number_that_is_not_finite_becomes_null(tmp_path):
    card = Card.of_this_machine("a", "b", metrics={"x": Estimate(1.0, float("nan"), np.inf, 1)})
    assert load(save(tmp_path, "b", {}, card))[1].metrics["x"]["low"] is None
