"""Photographs, good and bad: every case is a real file on disk."""

import io
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import unicodedata
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from course_lib import photos
from course_lib.errors import PhotoError, UsageError
from course_lib.photos import middle_square, read_photo, resize_to

XYZ_TO_SRGB = np.array(
    [[3.24045, -1.53714, -0.49853], [-0.96927, 1.87601, 0.04156], [0.05564, -0.20403, 1.05723]]
)


@pytest.fixture(scope="module")
def scene():
    """A real photograph, 96 × 64, uint8 RGB."""
    return np.array(Image.fromarray(photos.embedded().named("pagoda").read()).resize((96, 64)))


@pytest.fixture
def good(tmp_path, scene):
    path = tmp_path / "good.png"
    Image.fromarray(scene).save(path)
    return path


def png_header(width, height):
    """A whole, valid PNG file whose header claims a size that its few data do not fill."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(bytes(1000))), chunk(b"IEND", b""))
    )


def message(path):
    """The one line that a bad picture's reader gets."""
    with pytest.raises(PhotoError) as caught:
        read_photo(path)
    text = str(caught.value)
    assert str(path) in text, "the message names the file"
    assert "\n" not in text
    assert text.count(". ") >= 1, "the message says what is wrong, and then what to do"
    return text


# --- the embedded photographs


def test_the_embedded_photographs_are_there_in_a_fixed_order():
    source = photos.embedded()
    found = {photo.name: picture.shape for photo, picture in source.pictures()}
    assert list(found) == [
        "pagoda", "coffee", "astronaut", "cat", "flower", "rocket", "admiral",
    ]  # fmt: skip
    assert found["coffee"] == (400, 600, 3)
    assert found["astronaut"] == (512, 512, 3)
    assert source.skipped == []
    assert len(source) == len(found)


@pytest.mark.parametrize("photo", photos.embedded(), ids=lambda photo: photo.name)
def test_every_embedded_photograph_is_a_colour_photograph_with_its_source(photo):
    picture = photo.read()
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    assert picture.flags.writeable
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10_000
    assert np.abs(np.diff(picture.astype(int), axis=2)).mean() > 3
    assert photo.licence
    assert photo.origin


def test_embedded_pixels_are_those_of_scikit_image():
    from skimage import data

    source = photos.embedded()
    assert np.array_equal(source.named("coffee").read(), data.coffee())
    assert np.array_equal(source.named("cat").read(), data.chelsea())


