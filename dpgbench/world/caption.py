"""Dense prompts: a scene told in several English sentences, and in one.

The text tells every fact that the scene's questions ask about, says nothing untrue, and names each
thing so that it cannot be taken for another. What it says is collected as facts while it is
written, so that all of this can be tested.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from dpgbench.world import phrases
from dpgbench.world.asking import directions, located
from dpgbench.world.dice import Dice
from dpgbench.world.entities import entities
from dpgbench.world.facts import Count, Fact, Has, InStyle, OnGround, Ref, refs_of
from dpgbench.world.introduce import Clause, introductions
from dpgbench.world.scene import Scene
from dpgbench.world.story import Story
from dpgbench.world.wording import NUMBER_WORDS, listed, with_article

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
class Telling:
    """A caption and the facts that it tells."""

    text: str
    told: frozenset[Fact]


def caption(scene: Scene, seed: int = 0) -> str:
    """A dense prompt for the scene, 40 to 110 words; other seeds give other wordings."""
    return tell(scene, seed).text


def short_caption(scene: Scene) -> str:
    """One sentence with every thing and the background."""
    dice = Dice("short caption", scene.digest)
    things = [phrases.description(e, dice, ("size", "fill"), light=True) for e in entities(scene)]
    style = with_article(phrases.STYLE_NOUNS[scene.style][0])
    return f"{phrases.capitalized(style)} on {scene.ground}: {listed(things)}."


def tell(scene: Scene, seed: int = 0) -> Telling:
    """The caption of `caption`, with what it tells.

    Raises:
        ValueError: No attempt came out with 40 to 110 words: the scene has too few things or too
            many. No sampled scene was seen to.
    """
    for attempt in range(MOST_ATTEMPTS):
        story = Story(scene, Dice("caption", scene.digest, seed, attempt))
        text = _text(story)
        if FEWEST_WORDS <= len(text.split()) <= MOST_WORDS:
            return Telling(text, frozenset(story.told))
    raise ValueError(f"no caption of {FEWEST_WORDS} to {MOST_WORDS} words for {scene.canonical}")


def _text(story: Story) -> str:
    """One attempt: the picture, the things, what is left to say, and some more."""
    sentences = [*_opening(story), *_joined(story, introductions(story))]
    untold = sorted(story.untold(), key=lambda fact: not refs_of(fact))  # the picture comes last
    sentences += [story.say(fact) for fact in untold]
    target = FEWEST_WORDS if story.is_terse else story.dice.between(LOW_TARGET, HIGH_TARGET)
    for sentence in _more(story):
        if len(" ".join(sentences).split()) >= target:
            break
        sentences.append(sentence)
    return " ".join(sentences)


def _opening(story: Story) -> list[str]:
    """The first sentences: background, mostly style, and how many shapes there are."""
    scene, dice = story.scene, story.dice
    forms = (
        *(phrases.OPENINGS, phrases.OPENINGS),
        *(phrases.OPENINGS_WITHOUT_GROUND, phrases.OPENINGS_WITHOUT_STYLE),
    )
    form = dice.pick(phrases.TERSE_OPENINGS if story.is_terse else dice.pick(forms))
    style, shapes = dice.pick(phrases.STYLE_NOUNS[scene.style]), _shapes(story)
    a_style = with_article(style)
    words = {"style": style, "a_style": a_style, "A_style": phrases.capitalized(a_style)}
    words |= {"shapes": shapes, "Shapes": phrases.capitalized(shapes), "ground": scene.ground}
    if "style}" in form:
        story.told.add(InStyle(scene.style))
    if "ground}" in form:
        story.told.add(OnGround(scene.ground))
        return [form.format(**words)]
    return [form.format(**words), story.say(OnGround(scene.ground))]


def _shapes(story: Story) -> str:
    """The things as a whole: `five flat shapes`, `several shapes`."""
    total = Count(Ref(plural=True), len(story.scene.things))
    adjective = story.dice.pick(phrases.SHAPE_ADJECTIVES)
    if total in story.asked or (not story.is_terse and story.dice.chance(TOTAL_CHANCE)):
        story.told.add(total)
        return f"{NUMBER_WORDS[total.number]} {adjective}shapes"
    return f"{'several' if total.number > 3 else 'a few'} {adjective}shapes"


def _joined(story: Story, clauses: list[Clause]) -> list[str]:
    """The clauses as sentences, some plain neighbours in one."""
    sentences: list[str] = []
    beginnings = story.dice.shuffled(phrases.LISTINGS) * 2
    for has_verb, run in groupby(clauses, key=lambda clause: clause.has_verb):
        left = [clause.text for clause in run]
        while left:
            sentence = _linked(story, left) if has_verb else _listing(story, left, beginnings)
            sentences.append(f"{phrases.capitalized(sentence)}.")
    return sentences


def _linked(story: Story, left: list[str]) -> str:
    """The first clause, taken off, with the next one where they go together."""
    clause = left.pop(0)
    if left and "," not in clause + left[0] and story.dice.chance(JOIN_CHANCE):
        clause = f"{clause}, {story.dice.pick(('while', 'and'))} {left.pop(0)}"
    return clause


def _listing(story: Story, left: list[str], beginnings: list[str]) -> str:
    """The first few things, taken off, in one list after the next beginning."""
    number = story.dice.between(2, MOST_LISTED)
    listing = f"{beginnings.pop()} {listed(left[:number])}"
    del left[:number]
    return listing


def _more(story: Story) -> Iterator[str]:
    """Sentences that are true and that nothing asks for."""
    scene, dice = story.scene, story.dice
    if InStyle(scene.style) not in story.told:
        yield story.say(InStyle(scene.style))
    placed = {ref for fact in story.told for ref in refs_of(fact)[:1] if fact in located(scene)}
    more = [fact for fact in located(scene) if refs_of(fact)[0] not in placed]
    more += dice.some([fact for fact in _unsaid(story) if fact not in story.told], MOST_MORE_LOOKS)
    more += dice.some(directions(scene), MOST_MORE_RELATIONS)
    for fact in dice.shuffled(more):
        if fact not in story.told and not story.relates(fact):
            yield story.say(fact)
    if not scene.nested_cells:
        yield dice.pick(phrases.APART)
    yield dice.pick(phrases.CLOSINGS)


def _unsaid(story: Story) -> list[Fact]:
    """Sizes and plain fills of entities."""
    facts: list[Fact] = []
    for entity in entities(story.scene):
        size, fill = entity.shared("size"), entity.shared("fill")
        if size is not None:
            facts.append(Has(entity.ref, "size", size))
        if fill is not None:
            facts.append(Has(entity.ref, "fill", fill))
    return facts
