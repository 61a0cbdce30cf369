"""Where pictures come from: photographs embedded in installed libraries, or any folder.

Every picture arrives as ``uint8``, height × width × 3, RGB, upright, in sRGB. What cannot become
that is refused with a message that names the file, what is wrong with it, and what to do.

What becomes of unusual files
-----------------------------
- grayscale and palette pictures: converted to RGB
- 16 bits a channel: scaled to 8 bits over the full range, never clipped
- transparency: composited on white, as paper would show it
- CMYK: converted with its embedded profile, else with the plain complement formula
- CIE Lab and YCbCr: converted
- another RGB colour space (Adobe RGB, Display P3): converted to sRGB with the embedded profile.
  Profiles of grayscale pictures are not applied, and a damaged profile is ignored
- animations and multi-page files: the first frame
- EXIF orientation: applied, so that the picture stands upright
- refused: truncated or damaged files, files that are no pictures, 32-bit integer or float pictures
  (nothing says what their white is), sides under 32 pixels, more than 120 million pixels
"""

import csv
import errno
import io
import os
import stat
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import overload

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from course_lib.errors import PhotoError, UsageError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
MIN_SIDE = 32
MAX_PIXELS = 120_000_000  # above the largest cameras, below what would fill a laptop's memory
# Only formats that hold photographs: some of Pillow's other readers start external programs.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
VARIABLE = "COURSE_PHOTOS"
MANIFEST = "manifest.csv"
"""File beside photographs that says where each is from: columns file, source, licence."""


@dataclass(frozen=True)
class Photo:
    """One photograph that is read when it is asked for.

    Parameters
    ----------
    name : str
        A short human name, or the path inside the folder (with ``/`` on every system).
    load : callable
        Returns the picture; raises PhotoError when it cannot be used.
    licence, origin : str
        Terms of use and where the photograph comes from, where known.
    path : Path, optional
        The file.
    """

    name: str
    load: Callable[[], np.ndarray] = field(repr=False)
    licence: str = ""
    origin: str = ""
    path: Path | None = None

    def read(self) -> np.ndarray:
        """Read the picture: uint8, height × width × 3, RGB. Read again at each call."""
        return self.load()


