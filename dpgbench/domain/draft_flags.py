"""What a person should look at in the questions of a prompt, though nothing forbids it.

Flags are guesses by words: a question can be right and flagged, or wrong and not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from dpgbench.domain.draft import DraftQuestion
from dpgbench.errors import shortened

REVIEW_COLUMN = "review"
"""The column of flags behind those of a question file."""
SEPARATOR = " | "
FlagKind = Literal["uncovered", "text-check", "no-entity", "invented"]

_WORD = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")
_MOST_WORDS = 30
# Articles, pronouns, prepositions, conjunctions, auxiliaries.
_FUNCTION_WORDS = """
a an the this that these those it its itself he she they them their his her him who whom whose which
what where when while as of in on at by to from with without within into onto upon over under above
below between among around about along across through near next beside behind before after against
toward towards beyond inside outside off out up down for and or but nor not no so than then also
both each every all any some such other another one ones is are was were be been being am do does
did done doing has have had having can could may might must shall should will would there here just
only very too more most much many few several own same if because since until though although
whether yet still even ever
"""
# What prompts say about nothing in particular.
_FILLERS = """
image picture photo photograph scene view visible seen show shows shown showing stand stands
depicted depicting featuring features feature appears appear seems seem placed located situated
positioned creating adding giving overall various
"""
_WITHOUT_CONTENT = frozenset((_FUNCTION_WORDS + _FILLERS).split())
_NUMBER_WORDS = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty
"""
_NUMBERS = _NUMBER_WORDS.split()
_COUNT = re.compile(r"[=<>]=?\s*(\d+)")
_NEEDS_ENTITY = ("attribute", "relation")
_ENDINGS = ("ies", "ied", "es", "ed", "s", "ing", "ly", "y", "e")


class Flag(NamedTuple):
    """One thing to look at."""

    kind: FlagKind
    detail: str

    def __str__(self) -> str:
        """Return the flag as a cell of the review column holds it."""
        return f"{self.kind}: {' '.join(self.detail.replace('|', '/').split())}"


def flags_of(questions: Sequence[DraftQuestion], prompt: str) -> dict[int, list[Flag]]:
    """Return the flags of each question by number; those of the whole prompt are the first's."""
    by_number = {question.number: question for question in questions}
    flags: dict[int, list[Flag]] = {question.number: [] for question in questions}
    if not questions:
        return flags
    left = uncovered_words(questions, prompt)
    if left is None:
        flags[questions[0].number].append(
            Flag("uncovered", "not checked: the prompt is not in Latin letters")
        )
        return flags
    if left:
        flags[questions[0].number].append(Flag("uncovered", shortened(left, _MOST_WORDS)))
    in_prompt = _stems(prompt)
    for question in questions:
        if _lacks_entity(question, by_number):
            flags[question.number].append(
                Flag("no-entity", f"nothing above it is an entity: {question.tuple}")
            )
        new = [word for word in _content(_argument_words(question)) if not _parts(word) & in_prompt]
        if new:
            flags[question.number].append(Flag("invented", shortened(new, _MOST_WORDS)))
    return flags


def uncovered_words(questions: Sequence[DraftQuestion], prompt: str) -> list[str] | None:
    """Return the prompt's words with content that no question has, each once, in its order.

    None where the prompt has mostly other letters than Latin ones, whose words are not
    parted by spaces.
    """
    letters = [character for character in prompt if character.isalpha()]
    if letters and sum(character < "\u0250" for character in letters) < len(letters) / 2:
        return None
    covered: set[str] = set()
    for question in questions:
        covered |= _stems(f"{question.question} {_argument_words(question)}")
    left = [word for word in _content(prompt) if not _parts(word) & covered]
    return list(dict.fromkeys(word.casefold() for word in left))


def review_cell(flags: Sequence[Flag]) -> str:
    """Return flags as a cell of the review column."""
    return SEPARATOR.join(map(str, flags))


def stem(word: str) -> str:
    """Return an English word without its commonest endings: ``shelves`` and ``shelf`` may differ.

    Only for telling whether two words are forms of one, where a mistake costs a flag.
    """
    plain = word.casefold().replace("\u2019", "'").removesuffix("'s")
    if plain.isdecimal() and int(plain) < len(_NUMBERS):
        return _NUMBERS[int(plain)]
    for ending in _ENDINGS:
        if plain.endswith(ending) and len(plain) - len(ending) >= 3:
            plain = plain.removesuffix(ending)
            break
    doubled = len(plain) > 3 and plain[-1] == plain[-2] and plain[-1] not in "lsz"
    return plain[:-1] if doubled else plain


def _content(text: str) -> list[str]:
    return [word for word in _WORD.findall(text) if word.casefold() not in _WITHOUT_CONTENT]


def _stems(text: str) -> set[str]:
    return {part for word in _WORD.findall(text) for part in _parts(word)}


def _parts(word: str) -> set[str]:
    """Return the stems of a word, of one with hyphens those of its parts too."""
    return {stem(word), *(stem(part) for part in word.split("-") if part)}


def _argument_words(question: DraftQuestion) -> str:
    return _COUNT.sub(lambda match: _in_words(match[1]), question.arguments)


def _in_words(digits: str) -> str:
    number = int(digits[:9])
    return _NUMBERS[number] if number < len(_NUMBERS) else digits


def _lacks_entity(question: DraftQuestion, by_number: Mapping[int, DraftQuestion]) -> bool:
    if not question.category.startswith(_NEEDS_ENTITY):
        return False
    seen: set[int] = set()
    todo = list(question.parents)
    while todo:
        parent = by_number.get(todo.pop())
        if parent is None or parent.number in seen:
            continue
        if parent.category.startswith("entity"):
            return False
        seen.add(parent.number)
        todo += parent.parents
    return True
