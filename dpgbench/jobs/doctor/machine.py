"""What this machine has: devices, memory, and which weights are in its caches."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dpgbench.backends.judges.table import MPLUG_MODEL, MPLUG_REPOSITORY, mplug_folder
from dpgbench.backends.weights.locate import ELLA_FILE, ELLA_REPOSITORY, SD15_REPOSITORY, T5_FOLDER
from dpgbench.errors import SetupError
from dpgbench.store.benchmarks import DPG, load_benchmark
from dpgbench.store.run.manifest import environment

MPLUG_FROM_HF = "mplug --weights-source hf"


def examine() -> dict[str, Any]:
    """Return `machine`, `devices` and `weights` as plain data; nothing is fetched."""
    return {"machine": environment(), "devices": devices(), "weights": weights()}


def devices() -> list[dict[str, Any]]:
    """Return each device with its memory in GiB."""
    import torch

    found = [
        {
            "name": "cpu",
            "what": f"{torch.get_num_threads()} threads",
            "memory_gib": _memory_gib(),
        }
    ]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        memory = round(properties.total_memory / 2**30, 1)
        found.append({"name": f"cuda:{index}", "what": properties.name, "memory_gib": memory})
    if torch.backends.mps.is_available():
        found.append({"name": "mps", "what": "Apple GPU", "memory_gib": None})
    return found


def weights() -> list[dict[str, Any]]:
    """Return, for each thing that can be missing, where it is or the command that gets it."""
    base = _in_hub_cache(SD15_REPOSITORY, "model_index.json")
    return [
        _finding("benchmark dpg", "questions", _questions(), "dpgbench prompts pull"),
        _finding("sd15, ella-sd15", "base", base, f"hf download {SD15_REPOSITORY}"),
        _finding(
            "ella-sd15",
            "connector",
            _in_hub_cache(ELLA_REPOSITORY, ELLA_FILE),
            f"hf download {ELLA_REPOSITORY} {ELLA_FILE}",
        ),
        _finding(
            "ella-sd15",
            "text_encoder",
            _in_hub_cache(ELLA_REPOSITORY, f"{T5_FOLDER}/config.json"),
            f"hf download {ELLA_REPOSITORY} --include '{T5_FOLDER}/*'",
        ),
        _finding(
            "mplug",
            "judge",
            _mplug(),
            f"modelscope download --model {MPLUG_MODEL} --local_dir {mplug_folder()}",
        ),
        _finding(
            MPLUG_FROM_HF,
            "judge",
            _in_hub_cache(MPLUG_REPOSITORY, "pytorch_model.bin"),
            f"hf download {MPLUG_REPOSITORY}",
        ),
    ]


def _finding(used_by: str, role: str, path: Path | None, command: str) -> dict[str, Any]:
    return {
        "used_by": used_by,
        "role": role,
        "present": path is not None,
        "path": str(path) if path else None,
        "command": command,
    }


def _questions() -> Path | None:
    try:
        benchmark = load_benchmark(DPG)
    except SetupError:
        return None
    return benchmark.path if benchmark.has_graphs else None


def _in_hub_cache(repository: str, file: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file)
    return Path(found).parent if isinstance(found, str) else None


def _mplug() -> Path | None:
    folder = mplug_folder()
    return folder if (folder / "pytorch_model.bin").is_file() else None


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None