class PhotoSource(Sequence[Photo]):
    """Photographs in a fixed order, each read only when it is asked for.

    Parameters
    ----------
    name : str
        What to call the source in reports.
    photos : sequence of Photo
        The photographs.
    skipped : sequence of (name, reason), optional
        What was left out while the source was made.
    strict : bool
        Whether ``pictures`` raises at a bad picture where it would otherwise skip it.
    """

    def __init__(
        self,
        name: str,
        photos: Sequence[Photo],
        skipped: Sequence[tuple[str, str]] = (),
        strict: bool = False,
    ) -> None:
        self.name = name
        self.strict = strict
        self._photos = tuple(photos)
        self._skipped = dict(skipped)

    def __len__(self) -> int:
        return len(self._photos)

    @overload
    def __getitem__(self, index: int) -> Photo: ...
    @overload
    def __getitem__(self, index: slice) -> "PhotoSource": ...
    def __getitem__(self, index: int | slice) -> "Photo | PhotoSource":
        if isinstance(index, slice):
            return PhotoSource(self.name, self._photos[index], strict=self.strict)
        return self._photos[index]

    def __repr__(self) -> str:
        return f"PhotoSource({self.name!r}, {len(self)} photographs)"

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Name and reason of every picture that was left out so far, each once."""
        return list(self._skipped.items())

    def named(self, name: str) -> Photo:
        """Return the photograph with this name.

        Raises
        ------
        UsageError
            When there is none; the message lists some names that exist.
        """
        for photo in self._photos:
            if photo.name == name:
                return photo
        known = ", ".join(photo.name for photo in self._photos[:10])
        more = ", …" if len(self) > 10 else ""
        raise UsageError(
            f"No photograph is called {name!r} in {self.name}; there are {known}{more}."
        )

    def pictures(self) -> Iterator[tuple[Photo, np.ndarray]]:
        """Yield each photograph with its picture; skip bad ones and record them in ``skipped``.

        Raises
        ------
        PhotoError
            At a bad picture when the source is strict, or at the end when no picture was usable.
        """
        usable = 0
        first_reason = ""
        for photo in self._photos:
            try:
                picture = photo.read()
            except PhotoError as error:
                if self.strict:
                    raise
                self._skipped[photo.name] = str(error)
                first_reason = first_reason or str(error)
                continue
            usable += 1
            yield photo, picture
        if self._photos and not usable:
            raise PhotoError(
                f"None of the {len(self)} pictures of {self.name} can be used. The first: "
                f"{first_reason}"
            )


def source(where: str | Path | None = None) -> PhotoSource:
    """Photographs from a folder or file, else from ``$COURSE_PHOTOS``, else the embedded ones.

    Parameters
    ----------
    where : str or Path, optional
        A folder, or a single picture. Nothing, or an empty string, means not given.

    Raises
    ------
    UsageError
        When the place does not exist, or is a folder without pictures.
    """
    place, given_by = (
        (str(where), "") if where else (os.environ.get(VARIABLE, ""), f"${VARIABLE}: ")
    )
    if not place.strip():
        return embedded()
    path = Path(place).expanduser()
    if not path.exists():
        raise UsageError(f"{given_by}{path} does not exist: give a folder of photographs.")
    if path.is_dir():
        return folder(path)
    photo = Photo(path.name, lambda: read_photo(path), path=path)
    return PhotoSource(str(path), [photo], strict=True)


def folder(directory: str | Path) -> PhotoSource:
    """Every picture in a folder and the folders in it, in an order that is the same everywhere.

    Pictures are ordered by their path inside the folder, compared character by character in
    Unicode's normal form C, whatever the file system and the locale. Hidden files and folders are
    left out. Links to folders are followed, each real folder is visited once, so a loop ends.

    A file ``manifest.csv`` says where photographs are from, in columns ``file`` (the path from its
    own folder, with ``/``), ``source`` and ``licence``; others may be there too. It may lie in the
    folder of a photograph, links followed, or up to two folders above; the nearest counts. It gives
    photographs their ``origin`` and ``licence``. A file of that name without these columns is
    something else, and is passed over.

    Parameters
    ----------
    directory : str or Path
        The folder. Nothing is read from the pictures yet.

    Raises
    ------
    UsageError
        When the folder does not exist, may not be read, or holds no picture.
    """
    root = Path(directory).expanduser()
    if not root.is_dir():
        problem = "is not a folder" if root.exists() else "does not exist"
        raise UsageError(f"{root} {problem}: give a folder of photographs.")
    skipped: list[tuple[str, str]] = []
    found = sorted(_walk(root, "", set(), skipped))
    if not found:
        if skipped:
            raise UsageError(f"{root} holds no picture that can be read. {skipped[0][1]}")
        kinds = ", ".join(extension[1:] for extension in EXTENSIONS)
        raise UsageError(f"{root} holds no pictures: put photographs in it ({kinds}).")
    stated = _Manifests()
    photos = [Photo(name, _reader(path), *stated.of(path), path=path) for name, path in found]
    return PhotoSource(str(root), photos, skipped)


def embedded() -> PhotoSource:
    """Eight colour photographs that come inside scikit-image, scikit-learn and matplotlib.

    They need no network, and none of these libraries is imported to read them. Scientific images,
    drawings and grayscale pictures that come with the same libraries are left out.
    """
    photos = [
        Photo(name, _embedded_reader(name, package, inside), licence, origin)
        for name, package, inside, licence, origin in _EMBEDDED
    ]
    return PhotoSource("embedded photographs", photos)


def read_photo(path: str | Path) -> np.ndarray:
    """Read a photograph: uint8, height × width × 3, RGB, upright, sRGB.

    The module's description says what becomes of unusual files.

    Raises
    ------
    PhotoError
        When the file cannot be used; the message names it, the reason, and what to do.
    """
    path = Path(path)
    _demand_regular_file(path)
    with warnings.catch_warnings():
        # Pillow warns below its limit of pixels and at unusual metadata; neither concerns a reader.
        warnings.simplefilter("ignore")
        with _opened(path) as image:
            _demand_size(path, image)
            try:
                image.load()
            except Exception as error:  # decoders raise a dozen kinds of error on damaged data
                raise PhotoError(
                    f"{path}: is cut short or damaged ({error}). Copy or download it again, or "
                    "leave it out."
                ) from None
            return _as_rgb(path, image)


def middle_square(picture: np.ndarray) -> np.ndarray:
    """Cut the largest square out of the middle: (h, w) or (h, w, c), a view of the same pixels."""
    side = min(picture.shape[:2])
    top, left = ((n - side) // 2 for n in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def resize_to(picture: np.ndarray, long_side: int, enlarge: bool = False) -> np.ndarray:
    """Scale a picture so that its longer side has the given number of pixels.

    Parameters
    ----------
    picture : ndarray
        uint8, or float in [0, 1].
    long_side : int
        Pixels, at least 1.
    enlarge : bool
        Whether a smaller picture is enlarged (cubic). Without it, it is returned as it is.

    Returns
    -------
    ndarray
        Same dtype and aspect ratio (to the nearest pixel). Shrinking averages areas, which is
        free of aliasing.
    """
    if long_side < 1:
        raise UsageError(f"A long side of {long_side} pixels is impossible: give at least 1.")
    height, width = picture.shape[:2]
    scale = long_side / max(height, width)
    if scale == 1 or (scale > 1 and not enlarge):
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if scale < 1:
        return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    larger = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    # Cubic interpolation overshoots at edges; OpenCV saturates integers but not floats.
    return larger if larger.dtype == np.uint8 else larger.clip(0, 1)


def _demand_regular_file(path: Path) -> None:
    """Refuse what is not a file with content, before anything opens it (a pipe would block)."""
    try:
        status = path.stat()
    except FileNotFoundError:
        raise PhotoError(f"{path}: does not exist. Check the name.") from None
    except PermissionError:
        raise PhotoError(
            f"{path}: lies in a folder that may not be entered (permission denied). Change the "
            "folder's permissions, or leave it out."
        ) from None
    except (OSError, ValueError, RuntimeError) as error:
        if getattr(error, "errno", None) == errno.ELOOP or isinstance(error, RuntimeError):
            raise PhotoError(
                f"{path}: is a symbolic link that leads back to itself. Remove the link."
            ) from None
        raise PhotoError(f"{path}: cannot be opened ({error}). Check the name.") from None
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError(f"{path}: is a folder, not a picture. Name a picture in it.")
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError(f"{path}: is a device or a pipe, not a picture. Leave it out.")
    if status.st_size == 0:
        raise PhotoError(f"{path}: is empty (0 bytes). Copy or download it again, or leave it out.")


def _opened(path: Path) -> Image.Image:
    """Read the header; what is no picture, or claims to be an enormous one, stops here."""
    try:
        return Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise PhotoError(
            f"{path}: claims more pixels than a photograph has ({error}). Resize it with a program "
            "you trust, or leave it out."
        ) from None
    except UnidentifiedImageError:
        raise PhotoError(
            f"{path}: is not a picture, whatever its name says. Save it again as JPEG or PNG, or "
            "leave it out."
        ) from None
    except PermissionError:
        raise PhotoError(
            f"{path}: may not be read (permission denied). Change the file's permissions, or "
            "leave it out."
        ) from None
    except (OSError, SyntaxError, ValueError) as error:
        raise PhotoError(
            f"{path}: has a damaged header ({error}). Copy or download it again, or leave it out."
        ) from None


def _demand_size(path: Path, image: Image.Image) -> None:
    """Refuse impossible sizes from the header, before any pixel is decoded."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PhotoError(
            f"{path}: claims {width} × {height} pixels, more than the {MAX_PIXELS // 10**6} "
            "million that are read here. Resize it with a program you trust, or leave it out."
        )
    if min(width, height) < MIN_SIDE:
        raise PhotoError(
            f"{path}: has {width} × {height} pixels; a photograph needs at least {MIN_SIDE} on "
            "each side. Leave it out, or use a larger copy."
        )


