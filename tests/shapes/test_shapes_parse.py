"""Graphs made from captions alone: true, complete, and as sensitive as the graphs of the scenes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.shapes import (
    COLUMNS,
    Question,
    Scene,
    answer,
    benchmark_items,
    caption,
    sample_scenes,
    short_caption,
)
from dpgbench.shapes.parse import parse_caption, parse_questions
from dpgbench.shapes.scene_edits import edits


def lost(graph: Sequence[Question], scene: Scene) -> frozenset[int]:
    """The questions that score nothing: answered "no", or under one that is."""
    numbers: set[int] = set()
    for question in graph:
        if answer(question, scene) == "no" or numbers & set(question.parents):
            numbers.add(question.number)
    return frozenset(numbers)


@pytest.mark.parametrize("part", ["bench", "train"])
def test_every_wording_is_read_and_nothing_untrue_is_asked(part: str) -> None:
    """Long and terse captions, groups, what is inside what: all facts asked hold of the scene."""
    for number, scene in enumerate(islice(sample_scenes(part, 17), 60)):  # type: ignore[arg-type]
        for text in (caption(scene, number), short_caption(scene)):
            graph = parse_questions(text)
            assert not lost(graph, scene), text
            assert all(parent < q.number for q in graph for parent in q.parents)
            assert len({q.fact for q in graph}) == len(graph)


def test_made_graphs_lose_what_the_given_ones_lose() -> None:
    """Nothing on the right picture; whatever attribute of a thing is changed, where those do."""
    items = benchmark_items()[::4]
    agreeing = 0
    for item in items:
        made = parse_questions(item.prompt)
        pictures = [changed for _, changed in edits(item.scene)]
        noticed = [bool(lost(made, other)) for other in pictures if lost(item.questions, other)]
        assert noticed
        agreeing += not lost(made, item.scene) and all(noticed)
    assert agreeing >= 0.95 * len(items)


def test_rows_have_the_columns_of_a_question_file() -> None:
    """A row a question, without the item's id and the text, which whoever asks has already."""
    rows = parse_caption(
        "A blurry picture showing two shapes on a white background. There is a small striped red "
        "star in the center and a blue circle to the left of the star."
    )
    assert all(tuple(row) == COLUMNS[2:] for row in rows)
    assert [(row["proposition_id"], row["dependency"], row["tuple"]) for row in rows] == [
        ("1", "0", "global - (blurry picture)"),
        ("2", "0", "attribute - color (background, white)"),
        ("3", "0", "other - count (shapes, ==2)"),
        ("4", "0", "entity - whole (star)"),
        ("5", "4", "attribute - color (star, red)"),
        ("6", "4", "attribute - size (star, small)"),
        ("7", "4", "attribute - texture (star, striped)"),
        ("8", "4", "relation - spatial (star, center, in)"),
        ("9", "0", "entity - whole (circle)"),
        ("10", "9", "attribute - color (circle, blue)"),
        ("11", "9,4", "relation - spatial (circle, star, left of)"),
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no text"),
        ("A cat sleeps.", "sentence 1 is not one of a caption of shapes: 'A cat sleeps.'"),
        ("The background is white.", "speaks of no shape"),
        ("A red star sits in the center. The oval is large.", "nothing .* is 'the oval'"),
        (
            "A red star sits in the center. A red oval sits in the center. The red shape is large.",
            "several things are 'the red shape'",
        ),
        ("A red star sits in the center. A red star sits in the center.", "introduced twice"),
        ("A red star sits in the center and dreams.", "sentence 1"),
        ("Three red star sits in the center.", "not a thing"),
        ("A shape sits in the center.", "not a thing"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(text: str, reason: str) -> None:
    """Other people's prompts, things out of nowhere, sentences with more than the grammar has."""
    with pytest.raises(ValueError, match=reason):
        parse_caption(text)


@given(st.text(st.sampled_from("a red star.circle sits in the center,and while\n| ")))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but `ValueError` comes of text that no caption is."""
    try:
        assert parse_caption(text)
    except ValueError as error:
        assert str(error)
