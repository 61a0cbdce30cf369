"""CLR-Net's two designs as their users have them: real files, any size, commands."""

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from course_lib.cli import app
from course_lib.clrnet.coded import Coded
from course_lib.clrnet.system import CODED, VARIANTS, open_system
from course_lib.clrnet.witness import witness
from course_lib.errors import UsageError
from course_lib.geometry import Box, crop, iou
from course_lib.metrics import psnr
from course_lib.photos import embedded
from course_lib.witness import picture_of


@pytest.fixture(scope="module")
def photo():
    return embedded()[0].read()


@pytest.fixture(scope="module")
def asked():
    return witness(variant=CODED)


def box_of(picture):
    height, width = picture.shape[:2]
    return Box.from_pixels(width // 6, 0, width, height * 9 // 10, picture.shape)


def test_a_crop_of_a_photograph_of_any_size_comes_back(asked, photo):
    shown = asked.protect(photo)
    assert shown.shape == photo.shape and psnr(photo, shown) > 33
    box = box_of(photo)
    verdict = asked.examine(crop(shown, box))
    assert verdict.cropped and verdict.score > 0.9 and iou(verdict.box, box) > 0.97
    assert "at the left" in verdict.words and "128 × 128" in verdict.words
    whole = verdict.evidence["recovered"]
    assert np.abs(np.subtract(whole.shape, photo.shape)).max() <= 8
    lost = crop(photo, Box(0, 0, box.x1 * 0.9, 1)).astype(float)
    back = crop(whole, Box(0, 0, box.x1 * 0.9, 1)).astype(float)
    height, width = (min(pair) for pair in zip(lost.shape[:2], back.shape[:2], strict=True))
    error = np.abs(lost[:height, :width] - back[:height, :width]).mean()
    assert error < 25 < np.abs(lost - photo.mean((0, 1))).mean()
    assert len(picture_of(crop(shown, box), verdict).axes[0].images) == 2


def test_whole_and_unprotected_pictures_are_told_apart(asked, photo):
    whole = asked.examine(asked.protect(photo))
    assert not whole.cropped and "whole" in whole.words and "recovered" not in whole.evidence
    stranger = asked.examine(crop(photo, box_of(photo)))
    assert stranger.score == 0 and stranger.box is None and "nothing can be said" in stranger.words
    other = witness(variant=CODED, key=5).examine(asked.protect(photo))
    assert other.score == 0  # another key


def test_designs_are_chosen_by_name():
    assert isinstance(open_system(), Coded) and VARIANTS[0] == CODED
    with pytest.raises(UsageError, match="coded, invertible"):
        open_system(variant="magic")


def test_commands_write_the_recovered_picture(photo, tmp_path):
    before, shown, seen = (tmp_path / name for name in ("in.jpg", "out.png", "seen.jpg"))
    Image.fromarray(photo).save(before, quality=95)
    run = CliRunner()
    made = run.invoke(app, ["protect", "clrnet", str(before), str(shown), "--variant", CODED])
    assert made.exit_code == 0, made.output
    box = box_of(photo)
    Image.fromarray(crop(np.asarray(Image.open(shown)), box)).save(seen, quality=85)
    files = [tmp_path / name for name in ("back.png", "answer.json", "figure.png")]
    options = zip(("--recovered", "--json", "--figure"), map(str, files), strict=True)
    said = run.invoke(app, ["locate", "clrnet", str(seen), *(x for pair in options for x in pair)])
    assert said.exit_code == 0, said.output
    verdict = json.loads(files[1].read_text())
    assert verdict["cropped"] and iou(Box(*verdict["box"]), box) > 0.97
    assert verdict["evidence"]["resolution"] == 128 and "recovered" not in verdict["evidence"]
    assert Image.open(files[0]).size[0] == pytest.approx(photo.shape[1], abs=8)
    assert files[2].stat().st_size > 10_000
    again = tmp_path / "again.png"
    nothing = run.invoke(app, ["locate", "clrnet", str(shown), "--recovered", str(again)])
    assert nothing.exit_code == 0 and "nothing was recovered" in nothing.output
    assert not again.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["locate", "clrnet", "x.jpg", "--recovered", "x.jpg"], "ends in .png"),
        (["protect", "rwn", "x.jpg", "y.png", "--variant", "coded"], "one design only"),
        (["protect", "clrnet", "x.jpg", "y.png", "--watermark", "w.png"], "hides no watermark"),
    ],
)
def test_wrong_options_are_named(arguments, said):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code != 0 and said in str(result.exception)
