"""Finding what is to be scored: from a run, a folder of images, or a file of answers."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast

from dpgbench.backends.judges.compbench import DetectionsJudge
from dpgbench.backends.judges.request import load_judge
from dpgbench.backends.protocols import JudgeRequest
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.score import Answer
from dpgbench.domain.shard import Shard
from dpgbench.domain.spec import (
    Layout,
    check_num_images,
    default_layout,
    find_layout,
    identity_hash,
)
from dpgbench.errors import DataError, DpgBenchError, UsageError, counted, shortened
from dpgbench.jobs.merge.unmerged import unmerged
from dpgbench.jobs.own_questions import ask_own_questions
from dpgbench.jobs.target import Target, log_images
from dpgbench.store.benchmark_table import DPG, asked_by_name
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.compbench import COMPBENCH
from dpgbench.store.image_files import ImagePattern, count_tiles, find_images
from dpgbench.store.prompt_files import prompt_pattern_of
from dpgbench.store.run.answers import answers_sha256, write_answer_file
from dpgbench.store.run.directory import (
    RunDir,
    default_run,
    is_run,
    newest_run,
    refuse_foreign_folder,
    refuse_unmerged,
)
from dpgbench.store.run.manifest import (
    GenerationRecord,
    Identity,
    JudgeRecord,
    Manifest,
    RunKind,
    describe_benchmark,
    environment,
    find_recorded_benchmark,
    load_same_benchmark,
    read_manifest,
)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ItemChoice:
    """Which items of a benchmark are wanted.

    Attributes:
        limit: the first so many of those that the others leave; None is all.
        items: these ids; none is all.
        sources: items of one of these sources; none is all.
    """

    limit: int | None = None
    items: Sequence[str] = ()
    sources: Sequence[str] = ()

    def of(self, benchmark: Benchmark, among: Iterable[str] | None = None) -> list[str]:
        """Return the ids; where nothing is chosen `among` (what a run set out to do), or all."""
        if self.limit is not None or self.items or self.sources:
            return benchmark.select(limit=self.limit, items=self.items, sources=self.sources)
        return benchmark.select() if among is None else list(among)


def has_item_source(path: Path, bench: str | None, sources: Sequence[str]) -> bool:
    """Return whether the benchmark of a run or a folder has items of one of `sources`.

    False where it cannot be read: what is wrong with it is reported when the target is found.
    """
    try:
        if bench is None and is_run(path):
            bench = find_recorded_benchmark(read_manifest(RunDir(path).manifest).benchmark)
        return bool(load_benchmark(bench or DPG).select(sources=sources))
    except (DpgBenchError, LookupError):
        return False


@dataclass(frozen=True)
class ImageOptions:
    """What a user says of images.

    Attributes:
        num_images: tiles of each item, 1 to 10; None is what the layout or the pattern has, or
            what the benchmark's authors draw, or 4.
        tile_px: side of a square tile; None finds it from the images.
        layout: rows and columns of tiles in an image; None assumes the usual ones.
        pattern: where the files of an item are in a folder; None is `<item_id>.png`.
        images: folder that a run's images are in now.
        verify: compare images with the hashes that the run has of them.
    """

    num_images: int | None = None
    tile_px: int | None = None
    layout: Layout | None = None
    pattern: ImagePattern | None = None
    images: Path | None = None
    verify: bool = True

    @classmethod
    def of(
        cls,
        *,
        layout: str | None = None,
        pattern: str | None = None,
        num_images: int | None = None,
        tile_px: int | None = None,
        images: Path | None = None,
        verify: bool = True,
    ) -> ImageOptions:
        """Return the options with layout and pattern as a user writes them.

        Raises:
            UsageError: there is no such layout or pattern, or the options exclude each other.
        """
        return cls(
            num_images=num_images,
            tile_px=tile_px,
            layout=find_layout(layout) if layout else None,
            pattern=ImagePattern(pattern) if pattern else None,
            images=images,
            verify=verify,
        )

    def __post_init__(self) -> None:
        if self.num_images is not None:
            check_num_images(self.num_images)
        if self.layout and self.num_images not in (None, self.layout.num_images):
            has = counted(self.layout.num_images, "tile")
            raise UsageError(
                f"--layout {self.layout} has {has}, not --num-images {self.num_images}"
            )
        if self.layout and self.pattern and self.pattern.has_tiles and self.layout.num_images > 1:
            raise UsageError(
                f"--layout {self.layout} is for images that hold several tiles; by --pattern "
                f"{self.pattern.text} each tile is a file of its own"
            )


def find_target(
    target: Path | None,
    *,
    bench: str | None = None,
    image_options: ImageOptions | None = None,
    item_choice: ItemChoice | None = None,
    out: Path | None = None,
    name: str | None = None,
    shard: Shard | None = None,
) -> Target:
    """Return what `target` is: a run, or a folder of images; None is the newest run.

    Args are those of `target_of_run` and `target_of_images`.

    Args:
        shard: the part of it that is wanted, as a target of its own; None is all.

    Raises:
        UsageError: its shards are not merged.
    """
    image_options = image_options or ImageOptions()
    path = target or newest_run().path
    if shard and not is_run(path) and RunDir(path).shards():
        return _own_shard(path, shard, bench, image_options, item_choice)
    refuse_unmerged(path)
    if is_run(path):
        whole = target_of_run(path, bench, image_options, item_choice)
    else:
        whole = _target_of_folder(path, bench, image_options, item_choice, out=out, name=name)
    if shard is None:
        refuse_unmerged(whole.run.path)
    _refuse_newer_shards(whole.run, answers=shard is None)
    return part_of_target(whole, shard) if shard else whole


def _target_of_folder(
    path: Path,
    bench: str | None,
    image_options: ImageOptions,
    item_choice: ItemChoice | None,
    *,
    out: Path | None,
    name: str | None,
) -> Target:
    if not path.exists():
        raise DataError(f"{path} is not there; name a run or a folder of images")
    if image_options.images:
        raise UsageError(
            f"--images {image_options.images} is for a run whose images moved; {path} is no run"
        )
    return target_of_images(
        path,
        load_benchmark(bench or DPG),
        image_options=image_options,
        item_choice=item_choice,
        out=out,
        name=name,
    )


def _refuse_newer_shards(run: RunDir, *, answers: bool) -> None:
    """Raise where shards of a run have what the run has not: it would be done twice.

    Args:
        run: the run.
        answers: answers count too, not only images.

    Raises:
        UsageError: has the command that merges them.
    """
    for shard, part in run.shards().items() if is_run(run.path) else ():
        if what := unmerged(part, run, answers=answers):
            raise UsageError(
                f"{run.path}: its shard {shard} has {what} that are not merged: "
                f"dpgbench merge {shlex.quote(str(run.path))}"
            )


def _own_shard(
    path: Path,
    shard: Shard,
    bench: str | None,
    image_options: ImageOptions,
    item_choice: ItemChoice | None,
) -> Target:
    """Return a shard of a run that is not merged yet, with the images that it has drawn itself.

    Raises:
        UsageError: there is no such shard.
    """
    run = RunDir(path).shard(shard)
    if not is_run(run.path):
        has = shortened([str(shard) for shard in RunDir(path).shards()])
        raise UsageError(
            f"--shard {shard}: {path} has the shards {has}; name one of these, or merge them "
            f"first to divide the run anew: dpgbench merge {shlex.quote(str(path))}"
        )
    target = target_of_run(run.path, bench, image_options, item_choice)
    target.items = [item for item in target.items if item in set(target.manifest.items)]
    target.shard = shard
    return target


def part_of_target(whole: Target, shard: Shard) -> Target:
    """Return a part of what is to be judged, with a run directory of its own in the whole one's.

    What the whole run has answers to already is not asked again.
    """
    home = whole.run if is_run(whole.run.path) else None
    kept: tuple[Literal["device", "weights", "folder", "layout", "shuffled"], ...]
    kept = ("device", "weights", "folder", "layout", "shuffled")
    generation = whole.manifest.generation
    manifest = replace(
        whole.manifest,
        items=[],
        generation=cast(
            "GenerationRecord", {name: generation[name] for name in kept if name in generation}
        ),
        judges={},
        notes=list(whole.manifest.notes),
        commands=[],
        created="",
        completed=None,
        file_names={},
    )
    return replace(
        whole,
        run=whole.run.shard(shard),
        manifest=manifest,
        items=shard.items(whole.items),
        shard=shard,
        chosen=whole.items,
        home=home,
    )


def target_of_run(
    path: Path,
    benchmark: str | None = None,
    image_options: ImageOptions | None = None,
    item_choice: ItemChoice | None = None,
) -> Target:
    """Return a run made by `dpgbench generate` or by an earlier `dpgbench score`.

    Raises:
        ResumeMismatchError: `benchmark` has other prompts than the run.
        UsageError: `image_options` say something else of its images than the run has.
    """
    image_options = image_options or ImageOptions()
    run = RunDir(path)
    manifest = read_manifest(run.manifest)
    loaded = load_same_benchmark(run.manifest, manifest, benchmark)
    target = Target(
        run,
        manifest,
        loaded,
        (item_choice or ItemChoice()).of(loaded, manifest.items),
        manifest.num_images,
        verify=image_options.verify,
    )
    if manifest.kind == "answers":
        target.recorded_judge = next(iter(manifest.judges), target.recorded_judge)
    elif manifest.kind == "generated":
        target.folder, target.grid = run.images, manifest.grid
    elif manifest.kind == "images":
        layout, pattern = manifest.identity.get("layout"), manifest.identity.get("pattern")
        layout = layout or manifest.generation.get("layout")
        target.folder = Path(manifest.generation["folder"])
        target.tile_px = manifest.identity.get("tile_px")
        target.layout = find_layout(layout) if layout else None
        target.pattern = ImagePattern(pattern) if pattern else None
        target.before_work = log_images
    _check_options(target, image_options)
    return target


def _check_options(target: Target, options: ImageOptions) -> None:
    """Take the images' new folder; refuse what does not fit the run."""
    path, manifest = target.run.path, target.manifest
    if options.num_images not in (None, manifest.num_images):
        raise UsageError(
            f"--num-images {options.num_images}: {path} has {manifest.num_images} images an item"
        )
    sides = {target.tile_px}
    if target.grid:
        sides = {target.grid.tile_width_px, target.grid.tile_height_px}
    if options.tile_px is not None and sides != {options.tile_px}:
        has = " and ".join(str(side) for side in sides if side) or "none"
        raise UsageError(f"--tile-px {options.tile_px}: {path} has {has}; choose another --out")
    layout = target.layout or default_layout(manifest.num_images)
    if options.layout not in (None, layout):
        raise UsageError(f"--layout {options.layout}: {path} has {layout}; choose another --out")
    if options.pattern not in (None, target.pattern):
        has = f"--pattern {target.pattern.text}" if target.pattern else "no pattern"
        raise UsageError(
            f"--pattern {options.pattern.text}: {path} has {has}; choose another --out"
        )
    if options.images is None:
        return
    if manifest.kind == "answers":
        raise UsageError(f"--images {options.images}: {path} has recorded answers, not images")
    if not options.images.is_dir():
        raise DataError(
            f"--images {options.images} is not a folder; name the one of the run's images"
        )
    target.folder = options.images
    target.moved = manifest.kind == "images"


