"""What the page's scripts read: every item, answer and comparison, as compact plain data.

Texts are put in as they are; the page shows them as text only. A figure that the page shows is
made here or by the rule's own verdicts: the scripts count letters and look numbers up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dpgbench.analysis.answers import ItemSet, JudgeEvidence, RunEvidence
from dpgbench.analysis.cautions import label
from dpgbench.analysis.comparability import FACTS
from dpgbench.analysis.comparison import CategoryDifference, Comparison
from dpgbench.analysis.leaderboard import LeaderboardRow
from dpgbench.analysis.rows import Group
from dpgbench.analysis.verdict_letters import Sheet
from dpgbench.domain.graph import Question
from dpgbench.domain.rows import item_source
from dpgbench.report.page.graph_layout import cells
from dpgbench.report.page.images import Pictures
from dpgbench.report.plots.axis import colour
from dpgbench.report.text import shown

ANSWER_LIMIT = 400
_NAME_LIMIT = 200


def payload(
    groups: Sequence[Group],
    sets: Sequence[ItemSet],
    found: Sequence[Comparison],
    pictures: Pictures,
) -> dict[str, Any]:
    """Return the page's data; names of fields are those that `reports/model.js` explains."""
    names = run_labels([run for items in sets for run in items.runs])
    return {
        "sets": [_set(items, names, pictures) for items in sets],
        "rows": [_row(row, group, names) for group in groups for row in group.rows],
        "facts": [{"label": fact.label, "decides": fact.decides} for fact in FACTS],
        "comparisons": [_comparison(comparison) for comparison in found],
    }


def script_json(value: Any) -> str:
    """Return JSON that can stand inside a script element whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def run_labels(runs: Sequence[RunEvidence]) -> dict[int, str]:
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


def _set(items: ItemSet, names: Mapping[int, str], pictures: Pictures) -> dict[str, Any]:
    sources = sorted({item_source(item) for item in items.items})
    l2 = sorted({q.category.l2 for graph in items.graphs.values() for q in graph.questions})
    place = {name: number for number, name in enumerate(l2)}
    prompts = items.benchmark.prompts if items.benchmark is not None else {}
    return {
        "benchmark": shown(items.name, _NAME_LIMIT),
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
        "runs": [_run(run, items, names, pictures) for run in items.runs],
    }


def _questions(questions: Sequence[Question], l2: Mapping[str, int]) -> list[list[Any]]:
    """Return number, text, what it asks about, category, parents, column, row; by number."""
    where = cells(questions)
    return [
        [
            q.qid,
            q.text,
            _subject(q),
            l2[q.category.l2],
            list(q.parents),
            *where[q.qid],
        ]
        for q in sorted(questions, key=lambda question: question.qid)
    ]


def _subject(question: Question) -> str:
    """Return what the tuple names in its brackets, else the keywords."""
    _, _, inner = question.row.tuple.partition("(")
    return inner.strip().removesuffix(")").strip() or question.row.keywords.strip()


def _run(
    run: RunEvidence, items: ItemSet, names: Mapping[int, str], pictures: Pictures
) -> dict[str, Any]:
    manifest = run.record.manifest
    mine = set(manifest.items)
    return {
        "index": run.index,
        "name": names[run.index],
        "run": shown(run.record.run.name, _NAME_LIMIT),
        "colour": colour(run.index),
        "tiles": manifest.num_images,
        "absent": [place for place, item in enumerate(items.items) if item not in mine],
        "replayed": manifest.kind == "answers",
        "pictures": pictures.of(run.record, items.items),
        "judges": {judge.judge: _judge(judge) for judge in run.judges},
        "scores": _scores(run, items),
    }


def _judge(judge: JudgeEvidence) -> dict[str, Any]:
    return {
        "answers": list(judge.answers),
        "others": {
            str(item): {str(at): shown(text, ANSWER_LIMIT) for at, text in words.items()}
            for item, words in judge.others.items()
        },
        "rules": {rule: _sheet(sheet, judge.answers) for rule, sheet in judge.sheets.items()},
    }


def _sheet(sheet: Sheet, answers: Sequence[str]) -> dict[str, Any]:
    """Return what a rule makes of answers; 0 stands for an item where it changes nothing."""
    pairs = zip(sheet.states, answers, strict=True)
    return {
        "states": [0 if state == answer else state for state, answer in pairs],
        "failures": {str(item): reason for item, reason in sheet.failures.items()},
    }


def _scores(run: RunEvidence, items: ItemSet) -> dict[str, dict[str, list[float | None]]]:
    """Return the recorded scores of items where there are no answers to count, else nothing."""
    told: dict[str, dict[str, list[float | None]]] = {}
    known = {judge.judge for judge in run.judges}
    for result in sorted(run.record.results, key=lambda result: result.items_expected):
        if result.judge not in known and result.items:  # the widest result of a rule stays
            figures = [result.items.get(item) for item in items.items]
            scores = [figure.score if figure else None for figure in figures]
            told.setdefault(result.judge, {})[result.rule] = scores
    return told


def _row(row: LeaderboardRow, group: Group, names: Mapping[int, str]) -> dict[str, Any]:
    return {
        "run": row.index,
        "name": _row_name(row, names.get(row.index, label(row, group))),
        "judge": row.judge,
        "rule": row.rule,
        "overall": row.overall,
        "interval": row.interval,
        "notes": row.remarks,
        "facts": [[fact.value(row), fact.text(row)] for fact in FACTS],
    }


def _row_name(row: LeaderboardRow, name: str) -> str:
    """Return the name that a row has in choices: its run's, and its part of the benchmark."""
    return f"{name}, {row.subset}" if row.subset and row.narrow else name


def _comparison(found: Comparison) -> dict[str, Any]:
    told: dict[str, Any] = {"rows": [found.first, found.second], "items": found.items}
    if found.overall is not None and found.scores is not None:
        told["overall"] = [
            *found.scores,
            found.overall.difference,
            *(found.overall.interval or (None, None)),
            found.overall.p_value,
        ]
        told["outcomes"] = list(found.outcomes)
        told["l1"] = [_category(category) for category in found.l1]
        told["l2"] = [_category(category) for category in found.l2]
    return {key: _rounded(value) for key, value in told.items()}


def _category(found: CategoryDifference) -> list[Any]:
    paired = found.difference
    ends = (paired.difference, *(paired.interval or (None, None)), paired.p_value)
    return [found.name, found.first, found.second, *ends, found.adjusted, found.items]


def _rounded(value: Any) -> Any:
    """Return nested data with figures of six digits after the point, for a short file."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return value
