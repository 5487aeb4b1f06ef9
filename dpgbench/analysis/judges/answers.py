"""Finding judges' answers to the same questions: in runs, answer files and recorded CSVs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.score import Answer
from dpgbench.errors import DataError, UsageError, shortened, unknown_name
from dpgbench.jobs.find_target import target_of_run
from dpgbench.jobs.target import Target
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.csv_rows import read_table
from dpgbench.store.recorded_answers import read_recorded_answers
from dpgbench.store.run.answers import read_answer_file
from dpgbench.store.run.directory import RunDir, is_run, newest_run
from dpgbench.store.run.manifest import read_manifest

UNNAMED = ""
"""The model of answers that do not say whose images they are about."""


class Place(NamedTuple):
    """What one answer is about."""

    model: str
    item_id: str
    tile: int
    qid: int


@dataclass(frozen=True)
class Drawn:
    """What is known of one model's images.

    Attributes:
        num_tiles: how many an item has.
        items: ids that were to be drawn; None where files of answers are all there is.
    """

    num_tiles: int
    items: Sequence[str] | None


@dataclass(frozen=True)
class JudgedSet:
    """Several judges' answers about one benchmark.

    Attributes:
        models: by name; more than one where answers about several models are pooled.
        answers: by judge, in the order named; only questions of the benchmark.
        strangers: by judge, how many answers were about no question of the benchmark.
    """

    benchmark: Benchmark
    models: Mapping[str, Drawn]
    answers: Mapping[str, Mapping[Place, Answer]]
    strangers: Mapping[str, int]
    runs: Sequence[Path] = ()


@dataclass(frozen=True)
class JudgesRequest:
    """Whose answers are wanted.

    Attributes:
        judges: names of judges in the runs, or files: `.jsonl` as runs hold, `.csv` as recorded.
        runs: where names are looked up; none is the newest run, where one is needed.
        bench: benchmark name or CSV; None is the run's own.
        where: rows of CSVs, as column and value.
        model_column: column of CSVs that names the model whose image a row is about.
    """

    judges: Sequence[str]
    runs: Sequence[Path] = ()
    bench: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)
    model_column: str | None = None


def read_judged(request: JudgesRequest) -> JudgedSet:
    """Return the answers of the judges of a request.

    Raises:
        UsageError: a judge is named twice or unknown, or there is no run and no benchmark.
        DataError: a file cannot be read, or answers one question in two ways.
        SetupError: the benchmark has no questions.
        ResumeMismatchError: the runs or `bench` are about different benchmarks.
    """
    subjects = _subjects(request)
    benchmark = _benchmark(request, subjects)
    benchmark.require_graphs()
    known = {(row.item_id, row.qid) for rows in benchmark.items.values() for row in rows}
    answers: dict[str, Mapping[Place, Answer]] = {}
    strangers: dict[str, int] = {}
    for label, word in _labels(request.judges).items():
        found = _answers_of(word, request, subjects)
        ours = {p: a for p, a in found.items() if (p.item_id, p.qid) in known}
        strangers[label] = len(found) - len(ours)
        answers[label] = {p: a for p, a in ours.items() if not is_missing(a.answer)}
        if not answers[label]:
            raise DataError(
                f"judge {label} has no answer to a question of {benchmark.name}; "
                "check --bench, --run and --where"
            )
    models = _models(subjects, answers)
    return JudgedSet(benchmark, models, answers, strangers, [s.run.path for s in subjects])


def _is_file(word: str) -> bool:
    return Path(word).suffix.lower() in (".csv", ".jsonl")


def _labels(words: Sequence[str]) -> dict[str, str]:
    """Return the words by what the judges are called: a file by its stem, where that is enough."""
    names = [Path(word).stem if _is_file(word) else word for word in words]
    clear = len(set(names)) == len(names)
    labels = dict(zip(names if clear else words, words, strict=True))
    if len(labels) < len(words):
        raise UsageError(f"judges {', '.join(words)}: one is named twice; name different ones")
    return labels


def _home(word: str) -> Path | None:
    """Return the run that an answer file lies in."""
    path = Path(word).resolve()
    run = path.parent.parent
    return run if path.suffix == ".jsonl" and is_run(run) else None


def _subjects(request: JudgesRequest) -> list[Target]:
    paths = list(request.runs)
    if not paths:
        paths = sorted(
            {home for word in request.judges if _is_file(word) and (home := _home(word))}
        )
    named = any(not _is_file(word) for word in request.judges)
    if not paths and (named or request.bench is None):
        paths = [newest_run().path]
    return [target_of_run(path, request.bench) for path in paths]


def _benchmark(request: JudgesRequest, subjects: Sequence[Target]) -> Benchmark:
    if not subjects:
        return load_benchmark(request.bench or "")
    first = subjects[0]
    for other in subjects[1:]:
        if other.benchmark.graphs_sha256 != first.benchmark.graphs_sha256:
            raise UsageError(
                f"{first.run.path} and {other.run.path} are about different benchmarks; "
                "compare judges on one benchmark"
            )
    return first.benchmark


def _answers_of(
    word: str, request: JudgesRequest, subjects: Sequence[Target]
) -> dict[Place, Answer]:
    if _is_file(word):
        return _of_file(Path(word), request, subjects)
    found: dict[Place, Answer] = {}
    for subject in subjects:
        given = read_answer_file(subject.run.answers(word))
        model = subject.manifest.model
        if given and any(place.model == model for place in found):
            raise UsageError(
                f"judge {word} answered in several runs of model {model}; name one --run, "
                "or the answer files themselves"
            )
        found |= _placed(model, given)
    if not found:
        known = sorted({name for subject in subjects for name in _judges_in(subject.run)})
        raise unknown_name(
            "judge", word, known or ["(none)"], listing=f"{subjects[0].run.path / 'answers'}"
        )
    return found


def _judges_in(run: RunDir) -> list[str]:
    """Return the judges by their names, then files of answers that the manifest does not know."""
    known = {name: run.answers(name) for name in read_manifest(run.manifest).judges}
    files = sorted((run.path / "answers").glob("*.jsonl"))
    named = [name for name, path in known.items() if path in files]
    return named + [path.stem for path in files if path not in known.values()]


def _of_file(path: Path, request: JudgesRequest, subjects: Sequence[Target]) -> dict[Place, Answer]:
    if not path.is_file():
        raise DataError(f"{path} does not exist; name a judge of the run, or a file of answers")
    if path.suffix.lower() == ".jsonl":
        return _placed(_model_of(path, subjects), read_answer_file(path))
    if request.model_column is None:
        model = _model_of(path, subjects)
        return _placed(model, read_recorded_answers(path, request.where))
    found: dict[Place, Answer] = {}
    for model in _values(path, request.model_column, request.where):
        where = {**request.where, request.model_column: model}
        found |= _placed(model, read_recorded_answers(path, where))
    return found


def _model_of(path: Path, subjects: Sequence[Target]) -> str:
    """Return the model that a file of answers is about: its run's, or that of the only run."""
    home = _home(str(path))
    if home:
        return read_manifest(RunDir(home).manifest).model
    models = {subject.manifest.model for subject in subjects}
    if len(models) > 1:
        raise UsageError(
            f"{path}: whose images is it about: {shortened(sorted(models))}? "
            "name one --run, or a --model-column"
        )
    return models.pop() if models else UNNAMED