def target_of_images(
    folder: Path,
    benchmark: Benchmark,
    *,
    image_options: ImageOptions,
    item_choice: ItemChoice | None = None,
    out: Path | None = None,
    name: str | None = None,
) -> Target:
    """Return a folder of other people's images, named after the items.

    Args:
        folder: of images.
        benchmark: that they are about.
        image_options: tiles, layout, and where the files are.
        item_choice: items that are wanted; None is all.
        out: run directory; None is one under `runs/`.
        name: model name for the leaderboard; None is the folder's name.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; name a run or a folder of images")
    image_options = _with_samples(folder, benchmark, image_options)
    num_images, pattern = _num_images(folder, benchmark, image_options), image_options.pattern
    assumed = default_layout(num_images)
    identity = _identity(benchmark, num_images)
    identity["tile_px"] = image_options.tile_px
    if image_options.layout not in (None, assumed):
        identity["layout"] = str(image_options.layout)
    if pattern:
        identity["pattern"] = pattern.text
    label = name or folder.resolve().name
    target = _fresh_target(
        "images",
        label,
        identity,
        benchmark,
        num_images,
        out=out,
        source=folder,
        item_choice=item_choice,
    )
    target.manifest.generation = {"folder": str(folder.resolve())}
    if image_options.layout:
        target.manifest.generation["layout"] = str(image_options.layout)
    target.folder, target.tile_px = folder, image_options.tile_px
    target.layout, target.pattern = image_options.layout, pattern
    target.verify = image_options.verify
    target.fresh = not is_run(target.run.path)
    target.before_work = log_images
    return target


def _with_samples(folder: Path, benchmark: Benchmark, options: ImageOptions) -> ImageOptions:
    """Return the options with the pattern of T2I-CompBench's own files, where a folder has them."""
    if benchmark.name != COMPBENCH or options.pattern or options.layout:
        return options
    if find_images(folder, benchmark.prompts):
        return options
    text = prompt_pattern_of(folder, benchmark.prompts)
    return replace(options, pattern=ImagePattern(text)) if text else options


