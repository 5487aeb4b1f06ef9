"""Pulling benchmarks of the table: every source, every fault, and what becomes of each format."""

from __future__ import annotations

import http.server
import io
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import dpgbench
from dpgbench.domain.rules import ALL_RULES
from dpgbench.errors import DataError, SetupError, UsageError
from dpgbench.store.benchmark_table import named_benchmarks, named_of
from dpgbench.store.benchmarks import load_csv
from dpgbench.store.files import read_json
from dpgbench.store.pull_files import pull_files
from tests.store.named_copies import FILES, small, write


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "pulled"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("flat", [False, True])
def test_folders(tmp_path: Path, target: Path, name: str, flat: bool) -> None:
    folder = write(tmp_path / "copy", name, flat=flat)
    pulled = pull_files(str(folder), target, small(name))
    assert pulled.files == len(FILES[name])
    benchmark = load_csv(target / f"{name}.csv", name)
    assert not [found for found in benchmark.findings() if found.severity != "note"]
    record = read_json(target / "source.json")
    assert record["licence"] == named_benchmarks()[name].terms
    assert record["blobs"] == dict(small(name).files)


@pytest.mark.parametrize("name", FILES)
def test_questions_that_were_changed_after_the_pull_are_not_the_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("DPGBENCH_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "cache" / "benchmarks" / name
    pull_files(str(write(tmp_path / "copy", name)), folder, small(name))
    whole = dpgbench.load_benchmark(name)
    table = folder / f"{name}.csv"
    data = table.read_bytes()
    table.write_bytes(data.replace(b"?", b" now?", 1))
    with pytest.raises(DataError, match=rf"was changed after .*'dpgbench prompts pull {name}'"):
        dpgbench.load_benchmark(name)
    table.write_bytes(data)
    assert dpgbench.load_benchmark(name).graphs_sha256 == whole.graphs_sha256


def test_what_corebench_becomes(tmp_path: Path, target: Path) -> None:
    pull_files(str(write(tmp_path, "corebench")), target, small("corebench"))
    first, second, third = load_csv(target / "corebench.csv", "corebench").rows
    assert first.text == "=A chest, 'old'\nand \u2028 red."
    assert first.category == ("composition", "composition - multi-attribute")
    assert (first.keywords, first.question) == ("attribute_pos", "Is it old (very)?")
    assert (second.qid, second.dependency, second.expected, second.template) == (2, "0", "yes", "")
    assert third.category.l2 == "reasoning - analogical reasoning"
    assert len(third.text.split()) == 540


def test_what_oneig_becomes(tmp_path: Path, target: Path) -> None:
    pull_files(str(write(tmp_path, "oneig-alignment")), target, small("oneig-alignment"))
    benchmark = load_csv(target / "oneig-alignment.csv", "oneig-alignment")
    assert list(benchmark.prompts) == ["anime_000", "human_000", "object_000"]
    assert benchmark.prompts["anime_000"] == "一个女孩, sitting"
    assert benchmark.rows[0].category == ("anime stylization", "anime stylization - lego")
    assert [row.dependency for row in benchmark.items["human_000"]] == ["0", "1"]
    assert benchmark.items["human_000"][0].category == ("portrait", "portrait")


def test_what_geneval2_becomes(tmp_path: Path, target: Path) -> None:
    pull_files(str(write(tmp_path, "geneval2")), target, small("geneval2"))
    count, colour = load_csv(target / "geneval2.csv", "geneval2").rows
    assert (count.item_id, count.keywords) == ("three_atoms_000", "3 atoms")
    assert (count.expected, count.category.l1) == ("seven", "count")
    assert count.asked == "How many? Answer in one word."
    assert (colour.expected, colour.category.l1) == ("yes", "attribute")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_refused(tmp_path: Path, target: Path, name: str) -> None:
    folder = write(tmp_path / "copy", name)
    pull_files(str(folder), target, small(name))
    before = contents(target)
    for path, data in FILES[name].items():
        (folder / path).write_bytes(data.replace(b"i", b"I", 1))
        with pytest.raises(DataError, match=f"{Path(path).name} is not {name}'s.*nothing was rep"):
            pull_files(str(folder), target, small(name))
        (folder / path).write_bytes(data)
    assert contents(target) == before


def test_line_ends_of_a_clone_are_turned_back(tmp_path: Path, target: Path) -> None:
    folder = write(tmp_path / "copy", "oneig-alignment")
    table = folder / "OneIG-Bench.csv"  # upstream's has CR LF, a clone's LF
    table.write_bytes(table.read_bytes().replace(b"\r\n", b"\n"))
    assert pull_files(str(folder), target, small("oneig-alignment")).line_ends_restored == 1
    stored = (target / "upstream" / "OneIG-Bench.csv").read_bytes()
    assert stored == FILES["oneig-alignment"]["OneIG-Bench.csv"]


def test_archives_single_files_and_what_is_missing(tmp_path: Path, target: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("Bench-c0ffee/zh/anime.json", b"another file of this name")
        for path, data in FILES["oneig-alignment"].items():
            archive.writestr(f"Bench-c0ffee/{path}", data)
    (tmp_path / "a.zip").write_bytes(buffer.getvalue())
    assert pull_files(str(tmp_path / "a.zip"), target, small("oneig-alignment")).files == 4
    one = tmp_path / "renamed.jsonl"
    one.write_bytes(FILES["geneval2"]["geneval2_data.jsonl"])
    assert pull_files(str(one), target, small("geneval2")).files == 1
    with pytest.raises(DataError, match=r"has no data/R-AR\.json, which corebench needs"):
        (tmp_path / "C-MA.json").write_bytes(FILES["corebench"]["data/C-MA.json"])
        pull_files(str(tmp_path / "C-MA.json"), target, small("corebench"))
    with pytest.raises(DataError, match="cut off or damaged"):
        (tmp_path / "a.zip").write_bytes(buffer.getvalue()[:60])
        pull_files(str(tmp_path / "a.zip"), target, small("geneval2"))


@pytest.fixture
def repository() -> Iterator[tuple[str, dict[str, bytes]]]:
    """An address, and what it serves by path."""
    served: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path not in served:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(served[self.path])))
            self.end_headers()
            self.wfile.write(served[self.path])

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", served
    server.shutdown()
    server.server_close()


