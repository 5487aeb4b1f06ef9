"""Score files: does each follow from the answers, number by number and byte by byte."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dpgbench.backends.judges.table import notes_on
from dpgbench.domain.answer_text import NO, YES
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.result import Origin, Result
from dpgbench.domain.rules import ALL_RULES, ELLA_REFERENCE
from dpgbench.domain.score import (
    collect,
    collect_probabilities,
    read_answers,
    score_benchmark,
    stray_answers,
)
from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError, DpgBenchError, clipped, counted, shortened
from dpgbench.jobs.ella_text_files import DETAIL, RESULTS, detail_text, results_text
from dpgbench.jobs.verify.answers import JudgedAnswers, Question
from dpgbench.jobs.verify.findings import Findings, SetAside
from dpgbench.jobs.verify.subject import Subject
from dpgbench.store.csv_rows import read_table
from dpgbench.store.files import json_text, read_json, utf8
from dpgbench.store.run.manifest import toolkit_version
from dpgbench.store.run.scores import items_csv, read_item_figures, read_result, result_json

_LAST_DIGITS = 1e-9  # as far as other releases of NumPy, on other machines, may differ
_SHOWN = 4
_SCORE = "the same 'dpgbench score' command"


@dataclass(frozen=True)
class _ScoreFile:
    """A score file that can be read, beside what the answers give today.

    Attributes:
        path: of the JSON; the table of items lies beside it.
        record: what it holds.
        tiles: of each item, the tiles' scores by its table of items.
        wanted: the result of today's answers.
        follows: whether the JSON says the same.
        table_follows: whether the table does.
    """

    path: Path
    record: Mapping[str, Any]
    tiles: Mapping[str, tuple[float, ...]]
    wanted: Result
    follows: bool
    table_follows: bool


def look_at_scores(subject: Subject, judged: Sequence[JudgedAnswers], findings: Findings) -> None:
    """Look at every score file of a run, computed anew under its rule."""
    folders = {subject.run.scores(judge.judge, "x").parent: judge for judge in judged}
    for folder in sorted((subject.run.path / "scores").glob("*/")):
        if folder.name.startswith("."):
            continue
        paths = [p for p in sorted(folder.glob("*.json")) if not p.name.startswith(".")]
        answers = folders.get(folder) or _unasked(subject, folder, paths)
        if answers is None:
            findings.add(
                "unverified", "unknown-judge", subject.shown(folder),
                "no judge in manifest.json has scores of this name",
                "restore manifest.json, or move the folder away",
            )  # fmt: skip
        elif (asked := subject.of_judge(answers.judge).benchmark) is None or not asked.has_graphs:
            findings.add(
                "unverified", "scores", subject.shown(folder),
                f"{counted(len(paths), 'score file')}: the questions are not at hand",
            )  # fmt: skip
        else:
            _look_at_folder(subject, asked, answers, paths, findings)
    for judge in judged:
        whole = [p for p in subject.run.score_files() if p.parent == folders_of(folders, judge)]
        if judge.answers and not whole:
            findings.add(
                "incomplete", "not-scored", subject.shown(subject.run.path / "scores"),
                f"the answers of {judge.judge} are not scored", f"{_SCORE} scores them",
            )  # fmt: skip


def _unasked(subject: Subject, folder: Path, paths: Sequence[Path]) -> JudgedAnswers | None:
    """Return a judge that has scores and was asked nothing: there was no image to ask about."""
    for path in paths:
        try:
            judge = read_result(path).judge
        except DpgBenchError:
            continue
        asked = subject.run.answers(judge)
        if subject.run.scores(judge, "x").parent == folder and not asked.exists():
            return JudgedAnswers(judge, asked, (), {}, frozenset(subject.manifest.items))
    return None


def folders_of(folders: Mapping[Path, JudgedAnswers], judge: JudgedAnswers) -> Path | None:
    """Return the folder of a judge's scores."""
    return next((folder for folder, answers in folders.items() if answers is judge), None)


