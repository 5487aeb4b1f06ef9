"""The manifest: what a run is. Written before work starts, completed at the end, atomically.

`identity` holds what changes results (specification, weights, benchmark, seeds, grid); only that
decides whether a run may be resumed. Everything else is a record for people.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from types import NoneType
from typing import Any, Literal, get_args

from dpgbench.domain.spec import TILE_COUNTS, differences, identity_hash
from dpgbench.errors import DataError, ResumeMismatchError, clipped, shortened
from dpgbench.store.files import read_json, write_json
from dpgbench.store.item_ids import check_item_id
from dpgbench.store.run.directory import RunDir, old_names

SCHEMA = 1
RunKind = Literal["generated", "images", "answers"]
Kind = type | tuple[type, ...]
_FIELDS: Mapping[str, Kind] = {
    "model": str,
    "identity": dict,
    "items": list,
    "benchmark": dict,
    "generation": dict,
    "judges": dict,
    "notes": list,
    "commands": list,
    "environment": dict,
    "created": str,
    "completed": (str, NoneType),
    "file_names": dict,
}
_BENCHMARK_FIELDS: Mapping[str, Kind] = {
    "name": str,
    "path": str,
    "prompts_sha256": str,
    "questions_sha256": (str, NoneType),
}
_JUDGE_FIELDS: Mapping[str, Kind] = {
    "truncated_questions": int,
    "account": dict,
    "questions_sha256": (str, NoneType),
    "weights": (dict, str, NoneType),
}
_PACKAGES = ("torch", "diffusers", "transformers", "modelscope", "numpy", "pillow")
_JUDGE_PACKAGES = ("pillow", "torch", "transformers")


@dataclass
class Manifest:
    """A run's manifest.

    Attributes:
        kind: ``generated`` by this toolkit, ``images`` of others, or ``answers`` replayed.
        model: name that the leaderboard shows.
        identity: what changes results, nested plain data.
        items: ids that the run set out to do, in the benchmark's order.
        benchmark: name, file, hashes and counts.
        generation: settings beyond the identity: device, batch size, prompt truncation.
        judges: by judge name, what it is: weights' hashes, decoding, truncated questions.
        notes: sentences that every report must show, such as that scores mean nothing.
        commands: the command lines that worked in this run, oldest first.
        file_names: of judges whose files go by the name that an earlier version gave them.
    """

    kind: RunKind
    model: str
    identity: dict[str, Any]
    items: list[str]
    benchmark: dict[str, Any]
    num_images: int
    generation: dict[str, Any] = field(default_factory=dict)
    judges: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    completed: str | None = None
    file_names: dict[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def identity_hash(self) -> str:
        """Twelve digits that stand for the identity."""
        return identity_hash(self.identity)

    def write(self, run: RunDir) -> None:
        """Write the manifest into its run, atomically."""
        self.created = self.created or now()
        write_json(run.manifest, {"identity_hash": self.identity_hash, **asdict(self)})

    def note(self, *notes: str) -> None:
        """Add notes that are not there yet."""
        self.notes += [note for note in notes if note not in self.notes]

    def add_items(self, items: Iterable[str], order: Iterable[str]) -> None:
        """Widen the run by `items`, kept in `order`."""
        wanted = {*self.items, *items}
        self.items = [item_id for item_id in order if item_id in wanted]


def read_manifest(run: RunDir) -> Manifest:
    """Return a run's manifest.

    Raises:
        DataError: it is missing, damaged, or of a later schema.
        ResumeMismatchError: its identity was changed after the run was made.
    """
    record = read_json(run.manifest)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise DataError(
            f"{run.manifest} is not a manifest of schema {SCHEMA}; "
            "it is damaged, or was made by another version of dpgbench"
        )
    recorded = record.pop("identity_hash", None)
    try:
        if isinstance(record.get("judges"), dict):
            record.setdefault("file_names", old_names(record["judges"]))
        manifest = Manifest(**record)
        check_fields(manifest)
    except (TypeError, ValueError) as error:
        raise DataError(f"{run.manifest} is damaged: {error}; restore it") from None
    if recorded != manifest.identity_hash:
        raise ResumeMismatchError(
            f"{run.manifest}: its identity was changed after the run was made "
            f"(hash {clipped(recorded)}, of what stands there {manifest.identity_hash!r}); "
            "restore it, or make the run anew"
        )
    return manifest


def check_fields(manifest: Manifest) -> None:
    """Raise where a field is not of its type, at any depth that the toolkit reads.

    Raises:
        ValueError: names the field and what stands there.
    """
    top = vars(manifest)
    for name, kind in _FIELDS.items():
        _check(top, name, kind)
    if manifest.kind not in get_args(RunKind):
        raise ValueError(f"kind is {clipped(manifest.kind)}")
    if type(manifest.num_images) is not int or manifest.num_images not in TILE_COUNTS:
        raise ValueError(f"num_images is {clipped(manifest.num_images)}")
    for name in ("items", "notes", "commands"):
        if not all(isinstance(entry, str) for entry in top[name]):
            raise ValueError(f"{name} holds what is not text")
    for item_id in manifest.items:
        check_item_id(item_id, "items")
    _check_known(manifest.benchmark, _BENCHMARK_FIELDS, "benchmark")
    _check_kind(manifest)
    _check_repeated(manifest)
    for judge, record in manifest.judges.items():
        _check_known(record, _JUDGE_FIELDS, f"judges.{judge}")


def _check_kind(manifest: Manifest) -> None:
    """Check what only runs of one kind have."""
    if manifest.kind == "generated":
        _check(manifest.identity, "generation", dict, "identity.")
        for name in ("width_px", "height_px"):
            _check(manifest.identity["generation"], name, int, "identity.generation.")
            if manifest.identity["generation"][name] < 1:
                raise ValueError(f"identity.generation.{name} is below 1")
        _check_known(manifest.generation, {"weights": dict}, "generation")
        for role, weights in manifest.generation.get("weights", {}).items():
            _check_known(weights, {}, f"generation.weights.{role}")
    elif manifest.kind == "images":
        _check(manifest.generation, "folder", str, "generation.")
        _check_known(manifest.identity, {"tile_px": (int, NoneType)}, "identity")


def _check_repeated(manifest: Manifest) -> None:
    """Check what stands in the identity and again beside it, where code reads it."""
    identity, generation = manifest.identity, manifest.identity.get("generation", {})
    about = identity.get("benchmark", {})
    repeated: list[tuple[str, object, object]] = [
        (f"benchmark.{name}", manifest.benchmark.get(name), about.get(name))
        for name in ("name", "prompts_sha256")
        if isinstance(about, dict)
    ]
    repeated += [
        ("num_images", manifest.num_images, part.get("num_images"))
        for part in (identity, generation)
        if isinstance(part, dict)
    ]
    for name, beside, within in repeated:
        if beside is not None and within is not None and beside != within:
            raise ValueError(f"{name} is {beside!r:.60}, but {within!r:.60} in its identity")


def _check_known(record: object, kinds: Mapping[str, Kind], where: str) -> None:
    """Check the fields that are there, of a record that need not have them all."""
    if not isinstance(record, dict):
        raise ValueError(f"{where} is {clipped(record)}")
    for name in kinds.keys() & record.keys():
        _check(record, name, kinds[name], f"{where}.")


def _check(values: Mapping[str, Any], name: str, kind: Kind, prefix: str = "") -> None:
    if name not in values:
        raise ValueError(f"{prefix}{name} is missing")
    value = values[name]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{prefix}{name} is {clipped(value)}")


def open_manifest(run: RunDir, fresh: Manifest) -> Manifest:
    """Return the run's manifest if it has one that `fresh` may resume, else `fresh`.

    Raises:
        ResumeMismatchError: the run holds other work; lists each field that differs.
    """
    if not run.manifest.exists():
        return fresh
    existing = read_manifest(run)
    check_same(
        run, {"kind": existing.kind, **existing.identity}, {"kind": fresh.kind, **fresh.identity}
    )
    return existing


def check_same(run: RunDir, old: Mapping[str, Any], new: Mapping[str, Any], what: str = "") -> None:
    """Raise where two identities differ.

    Raises:
        ResumeMismatchError: lists each field that differs as ``field: old -> new``.
    """
    changed = differences(old, new)
    if changed:
        raise ResumeMismatchError(
            f"{run.path} holds {what or 'a run'} with other settings: {shortened(changed, 20)}; "
            "use the same settings, or another --out"
        )


def now() -> str:
    """Return the present time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def toolkit_version() -> str:
    """Return the installed version of dpgbench."""
    try:
        return metadata.version("dpgbench")
    except metadata.PackageNotFoundError:
        return "unknown"


def environment() -> dict[str, Any]:
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
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
