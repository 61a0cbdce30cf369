"""Training pictures without end: from folders of any size, by worker processes, always the same.

A batch is a function of seed and step alone. So it does not depend on how many processes work, a
run that was interrupted goes on with the batches it would have seen, and several machines share a
batch by each making its part of it. A system says in a subclass of `Stream` what a batch is.
"""

import itertools
import multiprocessing
import os
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Generic, TypeVar

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from course_lib.errors import CourseError, PhotoError, UsageError
from course_lib.photos import PhotoSource, read_photo

TRIES = 30
"""Photographs that may fail one after the other before the stream gives up."""
AHEAD = 4
"""Batches that each worker makes in advance."""

Made = TypeVar("Made")


def shelved(picture: np.ndarray, shelf: float, smallest: int) -> np.ndarray:
    """Reduce a photograph to what is kept in memory: (h, w, 3) uint8 to the same or smaller.

    Parameters
    ----------
    picture : (h, w, 3) uint8
    shelf : float
        Shorter side in pixels that is enough.
    smallest : int
        Shorter side in pixels that a photograph must have.

    Raises
    ------
    PhotoError
        When it is too small.
    """
    height, width = picture.shape[:2]
    if min(height, width) < smallest:
        raise PhotoError(
            f"A photograph of {width} × {height} pixels is too small: its shorter side must "
            f"have {smallest}."
        )
    scale = shelf / min(height, width)
    if scale >= 1:
        return picture
    size = round(width * scale), round(height * scale)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


