"""Finding judges' answers to the same questions: in runs, answer files and recorded CSVs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.score import Answer
from dpgbench.errors import DataError, UsageError, shortened, unknown_name
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.csv_rows import read_table
from dpgbench.store.recorded_answers import read_recorded_answers
from dpgbench.store.run.answers import read_answer_file
from dpgbench.store.run.directory import RunDir, is_run, newest_run
from dpgbench.store.run.manifest import Manifest, load_same_benchmark, read_manifest

UNNAMED = ""
"""The model of answers that do not say whose images they are about."""


class AnswerKey(NamedTuple):
    """What one answer is about."""

    model: str
    item_id: str
    tile: int
    qid: int


AnswersByKey = Mapping[AnswerKey, Answer]


@dataclass(frozen=True)
class ModelImages:
    """What is recorded of one model's images.

    Attributes:
        num_images: how many an item has.
        items: ids that were to be drawn; None where files of answers are all there is.
    """

    num_images: int
    items: Sequence[str] | None


@dataclass(frozen=True)
class JudgedSet:
    """Several judges' answers about one benchmark.

    Attributes:
        models: by name; more than one where answers about several models are pooled.
        answers: by judge, in the order named; only questions of the benchmark.
        not_in_benchmark: by judge, how many answers were about no question of the benchmark.
        runs: the folders that judges were looked up in.
    """

    benchmark: Benchmark
    models: Mapping[str, ModelImages]
    answers: Mapping[str, AnswersByKey]
    not_in_benchmark: Mapping[str, int]
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


@dataclass(frozen=True)
class _Run:
    """A run that judges are looked up in."""

    directory: RunDir
    manifest: Manifest
    benchmark: Benchmark

    @property
    def model(self) -> str:
        """Whose images the run has."""
        return self.manifest.model


def read_judged(request: JudgesRequest) -> JudgedSet:
    """Return the answers of the judges of a request.

    Raises:
        UsageError: a judge is named twice or unknown, or there is no run and no benchmark.
        DataError: a file cannot be read, or answers one question in two ways.
        SetupError: the benchmark has no questions.
        ResumeMismatchError: the runs or `bench` are about different benchmarks.
    """
    runs = _runs(request)
    benchmark = _benchmark(request, runs)
    benchmark.require_graphs()
    questions = {(row.item_id, row.qid) for rows in benchmark.items.values() for row in rows}
    answers: dict[str, AnswersByKey] = {}
    not_in_benchmark: dict[str, int] = {}
    for label, word in _labels(request.judges).items():
        of_judge = _answers_of(word, request, runs)
        ours = {p: a for p, a in of_judge.items() if (p.item_id, p.qid) in questions}
        not_in_benchmark[label] = len(of_judge) - len(ours)
        answers[label] = {p: a for p, a in ours.items() if not is_missing(a.answer)}
        if not answers[label]:
            raise DataError(
                f"judge {label} has no answer to a question of {benchmark.name}; "
                "check --bench, --run and --where"
            )
    models = _models(runs, answers.values())
    return JudgedSet(
        benchmark, models, answers, not_in_benchmark, [run.directory.path for run in runs]
    )


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


def _run_of(word: str) -> Path | None:
    """Return the run that an answer file lies in."""
    path = Path(word).resolve()
    run = path.parent.parent
    return run if path.suffix == ".jsonl" and is_run(run) else None


def _runs(request: JudgesRequest) -> list[_Run]:
    paths = list(request.runs)
    if not paths:
        files = filter(_is_file, request.judges)
        paths = sorted({run for word in files if (run := _run_of(word))})
    named = any(not _is_file(word) for word in request.judges)
    if not paths and (named or request.bench is None):
        paths = [newest_run().path]
    return [_read_run(path, request.bench) for path in paths]


def _read_run(path: Path, benchmark: str | None) -> _Run:
    directory = RunDir(path)
    manifest = read_manifest(directory.manifest)
    return _Run(directory, manifest, load_same_benchmark(directory.manifest, manifest, benchmark))


def _benchmark(request: JudgesRequest, runs: Sequence[_Run]) -> Benchmark:
    if not runs:
        return load_benchmark(request.bench or "")
    first = runs[0]
    for other in runs[1:]:
        if other.benchmark.graphs_sha256 != first.benchmark.graphs_sha256:
            raise UsageError(
                f"{first.directory.path} and {other.directory.path} are about different "
                "benchmarks; compare judges on one benchmark"
            )
    return first.benchmark


def _answers_of(word: str, request: JudgesRequest, runs: Sequence[_Run]) -> dict[AnswerKey, Answer]:
    if _is_file(word):
        return _of_file(Path(word), request, runs)
    by_key: dict[AnswerKey, Answer] = {}
    for run in runs:
        answers = read_answer_file(run.directory.answers(word))
        if answers and any(key.model == run.model for key in by_key):
            raise UsageError(
                f"judge {word} answered in several runs of model {run.model}; name one --run, "
                "or the answer files themselves"
            )
        by_key |= _placed(run.model, answers)
    if not by_key:
        names = sorted({name for run in runs for name in _judges_in(run)})
        raise unknown_name(
            "judge", word, names or ["(none)"], listing=f"{runs[0].directory.path / 'answers'}"
        )
    return by_key


def _judges_in(run: _Run) -> list[str]:
    """Return the judges by their names, then files of answers that the manifest does not name."""
    recorded = {name: run.directory.answers(name) for name in run.manifest.judges}
    files = sorted((run.directory.path / "answers").glob("*.jsonl"))
    named = [name for name, path in recorded.items() if path in files]
    return named + [path.stem for path in files if path not in recorded.values()]


def _of_file(path: Path, request: JudgesRequest, runs: Sequence[_Run]) -> dict[AnswerKey, Answer]:
    if not path.is_file():
        raise DataError(f"{path} does not exist; name a judge of the run, or a file of answers")
    if path.suffix.lower() == ".jsonl":
        return _placed(_model_of(path, runs), read_answer_file(path))
    if request.model_column is None:
        model = _model_of(path, runs)
        return _placed(model, read_recorded_answers(path, request.where))
    by_key: dict[AnswerKey, Answer] = {}
    for model in _values(path, request.model_column, request.where):
        where = {**request.where, request.model_column: model}
        by_key |= _placed(model, read_recorded_answers(path, where))
    return by_key


def _model_of(path: Path, runs: Sequence[_Run]) -> str:
    """Return the model that a file of answers is about: its run's, or that of the only run."""
    run = _run_of(str(path))
    if run:
        return read_manifest(RunDir(run).manifest).model
    models = {run.model for run in runs}
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


def _placed(model: str, answers: Sequence[Answer]) -> dict[AnswerKey, Answer]:
    return {AnswerKey(model, a.item_id, a.tile, a.qid): a for a in answers}


def _models(runs: Sequence[_Run], answers: Iterable[AnswersByKey]) -> dict[str, ModelImages]:
    """Return the models in the order of the runs, then those that only files speak of."""
    models: dict[str, ModelImages] = {}
    for run in runs:
        images = ModelImages(run.manifest.num_images, tuple(run.manifest.items))
        before = models.setdefault(run.model, images)
        if before.num_images != images.num_images:
            raise UsageError(
                f"runs of model {run.model} have {images.num_images} and "
                f"{before.num_images} images an item; name one --run"
            )
    last_tile: dict[str, int] = {}
    for by_key in answers:
        for key in by_key:
            last_tile[key.model] = max(last_tile.get(key.model, 0), key.tile)
    for model, tile in sorted(last_tile.items()):
        num_images = 4 if tile == 2 else tile + 1  # a grid holds 1, 2 or 4
        models.setdefault(model, ModelImages(num_images, None))
    return models
