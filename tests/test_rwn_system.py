"""The system as its users have it: shipped weights, real files, pictures of any size, commands."""

import json

import cv2
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from course_lib.attacks.chain import published
from course_lib.cli import app
from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import FULL, Box, crop, iou
from course_lib.metrics import psnr
from course_lib.photos import embedded
from course_lib.rwn.evaluate import cases
from course_lib.rwn.system import Carrier, rwn, squared
from course_lib.rwn.tamper import likeness, marked
from course_lib.rwn.watermarks import draw
from course_lib.rwn.witness import witness

BOX = Box.from_pixels(40, 30, 219, 209, (256, 256))  # 70 % of each side


@pytest.fixture(scope="module")
def system():
    return rwn()


@pytest.fixture(scope="module")
def case():
    return cases(embedded(), 1)[0]


@pytest.fixture(scope="module")
def protected(system, case):
    return system.protect(case.picture, case.watermark)


def test_protection_is_invisible_and_found_again(system, case, protected):
    assert psnr(case.picture, protected) > 37
    finding = system.locate(protected, case.watermark)
    assert finding.said == "not cropped" and iou(finding.match.box, FULL) > 0.98


@pytest.mark.parametrize("attack", ["none", "jpeg70", "jpeg50", "resize75", "median3", "noise5"])
def test_a_crop_is_located_after_attacks(system, case, protected, attack):
    seen = published(crop(protected, BOX), attack)
    finding = system.locate(seen, case.watermark)
    assert finding.said == "cropped" and iou(finding.match.box, BOX) > 0.95


def test_pictures_without_the_watermark_say_nothing(system, case, protected):
    assert system.locate(case.picture, case.watermark).said == "no watermark"
    assert system.locate(crop(case.picture, BOX), case.watermark).said == "no watermark"
    assert system.locate(protected, draw(77)).said == "no watermark"  # another key


@pytest.mark.parametrize("size", [(400, 300), (200, 333), (900, 700)])
def test_pictures_of_other_sizes(system, case, size):
    photo = cv2.resize(case.picture, size, interpolation=cv2.INTER_CUBIC)
    shown = system.protect(photo, case.watermark)
    assert shown.shape == photo.shape and psnr(photo, shown) > 36
    box = Box(0.2, 0.1, 0.9, 0.75)
    finding = system.locate(published(crop(shown, box), "jpeg80"), case.watermark)
    assert finding.said == "cropped" and iou(finding.match.box, box) > 0.93


def test_what_is_too_small_or_gray_is_refused(system, case):
    with pytest.raises(PhotoError, match="at least 32"):
        system.extract(np.zeros((20, 300, 3), np.uint8))
    with pytest.raises(PhotoError, match="colour picture"):
        system.protect(np.zeros((300, 300), np.uint8), case.watermark)


def test_the_carrier_is_a_system_too(case):
    carrier = Carrier(39)
    shown = carrier.protect(case.picture, case.watermark)
    assert abs(psnr(case.picture, shown) - 39) < 0.2
    assert iou(carrier.locate(crop(shown, BOX), case.watermark).match.box, BOX) > 0.8


def test_the_key_alone_marks_what_was_pasted(system, case, protected):
    forged = protected.copy()
    forged[60:140, 90:190] = squared(embedded()[1].read())[60:140, 90:190]
    truth = np.zeros(forged.shape[:2], bool)
    truth[60:140, 90:190] = True
    found = system.extract(forged)
    there = likeness(found, case.watermark)
    assert there[truth].mean() < 0.3 < 0.6 < there[~truth].mean()
    area = marked(found, case.watermark)
    assert (area & truth).sum() / (area | truth).sum() > 0.5
    cut = crop(forged, BOX)
    inside = crop(truth, BOX)
    area = marked(system.extract(cut), case.watermark, BOX)
    inside = cv2.resize(inside.astype(np.uint8), (256, 256)) > 0
    assert (area & inside).sum() / (area | inside).sum() > 0.5


def test_likeness_of_a_watermark_with_itself_is_one_where_it_says_something():
    watermark = draw(3)
    assert likeness(watermark, watermark).min() > 0.2
    assert np.median(likeness(watermark, watermark)) > 0.9
    assert likeness(1 - watermark, watermark).max() < -0.2


def test_the_witness_says_what_it_found(case, tmp_path):
    own = tmp_path / "own.png"
    Image.fromarray(embedded()[2].read()).save(own)
    asked = witness(watermark=own)
    shown = asked.protect(case.picture)
    verdict = asked.examine(crop(shown, BOX))
    assert verdict.cropped and verdict.score > 0.9 and iou(verdict.box, BOX) > 0.95
    assert "at the left" in verdict.words
    assert not asked.examine(shown).cropped
    nothing = witness().examine(shown)  # the course's own watermark is not in it
    assert nothing.box is None and nothing.score == 0 and "No watermark" in nothing.words


def test_commands_protect_and_locate_real_files(tmp_path):
    photo, shown = tmp_path / "in.jpg", tmp_path / "out.png"
    own, seen, answer = tmp_path / "w.png", tmp_path / "seen.jpg", tmp_path / "a.json"
    picture = embedded()[0].read()
    Image.fromarray(picture).save(photo, quality=95)
    Image.fromarray(embedded()[3].read()).save(own)
    run = CliRunner()
    made = run.invoke(app, ["protect", "rwn", str(photo), str(shown), "--watermark", str(own)])
    assert made.exit_code == 0, made.output
    height, width = picture.shape[:2]
    box = Box.from_pixels(width // 8, 0, width, height * 3 // 4, picture.shape)
    Image.fromarray(crop(np.asarray(Image.open(shown)), box)).save(seen, quality=75)
    said = run.invoke(
        app, ["locate", "rwn", str(seen), "--watermark", str(own), "--json", str(answer)]
    )
    assert said.exit_code == 0, said.output
    verdict = json.loads(answer.read_text())
    assert verdict["cropped"] and iou(Box(*verdict["box"]), box) > 0.95


def test_a_watermark_for_a_system_that_hides_none(tmp_path):
    photo = tmp_path / "in.png"
    Image.fromarray(embedded()[0].read()).save(photo)
    said = CliRunner().invoke(app, ["locate", "traces", str(photo), "--watermark", str(photo)])
    assert isinstance(said.exception, UsageError) and "hides no watermark" in str(said.exception)
