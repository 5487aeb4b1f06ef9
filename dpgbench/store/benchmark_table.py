"""The table of benchmarks that can be named: where each comes from, under which licence, what of.

Data is `prompts/benchmarks.toml`; nothing else says a licence, a commit or a blob id.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

from dpgbench.domain.benchmark import Benchmark
from dpgbench.errors import counted, unknown_name
from dpgbench.store.csv_rows import read_table
from dpgbench.store.paths import cache_folder, data_folder
from dpgbench.store.prompt_lists import SUFFIXES

DPG, SHAPES = "dpg", "shapes"
Format = Literal["dpg", "packaged", "table", "corebench", "oneig", "geneval2", "prompt-lists"]


@dataclass(frozen=True)
class NamedBenchmark:
    """A benchmark of the table.

    Attributes:
        name: as ``--bench`` takes it.
        title: as its authors call it.
        licence: its name; `copyright` is whose it is.
        non_commercial: whether the licence forbids commercial use.
        repository: address; empty for one that ships with the toolkit.
        commit: that `files` are of.
        folder: in the repository, that `files` are below.
        files: git blob id of each file by its path.
        mirrors: by the path of a file, other addresses of it.
        format: how the files are read.
        items: prompts; `questions` alike, 0 where its judges make them.
        prompts_sha256: over ids and prompts, as a run's manifest has it.
        images: an item, as its authors draw; `images_note` says more.
        seed_rule: of drawing; empty is the toolkit's own.
        judge: by its authors, in words; `rule` alike.
        rules: that score where none is chosen; none are the usual ones.
        note: what else a reader of a number must know.
        cites: keys of BibTeX entries.
    """

    name: str
    title: str
    licence: str
    copyright: str
    repository: str
    commit: str
    folder: str
    files: Mapping[str, str]
    format: Format
    items: int
    questions: int
    images: int
    judge: str
    rule: str
    prompts_sha256: str = ""
    images_note: str = ""
    seed_rule: str = ""
    non_commercial: bool = False
    note: str = ""
    rules: Sequence[str] = ()
    cites: Sequence[str] = ()
    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def ships(self) -> bool:
        """Whether it is part of the toolkit, so that there is nothing to pull."""
        return self.format == "packaged"

    @property
    def terms(self) -> str:
        """The licence in words, for people: whose it is, and what it forbids."""
        terms = f"{self.licence}, {self.copyright}"
        return f"{terms}; not for commercial use" if self.non_commercial else terms

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        if self.ships:
            return "ships with the toolkit"
        return f"{self.repository} at {self.commit[:7]}, {counted(len(self.files), 'file')}"

    def url_of(self, path: str) -> str:
        """Return the address of one of the files."""
        return "/".join(filter(None, (self.repository, "raw", self.commit, self.folder, path)))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data."""
        return asdict(self)


def named_benchmarks() -> Mapping[str, NamedBenchmark]:
    """Return the table, by name, in its order."""
    return _table()


def find_named(name: str) -> NamedBenchmark:
    """Return the benchmark of a name.

    Raises:
        UsageError: there is none; near names are offered.
    """
    if name not in _table():
        raise unknown_name("benchmark to pull", name, _table(), listing="dpgbench prompts list")
    return _table()[name]


def named_of(name: str, prompts_sha256: str, path: str | None = None) -> NamedBenchmark | None:
    """Return the entry of a benchmark as a run records it; None where it is none of the table.

    Its prompts tell, wherever they lie; its name only where it is no file of the user's, which may
    be called anything.
    """
    for entry in _table().values():
        if entry.prompts_sha256 == prompts_sha256:
            return entry
    is_file = path is not None and PurePath(path).suffix.lower() in SUFFIXES
    return None if is_file else _table().get(name)


def pulled_folder(name: str) -> Path:
    """Return where a pull puts the benchmark of a name."""
    return cache_folder() / "benchmarks" / name


def asked_by_name(benchmark: Benchmark) -> NamedBenchmark | None:
    """Return the entry of a benchmark that was asked for by its name, not by a file of the user's.

    Its authors' numbers of images and rules are taken where the user says nothing.
    """
    entry = _table().get(benchmark.name)
    is_file = benchmark.path.suffix.lower() in SUFFIXES
    return None if is_file and benchmark.path.parent != pulled_folder(benchmark.name) else entry


@functools.cache
def _table() -> Mapping[str, NamedBenchmark]:
    with (data_folder("prompts") / "benchmarks.toml").open("rb") as file:
        tables = tomllib.load(file)
    return {name: _entry(name, values) for name, values in tables.items()}


def _entry(name: str, values: dict[str, Any]) -> NamedBenchmark:
    files = dict(values.pop("files"))
    if name == DPG:
        index = read_table(data_folder("prompts") / "index.csv")
        files |= {f"prompts/{cells['item_id']}.txt": cells["git_blob"] for _, cells in index}
    return NamedBenchmark(name=name, files=files, **values)
