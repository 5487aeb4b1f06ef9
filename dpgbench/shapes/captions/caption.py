"""Dense prompts: a scene in several English sentences, and in one.

The text states every fact that the scene's questions ask about, says nothing untrue, and names each
thing so that it cannot be taken for another. What it says is collected as facts while it is
written, so that all of this can be tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

from dpgbench.shapes.captions import vocabulary
from dpgbench.shapes.captions.introductions import Clause, introductions
from dpgbench.shapes.captions.sentences import Draft
from dpgbench.shapes.entities import entities
from dpgbench.shapes.facts import Count, Fact, Has, InStyle, OnGround, Ref, refs_of
from dpgbench.shapes.question_choice import directions, located
from dpgbench.shapes.scene import Scene
from dpgbench.shapes.stable_random import StableRandom
from dpgbench.shapes.words import NUMBER_WORDS, listed, with_article

FEWEST_WORDS: Final = 40
MOST_WORDS: Final = 110
LOW_TARGET: Final = 50
HIGH_TARGET: Final = 90
"""Sentences that nothing asks for are added until there are so many words."""
MOST_ATTEMPTS: Final = 1000
"""About one scene of five or six things in 4,000 needs more than 50."""
TOTAL_CHANCE: Final = 0.5
JOIN_CHANCE: Final = 0.3
MOST_LISTED: Final = 4
MOST_MORE_RELATIONS: Final = 2
MOST_MORE_LOOKS: Final = 1


@dataclass(frozen=True)
class WrittenCaption:
    """A caption and the facts that it states."""

    text: str
    stated: frozenset[Fact]


class _Sentence(NamedTuple):
    """A sentence, and the things that it introduces or is about."""

    text: str
    refs: tuple[Ref, ...] = ()


def caption(scene: Scene, seed: int = 0) -> str:
    """A dense prompt for the scene, 40 to 110 words; other seeds give other wordings."""
    return write_caption(scene, seed).text


def short_caption(scene: Scene) -> str:
    """One sentence with every thing and the background."""
    rng = StableRandom("short caption", scene.digest)
    things = [vocabulary.description(e, rng, ("size", "fill"), light=True) for e in entities(scene)]
    style = with_article(vocabulary.STYLE_NOUNS[scene.style][0])
    return f"{vocabulary.capitalized(style)} on {scene.ground}: {listed(things)}."


def write_caption(scene: Scene, seed: int = 0) -> WrittenCaption:
    """The caption of `caption`, with what it states.

    Raises:
        ValueError: No attempt came out with 40 to 110 words: the scene has too few things or too
            many. No sampled scene was seen to.
    """
    for attempt in range(MOST_ATTEMPTS):
        draft = Draft(scene, StableRandom("caption", scene.digest, seed, attempt))
        text = _text(draft)
        if FEWEST_WORDS <= len(text.split()) <= MOST_WORDS:
            return WrittenCaption(text, frozenset(draft.stated))
    raise ValueError(f"no caption of {FEWEST_WORDS} to {MOST_WORDS} words for {scene.canonical}")


def _text(draft: Draft) -> str:
    """One attempt: the picture, then the things, each followed by what is left to say of it."""
    opening = _opening(draft)
    body = _joined(draft, introductions(draft))
    sentences = [_Sentence(draft.say(fact), refs_of(fact)) for fact in draft.unstated()]
    target = FEWEST_WORDS if draft.is_terse else draft.rng.between(LOW_TARGET, HIGH_TARGET)
    words = sum(len(text.split()) for text in (*opening, *(s.text for s in (*body, *sentences))))
    for sentence in _more(draft):
        if words >= target:
            break
        sentences.append(sentence)
        words += len(sentence.text.split())
    return " ".join([*opening, *_placed(body, sentences)])


def _placed(body: list[_Sentence], sentences: list[_Sentence]) -> list[str]:
    """What is about no single thing, then the introductions, after each what can be said by then.

    So what matters is stated throughout a caption: who reads only its beginning misses things.
    """
    texts = [sentence.text for sentence in sentences if not sentence.refs]
    not_introduced = {ref for sentence in body for ref in sentence.refs}
    about = [sentence for sentence in sentences if sentence.refs]
    for sentence in body:
        texts.append(sentence.text)
        not_introduced -= set(sentence.refs)
        texts += [s.text for s in about if not_introduced.isdisjoint(s.refs)]
        about = [s for s in about if not not_introduced.isdisjoint(s.refs)]
    return texts


def _opening(draft: Draft) -> list[str]:
    """The first sentences: background, mostly style, and how many shapes there are."""
    scene, rng = draft.scene, draft.rng
    forms = (
        *(vocabulary.OPENINGS, vocabulary.OPENINGS),
        *(vocabulary.OPENINGS_WITHOUT_GROUND, vocabulary.OPENINGS_WITHOUT_STYLE),
    )
    form = rng.pick(vocabulary.TERSE_OPENINGS if draft.is_terse else rng.pick(forms))
    style, shapes = rng.pick(vocabulary.STYLE_NOUNS[scene.style]), _shapes(draft)
    a_style = with_article(style)
    words = {"style": style, "a_style": a_style, "A_style": vocabulary.capitalized(a_style)}
    words |= {"shapes": shapes, "Shapes": vocabulary.capitalized(shapes), "ground": scene.ground}
    if "style}" in form:
        draft.stated.add(InStyle(scene.style))
    if "ground}" in form:
        draft.stated.add(OnGround(scene.ground))
        return [form.format(**words)]
    return [form.format(**words), draft.say(OnGround(scene.ground))]


def _shapes(draft: Draft) -> str:
    """The things as a whole: `five flat shapes`, `several shapes`."""
    total = Count(Ref(plural=True), len(draft.scene.things))
    adjective = draft.rng.pick(vocabulary.SHAPE_ADJECTIVES)
    if total in draft.asked or (not draft.is_terse and draft.rng.chance(TOTAL_CHANCE)):
        draft.stated.add(total)
        return f"{NUMBER_WORDS[total.number]} {adjective}shapes"
    return f"{'several' if total.number > 3 else 'a few'} {adjective}shapes"


def _joined(draft: Draft, clauses: list[Clause]) -> list[_Sentence]:
    """The clauses as sentences, some plain neighbours in one."""
    sentences: list[_Sentence] = []
    beginnings = draft.rng.shuffled(vocabulary.LISTINGS) * 2
    for has_verb, run in groupby(clauses, key=lambda clause: clause.has_verb):
        left = list(run)
        while left:
            number = _number_linked(draft, left) if has_verb else _number_listed(draft)
            now, left = left[:number], left[number:]
            texts = [clause.text for clause in now]
            if has_verb:
                text = f", {draft.rng.pick(('while', 'and'))} ".join(texts)
            else:
                text = f"{beginnings.pop()} {listed(texts)}"
            refs = tuple(ref for clause in now for ref in clause.refs)
            sentences.append(_Sentence(f"{vocabulary.capitalized(text)}.", refs))
    return sentences


def _number_linked(draft: Draft, left: list[Clause]) -> int:
    """How many of the next clauses make a sentence: two where they go together, or one."""
    pair = [clause.text for clause in left[:2]]
    goes = len(pair) == 2 and "," not in "".join(pair) and draft.rng.chance(JOIN_CHANCE)
    return 2 if goes else 1


def _number_listed(draft: Draft) -> int:
    """How many of the next things go into one list, if there are so many."""
    return draft.rng.between(2, MOST_LISTED)


def _more(draft: Draft) -> Iterator[_Sentence]:
    """Sentences that are true and that nothing asks for."""
    scene, rng = draft.scene, draft.rng
    if InStyle(scene.style) not in draft.stated:
        yield _Sentence(draft.say(InStyle(scene.style)))
    placed = {ref for fact in draft.stated for ref in refs_of(fact)[:1] if fact in located(scene)}
    more = [fact for fact in located(scene) if refs_of(fact)[0] not in placed]
    more += rng.some(
        [fact for fact in _unstated_looks(draft) if fact not in draft.stated], MOST_MORE_LOOKS
    )
    more += rng.some(directions(scene), MOST_MORE_RELATIONS)
    for fact in rng.shuffled(more):
        if fact not in draft.stated and not draft.relates(fact):
            yield _Sentence(draft.say(fact), refs_of(fact))
    if not scene.nested_cells:
        yield _Sentence(rng.pick(vocabulary.APART))
    yield _Sentence(rng.pick(vocabulary.CLOSINGS), tuple(e.ref for e in entities(scene)))


def _unstated_looks(draft: Draft) -> list[Fact]:
    """Sizes and plain fills of entities."""
    facts: list[Fact] = []
    for entity in entities(draft.scene):
        size, fill = entity.shared("size"), entity.shared("fill")
        if size is not None:
            facts.append(Has(entity.ref, "size", size))
        if fill is not None:
            facts.append(Has(entity.ref, "fill", fill))
    return facts
