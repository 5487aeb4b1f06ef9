"""What this machine has: devices, memory, and which weights are in its caches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dpgbench.backends.entries import EmbeddedWeights, JudgeEntry, ModelEntry, Role, WeightsSource
from dpgbench.backends.generators.table import MODELS
from dpgbench.backends.judges.table import JUDGES
from dpgbench.backends.weights.locate import fetch_command, here
from dpgbench.errors import SetupError
from dpgbench.store.benchmark_table import DPG
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.run.manifest import environment


@dataclass(frozen=True)
class DeviceInfo:
    """Something that networks run on; `what` is its name or size in words."""

    name: str
    what: str
    memory_gib: float | None


@dataclass(frozen=True)
class NeededFiles:
    """Files that can be missing.

    Attributes:
        used_by: models, judge or benchmark, comma-separated.
        role: of the weights; ``questions`` of a benchmark.
        present: whether they are on this machine.
        path: where; None where they are missing.
        command: that gets them.
    """

    used_by: str
    role: str
    present: bool
    path: str | None
    command: str


@dataclass(frozen=True)
class MachineReport:
    """What ``dpgbench doctor`` tells of a machine."""

    machine: Mapping[str, Any]
    devices: tuple[DeviceInfo, ...]
    weights: tuple[NeededFiles, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as ``dpgbench doctor --json`` prints it."""
        return {
            "machine": dict(self.machine),
            "devices": [asdict(device) for device in self.devices],
            "weights": [asdict(files) for files in self.weights],
        }


def examine_machine() -> MachineReport:
    """Return what is there and what is missing; nothing is fetched."""
    files = [_questions(), *_weights()]
    return MachineReport(environment(), tuple(_devices()), tuple(files))


def _devices() -> Iterator[DeviceInfo]:
    import torch

    yield DeviceInfo("cpu", f"{torch.get_num_threads()} threads", _memory_gib())
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = round(properties.total_memory / 2**30, 1)
        yield DeviceInfo(f"cuda:{index}", properties.name, memory)
    if torch.backends.mps.is_available():
        yield DeviceInfo("mps", "Apple GPU", None)


def _questions() -> NeededFiles:
    try:
        benchmark = load_benchmark(DPG)
        path = benchmark.path if benchmark.has_graphs else None
    except SetupError:
        path = None
    return _needed(f"benchmark {DPG}", "questions", path, "dpgbench prompts pull")


def _weights() -> Iterator[NeededFiles]:
    """Yield what is fetched for each role of models and judges: what several use, once."""
    users: dict[tuple[WeightsSource, str], list[str]] = {}
    for entry in sorted(MODELS.values(), key=lambda entry: len(entry.roles)):
        _add_users(users, entry)
    for judge in JUDGES.values():
        _add_users(users, judge)
    for (source, role), names in users.items():
        yield _needed(", ".join(names), role, here(source), fetch_command(source))


def _add_users(
    users: dict[tuple[WeightsSource, str], list[str]], entry: ModelEntry | JudgeEntry
) -> None:
    for role in entry.roles:
        for source in role.sources:
            if not isinstance(source, EmbeddedWeights):
                users.setdefault((source, role.name), []).append(_name(entry.name, role, source))


def _name(name: str, role: Role, source: WeightsSource) -> str:
    return name if source is role.source else f"{name} --weights-source {source.choice}"


def _needed(used_by: str, role: str, path: Path | None, command: str) -> NeededFiles:
    return NeededFiles(used_by, role, path is not None, str(path) if path else None, command)


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
