"""What the page's scripts read: every item, answer, score and comparison, as compact plain data.

Texts are put in as they are; the page shows them as text only. Scores and differences are those of
`analysis`; nothing is averaged here nor by the scripts, which look numbers up.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, NamedTuple

from dpgbench.analysis.answers import ItemScores, ItemSet, JudgeAnswers, RunAnswers
from dpgbench.analysis.board import Board
from dpgbench.analysis.comparability import FACTS
from dpgbench.analysis.comparison import FEW_ITEMS, CategoryDifference, Comparison
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.ranking import Group
from dpgbench.analysis.verdict_letters import (
    FAILS,
    HOLDS,
    OTHER,
    UNSEEN,
    ZEROED,
    RuleVerdicts,
)
from dpgbench.analysis.win_matrix import win_matrix
from dpgbench.domain.answer_text import YES
from dpgbench.domain.graph import GraphQuestion
from dpgbench.domain.result import Score
from dpgbench.domain.rows import item_source
from dpgbench.domain.statistics.bootstrap import LEAST_ITEMS
from dpgbench.domain.statistics.paired import PairedDifference
from dpgbench.report.page.colours import chosen_runs, coloured_runs
from dpgbench.report.page.graph_layout import cells
from dpgbench.report.page.images import Pictures
from dpgbench.report.page.packing import Distinct, changes, packed_answers
from dpgbench.report.page.views import in_order
from dpgbench.report.text import (
    apart_text,
    in_field_order,
    label,
    rank_text,
    remarks,
    row_sentence,
    shown,
)
from dpgbench.store.run import manifest_summary

ANSWER_LIMIT = 400
_NAME_LIMIT = 200


class Tally(NamedTuple):
    """What became of a tile's questions, and its score of 0 to 100; None where it has none."""

    holds: int
    no: int
    zeroed: int
    invalid: int
    questions: int
    score: float | None


class _Tallies:
    """What became of the tiles of a set of items: the page has each distinct tally once."""

    def __init__(self) -> None:
        self._places: dict[Tally, int] = {}
        self._tiles: dict[tuple[str, float | None], int] = {}

    @property
    def distinct(self) -> list[Tally]:
        """All of them, in the order in which they came."""
        return list(self._places)

    def places(self, letters: str, scores: Sequence[float], num_images: int) -> list[int]:
        """Return the place of what became of each tile of an item; nothing without answers."""
        size = len(letters) // num_images
        tiles = [letters[at : at + size] for at in range(0, len(letters), size)] if size else []
        of_tiles: ItemScores = scores or [None] * len(tiles)
        return [self._tile(tile, score) for tile, score in zip(tiles, of_tiles, strict=True)]

    def _tile(self, letters: str, score: float | None) -> int:
        place = self._tiles.get((letters, score))
        if place is None:
            place = self._places.setdefault(_tally(letters, score), len(self._places))
            self._tiles[letters, score] = place
        return place


def _tally(letters: str, score: float | None) -> Tally:
    holds, no, zeroed, invalid = map(letters.count, (HOLDS, FAILS, ZEROED, OTHER))
    return Tally(holds, no, zeroed, invalid, len(letters) - letters.count(UNSEEN), score)


def page_json(board: Board, pictures: Pictures) -> dict[str, Any]:
    """Return the page's data; names of fields are those that `reports/unpack.js` explains."""
    names = run_labels([run for items in board.item_sets for run in items.runs])
    benchmarks = benchmark_names(board)
    return {
        "sets": [
            _set(items, name, names, pictures)
            for items, name in zip(board.item_sets, benchmarks, strict=True)
        ],
        "groups": list(_groups(board)),
        "rows": [_row(row, group, names) for group in board.groups for row in group.rows],
        "colours": chosen_runs(coloured_runs(board)),
        "facts": [{"label": fact.label, "decides": fact.decides} for fact in FACTS],
        "comparisons": [_comparison(comparison) for comparison in board.comparisons],
        "least_items": LEAST_ITEMS,
        "few_items": FEW_ITEMS,
    }