def _look_at_folder(
    subject: Subject,
    benchmark: Benchmark,
    judged: JudgedAnswers,
    paths: Sequence[Path],
    findings: Findings,
) -> None:
    files = []
    findings.checked["score files"] += len(paths)
    if _tell_other_graphs(subject, benchmark, paths, findings):
        return
    for path in paths:
        score_file = _look_at_file(subject, benchmark, judged, path, findings)
        if score_file:
            files.append(score_file)
    _look_at_text_files(subject, benchmark, judged, files, findings)
    tables = {path.with_suffix(".items.csv") for path in paths}
    for table in sorted(set(paths[0].parent.glob("*.items.csv")) - tables) if paths else ():
        findings.add(
            "damaged", "score", subject.shown(table), "its score file is gone",
            f"'--repair' sets it aside, then {_SCORE} makes both anew",
            set_aside=[SetAside(table, None, ("score",))],
        )  # fmt: skip
    suspects = _suspect_answers(judged, files)
    if suspects:
        first = min(suspects)
        findings.add(
            "damaged", "answers-changed", subject.shown(judged.path),
            f"{counted(len(suspects), 'answer')} that no score file of {judged.judge} fits, from "
            f"item {first[0]} tile {first[1]} on: they were changed after they were scored",
            "'--repair' takes them out, then the same 'dpgbench score' command asks again",
            set_aside=[judged.set_aside(suspects)] if subject.manifest.kind != "answers" else (),
        )  # fmt: skip


def _tell_other_graphs(
    subject: Subject, benchmark: Benchmark, paths: Sequence[Path], findings: Findings
) -> bool:
    """Say where no score file is of the question graphs that the benchmark has now."""
    recorded = set()
    for path in paths:
        try:
            recorded.add(read_result(path, len(benchmark.prompts)).benchmark_sha256)
        except DpgBenchError:
            continue
    if not recorded or recorded & {"", benchmark.graphs_sha256}:
        return False
    findings.add(
        "damaged", "benchmark-changed", subject.shown(paths[0].parent),
        f"{benchmark.path} has other question graphs than the run was scored with "
        f"({min(recorded)[:12]} -> {benchmark.graphs_sha256[:12]})",
        f"restore that file, or score anew: {_SCORE} takes those that it has now",
    )  # fmt: skip
    return True


def _look_at_file(
    subject: Subject,
    benchmark: Benchmark,
    judged: JudgedAnswers,
    path: Path,
    findings: Findings,
) -> _ScoreFile | None:
    """Compare a score file and its table with the answers; None where it is unreadable."""
    where, table = subject.shown(path), path.with_suffix(".items.csv")
    try:
        read_result(path, len(benchmark.prompts))
        record: dict[str, Any] = read_json(path)
        figures = read_item_figures(table) if record["items_expected"] else {}
    except DpgBenchError as error:
        text = str(error).replace(f"{subject.run.path}/", "")
        _damaged(subject, path, where, text, findings)
        return None
    if record["judge"] != judged.judge or f"{record['rule']}" != path.stem.partition("@")[0]:
        what = f"it is of judge {record['judge']} and rule {record['rule']}, not what its name says"
        _damaged(subject, path, where, what, findings)
        return None
    if record["rule"] not in ALL_RULES:
        findings.add(
            "unverified", "unknown-rule", where,
            f"rule {record['rule']} is none that this version knows",
            "verify with the version of dpgbench that wrote it",
        )  # fmt: skip
        return None
    items = _items_of(subject, benchmark, path, record, list(figures))
    if items is None:
        what = "nothing tells which items it is over (its table of items does not fit it)"
        _damaged(subject, path, where, what, findings)
        return None
    try:
        wanted = _score_again(subject, benchmark, judged, record, items)
    except DpgBenchError as error:
        _damaged(subject, path, where, f"its rule refuses the benchmark: {error}", findings)
        return None
    follows = _compare(subject, path, record, wanted, findings)
    table_follows = _compare_table(subject, table, wanted, follows, findings)
    tiles = {item_id: figure.tile_scores for item_id, figure in figures.items()}
    return _ScoreFile(path, record, tiles, wanted, follows, table_follows)