def test_reading_embedded_photographs_imports_no_heavy_library():
    code = (
        "import sys; from course_lib import photos; n = len(list(photos.embedded().pictures()));"
        "heavy = {'torch', 'skimage', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy or n != 7 else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# --- where pictures come from


def test_an_argument_wins_over_the_variable_and_that_over_the_default(
    tmp_path, good, scene, monkeypatch
):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(scene).save(other / "other.png")
    monkeypatch.delenv(photos.VARIABLE, raising=False)
    assert photos.source().name == photos.source("").name == "embedded photographs"
    monkeypatch.setenv(photos.VARIABLE, str(other))
    assert [photo.name for photo in photos.source()] == ["other.png"]
    assert [photo.name for photo in photos.source("")] == ["other.png"]
    assert "good.png" in [photo.name for photo in photos.source(tmp_path)]
    monkeypatch.setenv(photos.VARIABLE, "")
    assert photos.source().name == "embedded photographs"


def test_a_place_that_does_not_exist(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"nowhere does not exist: give a folder"):
        photos.source(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="does not exist"):
        photos.folder(tmp_path / "nowhere")
    monkeypatch.setenv(photos.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match=r"\$COURSE_PHOTOS: .*nowhere"):
        photos.source()


def test_an_empty_folder(tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(UsageError, match=r"holds no pictures: put photographs in it \(jpg, jpeg"):
        photos.source(tmp_path)


def test_a_file_is_not_a_folder(good):
    with pytest.raises(UsageError, match="is not a folder"):
        photos.folder(good)


def test_a_single_picture(good, scene):
    ((photo, picture),) = photos.source(good).pictures()
    assert photo.name == "good.png"
    assert np.array_equal(picture, scene)


def test_a_single_bad_picture_is_an_error(tmp_path):
    path = tmp_path / "bad.jpg"
    path.write_text("text")
    with pytest.raises(PhotoError, match=r"bad\.jpg"):
        list(photos.source(path).pictures())


def test_a_folder_is_read_in_an_order_that_is_the_same_everywhere(tmp_path, good):
    names = [
        "b.JPG",
        "a/z.png",
        "a.webp",
        "B.tif",
        "a/B/c.Jpeg",
        "ä.bmp",
        "Z.TIFF",
        "10.png",
        "9.png",
    ]
    for order, root in ((names, tmp_path / "one"), (names[::-1], tmp_path / "two")):
        for name in order:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(good, root / name)
    one = [photo.name for photo in photos.folder(tmp_path / "one")]
    assert one == sorted(names)
    assert one == [photo.name for photo in photos.folder(tmp_path / "two")]


def test_the_order_does_not_depend_on_how_a_file_system_writes_accents(tmp_path, good):
    for form in ("NFC", "NFD"):
        (tmp_path / form).mkdir()
        for name in ("ä.png", "az.png", "b.png"):
            shutil.copy(good, tmp_path / form / unicodedata.normalize(form, name))
    composed, decomposed = (
        [photo.name for photo in photos.folder(tmp_path / form)] for form in ("NFC", "NFD")
    )
    assert composed == decomposed == ["az.png", "b.png", "ä.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allows such names")
def test_names_that_are_not_unicode_can_be_read_and_printed(tmp_path, good):
    shutil.copy(good, os.fsencode(tmp_path) + b"/caf\xe9.png")
    (photo,) = [p for p in photos.folder(tmp_path) if p.name != "good.png"]
    assert photo.name.encode("utf-8").decode() == "caf\ufffd.png"
    assert photo.read().shape == (64, 96, 3)


def test_a_folder_is_read_lazily(tmp_path, good):
    for name in ("a.png", "b.png"):
        shutil.copy(good, tmp_path / name)
    source = photos.folder(tmp_path)
    (tmp_path / "a.png").unlink()
    assert [photo.name for photo in source] == ["a.png", "b.png", "good.png"]
    assert source.skipped == [], "nothing has been read yet"
    assert [photo.name for photo, _ in source.pictures()] == ["b.png", "good.png"]
    ((name, reason),) = source.skipped
    assert name == "a.png"
    assert "does not exist" in reason


def test_hidden_files_and_other_files_are_left_out(tmp_path, good):
    (tmp_path / ".cache").mkdir()
    for name in (".hidden.png", ".cache/thumb.png", "notes.md", "film.mp4", "no-extension"):
        shutil.copy(good, tmp_path / name)
    source = photos.folder(tmp_path)
    assert [photo.name for photo in source] == ["good.png"]
    assert source.skipped == []


def test_a_source_is_a_sequence(tmp_path, good):
    for name in "abc":
        shutil.copy(good, tmp_path / f"{name}.png")
    source = photos.folder(tmp_path)
    assert [p.name for p in source[1:3]] == ["b.png", "c.png"]
    assert isinstance(source[:1], photos.PhotoSource)
    assert source[-1].name == "good.png"
    assert source.named("c.png") in source
    with pytest.raises(UsageError, match=r"'d\.png'.*there are a\.png, b\.png"):
        source.named("d.png")
    with pytest.raises(IndexError):
        source[9]


# --- bad pictures: refused one by one, skipped and counted in a folder


def write_bad_pictures(folder):
    """Write one of each kind and return {name: what its message says}."""
    jpeg = io.BytesIO()
    Image.fromarray(photos.embedded().named("coffee").read()).save(jpeg, "JPEG", quality=90)
    png = io.BytesIO()
    Image.fromarray(photos.embedded().named("cat").read()).save(png, "PNG")
    (folder / "truncated.jpg").write_bytes(jpeg.getvalue()[: len(jpeg.getvalue()) // 2])
    (folder / "truncated.png").write_bytes(png.getvalue()[: len(png.getvalue()) // 2])
    (folder / "header only.jpg").write_bytes(jpeg.getvalue()[:20])
    (folder / "text.jpg").write_text("This is no picture.\n")
    (folder / "page.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "drawing.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n")
    Image.new("RGB", (1, 1)).save(folder / "one pixel.png")
    Image.new("RGB", (500, 31)).save(folder / "thin.png")
    (folder / "bomb.png").write_bytes(png_header(20_000, 20_000))
    (folder / "large.png").write_bytes(png_header(12_000, 12_000))
    (folder / "empty.jpg").touch()
    Image.fromarray(np.zeros((64, 64), np.float32)).save(folder / "float.tif")
    Image.fromarray(np.zeros((64, 64), np.int32)).save(folder / "integer.tif")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / "pipe.jpg")
    return {
        "truncated.jpg": "cut short or damaged",
        "truncated.png": "cut short or damaged",
        "header only.jpg": "not a picture|damaged",
        "text.jpg": "is not a picture, whatever its name says",
        "page.png": "is not a picture",
        "drawing.jpg": "is not a picture",
        "one pixel.png": "has 1 × 1 pixels; a photograph needs at least 32",
        "thin.png": "has 500 × 31 pixels",
        "bomb.png": "more pixels than a photograph has .*400000000 pixels",
        "large.png": "claims 12000 × 12000 pixels, more than the 120 million",
        "empty.jpg": r"is empty \(0 bytes\)",
        "float.tif": "floating-point numbers",
        "integer.tif": "32-bit integers",
        "loop.jpg": "symbolic link that leads back to itself",
        "gone.jpg": "does not exist",
        "pipe.jpg": "is a device or a pipe",
    }


@pytest.mark.timeout(60)
def test_each_bad_picture_is_refused_with_its_reason(tmp_path):
    for name, reason in write_bad_pictures(tmp_path).items():
        with pytest.raises(PhotoError, match=reason):
            read_photo(tmp_path / name)
        message(tmp_path / name)


@pytest.mark.timeout(60)
def test_a_folder_run_skips_and_counts_bad_pictures(tmp_path, good, scene):
    bad = write_bad_pictures(tmp_path)
    (tmp_path / "a folder named x.jpg").mkdir()
    shutil.copy(good, tmp_path / "a folder named x.jpg" / "inside.png")
    source = photos.folder(tmp_path)
    for _ in range(2):  # a second pass must not count anything twice
        usable = {photo.name: picture for photo, picture in source.pictures()}
        assert list(usable) == ["a folder named x.jpg/inside.png", "good.png"]
        assert all(np.array_equal(picture, scene) for picture in usable.values())
        assert sorted(name for name, _ in source.skipped) == sorted([*bad, "a folder named x.jpg"])
    for name, reason in source.skipped:
        assert str(tmp_path / name) in reason


def test_a_folder_with_nothing_but_bad_pictures_is_an_error(tmp_path):
    (tmp_path / "a.jpg").write_text("text")
    (tmp_path / "b.jpg").touch()
    with pytest.raises(
        PhotoError, match=r"None of the 2 pictures .* can be used\. The first: .*a\.jpg"
    ):
        list(photos.folder(tmp_path).pictures())


def test_a_folder_named_like_a_picture(tmp_path):
    path = tmp_path / "x.jpg"
    path.mkdir()
    assert "is a folder, not a picture" in message(path)
    with pytest.raises(UsageError, match=r"holds no picture that can be read\. .*x\.jpg"):
        photos.folder(tmp_path)


@pytest.mark.timeout(30)
def test_links_that_lead_in_circles_end(tmp_path, good):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "back").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self").symlink_to("self")
    (tmp_path / "album").symlink_to(tmp_path / "a", target_is_directory=True)
    shutil.copy(good, tmp_path / "a" / "b" / "deep.png")
    assert [photo.name for photo in photos.folder(tmp_path)] == ["a/b/deep.png", "good.png"]


def test_links_to_folders_and_files_are_followed(tmp_path, good):
    album = tmp_path / "album"
    album.mkdir()
    (album / "link.png").symlink_to(good)
    (album / "more").symlink_to(tmp_path, target_is_directory=True)
    names = [photo.name for photo, _ in photos.folder(album).pictures()]
    assert names == ["link.png", "more/good.png"]


@pytest.mark.parametrize("name", ["bomb.png", "large.png"])
def test_an_enormous_header_takes_no_memory(tmp_path, name):
    write_bad_pictures(tmp_path)
    code = (
        "import resource, sys; from course_lib.errors import PhotoError;"
        "from course_lib.photos import read_photo; read_photo(sys.argv[2]);"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try: read_photo(sys.argv[1])\n"
        "except PhotoError: print(peak() - before)"
    )
    small = tmp_path / "small.png"
    Image.new("RGB", (64, 64)).save(small)
    shown = subprocess.run(
        [sys.executable, "-c", code, tmp_path / name, small],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert int(shown.stdout) < 20_000, "kilobytes; the picture itself would take 400,000 or more"


def as_nobody(code, *arguments):
    """Run code in a process that may not read everything; root gives up its rights for that."""
    drop = "os.setgroups([]); os.setgid(65534); os.setuid(65534)" if os.geteuid() == 0 else "pass"
    # Decoders are loaded while the process may still read its libraries.
    start = (
        "import os, sys; from course_lib import photos; from course_lib.errors import CourseError;"
        f"from PIL import Image; Image.init(); {drop}\n"
    )
    return subprocess.run(
        [sys.executable, "-c", start + code, *map(str, arguments)],
        check=True, capture_output=True, text=True, cwd="/",
    ).stdout  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other permissions")
def test_what_may_not_be_read_is_refused_or_skipped(good):
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        root = Path(name)
        root.chmod(0o755)
        shutil.copy(good, root / "open.png")
        shutil.copy(good, root / "closed.png")
        (root / "album").mkdir()
        shutil.copy(good, root / "album" / "inside.png")
        (root / "open.png").chmod(0o644)
        (root / "closed.png").chmod(0)
        (root / "album").chmod(0)
        single = as_nobody(
            "for path in sys.argv[1:]:\n"
            "    try: photos.read_photo(path)\n"
            "    except CourseError as error: print(type(error).__name__, error)",
            root / "closed.png",
            root / "album" / "inside.png",
        ).splitlines()
        run = as_nobody(
            "source = photos.folder(sys.argv[1])\n"
            "print([photo.name for photo, _ in source.pictures()])\n"
            "for name, reason in source.skipped: print(name, '|', reason)\n"
            "try: photos.folder(sys.argv[2])\n"
            "except CourseError as error: print(type(error).__name__, error)",
            root,
            root / "album",
        ).splitlines()
        (root / "album").chmod(stat.S_IRWXU)
    assert single[0].startswith(f"PhotoError {root / 'closed.png'}: may not be read")
    assert single[1].startswith(f"PhotoError {root / 'album' / 'inside.png'}: lies in a folder")
    assert run[0] == "['open.png']"
    assert run[1].startswith(f"album | {root / 'album'}: this folder may not be read")
    assert run[2].startswith(f"closed.png | {root / 'closed.png'}: may not be read")
    assert run[3].startswith(f"UsageError {root / 'album'} may not be read")


# --- where photographs are from


def manifest(folder, *lines, head="file,source,licence,width"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")


def stated(directory):
    return {photo.name: (photo.origin, photo.licence) for photo in photos.folder(directory)}


@pytest.fixture
def album(tmp_path, scene):
    """album/one.png and album/seaside/summer/two.png"""
    place = tmp_path / "album"
    (place / "seaside" / "summer").mkdir(parents=True)
    Image.fromarray(scene).save(place / "one.png")
    Image.fromarray(scene).save(place / "seaside" / "summer" / "two.png")
    return place


def test_a_manifest_says_where_photographs_are_from(album):
    manifest(album, 'one.png,Ada,"CC BY 4.0, see site",96', "seaside/summer/two.png,Zoë,,96")
    assert stated(album) == {
        "one.png": ("Ada", "CC BY 4.0, see site"),
        "seaside/summer/two.png": ("Zoë", ""),
    }
    assert stated(album / "seaside" / "summer") == {"two.png": ("Zoë", "")}, "two folders above"


def test_a_photograph_that_is_not_listed_has_no_origin(album):
    manifest(album, "two.png,Ada,CC0,96")
    assert set(stated(album).values()) == {("", "")}


def test_the_nearest_manifest_counts_and_the_farthest_is_out_of_reach(album):
    manifest(album, "one.png,far,CC0,1", "seaside/summer/two.png,far,CC0,1")
    manifest(album / "seaside", "summer/two.png,near,CC0,1")
    assert [origin for origin, _ in stated(album).values()] == ["far", "near"]
    (album / "seaside" / "manifest.csv").unlink()
    (album / "manifest.csv").unlink()
    manifest(album.parent, "album/seaside/summer/two.png,far,CC0,1", "album/one.png,far,CC0,1")
    assert [origin for origin, _ in stated(album).values()] == ["far", ""]


@pytest.mark.parametrize("what", ["folder", "photograph"])
def test_links_are_followed_to_the_manifest(album, tmp_path, what):
    manifest(album, "seaside/summer/two.png,Ada,CC0,96")
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    if what == "folder":
        (chosen / "linked").symlink_to(album / "seaside" / "summer")
        assert stated(chosen) == {"linked/two.png": ("Ada", "CC0")}
    else:
        (chosen / "other name.png").symlink_to(album / "seaside" / "summer" / "two.png")
        assert stated(chosen) == {"other name.png": ("Ada", "CC0")}


def test_a_spreadsheets_byte_order_mark_and_short_lines_do_no_harm(album):
    (album / "manifest.csv").write_bytes("\ufefffile,source,licence\r\none.png,Ada\r\n".encode())
    assert stated(album)["one.png"] == ("Ada", "")


def test_something_else_called_manifest_is_passed_over(album):
    for content in (b"name,colour\nred,1\n", b"\xff\xfe\x00", b"", b'file,source,licence\n"one'):
        (album / "manifest.csv").write_bytes(content)
        assert stated(album)["one.png"] == ("", "")
    (album / "manifest.csv").unlink()
    (album / "manifest.csv").mkdir()
    assert stated(album)["one.png"] == ("", "")


def test_a_link_that_leads_nowhere_is_skipped_as_before(album):
    (album / "lost.png").symlink_to(album / "nowhere.png")
    (album / "loop.png").symlink_to(album / "loop.png")
    source = photos.folder(album)
    assert [photo.name for photo, _ in source.pictures()] == ["one.png", "seaside/summer/two.png"]
    assert {name for name, _ in source.skipped} == {"lost.png", "loop.png"}


# --- unusual pictures that are usable, and what becomes of their pixels


@pytest.mark.parametrize("name", ["x.jpg", "x.jpeg", "x.png", "x.webp", "x.tif", "x.tiff", "x.bmp"])
def test_every_usual_format_is_read(tmp_path, scene, name):
    Image.fromarray(scene).save(tmp_path / name, **({"lossless": True} if "webp" in name else {}))
    picture = read_photo(tmp_path / name)
    assert picture.dtype == np.uint8
    limit = 8 if "jp" in name else 0
    assert np.abs(picture.astype(int) - scene).mean() <= limit
    upper = tmp_path / name.upper()
    shutil.copy(tmp_path / name, upper)
    assert np.array_equal(read_photo(upper), picture)


def test_a_picture_with_another_formats_name_is_read(tmp_path, scene):
    Image.fromarray(scene).save(tmp_path / "really-a-png.jpg", "PNG")
    assert np.array_equal(read_photo(tmp_path / "really-a-png.jpg"), scene)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, suffix):
    ramp = np.linspace(0, 65535, 128 * 64).astype(np.uint16).reshape(64, 128)
    path = tmp_path / f"gray{suffix}"
    assert cv2.imwrite(str(path), ramp)
    expected = np.rint(ramp / 257).astype(np.uint8)
    assert np.array_equal(read_photo(path), np.repeat(expected[..., None], 3, axis=2))
    colour = np.stack([ramp, ramp[::-1], ramp.T.reshape(64, 128)], axis=2)
    path = tmp_path / f"colour{suffix}"
    assert cv2.imwrite(str(path), colour[..., ::-1])
    picture = read_photo(path)
    assert (picture.min(), picture.max()) == (0, 255)
    assert np.abs(picture - colour / 257).max() <= 1, "Pillow keeps the high byte"


def test_sixteen_bits_in_the_other_byte_order(tmp_path):
    ramp = np.linspace(0, 65535, 64 * 64).astype(">u2").reshape(64, 64)
    Image.frombytes("I;16B", (64, 64), ramp.tobytes()).save(tmp_path / "big.tif")
    assert np.array_equal(read_photo(tmp_path / "big.tif")[..., 1], np.rint(ramp / 257))


def test_palette_pictures_show_their_colours(tmp_path, scene):
    palette = Image.fromarray(scene).quantize(64)
    palette.save(tmp_path / "palette.png")
    colours = np.array(palette.getpalette()[: 64 * 3], np.uint8).reshape(-1, 3)
    assert np.array_equal(read_photo(tmp_path / "palette.png"), colours[np.array(palette)])


def test_grayscale_pictures_become_three_equal_channels(tmp_path, scene):
    gray = scene[..., 1]
    Image.fromarray(gray).save(tmp_path / "gray.png")
    assert np.array_equal(read_photo(tmp_path / "gray.png"), np.stack([gray] * 3, axis=2))
    Image.fromarray(gray > 99).save(tmp_path / "bits.png")
    bits = read_photo(tmp_path / "bits.png")
    assert np.array_equal(bits[..., 0] == 255, gray > 99)


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_cmyk_pictures_are_not_inverted(tmp_path, suffix):
    inks = {
        (0, 0, 0, 0): (255, 255, 255),
        (255, 0, 0, 0): (0, 255, 255),
        (0, 255, 0, 0): (255, 0, 255),
        (0, 0, 255, 0): (255, 255, 0),
        (0, 0, 0, 255): (0, 0, 0),
        (0, 0, 0, 128): (127, 127, 127),
    }
    for number, (ink, rgb) in enumerate(inks.items()):
        path = tmp_path / f"{number}{suffix}"
        Image.new("CMYK", (64, 64), ink).save(path)
        with Image.open(path) as image:
            assert image.mode == "CMYK"
        assert np.abs(read_photo(path).astype(int) - rgb).max() <= (2 if suffix == ".jpg" else 0)


def test_lab_pictures_show_their_colours(tmp_path):
    """Lightness 60, a = 30, b = -40, against the definition of CIE Lab with a D50 white point."""
    Image.new("LAB", (64, 64), (153, 128 + 30, 128 - 40)).save(tmp_path / "lab.tif")
    y = (60 + 16) / 116
    xyz_d50 = np.array([0.96422, 1, 0.82521]) * (y + np.array([30 / 500, 0, 40 / 200])) ** 3
    to_d65 = [
        [0.95558, -0.02304, 0.06316],
        [-0.02829, 1.00994, 0.02101],
        [0.0123, -0.02048, 1.32991],
    ]
    linear = XYZ_TO_SRGB @ to_d65 @ xyz_d50
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(read_photo(tmp_path / "lab.tif") - expected).max() <= 1.5


def test_transparency_is_composited_on_white(tmp_path, scene):
    alpha = np.linspace(0, 255, scene.shape[1]).round().astype(np.uint8)
    alpha = np.broadcast_to(alpha, scene.shape[:2])
    Image.fromarray(np.dstack([scene, alpha])).save(tmp_path / "alpha.png")
    share = alpha[..., None] / 255
    expected = share * scene + (1 - share) * 255
    picture = read_photo(tmp_path / "alpha.png")
    assert np.abs(picture - expected).max() <= 1
    assert (picture[:, 0] == 255).all(), "fully transparent is white"
    assert np.array_equal(picture[:, -1], scene[:, -1]), "fully opaque is untouched"
    Image.fromarray(np.dstack([scene[..., 0], alpha])).save(tmp_path / "gray alpha.png")
    expected = share[..., 0] * scene[..., 0] + (1 - share[..., 0]) * 255
    assert np.abs(read_photo(tmp_path / "gray alpha.png")[..., 2] - expected).max() <= 1


def test_a_transparent_palette_colour_is_white(tmp_path, scene):
    palette = Image.fromarray(scene).quantize(16)
    palette.save(tmp_path / "p.png", transparency=3)
    picture = read_photo(tmp_path / "p.png")
    indices = np.array(palette)
    assert (indices == 3).any()
    assert (picture[indices == 3] == 255).all()
    colours = np.array(palette.getpalette()[:48], np.uint8).reshape(-1, 3)
    assert np.array_equal(picture[indices != 3], colours[indices[indices != 3]])


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".tif"])
def test_animations_show_their_first_frame(tmp_path, suffix):
    frames = [Image.new("RGB", (64, 48), colour) for colour in ("red", "lime", "blue")]
    path = tmp_path / f"moving{suffix}"
    extra = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(path, save_all=True, append_images=frames[1:], **extra)
    with Image.open(path) as image:
        assert image.n_frames == 3
    assert (read_photo(path) == (255, 0, 0)).all()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_rotated_pictures_stand_upright(tmp_path, scene, orientation, suffix):
    """What each EXIF value stores, written as plain array operations on the upright scene."""
    stored = {
        1: scene,
        2: scene[:, ::-1],
        3: scene[::-1, ::-1],
        4: scene[::-1],
        5: scene.transpose(1, 0, 2),
        6: np.rot90(scene),
        7: scene[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(scene, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{suffix}"
    extra = {".jpg": {"quality": 98, "subsampling": 0}, ".webp": {"lossless": True}}.get(suffix, {})
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, **extra)
    picture = read_photo(path)
    assert picture.shape == scene.shape
    assert np.abs(picture.astype(int) - scene).mean() < 1.5


def test_damaged_exif_data_does_not_spoil_sound_pixels(tmp_path, scene):
    Image.fromarray(scene).save(
        tmp_path / "x.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + bytes(9)
    )
    assert np.array_equal(read_photo(tmp_path / "x.png"), scene)


@pytest.fixture(scope="module")
def adobe_rgb():
    """The Adobe RGB profile of an embedded photograph."""
    from importlib.util import find_spec

    path = Path(find_spec("skimage").origin).parent / "data" / "rocket.jpg"
    with Image.open(path) as image:
        profile = image.info["icc_profile"]
    assert "Adobe RGB" in ImageCms.getProfileDescription(
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    )
    return profile


def test_another_colour_space_is_converted_to_srgb(tmp_path, adobe_rgb):
    """Against the published matrices of both spaces (white point D65, gamma 563/256)."""
    values = np.array(
        [[120, 120, 120], [150, 120, 100], [100, 120, 140], [130, 110, 120]], np.uint8
    )
    to_xyz = np.array(
        [[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]]
    )
    linear = (values / 255) ** (563 / 256) @ (XYZ_TO_SRGB @ to_xyz).T
    expected = 255 * (1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(expected - values).max() > 5, "the two spaces differ visibly here"
    picture = np.repeat(np.repeat(values.reshape(2, 2, 3), 32, axis=0), 32, axis=1)
    Image.fromarray(picture).save(tmp_path / "adobe.png", icc_profile=adobe_rgb)
    seen = read_photo(tmp_path / "adobe.png")[16::32, 16::32].reshape(-1, 3)
    assert np.abs(seen - expected).max() <= 1.5


def test_profiles_that_do_not_fit_or_are_damaged_are_ignored(tmp_path, scene, adobe_rgb):
    Image.fromarray(scene).save(tmp_path / "damaged.png", icc_profile=b"no profile" * 30)
    assert np.array_equal(read_photo(tmp_path / "damaged.png"), scene)
    Image.fromarray(scene[..., 0]).save(tmp_path / "gray.tif", icc_profile=adobe_rgb)
    assert np.array_equal(read_photo(tmp_path / "gray.tif")[..., 2], scene[..., 0])
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(scene).save(tmp_path / "srgb.png", icc_profile=srgb)
    assert np.array_equal(read_photo(tmp_path / "srgb.png"), scene), "sRGB is left exactly as it is"


# --- resizing


def test_shrinking_averages_areas():
    picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    small = resize_to(picture, 30)
    assert small.shape == (20, 30, 3)
    means = picture.reshape(20, 3, 30, 3, 3).mean(axis=(1, 3))
    assert np.abs(small - means).max() <= 0.5 + 1e-6
    floats = resize_to((picture / 255).astype(np.float32), 30)
    assert floats.dtype == np.float32
    assert np.abs(floats - means / 255).max() < 1e-5


def test_nothing_is_enlarged_unless_asked(scene):
    assert resize_to(scene, 500) is scene
    assert resize_to(scene, max(scene.shape)) is scene
    large = resize_to(scene, 192, enlarge=True)
    assert large.shape == (128, 192, 3)
    assert np.abs(resize_to(large, 96).astype(int) - scene).mean() < 4


def test_enlarged_floats_stay_in_range():
    edge = np.zeros((40, 40, 3), np.float32)
    edge[:, 20:] = 1
    large = resize_to(edge, 100, enlarge=True)
    assert large.min() >= 0
    assert large.max() <= 1


def test_a_thin_picture_keeps_a_pixel():
    assert resize_to(np.zeros((2, 1000, 3), np.uint8), 100).shape == (1, 100, 3)


def test_an_impossible_side_is_refused(scene):
    with pytest.raises(UsageError, match="long side of 0"):
        resize_to(scene, 0)


def test_the_middle_square_is_cut_out_of_the_middle():
    wide = np.arange(15).reshape(3, 5)
    assert middle_square(wide).tolist() == [[1, 2, 3], [6, 7, 8], [11, 12, 13]]
    assert middle_square(wide.T).tolist() == [[1, 6, 11], [2, 7, 12], [3, 8, 13]]
    assert middle_square(np.zeros((4, 7, 3))).shape == (4, 4, 3)
    assert np.array_equal(middle_square(wide[:, :3]), wide[:, :3])
