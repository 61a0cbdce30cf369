"""Predict, then look: the game that asks before it shows."""

import numpy as np
import pytest

from course_lib.errors import UsageError
from course_lib.geometry import corners
from course_lib.predict import MARK, Game, Round, where_from


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