def _num_images(folder: Path, benchmark: Benchmark, options: ImageOptions) -> int:
    if options.num_images is not None:
        return options.num_images
    if options.pattern and options.pattern.has_tiles:
        return count_tiles(folder, options.pattern, benchmark.prompts) or 4
    if options.layout:
        return options.layout.num_images
    named = asked_by_name(benchmark)
    return named.images if named else 4


def target_of_answers(
    answers: Sequence[Answer],
    benchmark: Benchmark,
    *,
    source: Path,
    where: Mapping[str, str],
    num_images: int | None = None,
    item_choice: ItemChoice | None = None,
    out: Path | None = None,
    name: str | None = None,
) -> Target:
    """Return recorded answers; neither images nor a judge are needed.

    Args:
        source: the file that they were read from.
        where: the rows that were chosen.
        num_images: tiles an item must have; None is what the file has of the benchmark's items.
        item_choice: items that are wanted; None is all.
        out: run directory; None is one under `runs/`.
        name: model name for the leaderboard; None is what was chosen of the file, or its name.
    """
    if num_images is None:
        num_images = _num_images_of(answers, benchmark)
    identity = _identity(benchmark, check_num_images(num_images))
    identity["answers_sha256"] = answers_sha256(answers)
    label = name or (", ".join(where.values()) if where else source.stem)
    target = _fresh_target(
        "answers",
        label,
        identity,
        benchmark,
        num_images,
        out=out,
        source=source,
        item_choice=item_choice,
    )
    target.manifest.generation = {"answers": source.name, "where": dict(where)}
    target.manifest.judges["replay"] = {"model": f"recorded answers ({source.name})"}
    target.before_work = lambda current: _store_answers(current, answers)
    return target


