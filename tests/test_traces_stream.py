"""The loader: the same batches always, from folders of any size, in constant memory."""

import itertools
import multiprocessing
import pickle
import threading
from dataclasses import replace

import cv2
import numpy as np
import psutil
import pytest
import torch

from course_lib.errors import PhotoError, UsageError
from course_lib.geometry import FULL, Box
from course_lib.leaves import dead_leaves
from course_lib.lens import Lens
from course_lib.photos import embedded, folder
from course_lib.traces.camera import PLAIN, REALISTIC
from course_lib.traces.examples import PAPER, Scale, make_example
from course_lib.traces.stream import Batch, ExampleStream, PatchBatch, PatchStream, Recipe

TINY = Scale(width=(96, 128), patch=12, thumbnail=(24, 16), shortest=64)
RECIPE = Recipe(TINY)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Twelve small photographs, some in a folder of their own and with unusual names."""
    root = tmp_path_factory.mktemp("photos")
    (root / "été").mkdir()
    for i in range(12):
        name = root / ("été" if i % 3 == 0 else ".") / f"picture {i}.png"
        name.write_bytes(cv2.imencode(".png", dead_leaves((90, 140), i)[..., ::-1])[1])
    return folder(root)


@pytest.fixture
def plain_colours(tmp_path):
    """Eight photographs that are told apart by their gray: 10, 40, …"""
    for i in range(8):
        gray = np.full((64, 96, 3), 10 + 30 * i, np.uint8)
        cv2.imwrite(str(tmp_path / f"{i}.png"), gray)
    return folder(tmp_path)


def take(stream, count, first=0, **share):
    batches = stream.batches(first, **share)
    try:
        return list(itertools.islice(batches, count))
    finally:
        batches.close()


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def streams(photos, **settings):
    return [
        ExampleStream(photos, RECIPE, 4, **settings),
        PatchStream(photos, RECIPE, 32, per_picture=8, **settings),
    ]


def test_what_is_in_a_batch(photos):
    examples, patches = streams(photos)
    batch = examples.batch(0)
    assert isinstance(batch, Batch)
    assert [tuple(part.shape) for part in batch] == [
        (4, 16, 3, 12, 12),
        (4, 3, 16, 24),
        (4, 16),
        (4, 4),
        (4,),
    ]
    assert [part.dtype for part in batch] == [
        torch.uint8,
        torch.uint8,
        torch.int64,
        torch.float32,
        torch.float32,
    ]
    for box, cropped in zip(batch.boxes.tolist(), batch.cropped.tolist(), strict=True):
        assert (Box(*box) == FULL) == (cropped == 0)
    few = patches.batch(0)
    assert isinstance(few, PatchBatch)
    assert few.patches.shape == (32, 3, 12, 12) and few.patches.dtype == torch.uint8
    assert few.cells.shape == (32,) and few.cells.dtype == torch.int64


def test_a_batch_holds_what_make_example_makes(photos):
    """Channels come first and nothing else is changed."""
    stream = ExampleStream(None, RECIPE, 2, seed=3)
    batch = stream.batch(5)
    rng = np.random.default_rng((3, 5, 1))
    picture = dead_leaves((85, 128), rng)
    example = make_example(picture, rng, TINY, lens=RECIPE.lens)
    assert (batch.patches[1].numpy() == example.patches.transpose(0, 3, 1, 2)).all()
    assert (batch.thumbnails[1].numpy() == example.thumbnail.transpose(2, 0, 1)).all()
    assert batch.cells[1].tolist() == example.cells.tolist()
    assert batch.boxes[1].tolist() == pytest.approx(tuple(example.box))


def test_batches_depend_on_seed_and_step_alone(photos):
    for kind in (0, 1):
        here = take(streams(photos, seed=7)[kind], 6)
        assert equal(here[3], streams(photos, seed=7)[kind].batch(3))
        for workers in (1, 2):
            there = take(streams(photos, seed=7, workers=workers)[kind], 6)
            assert all(map(equal, here, there))
        assert not equal(here[0], here[1])
        assert not equal(here[0], streams(photos, seed=8)[kind].batch(0))


def test_a_run_goes_on_in_the_middle_of_an_epoch(photos):
    for stream in streams(photos, workers=2, leaves=0.3):
        assert stream.steps_per_epoch == 3
        whole = take(stream, 9)
        assert all(map(equal, whole[4:], take(stream, 5, first=4)))


def test_ranks_share_a_batch(photos):
    for stream in streams(photos):
        whole = stream.batch(2)
        parts = [stream.batch(2, rank, 2) for rank in (0, 1)]
        joined = [torch.cat(pieces) for pieces in zip(*parts, strict=True)]
        assert equal(whole, joined)
        with pytest.raises(UsageError, match="shared evenly by 3"):
            stream.batch(0, 0, 3)


def test_every_photograph_once_an_epoch_in_a_new_order(plain_colours):
    recipe = replace(RECIPE, lens=Lens())
    stream = ExampleStream(plain_colours, recipe, 4, seed=1)
    grays = [batch.thumbnails[:, 0, 4, 4].tolist() for batch in take(stream, 6)]
    epochs = [grays[i] + grays[i + 1] for i in (0, 2, 4)]
    assert all(sorted(epoch) == [10 + 30 * i for i in range(8)] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_patches_of_a_picture_lie_together(plain_colours):
    stream = PatchStream(plain_colours, replace(RECIPE, lens=None), 32, per_picture=16)
    grays = stream.batch(0).patches.float().mean(dim=(1, 2, 3)).tolist()
    assert len(set(grays[:16])) == len(set(grays[16:])) == 1 and grays[0] != grays[16]
    with pytest.raises(UsageError, match="do not divide"):
        PatchStream(plain_colours, RECIPE, 100, per_picture=32)


def test_shrunken_photographs_keep_their_labels(tmp_path):
    """Through a lens that darkens the corners, brightness says which ring of cells it is."""
    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((300 + i, 450, 3), 200, np.uint8))
    recipe = replace(RECIPE, lens=Lens(vignetting=0.6))
    stream = PatchStream(folder(tmp_path), recipe, 256, per_picture=32, shrink=4)
    patches, cells = stream.batch(0)
    light = patches.float().mean(dim=(1, 2, 3)).numpy()
    row, column = np.divmod(cells.numpy(), 4)
    rim = np.isin(row, (0, 3)).astype(int) + np.isin(column, (0, 3))
    by_rim = [light[rim == k] for k in (0, 1, 2)]  # middle, edges, corners
    assert by_rim[0].min() > by_rim[2].max()
    assert by_rim[0].mean() > by_rim[1].mean() > by_rim[2].mean()
    assert sorted(set(cells.tolist())) == list(range(16))


def test_shrunken_photographs_are_laid_out_in_mirrored_copies(tmp_path):
    """A ramp of 40 px becomes a zigzag: red climbs and falls again, and never jumps."""
    ramp = np.arange(0, 240, dtype=np.uint8)[None, :, None].repeat(264, axis=0).repeat(3, axis=2)
    cv2.imwrite(str(tmp_path / "ramp.png"), ramp)
    recipe = replace(RECIPE, scale=replace(TINY, width=(128, 128)), lens=None)
    patches, _ = PatchStream(folder(tmp_path), recipe, 64, per_picture=16, shrink=3).batch(0)
    steps = torch.cat([patches.float().diff(dim=axis).flatten() for axis in (2, 3)])
    assert float(steps.abs().max()) <= 4  # one pixel of the small ramp is a step of 3
    assert float((steps > 2).float().mean()) > 0.1 and float((steps < -2).float().mean()) > 0.1


def test_photographs_too_small_to_shrink_are_skipped_with_a_reason(tmp_path):
    cv2.imwrite(str(tmp_path / "large.png"), np.full((300, 450, 3), 200, np.uint8))
    cv2.imwrite(str(tmp_path / "small.png"), np.full((252, 450, 3), 20, np.uint8))
    stream = PatchStream(folder(tmp_path), replace(RECIPE, lens=None), 32, per_picture=8, shrink=4)
    bright = [batch.patches.min() for batch in take(stream, 6)]
    assert min(bright) == 200
    ((name, reason),) = stream.skipped
    assert name.endswith("small.png")
    assert reason.startswith("A photograph of 450 × 252 pixels is too small to be made 4 times")
    with pytest.raises(UsageError, match=r"shrink = 0\.5"):
        PatchStream(folder(tmp_path), RECIPE, 32, shrink=0.5)


def test_leaves_alone_and_in_a_mix(plain_colours):
    recipe = replace(RECIPE, lens=None, box=FULL)

    def flat(stream):
        thumbnails = torch.cat([batch.thumbnails for batch in take(stream, 25)]).float()
        return float((thumbnails.std(dim=(1, 2, 3)) < 0.5).float().mean())

    assert flat(ExampleStream(None, recipe, 4)) == 0
    assert flat(ExampleStream(plain_colours, recipe, 4)) == 1
    assert 0.4 < flat(ExampleStream(plain_colours, recipe, 4, leaves=0.4)) < 0.8


def test_leaves_are_never_seen_twice():
    for stream in streams(None):
        seen = {picture.numpy().tobytes() for batch in take(stream, 8) for picture in batch.patches}
        assert len(seen) == sum(len(batch.patches) for batch in take(stream, 8))


def test_bad_photographs_are_skipped_and_named(plain_colours, tmp_path):
    (tmp_path / "torn.png").write_bytes((tmp_path / "0.png").read_bytes()[:60])
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((40, 60, 3), np.uint8))
    for workers in (0, 2):
        stream = ExampleStream(folder(tmp_path), RECIPE, 5, workers=workers)
        here = take(stream, 8)
        skipped = {name.rsplit("/", 1)[-1]: reason for name, reason in stream.skipped}
        assert set(skipped) == {"torn.png", "small.png"}
        assert "60 × 40 pixels is too small" in skipped["small.png"]
        assert len(here) == 8


def test_a_folder_without_a_usable_photograph_says_why(tmp_path):
    cv2.imwrite(str(tmp_path / "small.png"), np.zeros((40, 60, 3), np.uint8))
    for workers in (0, 1):
        stream = ExampleStream(folder(tmp_path), RECIPE, 2, workers=workers)
        with pytest.raises(PhotoError, match=r"^30 photographs in a row.*too small") as caught:
            take(stream, 1)
        assert "\n" not in str(caught.value)


def test_embedded_photographs_serve_too():
    stream = ExampleStream(embedded(), Recipe(), 2, workers=1)
    assert take(stream, 1)[0].patches.shape == (2, 16, 3, 48, 48)


def test_another_process_makes_the_same(photos):
    """Where processes are not forked, streams are sent to workers pickled."""
    for source in (photos, embedded()):
        stream = ExampleStream(source, Recipe(TINY, camera=REALISTIC), 2)
        assert equal(pickle.loads(pickle.dumps(stream)).batch(4), stream.batch(4))


def test_decoded_photographs_stay_within_the_room_given(photos):
    stream = ExampleStream(photos, RECIPE, 4, cache_mb=0)
    first = take(stream, 6)
    assert not stream._shelf._kept
    roomy = ExampleStream(photos, RECIPE, 4, cache_mb=50)
    assert all(map(equal, first, take(roomy, 6)))
    assert len(roomy._shelf._kept) == 12
    tight = ExampleStream(photos, RECIPE, 4)
    tight._shelf._room = 3 * 128 * 85 * 3
    assert all(map(equal, first, take(tight, 6)))
    assert len(tight._shelf._kept) == 3


def test_closing_ends_the_workers(photos):
    before = set(multiprocessing.active_children())
    take(ExampleStream(photos, RECIPE, 2, workers=2), 3)
    left = [child for child in multiprocessing.active_children() if child not in before]
    for child in left:
        child.join(10)
    assert not [child for child in left if child.is_alive()]
    assert threading.active_count() < 20


def test_waiting_is_measured(photos):
    stream = ExampleStream(photos, RECIPE, 2)
    take(stream, 3)
    assert stream.waited > 0


def private_mb(process):
    """Memory that belongs to a process alone, in MB; pages shared by forking are not counted."""
    info = process.memory_full_info()
    return getattr(info, "uss", info.rss) / 2**20


def test_memory_does_not_grow_over_2000_steps(photos):
    """Resident memory of this process and its workers, after 200 steps and after 2,000 more."""
    stream = PatchStream(photos, RECIPE, 16, per_picture=8, workers=2, leaves=0.01)
    batches = stream.batches()
    myself = psutil.Process()

    def used():
        workers = {child.pid for child in multiprocessing.active_children()}
        family = [psutil.Process(pid) for pid in workers]
        return sum(map(private_mb, [myself, *family])), len(family)

    def run(steps):
        for _ in itertools.islice(batches, steps):
            pass

    run(200)
    before, workers = used()
    run(2000)
    after, _ = used()
    batches.close()
    assert workers == 2
    assert after - before < 10


def test_nothing_to_draw_from_is_refused(photos):
    with pytest.raises(UsageError, match="holds no photographs"):
        ExampleStream(photos[:0], RECIPE)
    with pytest.raises(UsageError, match="leaves in 0"):
        ExampleStream(photos, RECIPE, leaves=2)
    with pytest.raises(UsageError, match="batch_size"):
        ExampleStream(photos, RECIPE, 0)


def test_the_papers_patches_through_workers(tmp_path):
    """Full size, a realistic camera, a real JPEG."""
    cv2.imwrite(str(tmp_path / "photo.jpg"), dead_leaves((800, 1200), 0)[..., ::-1])
    recipe = Recipe(PAPER, camera=REALISTIC)
    stream = PatchStream(folder(tmp_path), recipe, 32, per_picture=16, workers=1)
    patches, cells = take(stream, 1)[0]
    assert patches.shape == (32, 3, 96, 96)
    assert len(set(cells.tolist())) > 8
    plain = PatchStream(folder(tmp_path), replace(recipe, camera=PLAIN), 32, per_picture=16)
    assert not torch.equal(plain.batch(0).patches, patches)