class Stream(ABC, Generic[Made]):
    """Batches by number; a subclass says what is in them.

    Parameters
    ----------
    photos : PhotoSource, optional
        Photographs, each used once an epoch in an order drawn anew for each.
    batch_size : int
        Examples or patches in a batch, of all ranks together.
    seed : int
    leaves : float
        Share of dead-leaves pictures, always fresh, from 0 to 1. Without photographs it is 1.
    workers : int
        Processes that make batches; with 0, they are made where they are asked for.
    cache_mb : int
        Memory for decoded photographs, shared out between the workers.

    Raises
    ------
    UsageError
        A number is impossible, or there is nothing to make pictures from.
    """

    def __init__(
        self,
        photos: PhotoSource | None,
        batch_size: int = 32,
        *,
        seed: int = 0,
        leaves: float = 0.0,
        workers: int = 0,
        cache_mb: int = 512,
    ) -> None:
        if photos is not None and not len(photos):
            raise UsageError(f"{photos.name} holds no photographs: give a folder that does.")
        if batch_size < 1 or workers < 0 or cache_mb < 0 or not 0 <= leaves <= 1:
            raise UsageError(
                "A stream needs batch_size ≥ 1, workers ≥ 0, cache_mb ≥ 0 and leaves in 0 … 1."
            )
        self.batch_size, self.seed, self.workers = batch_size, seed, workers
        self.leaves = 1.0 if photos is None else leaves
        self.waited = 0.0
        """Seconds that whoever iterates has waited for batches so far."""
        self._skipped: dict[str, str] = {}
        self._shelf = None
        if photos is not None:
            self._shelf = _Shelf(photos, self._make_ready, cache_mb * 2**20 // max(workers, 1))

    @property
    def pictures_per_batch(self) -> int:
        """How many pictures a batch is made of, on all ranks together."""
        return self.batch_size

    @abstractmethod
    def _made(self, items: list[tuple[int, np.random.Generator]], skips: dict[str, str]) -> Any:
        """Make the batch of some pictures, as arrays or tensors on the processor."""

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which every photograph occurs about once; 1 for dead leaves alone."""
        return max(len(self._shelf) // self.pictures_per_batch, 1) if self._shelf else 1

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Name and reason of each photograph that could not be used so far."""
        return list(self._skipped.items())

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Made:
        """Make one batch here and now: what ``batches`` yields at this step."""
        return self._received(_Steps(self, rank, world)[step])

    def batches(self, first_step: int = 0, rank: int = 0, world: int = 1) -> Iterator[Made]:
        """Yield the batches from a step on, without end.

        Parameters
        ----------
        first_step : int
            Steps before it are not made.
        rank, world : int
            Which part of each batch this process makes, and how many processes share it.

        Raises
        ------
        PhotoError
            When no photograph can be used.
        """
        loader: Any = DataLoader(
            _Steps(self, rank, world),
            batch_size=None,
            sampler=_From(first_step),
            num_workers=self.workers,
            generator=torch.Generator(),  # else it draws from the one that training draws from
            prefetch_factor=AHEAD if self.workers else None,
            worker_init_fn=_use_one_thread,
            multiprocessing_context=_context(type(self).__module__) if self.workers else None,
        )
        asked = time.perf_counter()
        for made in loader:
            self.waited += time.perf_counter() - asked
            yield self._received(made)
            asked = time.perf_counter()

    def _received(self, made: Any) -> Made:
        if isinstance(made, CourseError):
            raise made
        batch, skips = made
        self._skipped.update(skips)
        return self._as_batch(batch)

    @abstractmethod
    def _as_batch(self, batch: Any) -> Made:
        """Turn what a worker sent into the batch that networks take. No pixel moves in memory."""

    @abstractmethod
    def _make_ready(self, picture: np.ndarray, number: int) -> np.ndarray:
        """Do what can be done to a photograph once for all examples."""

    def _items(self, step: int, rank: int, world: int) -> list[tuple[int, np.random.Generator]]:
        """List this rank's pictures of a step: a running number and a source of chance for each."""
        count = self.pictures_per_batch
        if count % world:
            raise UsageError(
                f"A batch of {count} pictures cannot be shared evenly by {world} processes."
            )
        share = count // world
        places = range(rank * share, (rank + 1) * share)
        return [(step * count + i, np.random.default_rng((self.seed, step, i))) for i in places]

    def _picture(
        self, number: int, rng: np.random.Generator, skips: dict[str, str], leaves: bool = True
    ) -> np.ndarray:
        """Take the photograph whose turn it is, or draw dead leaves."""
        if self._shelf is None or (leaves and rng.random() < self.leaves):
            return self._leaves(rng)
        epoch, place = divmod(number, len(self._shelf))
        index = int(_order(self.seed, epoch, len(self._shelf))[place])
        first = ""
        for _ in range(TRIES):
            try:
                return self._laid_out(self._shelf.picture(index), rng)
            except PhotoError as error:
                skips[self._shelf.name(index)] = str(error)
                first = first or str(error)
                index = int(rng.integers(len(self._shelf)))
        raise PhotoError(f"{TRIES} photographs in a row cannot be used. The first: {first}")

    def _laid_out(self, ready: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Make a whole picture of what `_make_ready` left of a photograph."""
        return ready

    @abstractmethod
    def _leaves(self, rng: np.random.Generator) -> np.ndarray:
        """Draw a whole picture of dead leaves."""


class _Steps(Dataset[Any]):
    """A stream as torch's loader wants it; errors travel as results, to keep their one line."""

    def __init__(self, stream: Stream[Any], rank: int, world: int) -> None:
        self.stream, self.rank, self.world = stream, rank, world

    def __getitem__(self, step: int) -> Any:
        skips: dict[str, str] = {}
        try:
            items = self.stream._items(step, self.rank, self.world)
            return self.stream._made(items, skips), skips
        except CourseError as error:
            return error


class _From(Sampler[int]):
    """The numbers from the first on, without end."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.first)


class _Shelf:
    """Photographs by number, decoded and made ready, the last used ones kept.

    Paths are packed into one array. A Python list of a million paths would be copied into every
    worker little by little, because reading an object writes its reference count.
    """

    def __init__(
        self,
        photos: PhotoSource,
        make_ready: Callable[[np.ndarray, int], np.ndarray],
        room: int,
    ) -> None:
        self._make_ready, self._room, self._used = make_ready, room, 0
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        # Photographs inside installed libraries are few, and have no path to read from.
        self._without_path: dict[int, np.ndarray | PhotoError] = {}
        names: list[bytes] = []
        for index, photo in enumerate(photos):
            names.append(os.fsencode(photo.path) if photo.path else photo.name.encode())
            if photo.path is None:
                try:
                    self._without_path[index] = photo.read()
                except PhotoError as error:
                    self._without_path[index] = error
        self._text = np.frombuffer(b"".join(names), np.uint8)
        self._ends = np.cumsum([len(name) for name in names])

    def __len__(self) -> int:
        return len(self._ends)

    def name(self, index: int) -> str:
        """Path of a photograph, or its name where it has none."""
        start = self._ends[index - 1] if index else 0
        return os.fsdecode(self._text[start : self._ends[index]].tobytes())

    def picture(self, index: int) -> np.ndarray:
        """Read a photograph and make it ready, or take it out of memory.

        Raises
        ------
        PhotoError
            When it cannot be used.
        """
        if index in self._kept:
            self._kept.move_to_end(index)
            return self._kept[index]
        ready = self._make_ready(self._read(index), index)
        self._kept[index] = ready
        self._used += ready.nbytes
        while self._used > self._room:
            self._used -= self._kept.popitem(last=False)[1].nbytes
        return ready

    def _read(self, index: int) -> np.ndarray:
        held = self._without_path.get(index)
        if isinstance(held, PhotoError):
            raise held
        return read_photo(Path(self.name(index))) if held is None else held


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Draw the order of an epoch's photographs."""
    return np.random.default_rng((seed, epoch, count)).permutation(count)


def _context(module: str) -> Any:
    """Say how workers are started: from a fresh process, which has imported all they need.

    A copy of this process, the quicker way, could wait for ever: for a thread of OpenCV's or
    CUDA's that was not copied with it.
    """
    known = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in known else "spawn")
    if "forkserver" in known:
        context.set_forkserver_preload([module])
    return context


def _use_one_thread(worker: int) -> None:
    """Keep a worker to one core: there are as many workers as cores, and training needs one too."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
