"""Which runs are merged: named ones and their shards, each held while it is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from dpgbench.domain.shard import Shard
from dpgbench.domain.spec import differences, identity_hash
from dpgbench.errors import DataError, ResumeMismatchError, StorageError, UsageError, shortened
from dpgbench.store.run.directory import MANIFEST, RunDir, is_run
from dpgbench.store.run.manifest import Manifest, read_manifest


@dataclass(frozen=True)
class RunPart:
    """A run that is merged into another one, and what its manifest holds."""

    run: RunDir
    manifest: Manifest

    @property
    def shard(self) -> Shard | None:
        """Which part it says that it is."""
        record = self.manifest.generation.get("shard")
        return Shard(record["of"], record["number"]) if record else None

    @property
    def chosen(self) -> Sequence[str]:
        """The items that it, with the other shards, sets out to do."""
        chosen = self.manifest.generation.get("shard", {}).get("chosen", ())
        return [*chosen, *self.manifest.items]

    @property
    def key(self) -> str:
        """What tells it from every other run, wherever it lies and whatever its folder's name."""
        manifest = self.manifest
        return identity_hash(
            {
                "created": manifest.created,
                "first": manifest.commands[:1],
                "shard": str(self.shard),
                "item": manifest.items[:1],
            }
        )

    @property
    def former_key(self) -> str:
        """What stood for it in runs that were merged by earlier versions."""
        manifest = self.manifest
        first = manifest.commands[:1]
        return identity_hash({"created": manifest.created, "first": first, "run": self.run.name})


def find_sources(paths: Sequence[Path], destination: RunDir) -> list[RunDir]:
    """Return the runs at `paths` and all their shards, without the destination.

    Raises:
        DataError: a path is not there.
        UsageError: there is no run at a path.
    """
    runs: dict[Path, RunDir] = {}
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} is not there; name runs, or a run with shards")
        here = [RunDir(path)] if is_run(path) else []
        here += RunDir(path).shards().values()
        if not here:
            raise UsageError(f"{path} is not a run (no {MANIFEST}), and it has no shards")
        runs.update((run.path.resolve(), run) for run in here)
    runs.pop(destination.path.resolve(), None)
    return list(runs.values())


@contextmanager
def opened(runs: Sequence[RunDir]) -> Iterator[tuple[list[RunPart], dict[Path, str]]]:
    """Hold runs for this process; give those that could be, and why the others could not.

    A run that nobody may write is read without being held.
    """
    sources: list[RunPart] = []
    reasons: dict[Path, str] = {}
    with ExitStack() as held:
        for run in runs:
            if not is_run(run.path):
                reasons[run.path] = f"{run.path} has no {MANIFEST} yet"
                continue
            try:
                held.enter_context(run.locked())
            except UsageError as error:
                reasons[run.path] = str(error).partition(";")[0]
                continue
            except StorageError:
                pass
            sources.append(RunPart(run, read_manifest(run.manifest)))
        yield sources, reasons


def check_alike(sources: Sequence[RunPart]) -> None:
    """Raise where runs differ in what decides their results.

    Raises:
        ResumeMismatchError: lists each field that differs, with both values.
    """
    first = sources[0]
    for source in sources[1:]:
        _refuse(first, source, "settings", _identity(first), _identity(source))
    for name in sorted({name for source in sources for name in source.manifest.judges}):
        asked = [source for source in sources if name in source.manifest.judges]
        for source in asked[1:]:
            records = (_judge(asked[0], name), _judge(source, name))
            _refuse(asked[0], source, f"judge {name}", *records)


def _refuse(
    first: RunPart, other: RunPart, what: str, old: dict[str, object], new: dict[str, object]
) -> None:
    changed = differences(old, new)
    if changed:
        raise ResumeMismatchError(
            f"{first.run.path} and {other.run.path} cannot be merged, their {what} differ: "
            f"{shortened(changed, 20)}; merge runs of the same settings"
        )


def _identity(source: RunPart) -> dict[str, object]:
    return {"kind": source.manifest.kind, **source.manifest.identity}


def _judge(source: RunPart, name: str) -> dict[str, object]:
    """Return what decides a judge's answers; what it cost and where its files are does not."""
    others = ("account", "truncated_questions", "releases", "weights_source", "commit")
    record = source.manifest.judge(name)
    return {field: value for field, value in record.items() if field not in others}