def script_json(value: Any) -> str:
    """Return JSON that can stand inside a script element whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def run_labels(runs: Sequence[RunAnswers]) -> dict[int, str]:
    """Return a name for each run by its place: the model's, with the run's where it is not alone.

    Every name is another, since addresses name runs by it.
    """
    models = [shown(run.record.manifest.model, _NAME_LIMIT) for run in runs]
    names: dict[int, str] = {}
    for run, model in zip(runs, models, strict=True):
        name = model
        if models.count(model) > 1:
            name = f"{model} ({shown(run.record.run.name, _NAME_LIMIT)})"
        names[run.index] = name if name not in names.values() else f"{name} #{run.index + 1}"
    return names


def benchmark_names(board: Board) -> list[str]:
    """Return a name for each set of items; with its number where the name is there already."""
    plain = [shown(items.name, _NAME_LIMIT) for items in board.item_sets]
    return [
        name if name not in plain[:place] else f"{name} #{plain[: place + 1].count(name)}"
        for place, name in enumerate(plain)
    ]


def sets_of_groups(board: Board) -> list[int]:
    """Return for each group the place of the set that has its items."""
    of_run = {run.index: n for n, items in enumerate(board.item_sets) for run in items.runs}
    return [of_run[group.rows[0].index] for group in board.groups]


def _groups(board: Board) -> Iterator[dict[str, Any]]:
    """Yield each table of the leaderboard: what it is about, its rows by place, all pairs."""
    start = 0
    for group, of_set in zip(board.groups, sets_of_groups(board), strict=True):
        yield {
            "set": of_set,
            "judge": shown(group.key.judge, _NAME_LIMIT),
            "rule": shown(group.key.rule, _NAME_LIMIT),
            "rows": list(range(start, start + len(group.rows))),
            "part": str(group.subset) if group.subset else "",
            "matrix": _rounded(_matrix(group, start)),
        }
        start += len(group.rows)


def _matrix(group: Group, start: int) -> list[list[Any]]:
    """Return all pairs of ranked rows, p corrected over all of them; the better first."""
    matrix = win_matrix(group)
    if matrix is None:
        return []
    places = {row.index: start + place for place, row in enumerate(group.rows)}
    return [
        [
            places[matrix.rows[pair.first].index],
            places[matrix.rows[pair.second].index],
            pair.difference.difference,
            *(pair.difference.interval or (None, None)),
            pair.difference.p_holm,
            apart_text(pair.difference),
            pair.items,
        ]
        for pair in matrix.pairs
    ]


def _set(items: ItemSet, name: str, names: Mapping[int, str], pictures: Pictures) -> dict[str, Any]:
    sources = sorted({item_source(item) for item in items.items})
    l2 = sorted({q.category.l2 for graph in items.graphs.values() for q in graph.questions})
    place = {name: number for number, name in enumerate(l2)}
    prompts = items.benchmark.prompts if items.benchmark is not None else {}
    tallies, figures = _Tallies(), Distinct()
    runs = [
        _run(run, items, tallies, names, pictures) | {"scores": _scores(run, figures)}
        for run in items.runs
    ]
    return {
        "benchmark": name,
        "missing": items.missing,
        "sources": sources,
        "l2": l2,
        "l1": [name.split("-")[0].strip() for name in l2],
        "ids": list(items.items),
        "source": [sources.index(item_source(item)) for item in items.items],
        "prompts": [prompts.get(item, "") for item in items.items],
        "questions": [
            _questions(items.graphs[item].questions, place) if item in items.graphs else []
            for item in items.items
        ],
        "runs": runs,
        "tallies": tallies.distinct,
        "figures": figures.values,
    }


def _questions(questions: Sequence[GraphQuestion], l2: Mapping[str, int]) -> list[list[Any]]:
    """Return number, text, what it asks about, category, parents, column, row; by number.

    And the right answer, where it is not yes.
    """
    where = cells(questions)
    return [
        [
            q.qid,
            q.text,
            _subject(q),
            l2[q.category.l2],
            list(q.parents),
            *where[q.qid],
            *([q.row.expected] if q.row.expected != YES else []),
        ]
        for q in sorted(questions, key=lambda question: question.qid)
    ]


def _subject(question: GraphQuestion) -> str:
    """Return what the tuple names in its brackets, else the keywords."""
    _, _, inner = question.row.tuple.partition("(")
    return inner.strip().removesuffix(")").strip() or question.row.keywords.strip()


def _run(
    run: RunAnswers,
    items: ItemSet,
    tallies: _Tallies,
    names: Mapping[int, str],
    pictures: Pictures,
) -> dict[str, Any]:
    manifest = run.record.manifest
    mine = set(manifest.items)
    return {
        "index": run.index,
        "name": names[run.index],
        "run": shown(run.record.run.name, _NAME_LIMIT),
        "tiles": manifest.num_images,
        "cut": _cut(run, items),
        "absent": [place for place, item in enumerate(items.items) if item not in mine],
        "replayed": manifest.kind == "answers",
        "pictures": pictures.of(run.record, items.items).as_json(),
        "judges": {
            judge.judge: _judge(judge, tallies, manifest.num_images) for judge in run.judges
        },
    }


def _scores(run: RunAnswers, figures: Distinct) -> dict[str, dict[str, list[int | None]]]:
    """Return every item's score as its place among `figures`, by judge and rule."""
    return {
        judge: {rule: figures.places(scores) for rule, scores in by_rule.items()}
        for judge, by_rule in run.scores.items()
    }