def _as_rgb(path: Path, image: Image.Image) -> np.ndarray:
    """Turn a loaded picture of any mode into uint8 RGB."""
    profile = image.info.get("icc_profile")
    image = _upright(image)
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips at 255; 65535 / 257 = 255 maps the full range exactly.
        gray = (np.asarray(image).astype(np.uint32) + 128) // 257
        return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        kind = "32-bit integers" if image.mode == "I" else "floating-point numbers"
        raise PhotoError(
            f"{path}: holds {kind}, and nothing says which value is white. Save it as an 8-bit or "
            "16-bit picture."
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        paper = Image.new("RGB", image.size, "white")
        paper.paste(_to_srgb(image.convert("RGB"), profile), mask=image.getchannel("A"))
        return np.array(paper)
    if image.mode not in ("RGB", "CMYK"):
        profile = profile if image.mode == "P" else None
        image = image.convert("RGB")
    return np.array(_to_srgb(image, profile).convert("RGB"))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged EXIF data is no reason to refuse sound pixels
        return image


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert RGB or CMYK to sRGB with its embedded profile; as it is without one."""
    if not profile:
        return image
    try:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if own.profile.xcolor_space.strip() != image.mode or _is_srgb(own):
            return image
        converted = ImageCms.profileToProfile(
            image,
            own,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return converted or image


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    return "srgb" in ImageCms.getProfileDescription(profile).lower()


def _walk(
    root: Path, inside: str, visited: set[tuple[int, int]], skipped: list[tuple[str, str]]
) -> Iterator[tuple[str, Path]]:
    """Yield (name, path) of the pictures under a folder; the name is the path inside it."""
    here = root / inside
    try:
        status = here.stat()
        if (status.st_dev, status.st_ino) in visited:
            return
        visited.add((status.st_dev, status.st_ino))
        entries = sorted(path.name for path in here.iterdir())
    except OSError as error:
        if not inside:
            raise UsageError(f"{root} may not be read ({error.strerror}).") from None
        skipped.append((inside, f"{here}: this folder may not be read ({error.strerror})."))
        return
    for entry in entries:
        if entry.startswith("."):
            continue
        path = here / entry
        raw = f"{inside}/{entry}" if inside else entry
        # Names that are not valid UTF-8 must still be printable.
        name = unicodedata.normalize("NFC", os.fsencode(raw).decode("utf-8", "replace"))
        is_picture = path.suffix.lower() in EXTENSIONS
        if _is_directory(path):
            if is_picture:
                skipped.append(
                    (name, f"{path}: is a folder, not a picture; its pictures are read.")
                )
            yield from _walk(root, raw, visited, skipped)
        elif is_picture:
            yield name, path


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link that leads nowhere
        return False


class _Manifests:
    """Reads each `MANIFEST` once, and finds a photograph's line in the nearest."""

    ABOVE = 2  # folders above the photograph's own that are looked in

    def __init__(self) -> None:
        self.known: dict[Path, dict[str, tuple[str, str]] | None] = {}

    def of(self, path: Path) -> tuple[str, str]:
        """Return licence and origin of a photograph, empty where nothing states them."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError):  # a link that leads back to itself
            return "", ""
        for folder in list(real.parents)[: 1 + self.ABOVE]:
            if folder not in self.known:
                self.known[folder] = self._read(folder / MANIFEST)
            lines = self.known[folder]
            if lines is not None:
                return lines.get(real.relative_to(folder).as_posix(), ("", ""))
        return "", ""

    def _read(self, place: Path) -> dict[str, tuple[str, str]] | None:
        """Read a manifest; nothing when there is none, or another kind of file has its name."""
        try:
            if not place.is_file():
                return None
            with place.open(encoding="utf-8-sig", newline="") as file:
                rows = csv.DictReader(file, restval="")
                return {row["file"]: (row["licence"], row["source"]) for row in rows}
        except (OSError, ValueError, KeyError, csv.Error):
            return None


def _reader(path: Path) -> Callable[[], np.ndarray]:
    return lambda: read_photo(path)


def _embedded_reader(name: str, package: str, inside: str) -> Callable[[], np.ndarray]:
    def read() -> np.ndarray:
        # Finding a top-level package does not import it.
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise PhotoError(f"{name}: comes with {package}, which is not installed. Install it.")
        return read_photo(Path(spec.origin).parent / inside)

    return read


# Only photographs whose terms allow what lessons do with them: their figures are published.
# name, package that holds it, file inside the package, licence, origin
_EMBEDDED = (
    (
        "pagoda",
        "sklearn",
        "datasets/images/china.jpg",
        "CC BY 2.0",
        "danielbuechele, flickr.com/photos/danielbuechele/6061409035 (scikit-learn)",
    ),
    (
        "coffee",
        "skimage",
        "data/coffee.png",
        "CC0",
        "Rachel Michetti, courtesy of Pikolo Espresso Bar (scikit-image)",
    ),
    (
        "astronaut",
        "skimage",
        "data/astronaut.png",
        "public domain",
        "NASA Great Images, flic.kr/p/r9qvLn (scikit-image)",
    ),
    ("cat", "skimage", "data/chelsea.png", "CC0", "Stefan van der Walt (scikit-image)"),
    (
        "flower",
        "sklearn",
        "datasets/images/flower.jpg",
        "CC BY 2.0",
        "vultilion, flickr.com/photos/vultilion/6056698931 (scikit-learn)",
    ),
    (
        "rocket",
        "skimage",
        "data/rocket.jpg",
        "public domain",
        "SpaceX, flickr.com/photos/spacexphotos/16511594820 (scikit-image)",
    ),
    (
        "admiral",
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        "public domain",
        "Grace Hopper, official portrait, United States Navy (matplotlib)",
    ),
)
