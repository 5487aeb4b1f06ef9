"""What became of each question of a picture, told for people: yes, no, zeroed, other, none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dpgbench.domain.rules import CORRECTED_V1, RULES, ScoringRule
from dpgbench.domain.score import YES, ItemScore, collect, score_item
from dpgbench.report.records import RunRecord
from dpgbench.store.benchmarks import Benchmark

State = Literal["yes", "no", "zeroed", "other", "none"]
Summary = Literal["all", "some", "zeroed", "no", "none"]
NO = "no"


class Mark(NamedTuple):
    """One tile's answer to one question: what it counts as, and the judge's own words."""

    state: State
    answer: str


@dataclass(frozen=True)
class Outcome:
    """One judge's answers about one picture, and what a rule makes of them.

    Attributes:
        marks: by question number, one mark a tile.
        tile_scores: 0 to 100; empty where the item has no score.
        failure: why it has none.
    """

    judge: str
    rule: str
    marks: Mapping[int, tuple[Mark, ...]]
    tile_scores: tuple[float, ...]
    failure: str

    @property
    def score(self) -> float | None:
        """The item's score, 0 to 100."""
        return sum(self.tile_scores) / len(self.tile_scores) if self.tile_scores else None

    def holds(self, qid: int) -> int:
        """Return on how many tiles a question counts."""
        return sum(mark.state == "yes" for mark in self.marks.get(qid, ()))

    def summary(self, qid: int) -> Summary:
        """Return how a question fared over all tiles."""
        marks = self.marks.get(qid, ())
        states = {mark.state for mark in marks}
        if not states or states == {"none"}:
            return "none"
        if states == {"yes"}:
            return "all"
        if "yes" in states:
            return "some"
        return "zeroed" if "zeroed" in states else "no"


class Reader:
    """Reads a run's answers about a few items, judge by judge."""

    def __init__(self, record: RunRecord, benchmark: Benchmark | None, items: set[str]) -> None:
        self._record = record
        self._benchmark = benchmark
        judges = sorted({result.judge for result in record.results})
        self._answers = {judge: _answers(record, judge, items) for judge in judges}

    def outcomes(self, item_id: str) -> Iterator[Outcome]:
        """Yield the outcome with each judge, sorted by its name."""
        if self._benchmark is None or item_id not in self._benchmark.items:
            return
        for judge, answers in self._answers.items():
            rule = _shown_rule(self._record, judge)
            if rule is not None:
                yield self._outcome(item_id, judge, rule, answers)

    def _outcome(
        self,
        item_id: str,
        judge: str,
        rule: ScoringRule,
        answers: Mapping[tuple[str, int], Mapping[int, str]],
    ) -> Outcome:
        assert self._benchmark is not None
        rows = self._benchmark.items[item_id]
        tiles = self._record.manifest.num_images
        first_row = min(item[0].row for item in self._benchmark.items.values())
        scored = score_item(item_id, rows, answers, rule=rule, num_tiles=tiles, first_row=first_row)
        given = [answers.get((item_id, tile), {}) for tile in range(tiles)]
        marks = {
            row.qid: tuple(
                _mark(answer.get(row.qid), row.qid, scored, tile)
                for tile, answer in enumerate(given)
            )
            for row in rows
        }
        scores = () if scored.failure else tuple(100 * score for score in scored.tile_scores)
        return Outcome(judge, rule.name, marks, scores, scored.failure or "")


def _answers(
    record: RunRecord, judge: str, items: set[str]
) -> dict[tuple[str, int], dict[int, str]]:
    return collect(answer for answer in record.run.read_answers(judge) if answer.item_id in items)


def _shown_rule(record: RunRecord, judge: str) -> ScoringRule | None:
    """Return the rule whose zeroing is shown: corrected-v1 where the run was scored under it."""
    scored = {result.rule for result in record.results if result.judge == judge}
    known = [rule for name, rule in RULES.items() if name in scored]
    return CORRECTED_V1 if CORRECTED_V1 in known else next(iter(known), None)


def _mark(answer: str | None, qid: int, scored: ItemScore, tile: int) -> Mark:
    if answer is None:
        return Mark("none", "")
    if answer == NO:
        return Mark("no", answer)
    if answer != YES:
        return Mark("other", answer)
    verdict = scored.tiles[tile].get(qid) if scored.tiles else None
    return Mark("zeroed" if verdict is not None and not verdict.gated else "yes", answer)