def test_upstream_and_its_mirrors(target: Path, repository: tuple[str, dict[str, bytes]]) -> None:
    address, served = repository
    entry = small("corebench", address)
    for path, data in FILES["corebench"].items():
        served[f"/raw/c0ffee/{path}"] = data
    pulled = pull_files(None, target, entry)
    assert list(pulled.sources.values()) == [entry.url_of(path) for path in entry.files]
    lost = served.pop("/raw/c0ffee/data/R-AR.json")
    with pytest.raises(SetupError, match="answered 404"):
        pull_files(None, target, entry)
    served["/other"], served["/mirror"] = b"{}", lost
    mirrors = {"data/R-AR.json": (f"{address}/other", f"{address}/mirror")}
    pulled = pull_files(None, target, replace(entry, mirrors=mirrors))
    assert pulled.sources["data/R-AR.json"] == f"{address}/mirror"
    assert [("404" in why, "is not corebench's" in why) for why in pulled.trouble] == [
        (True, False), (False, True),
    ]  # fmt: skip


def test_the_table() -> None:
    table = dpgbench.list_benchmarks()
    assert list(table) == [
        "dpg", "shapes", "dsg1k", "corebench", "oneig-alignment", "geneval2", "t2i-compbench",
    ]  # fmt: skip
    counts = {name: (entry.items, entry.questions) for name, entry in table.items()}
    assert counts["dsg1k"] == (1060, 8182)
    assert counts["corebench"] == (1080, 13536)
    assert counts["oneig-alignment"] == (695, 11231)
    assert counts["geneval2"] == (800, 6012)
    assert counts["dpg"] == (1065, 14334)  # 14,333 after the first row
    for entry in table.values():
        assert all(len(blob) == 40 for blob in entry.files.values())
        assert set(entry.rules) <= set(ALL_RULES)
        assert "commercial" in entry.terms or not entry.non_commercial
    assert {name for name, e in table.items() if e.non_commercial} == {
        "oneig-alignment", "geneval2",
    }  # fmt: skip
    with pytest.raises(UsageError, match="did you mean geneval2"):
        dpgbench.pull_benchmark("geneval-2")


def test_which_benchmark_a_run_is_of() -> None:
    """Its prompts tell; a name only where it is no file of the user's."""
    entry = named_benchmarks()["geneval2"]
    assert named_of("mine", entry.prompts_sha256, "/x/mine.csv") is entry
    assert named_of("geneval2", "other", "/x/geneval2.csv") is None
    assert named_of("t2i-compbench", "other", "/x/folder") is named_benchmarks()["t2i-compbench"]
    assert named_of("mine", "other", None) is None


def test_shapes_ships() -> None:
    benchmark = dpgbench.pull_benchmark("shapes")
    entry = named_benchmarks()["shapes"]
    assert (len(benchmark.prompts), benchmark.num_questions) == (entry.items, entry.questions)
    assert benchmark.prompts_sha256 == entry.prompts_sha256


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("dsg1k", "dsg1k"), ("corebench", "corebench"), ("oneig-alignment", "oneig"),
        ("geneval2", "geneval2"), ("t2i-compbench", "t2i_compbench"),
    ],
)  # fmt: skip
def test_real_copies(shared: Path, name: str, folder: str) -> None:
    benchmark = dpgbench.pull_benchmark(name, shared / "data" / folder)
    entry = named_benchmarks()[name]
    assert (len(benchmark.prompts), benchmark.num_questions) == (entry.items, entry.questions)
    assert benchmark.prompts_sha256 == entry.prompts_sha256
    assert benchmark.name == name
