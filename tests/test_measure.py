"""Measuring a folder, as its users do: through the command line, on real files."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from course_lib.leaves import dead_leaves
from course_lib.lens.measure import Manifest, exif_camera
from course_lib.lens.model import Lens
from course_lib.paths import COURSE
from course_lib.photos import Photo

MEASUREMENTS = COURSE.assets / "measurements"


def course(*arguments):
    command = [sys.executable, "-m", "course_lib.cli", "measure", "lens", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def save(picture, path, make="", model=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(picture)
    exif = image.getexif()
    if make:
        exif[271], exif[272] = make, model
    image.save(path, quality=95, subsampling=0, exif=exif)


@pytest.fixture(scope="module")
def camera_folder(tmp_path_factory):
    """Three cameras with green inward, the first with two photos, and three files of no use."""
    root = tmp_path_factory.mktemp("photos")
    for seed, (name, model) in enumerate(
        [("a1.jpg", "One"), ("a2.jpg", "One"), ("sub/b.jpg", "Two"), ("c.jpg", "")]
    ):
        lens = Lens(green=0.998 - 0.0005 * seed, vignetting=0.2)
        save(
            lens.apply(dead_leaves((384, 576), seed)), root / name, "Maker" if model else "", model
        )
    save(np.full((384, 576, 3), 128, np.uint8), root / "flat.jpg")
    (root / "text.jpg").write_text("no picture")
    (root / "empty.jpg").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def camera_json(camera_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("out") / "deep" / "lens.json"
    done = course("--photos", camera_folder, "--json", path)
    assert done.returncode == 0, done.stderr
    assert "Green inward" in done.stdout
    assert not list(path.parent.glob("*.partial"))
    return json.loads(path.read_text())


def test_rows_say_what_the_lenses_did(camera_json):
    rows = {row["photo"]: row for row in camera_json["rows"]}
    assert list(rows) == ["a1.jpg", "a2.jpg", "c.jpg", "b.jpg"]
    for name, truth in (("a1.jpg", -0.002), ("a2.jpg", -0.0025), ("b.jpg", -0.003)):
        value, low, high = rows[name]["green"]
        assert value == pytest.approx(truth, abs=2e-4)
        assert low < value < high
        assert rows[name]["camera"].startswith("Maker")
    assert rows["c.jpg"]["camera"] == ""
    row = rows["a1.jpg"]
    assert row["corner_px"] == pytest.approx(0.002 * np.hypot(576, 384) / 2, rel=0.1)
    assert row["center"][1] < 0.5 < row["center"][2] or abs(row["center"][0] - 0.5) < 0.03
    assert -0.4 <= row["vignetting"][0] <= 1
    assert set(row["significant"]) == {"red", "blue", "green"}


def test_models_count_once_and_bad_pictures_are_counted(camera_json):
    assert [row["counted"] for row in camera_json["rows"]] == [True, False, True, True]
    assert camera_json["summary"]["models"] == 3
    claim = camera_json["claims"]["green_inward"]
    assert claim["n"] == 3
    assert claim["share"][0] == 1.0
    assert claim["holds"] is True
    assert sum(camera_json["skipped"].values()) == 3


def test_the_file_explains_itself(camera_json, camera_folder):
    fields = {name for key in camera_json["fields"] for name in key.split(", ")}
    assert set(camera_json["rows"][0]) == fields
    provenance = camera_json["provenance"]
    assert provenance["sources"] == [{"source": "unknown", "licence": "unknown", "photos": 4}]
    assert provenance["long_side_px"] == {"576": 4}
    assert str(camera_folder) not in json.dumps(camera_json)
    recovered, injected = (camera_json["recovery"][k] for k in ("recovered_median", "injected"))
    np.testing.assert_allclose(recovered, injected, atol=6e-5)


def test_manifest_limit_and_determinism(camera_folder, tmp_path):
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["file", "source", "licence", "camera"])
        table.writerow(["photos/a1.jpg", "shelf", "CC BY 4.0", "Camera A"])
    options = ("--photos", camera_folder, "--manifest", manifest, "--limit", 1, "--json")
    texts = []
    for name in ("one.json", "two.json"):
        done = course(*options, tmp_path / name)
        assert done.returncode == 0, done.stderr
        texts.append((tmp_path / name).read_text())
    assert texts[0] == texts[1]
    measured = json.loads(texts[0])
    assert [row["camera"] for row in measured["rows"]] == ["Camera A"]
    assert measured["provenance"]["sources"] == [
        {"source": "shelf", "licence": "CC BY 4.0", "photos": 1}
    ]
    assert measured["claims"]["green_inward"]["share"] == [1.0, None, None]


def test_flat_fields_are_put_together_by_camera(tmp_path):
    rng = np.random.default_rng(0)
    for body, strength in (("dark", 0.4), ("clear", 0.05)):
        for number in range(3):
            flat = np.full((400, 600, 3), 150, np.uint8) + rng.integers(0, 8, (400, 600, 3))
            picture = Lens(vignetting=strength).apply(flat.astype(np.uint8))
            save(picture, tmp_path / "flats" / f"{body}_{number}.png")
    save(dead_leaves((400, 600), 1), tmp_path / "flats" / "no_flat_1.png")
    save(np.full((600, 400, 3), 150, np.uint8), tmp_path / "flats" / "dark_9.png")
    out = tmp_path / "flat.json"
    done = course("--photos", tmp_path / "flats", "--json", out, "--kind", "flatfield")
    assert done.returncode == 0, done.stderr
    measured = json.loads(out.read_text())
    rows = {row["camera"]: row for row in measured["rows"]}
    assert set(rows) == {"dark", "clear"}
    assert rows["dark"]["strength"][0] == pytest.approx(0.4, abs=0.02)
    assert rows["clear"]["strength"][0] == pytest.approx(0.05, abs=0.02)
    assert rows["dark"]["frames"] == 3
    assert measured["skipped"] == {
        "not evenly lit": 1,
        "another shape than the camera's first frame": 1,
    }
    fields = {name for key in measured["fields"] for name in key.split(", ")}
    assert set(rows["dark"]) - {"source", "licence"} == fields


def test_wrong_use_is_one_clear_line(tmp_path, camera_folder):
    out = tmp_path / "x.json"
    table = tmp_path / "table.csv"
    table.write_text("name\nx\n")
    wrong = [
        (("--photos", tmp_path / "nowhere", "--json", out), "does not exist"),
        (("--photos", camera_folder, "--json", out, "--kind", "walls"), "photos or flatfield"),
        (("--photos", camera_folder, "--json", tmp_path / "x.txt"), ".json"),
        (("--photos", camera_folder, "--json", out, "--manifest", table), "'file'"),
        (("--photos", camera_folder, "--json", out, "--manifest", tmp_path), "CSV"),
    ]
    for options, words in wrong:
        done = course(*options)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
    assert not out.exists()


def test_nothing_usable_is_an_error_and_leaves_no_file(tmp_path):
    save(np.full((300, 300, 3), 99, np.uint8), tmp_path / "photos" / "flat.png")
    done = course("--photos", tmp_path / "photos", "--json", tmp_path / "x.json")
    assert done.returncode == 1
    assert "None of the 1 pictures could be measured" in done.stderr
    assert not list(tmp_path.glob("x.json*"))


def test_manifest_finds_files_by_their_end(tmp_path):
    table = tmp_path / "m.csv"
    table.write_text("file,camera\ncamera/train/x.jpg,A\ncamera/test/x.jpg,B\n")
    manifest = Manifest(table)
    for name, camera in (("test/x.jpg", "B"), ("camera/train/x.jpg", "A"), ("rest/x.jpg", "")):
        assert manifest.find(Photo(name, lambda: None)).camera == camera


def test_exif_camera_of_files_without(tmp_path):
    (tmp_path / "x.jpg").write_text("no picture")
    assert exif_camera(tmp_path / "x.jpg") == ""


@pytest.mark.parametrize("name", ["lens_camera.json", "lens_flatfield.json"])
def test_committed_measurements_are_small_sound_and_name_no_path(name):
    text = (MEASUREMENTS / name).read_text(encoding="utf-8")
    assert len(text) < 150_000
    measured = json.loads(text)
    assert "shared/" not in text
    assert "/work" not in text
    assert all(source["licence"] for source in measured["provenance"]["sources"])
    assert measured["rows"]


def test_committed_claims_follow_from_the_rows():
    measured = json.loads((MEASUREMENTS / "lens_camera.json").read_text(encoding="utf-8"))
    green = np.array([row["green"][0] for row in measured["rows"] if row["counted"]])
    claim = measured["claims"]["green_inward"]
    assert claim["n"] == len(green) == measured["summary"]["models"]
    assert claim["share"][0] == pytest.approx((green < 0).mean(), abs=1e-3)
    assert claim["median"][0] == pytest.approx(np.median(green), abs=1e-7)
    assert claim["holds"] == (claim["median"][2] < 0)
