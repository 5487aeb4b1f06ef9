"""`dpgbench prompts list` without a benchmark: what the table says of each, and what is here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dpgbench.store.benchmark_table import named_benchmarks
from tests.helpers import Run


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DPGBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_for_people_and_programs(run: Run, cache: Path) -> None:
    ended = run("prompts", "list")
    assert ended.code == 0
    for entry in named_benchmarks().values():
        assert f"{entry.name}: {entry.title}" in ended.out
        assert f"  licence {entry.terms}" in ended.out
        assert next(iter(entry.files.values())) in ended.out
        if not entry.ships:
            assert f"not here yet: dpgbench prompts pull {entry.name}" in ended.out
    listed = json.loads(run("prompts", "list", "--json").out)["benchmarks"]
    assert [one["name"] for one in listed] == list(named_benchmarks())
    geneval = next(one for one in listed if one["name"] == "geneval2")
    assert (geneval["items"], geneval["questions"], geneval["path"]) == (800, 6012, None)
    assert geneval["files"] == dict(named_benchmarks()["geneval2"].files)
    assert geneval["non_commercial"] is True
    for field in ("licence", "repository", "commit", "images", "judge", "rule", "cites"):
        assert geneval[field]


def test_a_damaged_one_hides_no_other(run: Run, cache: Path) -> None:
    folder = cache / "benchmarks" / "geneval2"
    folder.mkdir(parents=True)
    (folder / "geneval2.csv").write_text("not,a\nbenchmark\n")
    ended = run("prompts", "list")
    assert ended.code == 0
    assert "'dpgbench prompts pull geneval2' mends it" in ended.err
    assert run("prompts", "list", "--bench", "geneval2").code == 3


def test_what_is_not_here_names_the_command(run: Run, cache: Path) -> None:
    for name in ("geneval2", "corebench", "dsg1k", "oneig-alignment", "t2i-compbench"):
        ended = run("generate", "--model", "tiny-ella-sd15", "--bench", name)
        assert ended.code == 4
        assert f"get it with 'dpgbench prompts pull {name}'" in ended.error
    ended = run("prompts", "pull", "geneval3")
    assert ended.code == 2
    assert "did you mean geneval2" in ended.error
