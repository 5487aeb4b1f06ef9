"""A scored result: what a score file holds and what reads back from it as the same class.

Data alone; `dpgbench.domain.aggregate` makes it, `dpgbench.store.run.scores` writes and reads it.
Scores of a result, its categories, sources and table of items are 0 to 100 and unrounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

from dpgbench.domain.benchmark import Subset
from dpgbench.domain.plan import PlannedQuestion
from dpgbench.domain.rows import item_source
from dpgbench.domain.statistics.bootstrap import LEAST_ITEMS, Interval

if TYPE_CHECKING:
    from pandas import DataFrame

_MANY_UNREAD = 0.01
_MANY_UNREAD_OF_FEW = 0.05

Verdicts = tuple[bool, ...]
"""Of one tile, in the order of the item's plan."""
Part = Literal["items", "l1", "l2", "sources"]


class Verdict(NamedTuple):
    """What became of one answer: was it `yes`, and is it still after zeroing."""

    raw: bool
    gated: bool


@dataclass(frozen=True)
class ItemScore:
    """An item under a rule: the verdicts of each tile, or the reason why it has no score.

    Attributes:
        plan: the questions that the rule sees.
        raw: for each tile, whether each question's answer is yes, in the plan's order.
        gated: the same after zeroing.
        tile_scores: share of questions that hold after zeroing, 0..1, for each tile.
        score: mean of `tile_scores`, 0..1; None where there are none.
        failure: None for a scored item.
        answered: whether every question of the item has an answer on every tile; where not, it is
            incomplete, and no rule counts it as zero.
        probabilities: for each tile, of each question's right answer, where the rule is about them.
    """

    item_id: str
    plan: tuple[PlannedQuestion, ...]
    raw: tuple[Verdicts, ...] = ()
    gated: tuple[Verdicts, ...] = ()
    tile_scores: tuple[float, ...] = ()
    score: float | None = None
    failure: str | None = None
    answered: bool = True
    probabilities: tuple[tuple[float, ...], ...] = ()

    @property
    def tiles(self) -> tuple[dict[int, Verdict], ...]:
        """For each tile, the verdict of each question by its number."""
        qids = [question.qid for question in self.plan]
        return tuple(
            dict(zip(qids, map(Verdict, raw, gated), strict=True))
            for raw, gated in zip(self.raw, self.gated, strict=True)
        )