def _damaged(subject: Subject, path: Path, where: str, what: str, findings: Findings) -> None:
    table = path.with_suffix(".items.csv")
    aside = [SetAside(p, None, ("score",)) for p in (path, table) if p.exists()]
    findings.add(
        "damaged", "score", where, what,
        f"'--repair' sets it aside, then {_SCORE} makes it anew", set_aside=aside,
    )  # fmt: skip


def _items_of(
    subject: Subject,
    benchmark: Benchmark,
    path: Path,
    record: Mapping[str, Any],
    listed: Sequence[str],
) -> list[str] | None:
    """Return the items that a score file is over, in the benchmark's order; None if unclear."""
    whole, part = list(subject.manifest.items), path.stem.partition("@")[2]
    expected = record["items_expected"]
    candidates = [listed] if part else [whole, listed, list(benchmark.prompts)]
    subset = record.get("subset") or {}
    choice = str(subset.get("choice") or "")
    if choice.startswith("first ") and choice[6:].replace(",", "").isdigit():
        candidates.append(list(benchmark.prompts)[: int(choice[6:].replace(",", ""))])
    for items in candidates:
        ids = [item_id for item_id in benchmark.prompts if item_id in set(items)]
        subset = benchmark.subset(ids)
        if not ids or len(ids) != len(set(items)):
            continue
        if part:
            if subset and subset.items_sha256.startswith(part):
                return ids
        elif len(ids) == expected:
            return ids
    return whole if not part else None


def _score_again(
    subject: Subject,
    benchmark: Benchmark,
    judged: JudgedAnswers,
    record: Mapping[str, Any],
    items: Sequence[str],
) -> Result:
    """Return the result of today's answers, with the words of the file where only it has them.

    Those are why items without all answers have none: what a generator or a judge said then.
    """
    answers, num_read = judged.answers, None
    if "read" in (record.get("answers") or {}):
        answers, num_read = read_answers(answers, benchmark.word_questions)
    chosen = set(items)
    manifest = subject.manifest
    alike = manifest.single_colour
    origin = Origin(
        judge=judged.judge,
        model=manifest.model,
        num_read=num_read,
        num_invalid=sum(a.invalid for a in judged.answers if a.item_id in chosen),
        num_strays=len(stray_answers(judged.answers, benchmark, manifest.num_images)),
        num_single_colour_tiles=sum(len(t) for i, t in alike.items() if i in chosen),
        notes=(*manifest.notes, *notes_on(judged.judge)),
    )
    result = score_benchmark(
        benchmark,
        collect(answers),
        ALL_RULES[record["rule"]],
        num_images=manifest.num_images,
        items=items,
        origin=origin,
        probabilities=collect_probabilities(answers),
    )
    reasons = {
        item_id: str(reason)
        for item_id, reason in record["failures"].items()
        if item_id in result.unanswered
    }
    figures = {
        item_id: figure._replace(failure=reasons.get(item_id, figure.failure))
        for item_id, figure in result.item_figures.items()
    }
    return replace(result, failures={**result.failures, **reasons}, item_figures=figures)


