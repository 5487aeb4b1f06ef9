"""Can a published category score be k of n answers? A checksum for tables of other people.

A category's score under the reference is 100 * k / n with whole numbers: n is the category's
questions (the last image of each prompt is counted), or four times as many where a scorer counts
all four images. A value that is no such fraction, at the digits it was printed with, did not come
from one process over the whole benchmark: the documented launch on several GPUs mixes categories
(ELLA issue 56), and lost items change n.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil

from dpgbench.domain.rows import QuestionRow
from dpgbench.errors import UsageError, unknown_name

IMAGES = (1, 4)
"""Images a prompt whose answers a category may be over: the last one, or all four."""

PUBLISHED_L2: Mapping[str, int] = {
    "attribute - color": 1991,
    "attribute - other": 899,
    "attribute - shape": 229,
    "attribute - size": 242,
    "attribute - texture": 1645,
    "entity - part": 512,
    "entity - state": 946,
    "entity - whole": 4720,
    "global": 326,
    "other - count": 200,
    "other - text": 50,
    "relation - non-spatial": 158,
    "relation - spatial": 2415,
}
"""Questions of DPG-Bench by L2 category as the reference sees them in one process: read off the
digits of a published one-process log, 14,333 rows after the first, which it skips."""


@dataclass(frozen=True)
class PrintedScore:
    """A category's score as a table prints it.

    Attributes:
        name: as written.
        category: the benchmark's name of it.
        text: the value as written: ``86.27``, or a fraction ``1083/1223``.
    """

    name: str
    category: str
    text: str


@dataclass(frozen=True)
class Possibility:
    """Whether a printed score can be k/n for one number of images.

    Attributes:
        images: images a prompt whose answers are counted.
        answers: n, the category's questions times `images`.
        yes: a k that gives the printed value; None where there is none.
        chance: share of all values with as many digits that are some k/n, 0..1: near 1 a match
            says nothing.
    """

    images: int
    answers: int
    yes: int | None
    chance: float


@dataclass(frozen=True)
class CountCheck:
    """A printed score with what it can be."""

    score: PrintedScore
    questions: int
    possibilities: tuple[Possibility, ...]

    @property
    def possible(self) -> bool:
        """Whether one process over the whole benchmark can have made it."""
        return any(one.yes is not None for one in self.possibilities)


def reference_counts(rows: Sequence[QuestionRow]) -> dict[str, int]:
    """Return questions by L2 category, sorted, without the file's first row, as the reference.

    Args:
        rows: every row of the file, in file order.
    """
    return dict(sorted(Counter(row.category.l2 for row in rows[1:]).items()))


def with_l1(by_l2: Mapping[str, int]) -> dict[str, int]:
    """Return the counts of L1 categories (sums of theirs), then those of L2."""
    l1: Counter[str] = Counter()
    for name, number in by_l2.items():
        l1[name.split("-")[0].strip()] += number
    return {**dict(sorted(l1.items())), **by_l2}


def parse_printed(text: str, categories: Iterable[str]) -> list[PrintedScore]:
    """Return the scores in ``global=86.27, other - count=1083/1223``.

    Category names match whatever their case, spaces and kinds of dash.

    Raises:
        UsageError: a part has another form, or names no category of the benchmark.
    """
    names: dict[tuple[str, ...], str] = {}
    for name in categories:  # "global" and its only L2, "global -", are one name: the first stays
        names.setdefault(_key(name), name)
    scores = []
    for part in filter(str.strip, re.split(r"[,;\n]", text)):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise UsageError(f"--check {part.strip()}: write CATEGORY=VALUE, such as global=86.27")
        if _key(name) not in names:
            raise unknown_name("category", name, names.values(), listing="dpgbench prompts counts")
        value = value.removesuffix("%").strip()
        _bounds(value)
        scores.append(PrintedScore(name, names[_key(name)], value))
    if not scores:
        raise UsageError("--check is empty; write CATEGORY=VALUE, such as global=86.27")
    return scores


def check_counts(scores: Iterable[PrintedScore], counts: Mapping[str, int]) -> list[CountCheck]:
    """Return for each printed score whether it can be k/n of the category's `counts`."""
    return [
        CountCheck(
            score,
            counts[score.category],
            tuple(_possibility(score.text, counts[score.category], images) for images in IMAGES),
        )
        for score in scores
    ]


def _possibility(text: str, questions: int, images: int) -> Possibility:
    answers = questions * images
    if "/" in text:
        numerator, denominator = (int(part) for part in text.split("/"))
        return Possibility(images, answers, numerator if denominator == answers else None, 0.0)
    low, high = _bounds(text)
    first = max(0, ceil(low * answers / 100))
    yes = first if first <= answers and 100 * first <= high * answers else None
    width = high - low
    chance = min(1.0, float(width * answers / 100))
    return Possibility(images, answers, yes, chance)


def _bounds(text: str) -> tuple[Fraction, Fraction]:
    """Return the lowest and highest score, 0..100, that would be printed as `text`.

    Raises:
        UsageError: it is neither a score of 0 to 100 nor a fraction of whole numbers.
    """
    fraction = re.fullmatch(r"([0-9]+)\s*/\s*([0-9]+)", text)
    if fraction and 0 <= int(fraction[1]) <= int(fraction[2]) and int(fraction[2]):
        exact = 100 * Fraction(int(fraction[1]), int(fraction[2]))
        return exact, exact
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 <= value <= 100:
        raise UsageError(f"--check {text}: a score is 0 to 100, or k/n of whole numbers")
    exponent = value.as_tuple().exponent
    half = Fraction(10) ** int(exponent if isinstance(exponent, int) else 0) / 2
    return Fraction(value) - half, Fraction(value) + half


def _key(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W_]+", name.casefold()))
