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
from typing import Any, Literal

from dpgbench.domain.spec import differences, identity_hash
from dpgbench.errors import DataError, ResumeMismatchError, shortened
from dpgbench.store.files import read_json, write_json
from dpgbench.store.rundir import RunDir

SCHEMA = 1
RunKind = Literal["generated", "images", "answers"]
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
    """
    record = read_json(run.manifest)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise DataError(
            f"{run.manifest} is not a manifest of schema {SCHEMA}; "
            "it was made by another version of dpgbench"
        )
    record.pop("identity_hash", None)
    try:
        return Manifest(**record)
    except TypeError as error:
        raise DataError(f"{run.manifest} is damaged: {error}") from None


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
