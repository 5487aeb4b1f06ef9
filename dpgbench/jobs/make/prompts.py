"""The prompts that graphs are made for: any benchmark, any list of prompts, a folder of texts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dpgbench.domain.benchmark import QUESTIONS_FILE, Benchmark
from dpgbench.domain.benchmark_findings import check_benchmark
from dpgbench.errors import UsageError, clipped
from dpgbench.store.benchmarks import PROMPTS_FOLDER, load_benchmark
from dpgbench.store.compbench import is_compbench_folder
from dpgbench.store.csv_rows import read_text
from dpgbench.store.paths import check_item_id, user_path
from dpgbench.store.prompt_lists import TEXT_SUFFIXES


def load_prompts(name: str | Path) -> Benchmark:
    """Return the prompts of a file, a folder or a named benchmark.

    A folder is one of upstream's layout, or one of text files, each of which is a prompt whose id
    is the file's name.

    Raises:
        DpgBenchError: as `load_benchmark`.
    """
    path = user_path(name)
    if not path.is_dir() or (path / PROMPTS_FOLDER).is_dir() or (path / QUESTIONS_FILE).exists():
        return load_benchmark(name)
    texts = sorted(file for file in path.iterdir() if file.suffix.lower() in TEXT_SUFFIXES)
    if not texts or is_compbench_folder(path):
        return load_benchmark(name)
    prompts = {}
    for file in texts:
        check_item_id(file.stem, str(path))
        prompts[file.stem] = read_text(file).strip()
    named = path if path.name.strip(".") else path.resolve()
    return Benchmark(named.name, path, prompts, {}, is_list=True)


def prompts_of(prompts: Mapping[str, str]) -> Benchmark:
    """Return prompts by id as a list of prompts called ``prompts``.

    Raises:
        DataError: an id cannot name a file.
        UsageError: there is none, or one is no text.
    """
    for item_id, prompt in prompts.items():
        check_item_id(item_id, "prompts")
        if not isinstance(prompt, str):
            raise UsageError(f"prompts[{item_id!r}] is {clipped(prompt)}, not text")
    if not prompts:
        raise UsageError("prompts: give one at least")
    texts = {item_id: prompt.strip() for item_id, prompt in prompts.items()}
    return Benchmark("prompts", Path("prompts"), texts, {}, is_list=True)


def unusable_prompts(prompts: dict[str, str]) -> dict[str, str]:
    """Return the reason, by item, why a prompt could not be one of a sound benchmark's."""
    reasons: dict[str, str] = {}
    for finding in check_benchmark(prompts, [], []):
        reasons.setdefault(finding.item_id, finding.message)
    for item_id, prompt in prompts.items():
        if "\0" in prompt:
            reasons.setdefault(item_id, "the prompt holds NUL characters; it is not text")
    return reasons