class ItemFigure(NamedTuple):
    """One item's line in the table of items.

    Attributes:
        score: 0 to 100; None where it has none.
        questions: asked of each tile, as far as the rule sees them.
        absent: there is no score because pictures or answers are not there: such an item counts
            for nothing under any rule. Without it, an item that has none was lost by the rule.
        tile_scores: 0 to 100; empty where the item has no score.
        failure: why it has none.
    """

    score: float | None
    questions: int
    absent: bool = False
    tile_scores: tuple[float, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class Score:
    """A mean of 0 to 100 with its 95% interval.

    Attributes:
        score: None where there was nothing to average.
        interval: None on fewer than 8 items.
        items: items that it is over; None where that is not recorded.
        raw: the same before zeroing, of a category whose rule reports both.
    """

    score: float | None
    interval: Interval = None
    items: int | None = None
    raw: float | None = None

    @property
    def number(self) -> int:
        """How many things it is over: items of a source, questions of a category."""
        return self.items or 0

    def __getitem__(self, name: str) -> object:
        """Return a field by its name in a score file."""
        return _field(self, name)

    def thinned(self) -> Self:
        """Return the same without an interval where it is known to be over too few items."""
        few = self.items is not None and self.items < LEAST_ITEMS
        return replace(self, interval=None) if few else self


@dataclass(frozen=True)
class CategoryScore(Score):
    """The score of one category.

    Attributes:
        questions: of the category, as far as the rule sees them.
        answers: that are averaged; None where that is not recorded.
        gated: the score after zeroing, where the rule reports both.
    """

    questions: int = 0
    answers: int | None = None
    gated: float | None = None

    @property
    def number(self) -> int:
        """How many questions it is over."""
        return self.questions


class AnswerCensus(NamedTuple):
    """How many answers there are, and how many are neither exactly ``yes`` nor ``no``.

    Attributes:
        all: answers that hold something.
        neither: of these, other texts than ``yes`` and ``no``.
        readable: of `neither`, those that only case, spaces or marks set apart from yes or no.
        example: the most common text of `neither`, a readable one first; None where there is none.
    """

    all: int
    neither: int
    readable: int
    example: str | None

    @property
    def suspicious(self) -> bool:
        """Whether these cannot be a VQA model's usual answers.

        mPLUG's real answers to DSG-1k are ``yes`` or ``no`` but for 14 of 11,858 (``no bus``), and
        none of these could be read as yes or no.
        """
        if self.readable:
            return True
        share = self.neither / self.all if self.all else 0.0
        return share >= (_MANY_UNREAD if self.neither > 1 else _MANY_UNREAD_OF_FEW)


@dataclass(frozen=True)
class Origin:
    """Where the answers of a result came from, and what is to be told of them beside their words.

    Attributes:
        judge: whose answers they are.
        model: whose images they are about.
        num_read: answers that were read as yes or no before any rule saw them; None where they
            were taken as they are.
        num_invalid: answers of a judge that said neither yes nor no.
        num_strays: answers about nothing in the benchmark.
        num_single_colour_tiles: tiles whose pixels are all alike.
        reasons: why items could not be drawn or judged, by id; said in place of the rule's words.
        notes: sentences that must stand where the number stands.
    """

    judge: str = ""
    model: str = ""
    num_read: int | None = None
    num_invalid: int = 0
    num_strays: int = 0
    num_single_colour_tiles: int = 0
    reasons: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Result:
    """One judge's answers about one model's images of a benchmark, scored under one rule.

    Attributes:
        rule: name of the rule.
        judge: whose answers they are; empty for answers in memory.
        model: whose images they are about; empty for answers in memory.
        benchmark: its name.
        benchmark_sha256: over the rows of its file; empty where not recorded.
        overall: mean score; None where no item has one.
        interval: None on fewer than 8 items.
        items_scored: items that have a score.
        items_expected: items that were to be scored.
        failures: why items have no score, sorted by id.
        unanswered: items that lack images or answers, sorted; other failures are the rule's own.
        l1: by category, sorted by name; `l2` likewise.
        sources: the overall of each source of items, sorted by name.
        warnings: how often each kind of warning occurred.
        notes: sentences that must stand where the number stands.
        answers: what kinds of answers there were; None where not recorded.
        num_read: answers that were read before any rule saw them; None where none were to be.
        num_tiles: images per prompt; None where not recorded.
        subset: which part of the benchmark it is about; None where about all of it.
        item_figures: the table of items, in the benchmark's order; empty where it is not at hand.
        items: what became of each answer, in the benchmark's order; empty where the result was
            read from a file.
    """

    rule: str
    overall: float | None
    interval: Interval
    items_scored: int
    items_expected: int
    failures: Mapping[str, str]
    l1: Mapping[str, CategoryScore]
    l2: Mapping[str, CategoryScore]
    sources: Mapping[str, Score]
    warnings: Mapping[str, int]
    unanswered: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    answers: AnswerCensus | None = None
    num_read: int | None = None
    num_tiles: int | None = None
    subset: Subset | None = None
    judge: str = ""
    model: str = ""
    benchmark: str = ""
    benchmark_sha256: str = ""
    item_figures: Mapping[str, ItemFigure] = field(default_factory=dict, repr=False)
    items: tuple[ItemScore, ...] = field(default=(), repr=False, compare=False)

    @property
    def coverage(self) -> float:
        """Share of the expected items that have a score, 0..1."""
        return self.items_scored / self.items_expected if self.items_expected else 0.0

    @property
    def complete(self) -> bool:
        """Whether every expected item had all of its answers."""
        return not self.unanswered

    @property
    def body(self) -> Self:
        """The result: `result.body["failures"]` is how fields were read before they were typed."""
        return self

    def __getitem__(self, name: str) -> object:
        """Return a field by its name in a score file: `result["overall"]`.

        Raises:
            KeyError: there is no such field.
        """
        lists = {"failed_items": self.failures, "unanswered_items": self.unanswered}
        return list(lists[name]) if name in lists else _field(self, name)

    def to_frame(self, part: Part = "items") -> DataFrame:
        """Return a part of the result as a pandas table, a row for each name, for notebooks.

        Args:
            part: `items` (source, score, each tile's score, questions, failure), `l1`, `l2` or
                `sources` (score, low, high, and over how many); scores are 0 to 100.
        """
        import pandas as pd

        if part == "items":
            num_images = max((len(f.tile_scores) for f in self.item_figures.values()), default=0)
            tiles = [f"tile_{tile}" for tile in range(num_images)]
            lines = [
                (
                    item_source(item_id),
                    figure.score,
                    *(figure.tile_scores or [None] * num_images),
                    figure.questions,
                    figure.failure,
                )
                for item_id, figure in self.item_figures.items()
            ]
            columns = ["source", "score", *tiles, "questions", "failure"]
            index = pd.Index(list(self.item_figures), name="item_id")
            numbers = dict.fromkeys(("score", *tiles), "float64")
            return pd.DataFrame(lines, index=index, columns=columns).astype(numbers)
        scores: Mapping[str, Score] = getattr(self, part)
        columns = ["score", "low", "high", "items"]
        columns += [] if part == "sources" else ["questions", "answers", "raw", "gated"]
        rows = [_cells(score) for score in scores.values()]
        index = pd.Index(list(scores), name="source" if part == "sources" else "category")
        return pd.DataFrame(rows, index=index, columns=columns)


def _field(of: Score | Result, name: str) -> object:
    if not isinstance(name, str) or name.startswith("_") or callable(getattr(of, name, len)):
        raise KeyError(name)
    return getattr(of, name)


def _cells(score: Score) -> list[float | int | None]:
    cells = [score.score, *(score.interval or (None, None)), score.items]
    if isinstance(score, CategoryScore):
        cells += [score.questions, score.answers, score.raw, score.gated]
    return cells
