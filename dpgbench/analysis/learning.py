"""How a model got better while it was trained: runs that are looks at one training, by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.ranking import Group
from dpgbench.store.run.look import TrainingStep, read_look
from dpgbench.store.run.scores import RunRecord


class LearningPoint(NamedTuple):
    """A look that was scored."""

    row: LeaderboardRow
    look: TrainingStep


@dataclass(frozen=True)
class LearningCurve:
    """The looks at one training, with one judge and rule, by step.

    Attributes:
        training: name of its folder.
        group: the leaderboard that they are on.
        points: two or more, of rising steps.
        others: rows of the same leaderboard that are no looks: what there was before.
    """

    training: str
    group: Group
    points: tuple[LearningPoint, ...]
    others: tuple[LeaderboardRow, ...]


def learning_curves(
    groups: Sequence[Group], records: Sequence[RunRecord]
) -> tuple[LearningCurve, ...]:
    """Return a curve for each training of which a leaderboard has two looks or more.

    Raises:
        DataError: a look's file is damaged.
    """
    looks = [read_look(record.run) for record in records]
    curves = []
    for group in groups:
        of_training: dict[Path, list[LearningPoint]] = {}
        for row in group.rows:
            look = looks[row.index]
            if look is not None and row.overall is not None:
                folder = records[row.index].run.path.resolve().parent
                of_training.setdefault(folder, []).append(LearningPoint(row, look))
        others = tuple(row for row in group.rows if looks[row.index] is None)
        for _, points in sorted(of_training.items()):
            points.sort(key=lambda point: point.look.step)
            if len({point.look.step for point in points}) > 1:
                curves.append(LearningCurve(points[0].look.training, group, tuple(points), others))
    return tuple(curves)
