"""`manifest.json`: what a run is. Written before work starts, completed at the end, atomically.

This is the one reader and writer of that file. `identity` holds what changes results
(specification, weights, benchmark, seeds, grid); only that decides whether a run may be resumed.
Everything else is a record for people. Each part of it is a `TypedDict`: what a part holds beyond
the fields named here, of a later version or a judge of one's own, is kept as it is.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict, cast

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.shard import Shard
from dpgbench.domain.spec import TILE_COUNTS, GridSpec, differences, identity_hash
from dpgbench.errors import DataError, ResumeMismatchError, clipped, shortened
from dpgbench.store.benchmark_table import DPG, named_benchmarks
from dpgbench.store.benchmarks import (
    load_benchmark,
    packaged_names,
    questions_source,
)
from dpgbench.store.files import read_json, write_json
from dpgbench.store.paths import check_item_id, file_name, hashed_file_name, old_file_name
from dpgbench.store.typed_json import Among, Range, check_json

SCHEMA = 1
RunKind = Literal["generated", "images", "answers"]
_PACKAGES = ("torch", "diffusers", "transformers", "modelscope", "numpy", "pillow")
_JUDGE_PACKAGES = ("pillow", "torch", "transformers")
_LONGEST_FILE_NAME = 200  # characters; a file of a longer name could not be made


class OriginalRecord(TypedDict):
    """The benchmark that prompts were rewritten from.

    Attributes:
        name: of that benchmark.
        prompts_sha256: of its prompts.
        questions_sha256: of its questions.
        kept_sha256: of those of its questions that the rewritten benchmark took over.
    """

    name: str
    prompts_sha256: str
    questions_sha256: str
    kept_sha256: str


class BenchmarkRecord(TypedDict, total=False):
    """The benchmark that a run is about, as it was when the run was made.

    Attributes:
        questions_from: where a pulled question file came from.
        name: `dpg`, `shapes`, or a file's stem.
        path: file or folder that it was read from.
        items: how many prompts it has.
        questions: how many questions it has.
        prompts_sha256: over ids and prompts.
        questions_sha256: over ids and questions; null where there are prompts alone.
        rewritten_from: the benchmark that its prompts were rewritten from; absent where none is.
    """

    questions_from: str
    name: str
    path: str
    items: int
    questions: int
    prompts_sha256: str
    questions_sha256: str | None
    rewritten_from: OriginalRecord


class BenchmarkIdentity(TypedDict, total=False):
    """What of a benchmark decides a run's images.

    Attributes:
        name: as in the manifest's `benchmark`.
        prompts_sha256: as in the manifest's `benchmark`.
    """

    name: str
    prompts_sha256: str


class GenerationIdentity(TypedDict, total=False):
    """The settings that images were drawn with: the fields of `domain.spec.GenerationSpec`.

    Attributes:
        model: name as given to `dpgbench generate --model`.
        width_px: width of one image.
        height_px: height of one image.
        num_images: images an item.
        seed_rule: `per-tile` or `per-item`.
        base_seed: number that seeds count from.
        dtype: `float32`, `float16` or `bfloat16`.
        steps: denoising steps.
        guidance_scale: of classifier-free guidance.
        scheduler: diffusers class name.
        scheduler_config: its arguments.
        negative_prompt: prompt of the unconditional branch.
        options: settings of one model family alone.
    """

    model: str
    width_px: Annotated[int, Range(1)]
    height_px: Annotated[int, Range(1)]
    num_images: int
    seed_rule: str
    base_seed: int
    dtype: str
    steps: int | None
    guidance_scale: float | None
    scheduler: str | None
    scheduler_config: dict[str, Any]
    negative_prompt: str
    options: dict[str, Any]


class Identity(TypedDict, total=False):
    """What changes a run's results.

    Attributes:
        generation: settings of a generated run.
        weights: hash of each role's weights.
        benchmark: name and hash of the prompts.
        num_images: images an item, of a run that was not generated here.
        tile_px: side of a square tile, as the user said; null finds it from the images.
        layout: rows and columns of an image, where they are not the usual ones.
        pattern: where the files of an item are, where they are not `<item_id>.png`.
        answers_sha256: over the answers that were replayed.
        shuffled: of which run and seed a control with the images of other prompts was made.
    """

    generation: GenerationIdentity
    weights: dict[str, Any]
    benchmark: BenchmarkIdentity
    num_images: int
    tile_px: int | None
    layout: str
    pattern: str
    answers_sha256: str
    shuffled: dict[str, Any]


class TruncationRecord(TypedDict, total=False):
    """Prompts that are longer than the text encoder reads.

    Attributes:
        limit: tokens that it reads; null where it has no limit.
        truncated: how many prompts were cut.
        prompts: of how many.
        items: ids of those that were cut; null where it was not recorded.
    """

    limit: int | None
    truncated: int
    prompts: int
    items: list[str] | None


class SingleColourRecord(TypedDict, total=False):
    """Tiles whose pixels are all alike.

    Attributes:
        tiles: how many.
        items: their numbers, from 0, by item id.
    """

    tiles: int
    items: dict[str, list[int]]


class ShardRecord(TypedDict, total=False):
    """Which part of a run's items a shard works on.

    Attributes:
        number: which part, from 1.
        of: how many parts there are.
        chosen: ids of the items of all parts, in the benchmark's order.
    """

    number: Annotated[int, Range(1)]
    of: Annotated[int, Range(1)]
    chosen: list[str]


class MergedRecord(TypedDict, total=False):
    """What a run has taken over from another one's manifest, so that it is counted once.

    Attributes:
        run: name of its folder.
        commands: how many of its command lines.
        accounts: what asking each judge had cost there.
        drawing: what drawing had cost there.
    """

    run: str
    commands: int
    accounts: dict[str, dict[str, Any]]
    drawing: dict[str, Any]


class BatchRecord(TypedDict, total=False):
    """How many images shared a call, of runs where it was not an item's own in each.

    Attributes:
        asked: items a call as the last command said; `auto` takes as many as fit.
        compiled: whether the last command had networks compiled.
        images_that_fit: in a call, where memory ran out with more; later commands that ask for
            `auto` begin with it.
        items_by_images_in_call: how many items were drawn in calls of so many images.
    """

    asked: int | str
    compiled: bool
    images_that_fit: int
    items_by_images_in_call: dict[str, int]


class GenerationRecord(TypedDict, total=False):
    """Where images or answers came from, beyond the identity.

    Attributes:
        device: that images were drawn on.
        weights: path, hash and files' hashes of each role's weights.
        parameters: how many each of the model's networks has, as it was loaded.
        licence: of the model, as the table of models has it.
        truncation: prompts that the text encoder cut.
        failed: why an item could not be drawn, by item id.
        single_colour: tiles of one single colour.
        account: what a server's images have cost, over all commands.
        batch: how many images shared a call.
        folder: of other people's images.
        layout: rows and columns of a tile in them, as the user said.
        answers: file that answers were read from.
        where: rows of it that were chosen, as value by column.
        shuffled: of which run and seed a control with the images of other prompts was made.
        shard: which part of the items this is, of a shard.
        merged: what was taken over from which run, by a hash of what that run is.
    """

    device: str
    weights: dict[str, dict[str, Any]]
    parameters: dict[str, int]
    licence: str
    truncation: TruncationRecord
    failed: dict[str, str]
    single_colour: SingleColourRecord
    account: dict[str, Any]
    batch: BatchRecord
    folder: str
    layout: str
    answers: str
    where: dict[str, str]
    shuffled: dict[str, Any]
    shard: ShardRecord
    merged: dict[str, MergedRecord]


class JudgeRecord(TypedDict, total=False):
    """What a judge is, by its own description, and what happened when it was asked.

    Attributes:
        model: what it calls its model.
        weights: hashes of its weights, by file.
        decode: how it makes an answer of what its network says.
        decoding: the same, of other judges.
        questions_sha256: over ids and questions that it was asked.
        truncated_questions: how many were longer than it reads.
        releases: of the libraries that it ran with, by name.
        account: what asking it cost, over all commands.
    """

    model: Any
    weights: dict[str, Any] | str | None
    decode: Any
    decoding: Any
    questions_sha256: str | None
    truncated_questions: int
    releases: dict[str, str]
    account: dict[str, Any]


class EnvironmentRecord(TypedDict, total=False):
    """Versions that can change a result.

    Attributes:
        dpgbench: the toolkit's.
        python: Python's.
        platform: operating system and machine.
        packages: of installed libraries, by name.
    """

    dpgbench: str
    python: str
    platform: str
    packages: dict[str, str]


@dataclass
class Manifest:
    """A run's manifest.

    Attributes:
        kind: `generated` by this toolkit, `images` of others, or `answers` replayed.
        model: name that the leaderboard shows.
        identity: what changes results.
        items: ids that the run set out to do, in the benchmark's order.
        benchmark: that the run is about.
        num_images: images an item: 1 to 10.
        generation: where images or answers came from.
        judges: what each judge is, by its name.
        notes: sentences that every report must show, such as that scores mean nothing.
        commands: the command lines that worked in this run, oldest first.
        environment: versions when the run was made.
        created: when the run was made, in UTC.
        completed: when the last command ended, in UTC; null while it works.
        file_names: of judges whose files go by the name that an earlier version gave them.
        schema: of this file.
    """

    kind: RunKind
    model: str
    identity: Identity
    items: list[str]
    benchmark: BenchmarkRecord
    num_images: Annotated[int, Among(TILE_COUNTS)]
    generation: GenerationRecord = field(default_factory=GenerationRecord)
    judges: dict[str, JudgeRecord] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    environment: EnvironmentRecord = field(default_factory=EnvironmentRecord)
    created: str = ""
    completed: str | None = None
    file_names: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def identity_hash(self) -> str:
        """Twelve digits that stand for the identity."""
        return identity_hash(self.identity)

    @property
    def grid(self) -> GridSpec | None:
        """Size of the grids that a run holds itself; None where images lie elsewhere."""
        if self.kind != "generated":
            return None
        spec = self.identity["generation"]
        return GridSpec(self.num_images, spec["width_px"], spec["height_px"])

    @property
    def single_colour(self) -> Mapping[str, list[int]]:
        """Tiles whose pixels are all alike, by item id."""
        return self.generation.get("single_colour", {}).get("items", {})

    def judge(self, name: str) -> JudgeRecord:
        """Return what is recorded of a judge; nothing where it was not asked."""
        return self.judges.get(name, {})

    def questions_sha256(self, judge: str) -> str | None:
        """Return the hash of the questions that a judge was asked; None where nothing tells."""
        asked = self.judge(judge).get("questions_sha256")
        return asked or self.benchmark.get("questions_sha256")

    def write(self, path: Path) -> None:
        """Write the manifest to `path`, atomically."""
        self.created = self.created or now()
        write_json(path, {"identity_hash": self.identity_hash, **asdict(self)}, scratch=path.parent)

    def note(self, *notes: str) -> None:
        """Add notes that are not there yet."""
        self.notes += [note for note in notes if note not in self.notes]

    def add_items(self, items: Iterable[str], order: Iterable[str]) -> None:
        """Widen the run by `items`, kept in `order`."""
        wanted = {*self.items, *items}
        self.items = [item_id for item_id in order if item_id in wanted]

    def record_shard(self, shard: Shard, chosen: Iterable[str], order: Iterable[str]) -> None:
        """Record which part of the `chosen` items this is; items of earlier commands stay."""
        wanted = {*self.generation.get("shard", {}).get("chosen", ()), *chosen}
        self.generation["shard"] = {
            "number": shard.number,
            "of": shard.of,
            "chosen": [item_id for item_id in order if item_id in wanted],
        }

    def record_single_colour(self, tiles: Mapping[str, list[int]]) -> None:
        """Record tiles whose pixels are all alike, by item id, in place of those before."""
        number = sum(map(len, tiles.values()))
        self.generation["single_colour"] = {"tiles": number, "items": dict(tiles)}


class _DrawnSize(TypedDict):
    """What the identity of a generated run must have."""

    width_px: int
    height_px: int


class _DrawnIdentity(TypedDict):
    generation: _DrawnSize


class _FolderOfImages(TypedDict):
    folder: str


REQUIRED_BY_KIND: Mapping[RunKind, tuple[str, Any]] = {
    "generated": ("identity", _DrawnIdentity),
    "images": ("generation", _FolderOfImages),
}
"""A field of manifests of a kind, and the type that it must be of beyond its own."""


def read_manifest(path: Path) -> Manifest:
    """Return a run's manifest.

    Raises:
        DataError: it is missing, damaged, or of a later schema.
        ResumeMismatchError: its identity was changed after the run was made.
    """
    record = read_json(path)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise DataError(
            f"{path} is not a manifest of schema {SCHEMA}; "
            "it is damaged, or was made by another version of dpgbench"
        )
    recorded = record.pop("identity_hash", None)
    try:
        if isinstance(record.get("judges"), dict):
            record.setdefault("file_names", old_names(record["judges"]))
        check_json(record, Manifest)
        manifest = Manifest(**record)
        _check_values(path, manifest)
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}; restore it") from None
    if recorded != manifest.identity_hash:
        raise ResumeMismatchError(
            f"{path}: its identity was changed after the run was made "
            f"(hash {clipped(recorded)}, of what stands there {manifest.identity_hash!r}); "
            "restore it, or make the run anew"
        )
    return manifest


def _check_values(path: Path, manifest: Manifest) -> None:
    """Raise where a field is not what this kind of run or another field needs it to be.

    Raises:
        ValueError: names the field and what stands there.
        DataError: an id could not be a file's name.
    """
    for item_id in manifest.items:
        check_item_id(item_id, f"{path}: items")
    if manifest.kind in REQUIRED_BY_KIND:
        name, required = REQUIRED_BY_KIND[manifest.kind]
        check_json(getattr(manifest, name), required, name)
    identity = manifest.identity
    about, settings = identity.get("benchmark", {}), identity.get("generation", {})
    repeated: list[tuple[str, object, object]] = [
        ("benchmark.name", manifest.benchmark.get("name"), about.get("name")),
        (
            "benchmark.prompts_sha256",
            manifest.benchmark.get("prompts_sha256"),
            about.get("prompts_sha256"),
        ),
        ("num_images", manifest.num_images, identity.get("num_images")),
        ("num_images", manifest.num_images, settings.get("num_images")),
    ]
    for name, beside, within in repeated:
        if beside is not None and within is not None and beside != within:
            raise ValueError(f"{name} is {beside!r:.60}, but {within!r:.60} in its identity")


def open_manifest(path: Path, fresh: Manifest) -> Manifest:
    """Return the manifest at `path` if there is one that `fresh` may resume, else `fresh`.

    Raises:
        ResumeMismatchError: the run holds other work; lists each field that differs.
    """
    if not path.exists():
        return fresh
    existing = read_manifest(path)
    check_same(
        path.parent,
        {"kind": existing.kind, **existing.identity},
        {"kind": fresh.kind, **fresh.identity},
    )
    return existing


def check_same(
    run: Path, old: Mapping[str, Any], new: Mapping[str, Any], what: str = "a run"
) -> None:
    """Raise where two identities differ.

    Args:
        run: folder that the error names.
        old: what the run holds.
        new: what was asked for.
        what: what in the run it is about.

    Raises:
        ResumeMismatchError: lists each field that differs as ``field: old -> new``.
    """
    changed = differences(old, new)
    if changed:
        raise ResumeMismatchError(
            f"{run} holds {what} with other settings: {shortened(changed, 20)}; "
            "use the same settings, or another --out"
        )


def describe_benchmark(benchmark: Benchmark) -> BenchmarkRecord:
    """Return what a manifest says of a benchmark: name, file, origin, counts, hashes."""
    origin = questions_source(benchmark.path) if benchmark.has_graphs else None
    described: BenchmarkRecord = {
        "name": benchmark.name,
        "path": str(benchmark.path.resolve()),
        "items": len(benchmark.prompts),
        "questions": benchmark.num_questions,
        "prompts_sha256": benchmark.prompts_sha256,
        "questions_sha256": benchmark.questions_sha256 if benchmark.has_graphs else None,
    }
    if benchmark.rewritten_from:
        described["rewritten_from"] = cast("OriginalRecord", benchmark.rewritten_from._asdict())
    return {"questions_from": origin, **described} if origin else described


def load_recorded_benchmark(record: BenchmarkRecord) -> Benchmark:
    """Return the benchmark of a run, from the file or by the name that its manifest has.

    Whether its prompts are those of the run is the caller's to compare (`prompts_sha256`).

    Raises:
        DpgBenchError: it is gone, or cannot be read.
    """
    return load_benchmark(find_recorded_benchmark(record))


def load_same_benchmark(path: Path, manifest: Manifest, benchmark: str | None = None) -> Benchmark:
    """Return the benchmark of a run, which must have the prompts that it had then.

    Args:
        path: of the manifest.
        manifest: what it holds.
        benchmark: name or file; None is the run's own.

    Raises:
        DataError: the manifest does not tell, or the benchmark cannot be read.
        ResumeMismatchError: it has other prompts than the run.
    """
    for name in ("name", "path", "prompts_sha256"):
        if not manifest.benchmark.get(name):
            raise DataError(f"{path} is damaged: benchmark.{name} is missing; restore it")
    loaded = load_benchmark(benchmark or find_recorded_benchmark(manifest.benchmark))
    check_same(
        path.parent,
        {"benchmark": {"prompts_sha256": manifest.benchmark["prompts_sha256"]}},
        {"benchmark": {"prompts_sha256": loaded.prompts_sha256}},
    )
    return loaded


def find_recorded_benchmark(record: BenchmarkRecord) -> str:
    """Return the name or file by which `load_benchmark` finds the benchmark of a run.

    Raises:
        DataError: its file is gone.
    """
    name, path = record.get("name", ""), record.get("path")
    if path is None or (name in (DPG, *packaged_names()) and not Path(path).is_file()):
        return name
    if name in named_benchmarks() and not Path(path).exists():
        return name
    if not Path(path).exists():
        raise DataError(f"the run's benchmark {path} is gone; name a copy of it with --bench")
    return path


def add_accounts(before: Mapping[str, object], latest: Mapping[str, object]) -> dict[str, object]:
    """Return the account of a judge that was asked in several commands.

    Counts are added, lists joined, the first date is the earlier command's; of everything else the
    latest counts.
    """
    total = dict(before)
    for name, value in latest.items():
        old = before.get(name)
        if isinstance(value, int | float) and isinstance(old, int | float):
            total[name] = round(old + value, 6)
        elif isinstance(value, list) and isinstance(old, list):
            total[name] = sorted({*old, *value})
        elif old is None or (value is not None and not name.startswith("first_")):
            total[name] = value
    return total


def recorded_model(path: Path) -> object:
    """Return the model in a manifest, even one that is damaged beside that; None where none is."""
    return _fields(path).get("model")


def judge_file_name(path: Path, judge: str) -> str:
    """Return the name that a judge's files have in the run of a manifest, no other judge's.

    Args:
        path: of the manifest; where it is missing or damaged, names are as in a new run.
        judge: the judge's name.
    """
    try:
        status = path.stat()
    except OSError:
        return file_name(judge)
    old = _old_names_in(path, status.st_mtime_ns, status.st_size)
    if judge in old:
        return old[judge]
    name = file_name(judge)
    taken = name.casefold() in (other.casefold() for other in old.values())
    return hashed_file_name(judge) if taken else name


@lru_cache(maxsize=64)
def _old_names_in(path: Path, _changed: int, _size: int) -> Mapping[str, str]:
    record = _fields(path)
    judges, names = record.get("judges"), record.get("file_names")
    if isinstance(names, dict):
        return {judge: name for judge, name in names.items() if name == old_file_name(judge)}
    return old_names(judges) if isinstance(judges, dict) else {}


def _fields(path: Path) -> Mapping[str, Any]:
    """Return what stands in a manifest, unchecked; nothing where it cannot be read."""
    try:
        record = read_json(path)
    except DataError:
        return {}
    return record if isinstance(record, dict) else {}


def old_names(judges: Iterable[str]) -> dict[str, str]:
    """Return the old file names that judges of a run of earlier versions go by, where they differ.

    Where two judges had one file, it is the first one's: the second was never asked.
    """
    owners: dict[str, str] = {}
    for judge in judges:
        owners.setdefault(old_file_name(judge).casefold(), judge)
    return {
        judge: old_file_name(judge)
        for judge in owners.values()
        if old_file_name(judge) != file_name(judge)
        and len(old_file_name(judge)) < _LONGEST_FILE_NAME
    }


def now() -> str:
    """Return the present time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def toolkit_version() -> str:
    """Return the installed version of dpgbench."""
    try:
        return metadata.version("dpgbench")
    except metadata.PackageNotFoundError:
        return "unknown"


def environment() -> EnvironmentRecord:
    """Return versions of Python, the platform and the packages that can change a result."""
    return {
        "dpgbench": toolkit_version(),
        "python": platform.python_version(),
        "platform": f"{sys.platform} {platform.machine()}",
        "packages": _releases(_PACKAGES),
    }


def judge_releases() -> dict[str, str]:
    """Return the releases that decide which picture a judge sees and what it makes of it."""
    return _releases(_JUDGE_PACKAGES)


def _releases(names: Iterable[str]) -> dict[str, str]:
    releases = {}
    for name in names:
        try:
            releases[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return releases