def _cut(run: RunAnswers, items: ItemSet) -> list[int]:
    """Return the places of items whose prompts the text encoder cut."""
    truncation = manifest_summary.truncation(run.record.manifest)
    cut = set(truncation.items) if truncation else set()
    return [place for place, item in enumerate(items.items) if item in cut]


def _judge(judge: JudgeAnswers, tallies: _Tallies, num_images: int) -> dict[str, Any]:
    first = next((verdicts.letters for verdicts in judge.verdicts.values()), ())
    return {
        "answers": list(map(packed_answers, judge.letters)),
        "others": {
            str(item): {str(at): shown(text, ANSWER_LIMIT) for at, text in words.items()}
            for item, words in judge.other_texts.items()
        },
        "rules": {
            rule: _verdicts(
                verdicts,
                judge.letters,
                () if verdicts.letters is first else first,
                tallies,
                num_images,
            )
            for rule, verdicts in judge.verdicts.items()
        },
    }


def _verdicts(
    verdicts: RuleVerdicts,
    answers: Sequence[str],
    first: Sequence[str],
    tallies: _Tallies,
    num_images: int,
) -> dict[str, Any]:
    """Return what a rule makes of answers.

    0 stands for an item where it changes nothing, 1 for one that it sees as the judge's first rule.
    """
    states = [
        _state(*of_item)
        for of_item in zip(verdicts.letters, answers, first or repeat(None), strict=False)
    ]
    return {
        "states": states,
        "tiles": [
            tallies.places(letters, scores, num_images)
            for letters, scores in zip(verdicts.letters, verdicts.tile_scores, strict=True)
        ],
        "failures": {str(item): reason for item, reason in verdicts.failures.items()},
    }


def _state(letters: str, answers: str, first: str | None) -> str | int:
    if letters == answers:
        return 0
    return 1 if letters == first else changes(letters, answers)


def _row(row: LeaderboardRow, group: Group, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "run": row.index,
        "name": _row_name(row, names.get(row.index, label(row, group))),
        "judge": row.judge,
        "rule": row.rule,
        "overall": row.overall,
        "interval": row.interval,
        "rank": rank_text(row.rank, row.rank_range),
        "sentence": row_sentence(row, group),
        "l1": _figures({name: row.l1[name] for name in in_order(list(row.l1))}),
        "l2": _figures({name: row.l2[name] for name in sorted(row.l2)}),
        "sources": _figures({name: row.sources[name] for name in sorted(row.sources)}),
        "notes": remarks(row),
        "facts": [[fact.value(row), fact.text(row)] for fact in FACTS],
    }


def _figures(figures: Mapping[str, Score]) -> list[list[Any]]:
    """Return name, score, ends of the interval, before zeroing, number of things; a line each."""
    return [
        [name, *map(_rounded, (f.score, *(f.interval or (None, None)), f.raw)), f.number]
        for name, f in figures.items()
    ]


def _row_name(row: LeaderboardRow, name: str) -> str:
    """Return the name that a row has in choices: its run's, and its part of the benchmark."""
    return f"{name}, {row.subset}" if row.subset and row.narrow else name


def _comparison(comparison: Comparison) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "rows": [comparison.first, comparison.second],
        "items": comparison.items,
    }
    if comparison.overall is not None and comparison.scores is not None:
        plain["overall"] = _difference(*comparison.scores, comparison.overall, comparison.items)
        plain["outcomes"] = list(comparison.outcomes)
        plain["l1"] = _categories(comparison.l1)
        plain["l2"] = _categories(comparison.l2)
    return {key: _rounded(value) for key, value in plain.items()}


def _categories(categories: Sequence[CategoryDifference]) -> list[list[Any]]:
    by_name = {category.name: category for category in categories}
    return [_category(by_name[name]) for name in in_field_order(by_name)]


def _category(category: CategoryDifference) -> list[Any]:
    return [
        category.name,
        *_difference(
            category.first,
            category.second,
            category.difference,
            category.items,
        ),
    ]


def _difference(first: float, second: float, difference: PairedDifference, items: int) -> list[Any]:
    ends = difference.interval or (None, None)
    gap, p_value, p_holm = difference.difference, difference.p_value, difference.p_holm
    return [first, second, gap, *ends, p_value, p_holm, items, apart_text(difference)]


def _rounded(value: Any) -> Any:
    """Return nested data with figures of six digits after the point, for a short file."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return value
