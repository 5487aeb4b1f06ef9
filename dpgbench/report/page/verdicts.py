"""What became of each question of a picture, told for people: yes, no, zeroed, other, none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dpgbench.analysis.answers import ItemSet, JudgeAnswers, RunAnswers
from dpgbench.analysis.verdict_letters import FAILS, HOLDS, NONE, OTHER, UNSEEN, ZEROED, qids_of
from dpgbench.domain.rules import CORRECTED_V1, RULES

State = Literal["yes", "no", "zeroed", "other", "none"]
Summary = Literal["all", "some", "zeroed", "no", "none"]
_STATES: Mapping[str, State] = {
    HOLDS: "yes",
    FAILS: "no",
    ZEROED: "zeroed",
    OTHER: "other",
    NONE: "none",
    UNSEEN: "none",
}


class Mark(NamedTuple):
    """One tile's answer to one question: what it counts as, and the judge's own words."""

    state: State
    answer: str


@dataclass(frozen=True)
class Outcome:
    """One judge's answers about one picture, and what a rule makes of them.

    Attributes:
        marks: by question number, one mark a tile.
        score: the item's, 0 to 100; None where it has none.
        tile_scores: likewise of each tile; empty where the item has no score.
        failure: why it has none.
    """

    judge: str
    rule: str
    marks: Mapping[int, tuple[Mark, ...]]
    score: float | None
    tile_scores: tuple[float, ...]
    failure: str

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


def outcomes(items: ItemSet, run: RunAnswers, place: int) -> Iterator[Outcome]:
    """Yield the outcome of a run's `place`-th item with each judge, sorted by its name."""
    graph = items.graphs.get(items.items[place])
    for judge in run.judges:
        rule = shown_rule(judge)
        if graph is not None and rule is not None and judge.letters[place]:
            yield _outcome(judge, rule, place, qids_of(graph))


def shown_rule(judge: JudgeAnswers) -> str | None:
    """Return the rule whose zeroing is shown: corrected-v1 where the run was scored under it."""
    names = [name for name in RULES if name in judge.verdicts]
    return CORRECTED_V1.name if CORRECTED_V1.name in names else next(iter(names), None)


def _outcome(judge: JudgeAnswers, rule: str, place: int, qids: list[int]) -> Outcome:
    verdicts = judge.verdicts[rule]
    others = judge.other_texts.get(place, {})
    states, size = verdicts.letters[place], len(qids)
    marks = {
        qid: tuple(
            Mark(_STATES[states[at]], others.get(at, "")) for at in range(column, len(states), size)
        )
        for column, qid in enumerate(qids)
    }
    return Outcome(
        judge.judge,
        rule,
        marks,
        verdicts.scores[place],
        verdicts.tile_scores[place],
        verdicts.failures.get(place, ""),
    )