def target_of_detections(
    judge: JudgeRequest,
    benchmark: Benchmark,
    *,
    num_images: int | None = None,
    item_choice: ItemChoice | None = None,
    out: Path | None = None,
    name: str | None = None,
) -> Target:
    """Return the answers of a judge of detections, without a look at any image.

    Args:
        judge: with ``detections``.
        benchmark: whose prompts they are about.
        num_images: images an item must have; None is what the file has of the benchmark's items.
        item_choice: items that are wanted; None is all that the judge is for.
        out: run directory; None is one under `runs/`.
        name: model name for the leaderboard; None is the file's.
    """
    loaded = load_judge(judge)
    if not isinstance(loaded, DetectionsJudge):
        raise UsageError(
            f"--detections: judge {judge.name} looks at images; name a run or a folder"
        )
    answers: list[Answer] = []
    reasons: dict[str, str] = {}
    for item_id, tile in loaded.detections:
        if item_id not in benchmark.prompts:
            answers.append(Answer(item_id, tile, 1, "0.0"))  # counted with those about nothing
            continue
        try:
            text = loaded.answer(item_id, tile, benchmark.prompts[item_id])
            answers.append(Answer(item_id, tile, 1, text))
        except DataError as error:
            reasons[item_id] = f"tile {tile}: {error}"
    if num_images is None:
        tiles = [tile for item_id, tile in loaded.detections if item_id in benchmark.prompts]
        num_images = max(tiles, default=0) + 1
    target = target_of_answers(
        answers,
        benchmark,
        source=loaded.path,
        where={},
        num_images=num_images,
        item_choice=item_choice,
        out=out,
        name=name,
    )
    target.manifest.judges = {judge.label: cast("JudgeRecord", dict(loaded.describe()))}
    target.recorded_judge, target.reasons = judge.label, reasons
    ask_own_questions(target, judge)
    target.manifest.judges[judge.label]["questions_sha256"] = target.benchmark.questions_sha256
    prompts = {item: benchmark.prompts[item] for item in target.items}
    unseen = loaded.unseen_nouns(prompts)
    if unseen:
        target.manifest.note(
            f"{counted(len(unseen), 'noun')} of the prompts {'is' if len(unseen) == 1 else 'are'} "
            f"the label of no detection in {loaded.path.name}: {shortened(unseen)}"
        )
    return target