def _values(path: Path, column: str, where: Mapping[str, str]) -> list[str]:
    """Return the values of a column in the chosen rows, sorted."""
    values = {
        cells[column]
        for _, cells in read_table(path, (column, *where))
        if all(cells[name] == value for name, value in where.items())
    }
    if not values:
        chosen = ", ".join(f"{name}={value}" for name, value in where.items())
        raise UsageError(f"{path} has no row with {chosen}; check --where")
    return sorted(values)


def _placed(model: str, answers: Sequence[Answer]) -> dict[Place, Answer]:
    return {Place(model, a.item_id, a.tile, a.qid): a for a in answers}


def _models(
    subjects: Sequence[Target], answers: Mapping[str, Mapping[Place, Answer]]
) -> dict[str, Drawn]:
    """Return the models in the order of the runs, then those that only files speak of."""
    models: dict[str, Drawn] = {}
    for subject in subjects:
        drawn = Drawn(subject.num_images, tuple(subject.items))
        if models.setdefault(subject.manifest.model, drawn).num_tiles != drawn.num_tiles:
            raise UsageError(
                f"runs of model {subject.manifest.model} have {drawn.num_tiles} and "
                f"{models[subject.manifest.model].num_tiles} images an item; name one --run"
            )
    last: dict[str, int] = {}
    for given in answers.values():
        for place in given:
            last[place.model] = max(last.get(place.model, 0), place.tile)
    for model, tile in sorted(last.items()):
        num_tiles = 4 if tile == 2 else tile + 1  # a grid holds 1, 2 or 4
        models.setdefault(model, Drawn(num_tiles, None))
    return models
