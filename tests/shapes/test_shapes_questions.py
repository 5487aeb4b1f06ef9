"""Question graphs: clean, true of their own scene, and each question about one thing only."""

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dpgbench.shapes import (
    COLUMNS,
    Scene,
    Thing,
    answer,
    dependents,
    hard_negative,
    questions,
    sample_scene,
)
from dpgbench.shapes.entities import entities
from dpgbench.shapes.facts import (
    Between,
    Compared,
    Count,
    Exists,
    Has,
    InStyle,
    Located,
    OnGround,
    Ref,
    Related,
    holds,
)
from dpgbench.shapes.hard_negatives import turned
from dpgbench.shapes.scene import KINDS
from dpgbench.shapes.scene_edits import edits

SCENES = st.builds(sample_scene, st.integers(0, 2**48), st.sampled_from(KINDS))
L2 = re.compile(
    r"entity - whole|attribute - (color|shape|size|texture)|relation - (non-)?spatial"
    r"|other - count|global -"
)


@given(SCENES)
def test_every_graph_is_clean(scene):
    graph = questions(scene)
    assert 6 <= len(graph) <= 14
    assert [question.number for question in graph] == list(range(1, len(graph) + 1))
    for question in graph:
        assert all(0 < parent < question.number for parent in question.parents)
        assert len(set(question.parents)) == len(question.parents)
    assert len({question.text for question in graph}) == len(graph)
    assert graph == questions(scene)


@given(SCENES)
def test_every_own_answer_is_yes(scene):
    assert {answer(question, scene) for question in questions(scene)} == {"yes"}


@given(SCENES)
def test_questions_are_short_and_rows_have_the_columns(scene):
    for question in questions(scene):
        assert question.text.endswith("?")
        assert len(re.findall(r"\w+|[^\w\s]", question.text)) <= 18  # word pieces at most 25
        row = question.row("few_000", "A prompt.")
        assert tuple(row) == COLUMNS
        assert re.fullmatch(r"0|\d+(,\d+)*", row["dependency"])
        assert L2.fullmatch(row["tuple"].split("(")[0].strip())
        assert row["tuple"].endswith(f"({row['keywords']})")
        assert row["tuple"].startswith(f"{row['category_broad']} - {row['category_detailed']}")


@given(SCENES)
def test_every_name_fits_one_entity_only(scene):
    for entity in entities(scene):
        picked = [thing for thing in scene.things if entity.ref.picks(thing)]
        assert sorted(picked) == sorted(entity.things)


@settings(max_examples=40)
@given(SCENES)
@example(sample_scene(1089247, "nested"))  # every shape with room for a thing stands in it
def test_one_changed_attribute_fails_one_question_and_its_dependents(scene):
    graph = questions(scene)
    failed_alone = set()
    for edit, other in edits(scene):
        failed = turned(graph, scene, other)
        is_alone = bool(failed) and failed <= dependents(graph, min(failed))
        assert is_alone or not failed or not edit.is_new_to(scene)
        failed_alone |= {min(failed)} if is_alone else set()
    about_looks = {q.number for q in graph if isinstance(q.fact, Has | Compared)}
    assert about_looks <= failed_alone


@settings(max_examples=25)
@given(SCENES, st.integers(0, 3))
def test_every_question_has_a_hard_negative(scene, seed):
    graph = questions(scene)
    for question in graph:
        other = hard_negative(scene, question, graph, seed)
        assert other is not None
        assert answer(question, other) == "no"
        assert turned(graph, scene, other) <= dependents(graph, question.number)


CIRCLE, STAR, REDS = Ref(shape="circle"), Ref(shape="star"), Ref(color="red", plural=True)
SCENE = Scene(
    (
        Thing(0, 0, "large", "circle", "red", "plain"),
        Thing(0, 0, "small", "star", "blue", "striped"),
        Thing(1, 0, "small", "heart", "pink", "plain"),
        Thing(2, 0, "large", "star", "red", "plain"),
        Thing(2, 2, "large", "circle", "blue", "plain"),
    ),
    ground="mint",
    style="outlined",
)


@pytest.mark.parametrize(
    ("fact", "expected"),
    [
        (Exists(CIRCLE), True),
        (Exists(Ref("oval")), False),
        (Exists(Ref("heart", "red")), False),
        (Has(CIRCLE, "color", "blue"), True),
        (Has(Ref("circle", plural=True), "color", "blue"), False),
        (Has(REDS, "size", "large"), True),
        (Has(Ref("oval", plural=True), "size", "large"), False),
        (Has(STAR, "fill", "plain"), True),
        (Has(Ref("star", "blue"), "fill", "plain"), False),
        (Located(Ref("heart"), "top"), True),
        (Located(Ref("heart"), "center"), False),
        (Located(Ref("circle", "blue"), "bottom right corner"), True),
        (Located(Ref("circle", "blue"), "left side"), False),
        (Related(Ref("heart"), "right of", CIRCLE), True),
        (Related(Ref("heart"), "left of", Ref("circle", "red")), False),
        (Related(REDS, "above", Ref("circle", "blue")), True),
        (Related(REDS, "left of", Ref("circle", "blue")), False),
        (Related(STAR, "inside", CIRCLE), True),
        (Related(CIRCLE, "inside", STAR), False),
        (Between(Ref("heart"), CIRCLE, STAR), True),
        (Between(Ref("heart"), CIRCLE, Ref("circle", "blue")), False),
        (Compared(CIRCLE, "larger than", Ref("heart")), True),
        (Compared(Ref("heart"), "larger than", CIRCLE), False),
        (Compared(Ref("star", "red"), "same color as", CIRCLE), True),
        (Compared(Ref("heart"), "same color as", Ref("heart")), False),
        (Count(Ref(), 5), True),
        (Count(Ref(plural=True), 4), False),
        (Count(Ref("star", plural=True), 2), True),
        (Count(Ref("oval", plural=True), 0), True),
        (OnGround("mint"), True),
        (OnGround("white"), False),
        (InStyle("outlined"), True),
        (InStyle("blurry"), False),
    ],
    ids=str,
)
def test_what_facts_mean(fact, expected):
    assert holds(fact, SCENE) is expected


def test_questions_can_be_asked_of_any_other_scene():
    for question in questions(sample_scene(1)):
        assert answer(question, sample_scene(2)) in ("yes", "no")