def _num_images_of(answers: Sequence[Answer], benchmark: Benchmark) -> int:
    """Return how many images an item has by the answers about the benchmark's items."""
    tiles = [answer.tile for answer in answers if answer.item_id in benchmark.items]
    number = max(tiles, default=0) + 1
    return 4 if number == 3 else number


def _identity(benchmark: Benchmark, num_images: int) -> Identity:
    return {
        "benchmark": {"name": benchmark.name, "prompts_sha256": benchmark.prompts_sha256},
        "num_images": num_images,
    }


def _fresh_target(
    kind: RunKind,
    label: str,
    identity: Identity,
    benchmark: Benchmark,
    num_images: int,
    *,
    out: Path | None,
    source: Path,
    item_choice: ItemChoice | None,
) -> Target:
    place = identity_hash({**identity, "source": str(source.resolve())})
    run = RunDir(out) if out else default_run(label, place)
    refuse_foreign_folder(run)
    manifest = Manifest(
        kind=kind,
        model=label,
        identity=identity,
        items=[],
        benchmark=describe_benchmark(benchmark),
        num_images=num_images,
        environment=environment(),
    )
    items = (item_choice or ItemChoice()).of(benchmark)
    return Target(run, manifest, benchmark, items, num_images)


def _store_answers(target: Target, answers: Sequence[Answer]) -> None:
    unknown = sorted({a.item_id for a in answers} - target.benchmark.prompts.keys())
    if unknown:
        log.warning(
            "%s of the answers not in %s: %s",
            counted(len(unknown), "item"),
            target.benchmark.name,
            shortened(unknown),
        )
    path = target.run.answers(target.recorded_judge)
    write_answer_file(path, answers, scratch=target.run.path)