def _compare(
    subject: Subject,
    path: Path,
    record: Mapping[str, Any],
    wanted: Result,
    findings: Findings,
) -> bool:
    """Say where a score file and the answers differ; return whether they agree."""
    where = subject.shown(path)
    today: dict[str, Any] = json.loads(json_text(result_json(wanted)))
    absent = sorted(_paths(today) - _paths(record))
    unknown = sorted(_paths(record) - _paths(today))
    notes = record.get("notes")
    known_notes = {*subject.manifest.notes, *wanted.notes}
    foreign_notes = (
        [note for note in notes if note not in known_notes] if isinstance(notes, list) else []
    )
    differing = [d for d in _differences(record, today) if d.place != "notes"]
    if (absent and unknown) or (differing and any(not d.is_small for d in differing)):
        return _does_not_follow(subject, path, record, today, differing, findings)
    if differing:
        findings.add(
            "unverified", "last-digits", where,
            f"{counted(len(differing), 'number')} in which the last digits differ (first: "
            f"{differing[0]}): computed on another machine or by another release of NumPy",
            f"{_SCORE} computes them here",
        )  # fmt: skip
    if absent or unknown:
        what = (
            f"it has no {shortened(absent, _SHOWN)}: an earlier version wrote it"
            if absent
            else f"it has {shortened(unknown, _SHOWN)}, which this version does not know"
        )
        findings.add(
            "unverified", "other-version", where,
            f"{what}; what it has follows from the answers", f"{_SCORE} writes all of it",
        )  # fmt: skip
    if foreign_notes:
        findings.add(
            "unverified", "notes", where,
            f"its note {clipped(foreign_notes[0])} is none of manifest.json", f"{_SCORE} renews it",
        )  # fmt: skip
    if not (differing or absent or unknown) and path.read_bytes() != utf8(json_text(record)):
        findings.add(
            "note", "other-form", where,
            "it is written otherwise than dpgbench writes it; what it holds counts",
        )  # fmt: skip
    return True


def _does_not_follow(
    subject: Subject,
    path: Path,
    record: Mapping[str, Any],
    today: Mapping[str, Any],
    differing: Sequence[_Difference],
    findings: Findings,
) -> bool:
    where = subject.shown(path)
    shown = shortened(differing, _SHOWN) or "fields have other names"
    then, now = _num_answers(record), _num_answers(today)
    if now > then >= 0:
        findings.add(
            "incomplete", "stale-score", where,
            f"answers came after it: it is of {then}, there are {now} ({shown})",
            f"{_SCORE} makes it anew",
        )  # fmt: skip
        return False
    if now < then and today["unanswered_items"]:
        findings.add(
            "unverified", "stale-score", where,
            f"it is of {then} answers, of which {now} are here ({shown})",
            f"{_SCORE} asks the others and makes it anew",
        )  # fmt: skip
        return False
    made_by = subject.manifest.environment.get("dpgbench")
    here = toolkit_version()
    versions = f" ({made_by}; this is {here})" if made_by not in (None, here) else ""
    what = (
        f"it does not follow from the answers (what it has -> what they give): {shown}; it was "
        f"edited, or made by another version of dpgbench{versions}"
    )
    _damaged(subject, path, where, what, findings)
    return False


def _num_answers(record: Mapping[str, Any]) -> int:
    number = (record.get("answers") or {}).get("all", -1)
    return number if isinstance(number, int) else -1


@dataclass(frozen=True)
class _Difference:
    place: str
    before: object
    after: object

    @property
    def is_small(self) -> bool:
        """Whether both are numbers that are the same but for their last digits."""
        one, other = self.before, self.after
        if not isinstance(one, float) or not isinstance(other, float):
            return False
        return math.isclose(one, other, rel_tol=_LAST_DIGITS, abs_tol=_LAST_DIGITS)

    def __str__(self) -> str:
        return f"{self.place} {clipped(self.before)} -> {clipped(self.after)}"


def _differences(before: Any, after: Any, place: str = "") -> Iterator[_Difference]:
    """Yield each value that both have and that is not the same."""
    if isinstance(before, Mapping) and isinstance(after, Mapping) and place not in _OPEN:
        for name in before:
            if name in after:
                inner = f"{place}.{name}" if place else str(name)
                yield from _differences(before[name], after[name], inner)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _differences(one, other, f"{place}.{number}")
    elif before != after or type(before) is not type(after):
        yield _Difference(place, before, after)


