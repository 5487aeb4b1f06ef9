"""What a notebook needs: the commands as functions, and their parts in memory.

Listed in `dpgbench.__all__`; everything else may change without notice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from numbers import Real
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from dpgbench.backends import protocols as base
from dpgbench.backends.generators.drawing_options import DrawingOptions, parse_batch_size
from dpgbench.backends.generators.images_api.options import ServerOptions
from dpgbench.backends.generators.plan import GeneratorRequest, make_plan
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.judges import request as judges
from dpgbench.backends.judges.messages import TileQuestions
from dpgbench.backends.judges.own_class import as_judge
from dpgbench.backends.judges.table import DEFAULT_JUDGE
from dpgbench.backends.llms.options import LlmOptions
from dpgbench.domain.answer_text import is_missing
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.own_questions import whole_prompt_questions, with_own_questions
from dpgbench.domain.result import Origin, Result
from dpgbench.domain.rules import ScoringRule, find_rule
from dpgbench.domain.score import (
    Answer,
    Answers,
    collect,
    collect_probabilities,
    refuse_benchmark,
    score_benchmark,
    stray_answers,
)
from dpgbench.domain.score import read_answers as as_read
from dpgbench.engine.options import EngineOptions
from dpgbench.errors import DataError, UsageError, clipped, counted, unknown_name
from dpgbench.jobs import generate as generating
from dpgbench.jobs import score as scoring
from dpgbench.jobs.find_target import ImageOptions, find_target
from dpgbench.jobs.make import make as making
from dpgbench.jobs.make.conversation import MakeSettings
from dpgbench.jobs.make.prompts import load_prompts, prompts_of
from dpgbench.jobs.merge.unmerged import warn_of_unmerged
from dpgbench.jobs.score_images import ask_images
from dpgbench.store.benchmark_table import (
    DPG,
    NamedBenchmark,
    find_named,
    named_benchmarks,
    pulled_folder,
)
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.images import as_image
from dpgbench.store.pull import dpg_upstream, pull
from dpgbench.store.pull_files import pull_files
from dpgbench.store.run.directory import RunDir, find_runs

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

__all__ = [
    "build_report",
    "generate",
    "list_benchmarks",
    "load_benchmark",
    "load_generator",
    "load_judge",
    "make_graphs",
    "pull_benchmark",
    "score",
    "score_answers",
    "score_images",
]


def generate(
    model: str,
    benchmark: Benchmark | str,
    *,
    items: Sequence[str] | None = None,
    out: str | Path | None = None,
    weights: Mapping[str, str] | None = None,
    device: str = "auto",
    revisions: Mapping[str, str] | None = None,
    server: ServerOptions | None = None,
    engine: EngineOptions | None = None,
    batch_size: int | str = 1,
    compile: bool = False,
    **settings: Any,
) -> generating.Generated:
    """Draw the grids that are not there yet; `dpgbench generate` as a function.

    Args:
        model: name as in `dpgbench models`.
        benchmark: loaded, or a name or CSV file.
        items: ids to draw; all where None.
        out: run directory; None is `runs/<model>-<identity>`.
        weights: path by role; roles left out are fetched.
        device: `auto` (CUDA, then MPS, then the CPU), `cpu`, `cuda`, ...
        revisions: of weights that are fetched, by role; roles left out take the table's.
        server: how the server of ``images-api:MODEL`` is asked.
        engine: who draws, and where; None is this process.
        batch_size: items drawn in one call; ``auto`` takes as many as fit into memory.
        compile: have denoiser and VAE compiled.
        settings: fields of `GenerationSpec`, such as `steps=30`, `num_images=1`, `base_seed=7`.

    Raises:
        DpgBenchError: as the command does.
    """
    loaded = load_benchmark(benchmark) if isinstance(benchmark, str) else benchmark
    return generating.generate(
        generating.GenerateRequest(
            generator=GeneratorRequest(
                model,
                weights or {},
                settings,
                device,
                revisions or {},
                server or ServerOptions(),
                DrawingOptions(parse_batch_size(batch_size), compile),
            ),
            benchmark=loaded,
            items=list(loaded.prompts) if items is None else loaded.select(items=items),
            out=None if out is None else Path(out),
            engine=engine or EngineOptions(),
        )
    )


def list_benchmarks() -> dict[str, NamedBenchmark]:
    """Return the table of benchmarks by name: licence, source with blob ids, counts, judge, rule.

    What `dpgbench prompts list --json` prints; whether one is on this machine, `load_benchmark`
    tells.
    """
    return dict(named_benchmarks())


def pull_benchmark(name: str = DPG, source: str | Path | None = None) -> Benchmark:
    """Store a benchmark in the cache, each file verified, and return it.

    Say its licence to whoever sees its numbers: ``list_benchmarks()[name].terms``.

    Args:
        name: as `list_benchmarks` has it.
        source: a folder, an archive, a file or a URL; None is upstream's commit.

    Raises:
        DpgBenchError: as `dpgbench prompts pull` does.
    """
    entry, copy = find_named(name), None if source is None else str(source)
    if name == DPG:
        pull(copy, pulled_folder(name), dpg_upstream())
    elif not entry.ships:
        pull_files(copy, pulled_folder(name), entry)
    return load_benchmark(name)


def load_generator(
    model: str,
    *,
    weights: Mapping[str, str] | None = None,
    device: str = "auto",
    revisions: Mapping[str, str] | None = None,
    server: ServerOptions | None = None,
    compile: bool = False,
    **settings: Any,
) -> base.Generator:
    """Return a generator in memory: `generator.draw(prompt, seeds)` gives one image a seed.

    Args are those of `generate`, with the same defaults.

    Raises:
        UsageError: unknown model, device or setting.
        SetupError: weights are missing or wrong.
    """
    request = GeneratorRequest(
        model,
        weights or {},
        settings,
        device,
        revisions or {},
        server or ServerOptions(),
        DrawingOptions(compile=compile),
    )
    return DrawnWithinMemory(make_plan(request).load())


def load_judge(
    name: str = DEFAULT_JUDGE,
    *,
    weights: Mapping[str, str] | None = None,
    device: str = "auto",
    dtype: str = "float32",
    revision: str | None = None,
    batch_size: int | None = None,
    **options: Any,
) -> base.Judge:
    """Return a judge in memory: `judge.ask(tiles)` answers questions about images.

    Args:
        name: as in `dpgbench judges`.
        weights: path by role.
        device: `auto` (CUDA, then MPS, then the CPU), `cpu`, `cuda`, ...
        dtype: the reference is `float32`.
        revision: of weights that are fetched.
        batch_size: images at once; None leaves it to the judge.
        options: of one family of judges alone, such as `decode="first-token"`.

    Raises:
        UsageError: unknown name, option, role of weights or device.
        SetupError: weights are missing or not what they must be.
    """
    return judges.load_judge(
        judges.judge_request(
            name,
            weights=weights,
            revision=revision,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            **options,
        )
    )


def score_answers(
    benchmark: Benchmark,
    answers: Answers | Iterable[Answer],
    rule: str = "corrected-v1",
    *,
    num_tiles: int | None = None,
    items: Sequence[str] | None = None,
    read_answers: bool = False,
) -> Result:
    """Return the result of answers in memory under a rule; nothing is written.

    Args:
        benchmark: with question graphs.
        answers: `Answer` objects, or text by (item_id, tile) and question number; what holds
            nothing (empty text, `None`, NaN) is a missing answer.
        rule: name, as `dpgbench score --rule` takes it.
        num_tiles: tiles an item must have answers for; None is what the answers to the
            benchmark's items have.
        items: ids to score; all where None.
        read_answers: read answers as yes or no, whatever their case, spaces and marks, before the
            rule sees them.

    Returns:
        Its `warnings` count answers that are about nothing in the benchmark (`stray_answers`) and
        items that were not chosen (`items_not_chosen`).

    Raises:
        DataError: an answer is not text, such as `True`, two answers to one question contradict
            each other, or the rule refuses the benchmark.
        UsageError: there is no such rule or item, or not a tile.
    """
    return _scored(
        benchmark, answers, rule, num_tiles, items, read_answers=read_answers, reasons={}
    )


def _scored(
    benchmark: Benchmark,
    answers: Answers | Iterable[Answer],
    rule: str,
    num_images: int | None,
    items: Sequence[str] | None,
    *,
    read_answers: bool,
    reasons: Mapping[str, str],
    judge: str = "",
) -> Result:
    """Return what `score_answers` returns, with the `reasons` why items have no answers."""
    chosen_rule = find_rule(rule)
    benchmark = _asked_by(chosen_rule, benchmark)
    benchmark.require_graphs()
    checked = _checked_answers(answers)
    words = benchmark.word_questions
    read, num_read = as_read(checked, words) if read_answers else (checked, None)
    if num_images is None:
        about = [answer.tile for answer in checked if answer.item_id in benchmark.items]
        num_images = max(about, default=0) + 1
    if num_images < 1:
        raise UsageError(f"num_tiles {num_images}: at least 1 is needed")
    chosen = list(benchmark.items) if items is None else _chosen(benchmark, items)
    strays = stray_answers(checked, benchmark, num_images)
    result = score_benchmark(
        benchmark,
        collect(read),
        chosen_rule,
        num_images=num_images,
        items=chosen,
        origin=Origin(judge, num_read=num_read, num_strays=len(strays), reasons=reasons),
        probabilities=collect_probabilities(read),
    )
    scoring.warn_strays(strays, benchmark)
    scoring.warn_reading([result])
    return result


def _asked_by(rule: ScoringRule, benchmark: Benchmark) -> Benchmark:
    """Return the benchmark with the question an item that a rule asks, if it asks one."""
    if rule.asks != "prompt":
        return benchmark
    items = list(benchmark.prompts)
    return with_own_questions(benchmark, whole_prompt_questions(benchmark, items, rule.question))


def _chosen(benchmark: Benchmark, items: Sequence[str]) -> list[str]:
    """Return items that have questions, in the benchmark's order.

    Raises:
        UsageError: there is none, or one that the benchmark has not.
    """
    if isinstance(items, str):
        raise UsageError(f"items {items!r}: give a list of ids, such as [{items!r}]")
    for item_id in items:
        if item_id not in benchmark.items:
            raise unknown_name("item", str(item_id), benchmark.items, listing="benchmark.items")
    wanted = set(items)
    if not wanted:
        raise UsageError("items: give one at least, or None for all")
    return [item_id for item_id in benchmark.items if item_id in wanted]


def _checked_answers(answers: Answers | Iterable[Answer]) -> list[Answer]:
    """Return the answers as objects; what holds nothing is an empty text.

    Raises:
        DataError: one is not text or not an answer, a number is none, or two answers to one
            question contradict each other.
    """
    by_question: dict[tuple[str, int, int], Answer] = {}
    for answer in _from_mapping(answers) if isinstance(answers, Mapping) else answers:
        if not isinstance(answer, Answer):
            raise DataError(
                f"{clipped(answer)} is not an answer: give dpgbench.Answer(item_id, tile, qid, "
                "'yes'), or texts by (item_id, tile) and question number"
            )
        checked = _checked(answer)
        item_id, tile, qid = checked.item_id, checked.tile, checked.qid
        first = by_question.setdefault((item_id, tile, qid), checked)
        if (first.answer, first.invalid) != (checked.answer, checked.invalid):
            raise DataError(
                f"answers contradict each other: item {item_id} tile {tile} question {qid} is "
                f"{clipped(first.answer)} and {clipped(checked.answer)}"
            )
    return list(by_question.values())


def _from_mapping(answers: Mapping[Any, Any]) -> Iterator[Answer]:
    for key, texts in answers.items():
        if not isinstance(key, tuple) or len(key) != 2 or not isinstance(texts, Mapping):
            raise DataError(
                f"answers of {clipped(key)}: give texts by (item_id, tile) and question number, "
                "such as {('few_000', 0): {1: 'yes'}}"
            )
        yield from (Answer(*key, qid, text) for qid, text in texts.items())


def _checked(answer: Answer) -> Answer:
    """Return an answer with its text, empty where it holds nothing, and whole numbers.

    Raises:
        DataError: it has anything else.
    """
    place = f"question {answer.qid} of item {answer.item_id}, tile {answer.tile}"
    text: object = answer.answer
    if not is_missing(str(text)) and not isinstance(text, str):
        raise DataError(
            f"answer {text!r} to {place}, is of type {type(text).__name__}, not text: write 'yes' "
            "or 'no'"
        )
    try:
        tile, qid = index(answer.tile), index(answer.qid)
    except TypeError:
        raise DataError(
            f"answer {text!r} to {place}: tile and question are whole numbers, not of type "
            f"{type(answer.tile).__name__} and {type(answer.qid).__name__}"
        ) from None
    for name, value in (("p_yes", answer.p_yes), ("p_answer", answer.p_answer)):
        if value is not None and not _is_probability(value):
            raise DataError(f"{name} {clipped(value)} to {place}, is no number from 0 to 1")
    return answer._replace(tile=tile, qid=qid, answer="" if is_missing(str(text)) else str(text))


def _is_probability(value: object) -> bool:
    number = isinstance(value, Real) and not isinstance(value, bool)
    return number and 0 <= cast("float", value) <= 1


@overload
def score_images(
    benchmark: Benchmark,
    images: Mapping[str, Sequence[Image | Tensor]],
    judge: base.Judge,
    rule: str = "corrected-v1",
    *,
    read_answers: bool = False,
) -> Result: ...


@overload
def score_images(
    benchmark: Benchmark,
    images: Mapping[str, Sequence[Image | Tensor]],
    judge: base.Judge | Mapping[str, base.Judge],
    rule: str | Sequence[str] = "corrected-v1",
    *,
    read_answers: bool = False,
) -> Result | list[Result]: ...


def score_images(
    benchmark: Benchmark,
    images: Mapping[str, Sequence[Image | Tensor]],
    judge: base.Judge | Mapping[str, base.Judge],
    rule: str | Sequence[str] = "corrected-v1",
    *,
    read_answers: bool = False,
) -> Result | list[Result]:
    """Return the result of images in memory: `images[item_id]` are the tiles of one item.

    Each judge is asked once, however many rules score its answers.

    Args:
        benchmark: with question graphs.
        images: as many tiles for each item: Pillow images of any size, or tensors [3, H, W],
            integers from 0 to 255 or floating point from 0 to 1.
        judge: from `load_judge`; or several by name.
        rule: name, as `dpgbench score --rule` takes it; or several.
        read_answers: as in `score_answers`.

    Returns:
        The result of one judge under one rule. Where judges are given by name, or several rules,
        a list: each judge under each rule, in their order, with `judge` and `rule` in each result.

    Raises:
        UsageError: there is no such item or rule, no judge, or not as many tiles for each item.
        DataError: a rule refuses the benchmark.
        IncompleteError: nearly all answers of a judge are neither yes nor no.
    """
    rules = [rule] if isinstance(rule, str) else list(dict.fromkeys(rule))
    named = [find_rule(name) for name in rules]
    if len(named) > 1 and any(one.asks == "prompt" for one in named):
        raise UsageError(f"rule {rules}: one that asks about the whole prompt goes alone")
    asked_benchmark = _asked_by(named[0], benchmark) if named else benchmark
    asked_benchmark.require_graphs()
    by_name = judge if isinstance(judge, Mapping) else {"": judge}
    if not by_name or not rules:
        raise UsageError(f"{'rule' if by_name else 'judge'}: name one at least")
    for each in by_name.values():
        if not any(callable(getattr(each, name, None)) for name in ("ask", "stream")):
            raise UsageError(
                f"judge: {str(each)[:100]!r} of type {type(each).__name__} is none; load_judge "
                "gives one, and several go by name: {name: judge}"
            )
    for one in named:
        refuse_benchmark(asked_benchmark, one)
    num_images = _num_images(asked_benchmark, images)
    forms = asked_benchmark.is_worded or any(one.of_right_answers for one in named)
    tiles = [
        TileQuestions.of(
            item_id, number, as_image(image), asked_benchmark.items[item_id], forms=forms
        )
        for item_id, drawn in images.items()
        for number, image in enumerate(drawn)
    ]
    results = []
    for name, each in by_name.items():
        asked = ask_images(each, name or as_judge(each).class_name.rpartition(":")[2], tiles)
        results += [
            _scored(
                benchmark,
                asked.answers,
                rule_name,
                num_images,
                list(images),
                read_answers=read_answers,
                reasons=asked.reasons,
                judge=name,
            )
            for rule_name in rules
        ]
    several = isinstance(judge, Mapping) or not isinstance(rule, str)
    return results if several else results[0]


def _num_images(benchmark: Benchmark, images: Mapping[str, Sequence[Any]]) -> int:
    """Return how many tiles each item has.

    Raises:
        UsageError: an id that the benchmark has not, no images, or not as many for each item.
    """
    for item_id in images:
        if item_id not in benchmark.items:
            raise unknown_name(
                "item", str(item_id), benchmark.items, listing="dpgbench prompts list"
            )
    counts = {item_id: len(drawn) for item_id, drawn in images.items()}
    if not counts:
        raise UsageError("images: give the tiles of at least one item")
    first, num_images = next(iter(counts.items()))
    for item_id, count in counts.items():
        if not count:
            raise UsageError(f"images: item {item_id} has no tiles; leave it out or give some")
        if count != num_images:
            raise UsageError(
                f"images: item {first} has {counted(num_images, 'tile')} and item {item_id} "
                f"{count}; give as many for each item"
            )
    return num_images


def score(
    target: str | Path,
    *,
    bench: str | None = None,
    judge: base.JudgeRequest | str = DEFAULT_JUDGE,
    rules: Sequence[str] = (),
    num_images: int | None = None,
    tile_px: int | None = None,
    layout: str | None = None,
    pattern: str | None = None,
    images: str | Path | None = None,
    verify: bool = True,
    out: str | Path | None = None,
    partial: bool = False,
    read_answers: bool = False,
    ask_invalid_again: bool = False,
    engine: EngineOptions | None = None,
) -> scoring.Scored:
    """Ask what was not asked yet, then score; `dpgbench score` as a function.

    Args:
        target: a run, or a folder of images named after the items.
        bench: benchmark name or CSV file; None is the run's own, or `dpg`.
        judge: name, or a request with weights, device and precision.
        rules: names of scoring rules; none are the judge's own, or the usual ones.
        num_images: tiles in each image; None is the run's own, or 4.
        tile_px: side of a square tile; None finds it from the images.
        layout: rows and columns of tiles in an image, such as `1x4`; None is 2x2 for 4.
        pattern: where files are in the folder, such as `{item_id}/samples/{tile:04d}.png`.
        images: folder that a run's images are in now.
        verify: compare images with the hashes that the run has of them.
        out: run directory for a folder of images.
        partial: missing images are expected.
        read_answers: read answers as yes or no, whatever their case, spaces and marks, before any
            rule sees them.
        ask_invalid_again: answers that are neither yes nor no are asked anew.
        engine: who asks, and where; None is this process.

    Raises:
        DpgBenchError: as the command does; where more than a fifth of a judge's answers are neither
            yes nor no, the error stands in `Scored.refused`.
    """
    run_or_folder = find_target(
        Path(target),
        bench=bench,
        image_options=ImageOptions.of(
            num_images=num_images,
            tile_px=tile_px,
            layout=layout,
            pattern=pattern,
            images=None if images is None else Path(images),
            verify=verify,
        ),
        out=None if out is None else Path(out),
    )
    engine = engine or EngineOptions()
    if isinstance(judge, str):
        judge = judges.judge_request(judge, elsewhere=engine.address is not None)
    return scoring.score(
        run_or_folder,
        scoring.ScoreRequest(
            rules=rules,
            judge=judge,
            partial=partial,
            read_answers=read_answers,
            ask_invalid_again=ask_invalid_again,
            engine=engine,
        ),
    )


def make_graphs(
    prompts: Benchmark | Mapping[str, str] | str | Path,
    llm: str,
    *,
    out: str | Path | None = None,
    items: Sequence[str] | None = None,
    options: LlmOptions | None = None,
    examples: str | Path | None = None,
    again: bool = False,
    **settings: Any,
) -> making.Made:
    """Have a language model write question graphs; `dpgbench prompts make` as a function.

    Args:
        prompts: prompts by id, a list of prompts, a folder of texts, or any benchmark.
        llm: ``openai:MODEL``, ``hf:REPO``, or ``shapes`` (a parser of that benchmark's captions).
        out: folder, or the CSV; None is `made/<name>` (of prompts by id: `made/prompts`).
        items: ids; all where None.
        options: server, prices, caps, device.
        examples: question file with the graphs that the model is shown; None is our own.
        again: ask anew for items that failed.
        settings: fields of `MakeSettings`: `max_questions`, `mode`, `text_check`, `max_tokens`.

    Returns:
        Paths (`files`), counts, and why items have no graph (`failures`); `benchmark()` is what was
        made. Where a cap ended the work, the error stands in `stopped`.

    Raises:
        DpgBenchError: as the command does, but for prompts without a graph.
    """
    if isinstance(prompts, Mapping):
        loaded = prompts_of(prompts)
    else:
        loaded = prompts if isinstance(prompts, Benchmark) else load_prompts(prompts)
    unknown = sorted(set(settings) - {field.name for field in fields(MakeSettings)})
    if unknown:
        raise UsageError(
            f"unknown setting '{unknown[0]}'; there are max_questions, mode, text_check, max_tokens"
        )
    return making.make(
        making.MakeRequest(
            loaded,
            llm,
            list(loaded.prompts) if items is None else loaded.select(items=items),
            options or LlmOptions(),
            MakeSettings(**settings),
            None if out is None else Path(out),
            None if examples is None else Path(examples),
            again,
        )
    )


def build_report(
    runs: Sequence[str | Path | RunDir],
    out: str | Path = "report",
    *,
    published: bool = True,
    embed: Literal["none", "thumbs"] = "none",
    figures: str | Path | None = None,
    latex: str | Path | None = None,
    cards: str | Path | None = None,
    verify: bool = True,
) -> list[Path]:
    """Write the leaderboard of some runs as CSV, Markdown, LaTeX and HTML, and return the paths.

    Args:
        out: a folder, or the name that the HTML file is to have; the others lie beside it.
        published: show published scores too, apart.
        embed: ``thumbs`` puts small copies of the pictures into the page.
        figures: folder for figures as SVG, PDF and PNG, made by matplotlib (extra ``figures``).
        latex: folder for each LaTeX table in a file of its own.
        cards: folder for Markdown of each run, for its model's card.
        verify: check pictures against the hashes in each run's log.
    """
    from dpgbench.report import ReportOptions  # noqa: PLC0415 - loads the report only here
    from dpgbench.report import build_report as build  # noqa: PLC0415 - as above

    directories = [run if isinstance(run, RunDir) else find_runs([Path(run)])[0] for run in runs]
    warn_of_unmerged(directories)
    options = ReportOptions(
        published,
        embed,
        figures=None if figures is None else Path(figures),
        latex=None if latex is None else Path(latex),
        cards=None if cards is None else Path(cards),
        verify=verify,
    )
    return build(directories, Path(out), options)
