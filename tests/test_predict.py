"""Predict, then look: the game that asks before it shows."""

import json

import numpy as np
import pytest

from course_lib.errors import CourseError, UsageError
from course_lib.geometry import corners
from course_lib.paths import COURSE
from course_lib.predict import MARK, RECORDS, Game, Round, past, where_from


def rounds(count=3):
    shades = [np.full((40, 60, 3), 60 * i + 20, np.uint8) for i in range(count)]
    return [Round(s, "ab"[i % 2], 255 - s, f"reason {i}") for i, s in enumerate(shades)]


def test_nothing_is_shown_before_the_reader_commits():
    game = Game("Which?", ["a", "b"], rounds())
    assert "reason" not in game.words.value
    assert not any(button.disabled for button in game.buttons)
    assert game.next.disabled


def test_a_click_reveals_counts_and_locks():
    game = Game("Which?", ["a", "b"], rounds())
    before = game.image.value
    game.buttons[1].click()  # says b, truth is a
    assert game.image.value != before
    assert "You said b; it is a" in game.words.value
    assert "reason 0" in game.words.value
    assert all(button.disabled for button in game.buttons)
    assert (game.right, game.answers) == (0, [("b", "a")])
    with pytest.raises(UsageError, match="answered already"):
        game.answer("a")


def test_a_whole_game():
    game = Game("Which?", ["a", "b"], rounds())
    for truth in "aba":
        game.answer(truth)
        game.next.click()
    assert game.finished
    assert game.next.disabled
    assert game.right == 3
    assert "3 of 3 right" in game.words.value
    assert "That was the last one" in game.words.value


def test_every_control_has_a_label_and_the_verdict_is_announced():
    game = Game("Which?", ["a", "b"], rounds())
    assert all(button.description for button in (*game.buttons, game.next))
    assert 'aria-live="polite"' in game.words.value
    assert game.image.layout.width == "60px"


@pytest.mark.parametrize(
    ("options", "made", "message"),
    [
        (["a", "b"], [], "at least one round"),
        (["a", "c"], rounds(), "none of the options"),
        (["a", "b"], [*rounds(), Round(np.zeros((9, 9, 3), np.uint8), "a",
                                       np.zeros((9, 9, 3), np.uint8), "")], "same shape"),
    ],
)  # fmt: skip
def test_impossible_games_are_refused(options, made, message):
    with pytest.raises(UsageError, match=message):
        Game("Which?", options, made)


def test_rounds_enlarge_a_box_and_mark_it():
    picture = np.zeros((120, 180, 3), np.uint8)
    picture[:40, -40:] = (10, 200, 30)
    made = where_from(picture, corners(picture.shape, 40), lambda name: f"look at {name}", side=90)
    by_name = {one.truth: one for one in made}
    assert np.all(by_name["top right"].picture == (10, 200, 30))
    assert not by_name["top left"].picture.any()
    yellow = by_name["top left"].reveal.astype(int) - MARK
    assert np.any(np.abs(yellow).max(axis=2) < 60)  # the frame, softened by the scaling
    assert all(one.picture.shape == one.reveal.shape == (90, 90, 3) for one in made)
    assert by_name["top right"].why == "look at top right"
    Game("Where?", list(by_name), made)


def play(record, answers, made=None):
    game = Game("Which?", ["a", "b"], made or rounds(len(answers)), record=record)
    for answer in answers:
        game.answer(answer)
        game.next.click()
    return game


def test_several_sittings_add_up_in_a_file(tmp_path):
    record = tmp_path / "games" / "which.json"
    assert past(record) is None
    play(record, "ab")  # both right
    assert (past(record).value, past(record).n) == (1.0, 2)
    other = [Round(one.picture + 7, one.truth, one.reveal, "") for one in rounds(4)]
    game = Game("Which?", ["a", "b"], other, record=record)
    assert "100% of 2 in earlier sittings" in game.words.value
    for answer in "bbb":  # truths are a, b, a
        game.answer(answer)
        game.next.click()
    found = past(record)  # an unfinished sitting counts as far as it went
    assert (found.value, found.n) == (0.6, 5)
    assert found.low < 0.6 < found.high
    assert [one["answer"] for one in json.loads(record.read_text())["answers"]] == [*"abbbb"]
    assert not list(record.parent.glob("*.partial"))


def test_a_picture_counts_once_when_its_truth_is_known(tmp_path):
    record = tmp_path / "which.json"
    play(record, "bb")  # a, b: one of two
    play(record, "ab")  # the same pictures again, now all right
    assert (past(record).value, past(record).n) == (0.5, 2)


def test_two_sittings_at_once_lose_nothing(tmp_path):
    record = tmp_path / "which.json"
    made = rounds(2)
    one = Game("Which?", ["a", "b"], made[:1], record=record)
    two = Game("Which?", ["a", "b"], made[1:], record=record)
    one.answer("a")
    two.answer("a")
    assert (past(record).value, past(record).n) == (0.5, 2)


def test_without_a_record_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    game = play(None, "aba")
    assert game.right == 3
    assert "earlier" not in game.words.value
    assert not list(tmp_path.iterdir())
    assert RECORDS.is_relative_to(COURSE.root / "trained")


@pytest.mark.parametrize("text", ["", "[1, 2]", '{"answers": [{"picture": 1}]}', '{"answers": 3}'])
def test_a_file_that_is_no_record_is_refused_and_kept(tmp_path, text):
    record = tmp_path / "notes.json"
    record.write_text(text)
    for use in (past, lambda file: Game("Which?", ["a", "b"], rounds(), record=file)):
        with pytest.raises(CourseError, match=r"notes\.json: holds no answers"):
            use(record)
    assert record.read_text() == text


def test_an_answer_that_cannot_be_kept_is_not_taken(tmp_path):
    record = tmp_path / "which.json"
    game = Game("Which?", ["a", "b"], rounds(), record=record)
    record.mkdir()
    with pytest.raises(CourseError, match=r"which\.json"):
        game.answer("a")
    assert game.answers == []
    record.rmdir()
    game.answer("a")
    assert past(record).n == 1
