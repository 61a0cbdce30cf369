"""Systems side by side: asked the same, on real pictures, with the weights that ship."""

import pytest
from PIL import Image

from course_lib import results
from course_lib.arena import compare
from course_lib.errors import UsageError
from course_lib.photos import embedded, folder


def test_a_hidden_watermark_survives_what_traces_do_not():
    rows = compare(["rwn", "traces"], embedded(), rates=(0.7,), attacks=("jpeg70",), limit=3)
    results.check({"system": "", "checkpoint": "", "photos": 3, "seed": 0, "rows": rows})
    found = {(row["metric"], row["variant"]): row["value"] for row in rows}
    assert found["iou", "rwn"] > 0.95 and found["cropped_accuracy", "rwn"] == 1
    assert 0 <= found["iou", "traces"] < found["iou", "rwn"]


def test_an_unknown_system_is_named():
    with pytest.raises(UsageError, match="oracle examines no pictures; these do: traces, rwn"):
        compare(["oracle"], embedded())


def test_photographs_that_are_too_small_are_counted(tmp_path):
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    Image.fromarray(embedded()[0].read()[:60, :60]).save(small)
    said = []
    with pytest.raises(UsageError, match="no photograph is large enough"):
        compare(["traces"], folder(tmp_path), say=said.append)
    assert said == ["traces", "traces: 1 photographs are too small, whole or cropped, and left out"]
    Image.fromarray(embedded()[0].read()).save(large)
    rows = compare(["traces"], folder(tmp_path), rates=(0.7,), attacks=("none",), say=said.append)
    assert {row["n"] for row in rows} == {1} and "traces: 1 photographs" in said[-1]