_OPEN = ("failures",)
"""Parts whose names are data, and so are compared as a whole."""


def _paths(record: Any, place: str = "", depth: int = 0) -> set[str]:
    """Return the places of a record's fields."""
    if not isinstance(record, Mapping) or place in _OPEN:
        return set()
    places = set()
    for name, value in record.items():
        inner = f"{place}.{name}" if place else str(name)
        places |= {inner} | _paths(value, inner, depth + 1)
    return places


def _compare_table(
    subject: Subject, table: Path, wanted: Result, follows: bool, findings: Findings
) -> bool:
    """Say where a table of items and the answers differ; return whether they agree."""
    where = subject.shown(table)
    if not table.exists():
        findings.add(
            "unverified", "no-table", where, "there is no table of items", f"{_SCORE} makes it"
        )
        return True
    today = utf8(items_csv(wanted))
    present = table.read_bytes()
    if today == present:
        return True
    if not follows:
        return False  # told of the score file; both are made anew
    fault = _table_fault(table, items_csv(wanted))
    if fault is None:
        findings.add(
            "unverified", "other-version", where,
            "it has other columns, or is written otherwise, than this version does it; what it has "
            "follows from the answers",
            f"{_SCORE} makes it anew",
        )  # fmt: skip
        return True
    score_file = table.with_name(table.name.removesuffix(".items.csv") + ".json")
    _damaged(subject, score_file, where, fault, findings)
    return False


def _table_fault(table: Path, today: str) -> str | None:
    """Return what in a table of items differs from today's in the columns that both have."""
    try:
        present = list(read_table(table))
    except DataError as error:
        return str(error)
    names, *rows = csv.reader(io.StringIO(today))
    wanted = [dict(zip(names, row, strict=True)) for row in rows]
    if len(present) != len(wanted):
        return f"it has {counted(len(present), 'item')}, not {len(wanted)}"
    for (number, cells), row in zip(present, wanted, strict=True):
        for name in names:
            if cells.get(name, row[name]) != row[name]:
                return (
                    f"row {number}, {name}: it has {clipped(cells[name])}, the answers give "
                    f"{clipped(row[name])}"
                )
    unknown = set(present[0][1]) - set(names) if present else set()
    missing = set(names) - set(present[0][1]) if present else set()
    return f"it has a column {min(unknown)!r} for {min(missing)!r}" if unknown and missing else None


def _suspect_answers(judged: JudgedAnswers, files: Sequence[_ScoreFile]) -> list[Question]:
    """Return answers that were changed after they were scored, as far as the scores tell.

    A score file and its table are two witnesses. Where one of them fits the answers, the other one
    is damaged. Where none does, and those of every rule agree that a tile had another score, or
    that fewer answers were neither yes nor no, the answers are.
    """
    if not files or any(file.follows for file in files):
        return []
    counts: dict[tuple[str, int], list[bool]] = defaultdict(list)
    for file in files:
        figures = file.wanted.item_figures
        for item_id, scores in file.tiles.items():
            today = figures[item_id].tile_scores if item_id in figures else ()
            if len(scores) == len(today):
                for tile, (one, other) in enumerate(zip(scores, today, strict=True)):
                    counts[item_id, tile].append(one != other)
    tiles = {tile for tile, differs in counts.items() if all(differs)}
    suspects = {question for question in judged.lines if question[:2] in tiles}
    censuses = [file.record.get("answers") or {} for file in files]
    fewer = all(
        census.get("neither", math.inf)
        < (file.wanted.answers.neither if file.wanted.answers else 0)
        for census, file in zip(censuses, files, strict=True)
    )
    if fewer:
        suspects |= {
            (a.item_id, a.tile, a.qid) for a in judged.answers if a.answer not in (YES, NO)
        }
    return sorted(suspects)


