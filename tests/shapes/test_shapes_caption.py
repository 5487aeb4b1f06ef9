"""Captions: long enough, true, complete, unambiguous, and English on the surface."""

import re

from hypothesis import given
from hypothesis import strategies as st

from dpgbench.shapes import caption, questions, sample_scene, short_caption
from dpgbench.shapes.captions.caption import write_caption
from dpgbench.shapes.captions.vocabulary import CELL_PHRASES, SHORT_CELL_PHRASES
from dpgbench.shapes.entities import entities
from dpgbench.shapes.facts import Has, Ref, holds
from dpgbench.shapes.scene import CELLS, COLORS, KINDS, SHAPES

SCENES = st.builds(sample_scene, st.integers(0, 2**48), st.sampled_from(KINDS))
SEEDS = st.integers(0, 1000)
NAMED = re.compile(
    rf"\b(?:the|both|both of the|all|all of the)(?: two| three)?(?: ({'|'.join(COLORS)}))?"
    rf" ({'|'.join(SHAPES)}|shape)(e?s)?\b",
    re.IGNORECASE,
)


@given(SCENES, SEEDS)
def test_captions_have_40_to_110_words_and_are_made_again_alike(scene, seed):
    text = caption(scene, seed)
    assert 40 <= len(text.split()) <= 110
    assert text == caption(scene, seed)


def test_a_scene_of_which_most_wordings_are_too_long_has_a_caption():
    assert len(caption(sample_scene(7003814, "many")).split()) <= 110


@given(SCENES, SEEDS)
def test_everything_stated_is_true_and_everything_asked_is_stated(scene, seed):
    stated = write_caption(scene, seed).stated
    assert [fact for fact in stated if not holds(fact, scene)] == []
    assert {question.fact for question in questions(scene)} <= stated


@given(SCENES, SEEDS)
def test_asked_words_are_in_the_text(scene, seed):
    text = caption(scene, seed)
    synonyms = {
        "large": ("large", "big"),
        "small": ("small", "little"),
        "striped": ("striped", "stripes"),
        "plain": ("plain", "solid", "without any stripes"),
    }
    for entity in entities(scene):
        assert entity.shape in text
        assert entity.color in text
    for question in questions(scene):
        if isinstance(question.fact, Has):
            value = question.fact.value
            assert any(word in text for word in synonyms.get(value, (value,)))
    assert f"{scene.ground}" in text
    assert {"crisp": "crisp", "outlined": "outline", "blurry": "blurry"}[scene.style] in text or (
        not any(question.category[0] == "global" for question in questions(scene))
    )


@given(SCENES, SEEDS)
def test_every_definite_name_fits_one_entity_only(scene, seed):
    text = caption(scene, seed)
    for color, noun, plural in NAMED.findall(text):
        if not color and noun.lower() == "shape":
            continue  # "all of the shapes"
        shape = None if noun.lower() == "shape" else noun.lower()
        ref = Ref(shape, color.lower() or None)
        picked = {(t.shape, t.color) for t in scene.things if ref.picks(t)}
        number = sum(map(ref.picks, scene.things))
        assert len(picked) == 1, (ref, text)
        assert (number > 1) == bool(plural), (ref, text)


@given(SCENES, SEEDS)
def test_the_text_is_clean_on_the_surface(scene, seed):
    for text in (caption(scene, seed), short_caption(scene)):
        assert text == " ".join(text.split())
        assert not re.search(r"\b(\w+) \1\b", text)  # a word twice
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", text, re.IGNORECASE)
        assert not re.search(r"[{}]|,,|\.\.| [.,]", text)
        assert text.endswith(".")
        assert all(sentence[0].isupper() for sentence in text.split(". "))


def test_other_seeds_give_other_wordings():
    scene = sample_scene(5)
    texts = {caption(scene, seed) for seed in range(40)}
    assert len(texts) == 40
    assert len({text.split(". ")[0] for text in texts}) >= 15


@given(SCENES)
def test_the_short_caption_is_one_sentence_with_every_thing(scene):
    text = short_caption(scene)
    assert text.count(".") == 1
    for entity in entities(scene):
        assert f"{entity.color} {entity.shape}" in text


def test_every_cell_has_phrases_of_its_own():
    assert set(CELL_PHRASES) == set(SHORT_CELL_PHRASES) == set(CELLS)
    every = [phrase for phrases in CELL_PHRASES.values() for phrase in phrases]
    assert len(set(every)) == len(every)