def _look_at_text_files(
    subject: Subject,
    benchmark: Benchmark,
    judged: JudgedAnswers,
    files: Sequence[_ScoreFile],
    findings: Findings,
) -> None:
    """Compare the ELLA script's two text files, where they are, with what the answers give."""
    folder = subject.run.scores(judged.judge, "x").parent
    stem = Path(RESULTS).stem
    for path in sorted(folder.glob(f"{stem}*.txt")):
        part = path.stem.removeprefix(stem)
        if part.startswith(Path(DETAIL).stem.removeprefix(stem)):
            continue
        detail = (folder / DETAIL).with_stem(Path(DETAIL).stem + part)
        findings.checked["text files"] += 1 + detail.exists()
        items = _items_of_part(subject, part, files)
        for one in (path, detail):
            if items is None:
                break
            if one.exists() and not _text_follows(subject, benchmark, judged, items, one, path):
                _tell_text(subject, judged, items, one, findings)
        if items is None:
            findings.add(
                "unverified", "text-file", subject.shown(path),
                "nothing tells which items it is over",
            )  # fmt: skip


def _tell_text(
    subject: Subject,
    judged: JudgedAnswers,
    items: Sequence[str],
    path: Path,
    findings: Findings,
) -> None:
    where, again = subject.shown(path), "the same 'dpgbench score --reference-files' command"
    if judged.open_items & set(items):
        findings.add(
            "unverified", "stale-score", where,
            "it does not follow from the answers that are here, and some are not here",
            f"{again} asks them and makes it anew",
        )  # fmt: skip
        return
    findings.add(
        "damaged", "score", where, "it does not follow from the answers",
        f"'--repair' sets it aside, then {again} makes it anew",
        set_aside=[SetAside(path, None, ("score",))],
    )  # fmt: skip


def _items_of_part(
    subject: Subject, part: str, files: Sequence[_ScoreFile]
) -> Sequence[str] | None:
    for file in files:
        if file.path.stem.partition("@")[1] + file.path.stem.partition("@")[2] == part:
            return list(file.wanted.item_figures)
    return None if part else subject.manifest.items


def _text_follows(
    subject: Subject,
    benchmark: Benchmark,
    judged: JudgedAnswers,
    items: Sequence[str],
    path: Path,
    summary: Path,
) -> bool:
    """Return whether a text file is what the answers give, read as yes or no or as they are."""
    try:
        lines = summary.read_text("utf-8").splitlines()
        present = path.read_text("utf-8")
    except (OSError, ValueError):
        return False
    images = Path(_after(lines, "Image path: "))
    saved = Path(_after(lines, "Save results to: "))
    if saved.parts[-3:] != summary.parts[-3:]:
        return False
    read, _ = read_answers(judged.answers, benchmark.word_questions)
    for answers in (judged.answers, read):
        texts = collect(answers)
        try:
            result = score_benchmark(
                benchmark,
                texts,
                ELLA_REFERENCE,
                num_images=subject.manifest.num_images,
                items=items,
            )
        except DataError:
            return True  # the rule refuses the benchmark now; nothing can be compared
        if path == summary:
            text = results_text(result, images, subject.manifest.model, saved)
        else:
            text = detail_text(benchmark, result, texts, images, _grid_of(subject, present))
        if text == present:
            return True
    return False


def _after(lines: Sequence[str], start: str) -> str:
    return next((line.removeprefix(start) for line in lines if line.startswith(start)), "")


def _grid_of(subject: Subject, detail: str) -> GridSpec:
    """Return the grid whose first tile the first line of a detail file names."""
    tiles, px = subject.manifest.num_images, 512
    grid = subject.grid
    if grid:
        return grid
    _, _, rest = detail.partition(", (0, 0, ")
    numbers = rest.partition(")")[0].split(", ")
    if len(numbers) == 2 and all(n.isdigit() and int(n) for n in numbers):
        width, height = map(int, numbers)
        layout = subject.layout
        return GridSpec(tiles, width, height, layout) if layout else GridSpec(tiles, width, height)
    return GridSpec(tiles, px, px)
