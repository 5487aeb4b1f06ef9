"""Manifests and run folders field by field: what is recorded, what is refused, what goes on."""

from __future__ import annotations

import json
import logging
import os
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock
import pytest

from dpgbench.domain.benchmark import OriginalBenchmark
from dpgbench.domain.shard import Shard
from dpgbench.domain.spec import GridSpec
from dpgbench.errors import DataError, IncompleteError, ResumeMismatchError, UsageError
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.files import read_jsonl, write_json
from dpgbench.store.run.directory import (
    RunDir,
    default_run,
    find_runs,
    newest_run,
    refuse_foreign_folder,
    refuse_unmerged,
    runs_by_age,
)
from dpgbench.store.run.manifest import (
    Manifest,
    add_accounts,
    check_same,
    describe_benchmark,
    environment,
    find_recorded_benchmark,
    judge_file_name,
    judge_releases,
    load_recorded_benchmark,
    load_same_benchmark,
    open_manifest,
    read_manifest,
    recorded_model,
    toolkit_version,
)
from tests.helpers import row, write_csv
from tests.store.manifests import made


def changed(path: Path, **fields: object) -> Path:
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, **fields}))
    return path


def test_what_a_new_manifest_holds(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    fresh = Manifest("answers", "m", {}, ["a"], {"name": "b"}, 1)
    fresh.write(path)
    record = json.loads(path.read_text())
    assert record["created"].endswith("+00:00")
    assert record == {
        "identity_hash": fresh.identity_hash,
        "kind": "answers",
        "model": "m",
        "identity": {},
        "items": ["a"],
        "benchmark": {"name": "b"},
        "num_images": 1,
        "generation": {},
        "judges": {},
        "notes": [],
        "commands": [],
        "environment": {},
        "created": record["created"],
        "completed": None,
        "file_names": {},
        "schema": 1,
    }
    assert len(fresh.identity_hash) == 12
    assert read_manifest(path) == fresh
    assert (fresh.grid, fresh.single_colour, fresh.judge("j")) == (None, {}, {})
    drawn = made(num_images=2, identity={"generation": {"width_px": 8, "height_px": 6}})
    assert drawn.grid == GridSpec(2, 8, 6)
    versions = environment()
    assert list(versions) == ["dpgbench", "python", "platform", "packages"]
    assert versions["dpgbench"] == toolkit_version() == metadata.version("dpgbench")
    assert versions["packages"]["torch"] == judge_releases()["torch"] == metadata.version("torch")
    other = made()
    assert open_manifest(tmp_path / "none.json", other) is other


def test_what_is_recorded_of_a_run_as_it_goes(tmp_path: Path) -> None:
    run = made(judges={"j": {"questions_sha256": "q"}, "k": {"questions_sha256": None}})
    run.benchmark["questions_sha256"] = "b"
    assert [run.questions_sha256(judge) for judge in ("j", "k", "l")] == ["q", "b", "b"]
    assert run.judge("j") == {"questions_sha256": "q"}
    run.note("one")
    run.note("two", "one")
    assert run.notes == ["one", "two"]
    run.add_items(["d"], "dcba")
    assert run.items == ["d", "b", "a"]
    run.record_single_colour({"b": [0, 3], "a": [1]})
    assert run.generation["single_colour"] == {"tiles": 3, "items": {"b": [0, 3], "a": [1]}}
    assert run.single_colour == {"b": [0, 3], "a": [1]}
    run.record_single_colour({})
    assert run.generation["single_colour"] == {"tiles": 0, "items": {}}
    run.record_shard(Shard(3, 2), ["c", "a"], "abcdehnos")
    assert run.generation["shard"] == {"number": 2, "of": 3, "chosen": ["a", "c"]}
    run.record_shard(Shard(3, 2), ["d", "a"], "dcba")
    assert run.generation["shard"] == {"number": 2, "of": 3, "chosen": ["d", "c", "a"]}
    run.write(tmp_path / "manifest.json")
    assert read_manifest(tmp_path / "manifest.json").generation == run.generation


def test_what_a_manifest_says_twice_must_agree(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    about = {"name": "n", "prompts_sha256": "s"}
    size = {"width_px": 8, "height_px": 8}
    sound: list[dict[str, Any]] = [
        {"benchmark": about, "num_images": 4, "generation": {**size, "num_images": 4}},
        {"benchmark": {}, "generation": size},
        {"benchmark": {"name": "n"}, "num_images": 4, "generation": size},
    ]
    for identity in sound:
        made(identity=identity).write(path)
        assert read_manifest(path).identity == identity
    for change, says in (
        ({"benchmark": {**about, "name": "o"}}, "benchmark.name is 'n', but 'o' in its identity"),
        (
            {"benchmark": {**about, "prompts_sha256": "t"}},
            "prompts_sha256 is 's', but 't' in its identity",
        ),
        ({"num_images": 2}, "num_images is 4, but 2 in its identity"),
        ({"generation": {**size, "num_images": 1}}, "num_images is 4, but 1 in its identity"),
    ):
        made(identity={**sound[0], **change}).write(path)
        with pytest.raises(DataError, match=f"is damaged: .*{says}; restore it"):
            read_manifest(path)
    for faulty, says in (
        (
            made(identity={"generation": {"width_px": 8}}),
            "identity.generation.height_px is missing",
        ),
        (made("images", generation={}), "generation.folder is missing"),
        (made(items=["a", "../b"]), "item id '../b' cannot name an image file"),
        (made(notes=[5]), "notes holds what is not text"),
    ):
        faulty.write(path)
        with pytest.raises(DataError, match=says):
            read_manifest(path)
    made().write(path)
    assert read_manifest(changed(path, benchmark={})).benchmark == {}
    record = json.loads(path.read_text())
    del record["file_names"]
    write_json(path, {**record, "judges": {"a:b": {}, "j": {}}})  # of an earlier version
    assert read_manifest(path).file_names == {"a:b": "a-b"}
    for record in ({"schema": 0}, {"schema": 2}):
        with pytest.raises(DataError, match="is not a manifest of schema 1"):
            read_manifest(changed(path, **record))


def test_settings_that_differ_are_all_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    made().write(path)
    assert open_manifest(path, made(model="other")).model == "m"
    for other in (made("answers"), made("images")):
        with pytest.raises(ResumeMismatchError, match=f'kind: "generated" -> "{other.kind}"'):
            open_manifest(path, other)
    with pytest.raises(ResumeMismatchError, match=r"r holds x with other settings: a: 1 -> 2; use"):
        check_same(Path("r"), {"a": 1, "b": 1}, {"a": 2, "b": 1}, "x")
    path.write_text(path.read_text().replace('"width_px": 8', '"width_px": 9'))
    with pytest.raises(ResumeMismatchError, match="its identity was changed after the run was"):
        read_manifest(path)


def test_what_is_recorded_of_a_benchmark(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "b.csv", [row("a", 1), row("a", 2), row("c", 1)])
    loaded = load_benchmark(path)
    whole = {
        "name": "b",
        "path": str(path.resolve()),
        "items": 2,
        "questions": 3,
        "prompts_sha256": loaded.prompts_sha256,
        "questions_sha256": loaded.questions_sha256,
    }
    assert describe_benchmark(loaded) == whole
    folder = tmp_path / "mine"
    (folder / "prompts").mkdir(parents=True)
    (folder / "prompts/a.txt").write_text("x")
    alone = describe_benchmark(load_benchmark(folder))
    assert (alone["items"], alone["questions"], alone["questions_sha256"]) == (1, 0, None)
    write_json(folder / "source.json", {"questions_from": "https://there"})
    assert "questions_from" not in describe_benchmark(load_benchmark(folder))
    write_csv(folder / "dpg_bench.csv", [row("a", 1)])
    pulled = describe_benchmark(load_benchmark(folder))
    assert (pulled["questions_from"], pulled["name"]) == ("https://there", "mine")
    original = OriginalBenchmark("p", "q", "k", "dpg")
    assert describe_benchmark(replace(loaded, rewritten_from=original)) == {
        **whole,
        "rewritten_from": {
            "name": "dpg", "prompts_sha256": "p", "questions_sha256": "q", "kept_sha256": "k",
        },
    }  # fmt: skip


def test_the_benchmark_of_a_run_is_looked_for_where_it_was(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "b.csv", [row("a", 1)])
    gone = str(tmp_path / "gone.csv")
    assert find_recorded_benchmark({"name": "b", "path": str(path)}) == str(path)
    assert find_recorded_benchmark({"name": "shapes", "path": str(path)}) == str(path)
    for record in ({"name": "shapes", "path": gone}, {"name": "dpg", "path": str(tmp_path)}):
        assert find_recorded_benchmark(record) == record["name"]  # type: ignore[arg-type]
    assert find_recorded_benchmark({"name": "b"}) == "b"
    assert find_recorded_benchmark({"name": "geneval2", "path": gone}) == "geneval2"
    with pytest.raises(DataError, match=r"gone\.csv is gone; name a copy of it with --bench"):
        find_recorded_benchmark({"name": "b", "path": gone})
    loaded = load_benchmark(path)
    record = describe_benchmark(loaded)
    assert load_recorded_benchmark(record).prompts == {"a": "a prompt for a"}
    manifest = made(benchmark=record)
    where = tmp_path / "r/manifest.json"
    assert load_same_benchmark(where, manifest).prompts_sha256 == loaded.prompts_sha256
    other = write_csv(tmp_path / "o.csv", [row("a", 1, text="another")])
    with pytest.raises(ResumeMismatchError, match=r"r holds a run with other settings: benchmark"):
        load_same_benchmark(where, manifest, str(other))
    for name in ("name", "path", "prompts_sha256"):
        lacking = made(benchmark={key: value for key, value in record.items() if key != name})
        with pytest.raises(DataError, match=rf"is damaged: benchmark\.{name} is missing"):
            load_same_benchmark(where, lacking)


def test_what_several_commands_cost() -> None:
    before = {
        "calls": 2, "usd": 0.1, "models": ["b", "a"], "first_call": "2025", "last_call": "2025",
        "kept": None, "name": "x", "only": 1,
    }  # fmt: skip
    latest = {
        "calls": 3, "usd": 0.2000004, "models": ["c", "a"], "first_call": "2026",
        "last_call": "2026", "kept": "k", "name": None, "first_new": 1,
    }  # fmt: skip
    assert add_accounts(before, latest) == {
        "calls": 5, "usd": 0.3, "models": ["a", "b", "c"], "first_call": "2025",
        "last_call": "2026", "kept": "k", "name": "x", "only": 1, "first_new": 1,
    }  # fmt: skip
    assert add_accounts({"usd": 0}, {"usd": 1e-6 / 3 * 2})["usd"] == 1e-6
    assert add_accounts({}, latest) == latest


def test_files_of_judges_keep_the_names_that_they_had(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    assert judge_file_name(path, "a:b") == "a-b~" + judge_file_name(path, "a:b")[4:]
    write_json(path, {"model": "m", "judges": {"a:b": {}, "a/b": {}}})
    assert judge_file_name(path, "a:b") == "a-b"
    assert judge_file_name(path, "a/b").startswith("a-b~")
    assert judge_file_name(path, "a-b").startswith("a-b~")  # its name is another's file
    assert judge_file_name(path, "mplug") == "mplug"
    assert recorded_model(path) == "m"
    write_json(path, {"file_names": {"a/b": "a-b", "c:d": "evil"}, "judges": {"a:b": {}}})
    assert judge_file_name(path, "a/b") == "a-b"
    assert judge_file_name(path, "a:b").startswith("a-b~")
    assert judge_file_name(path, "c:d").startswith("c-d~")
    assert recorded_model(path) is None
    path.write_text("[]")
    assert recorded_model(path) is None
    assert recorded_model(tmp_path / "none.json") is None
    for length, kept in ((198, True), (199, False)):  # with its suffix it must fit a file's name
        write_json(path, {"judges": {"x" * (length - 1) + ":y": {}}})
        name = judge_file_name(path, "x" * (length - 1) + ":y")
        assert (name == "x" * (length - 1) + "-y") is kept


def test_the_parts_of_a_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "r")
    assert run.shards() == {}
    for name in ("2-of-3", "10-of-12", "1-of-3", "other"):
        (run.path / "shards" / name).mkdir(parents=True)
    assert list(run.shards()) == [Shard(3, 1), Shard(3, 2), Shard(12, 10)]
    assert run.shards()[Shard(3, 2)] == run.shard(Shard(3, 2)) == RunDir(run.path / "shards/2-of-3")
    with pytest.raises(UsageError, match="has shards that are not merged: dpgbench merge "):
        refuse_unmerged(run.path)
    with pytest.raises(UsageError, match="has shards that are not merged"):
        runs_by_age(tmp_path)
    with pytest.raises(UsageError, match="has shards that are not merged"):
        find_runs([run.path])
    made().write(run.manifest)
    refuse_unmerged(run.path)
    assert find_runs([run.path]) == [run]
    assert newest_run(tmp_path) == run
    places = {
        run.images: "images",
        run.image("a1"): "images/a1.png",
        run.questions("mplug"): "questions/mplug.jsonl",
        run.answers("mplug"): "answers/mplug.jsonl",
        run.scores("mplug", "dsg"): "scores/mplug/dsg.json",
        run.scores("mplug", "dsg", "@0"): "scores/mplug/dsg@0.json",
        run.item_scores("mplug", "dsg", "@0"): "scores/mplug/dsg@0.items.csv",
    }
    assert [path.relative_to(run.path).as_posix() for path in places] == list(places.values())
    with pytest.raises(DataError, match=rf"{run.images}: item id '\.\./a1' cannot name"):
        run.image("../a1")


def test_whose_folder_is_written_into(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "r")
    refuse_foreign_folder(run)
    run.path.mkdir()
    for name in (".lock", ".owner", "shards", ".part-x"):
        (run.path / name).touch()
        refuse_foreign_folder(run)
    (run.path / "notes.txt").touch()
    with pytest.raises(UsageError, match="is not empty and not a run; choose another folder"):
        refuse_foreign_folder(run)
    made().write(run.manifest)
    refuse_foreign_folder(run)
    with pytest.raises(UsageError, match=r"notes\.txt is a file; name a folder"):
        refuse_foreign_folder(RunDir(run.path / "notes.txt"))


def test_what_a_power_cut_left_of_lines_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunDir(tmp_path / "deep/r")
    with run.locked():
        pass
    (run.path / "answers").mkdir()
    run.images_log.write_bytes(b'\0\0\n{"item_id": "a"}\n')
    run.answers("j").write_bytes(b"\0\n\0\n")
    run.answers("k").write_bytes(b"{}\n")
    left = [run.path / name / ".part-x" for name in ("questions", "scores/j", "images")]
    for part in left:
        part.parent.mkdir(parents=True)
        part.touch()
    with caplog.at_level(logging.WARNING), run.locked():
        assert not any(part.exists() for part in left)
    assert [record.getMessage() for record in caplog.records] == [
        f"{run.images_log}: 1 line was zeros, as a power cut leaves them; what stood there is done "
        "again",
        f"{run.answers('j')}: 2 lines were zeros, as a power cut leaves them; what stood there is "
        "done again",
    ]
    assert read_jsonl(run.images_log) == [{"item_id": "a"}]


def test_a_run_that_is_in_use_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(seconds: float) -> None:
        raise AssertionError("nobody is waited for")

    monkeypatch.setattr("time.sleep", wait)
    run, real, locks = RunDir(tmp_path), filelock.FileLock, []

    def lock(path: Path) -> Any:
        locks.append(real(path))  # kept, so that only a release gives them back
        return locks[-1]

    monkeypatch.setattr(filelock, "FileLock", lock)
    with run.locked():
        with pytest.raises(UsageError) as raised, run.locked():
            pass
        assert str(raised.value).endswith("wait for it, or choose another --out")
    with run.locked():
        pass
    monkeypatch.setattr(filelock, "FileLock", filelock.SoftFileLock)
    (tmp_path / ".lock").unlink(missing_ok=True)
    with run.locked(), pytest.raises(UsageError) as raised, run.locked():
        pass
    assert str(raised.value).endswith(f"--out; if it is dead, remove {tmp_path / '.lock'}")


def test_ids_that_would_share_a_file(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.refuse_shared_names(["a", "A"])  # this file system tells them apart
    (tmp_path / ".LOCK").touch()  # as if it did not
    run.refuse_shared_names(["a", "B", "a"])
    with pytest.raises(UsageError, match="the grids of items b and B would be one file"):
        run.refuse_shared_names(["a", "b", "B"])


def test_who_appends_to_a_run_notices_that_it_was_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, clock = RunDir(tmp_path / "r"), [0.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    with run.locked(), run.append_to(run.images_log) as lines:
        lines.append({"n": 1})
        run.path.rename(tmp_path / "moved")
        clock[0] = 5.0
        with pytest.raises(IncompleteError, match="r is gone: was it moved or deleted"):
            lines.append({"n": 2})
        (tmp_path / "moved").rename(run.path)
    assert read_jsonl(run.images_log) == [{"n": 1}]


def test_runs_by_their_age_and_by_their_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/plain").mkdir()
    with pytest.raises(UsageError, match="no run under runs/; name a run or an image folder"):
        runs_by_age()
    for age, name in enumerate(("c", "a", "b")):
        run = RunDir(Path("runs") / name)
        run.path.mkdir()
        made().write(run.manifest)
        os.utime(run.manifest, (age, age))
        assert newest_run() == run
    with pytest.raises(UsageError, match="no scored run under runs/; name one"):
        find_runs([])
    for name in ("b", "a"):
        write_json(Path(f"runs/{name}/scores/j/dsg.json"), {})
    assert [run.name for run in find_runs([])] == ["a", "b"]
    assert [run.name for run in runs_by_age()] == ["c", "a", "b"]
    with pytest.raises(DataError, match="runs/gone is not there"):
        find_runs([Path("runs/a"), Path("runs/gone")])
    with pytest.raises(UsageError, match=r"runs/plain is not a run \(no manifest\.json\)"):
        find_runs([Path("runs/plain")])
    assert default_run("m", "0") == RunDir(Path("runs/m-0"))
    Path("runs/o-m-0").mkdir()
    made(model="o:m").write(Path("runs/o-m-0/manifest.json"))
    assert default_run("o:m", "0").path == Path("runs/o-m-0")
    assert default_run("o/m", "0").path.name.startswith("o-m~")
    new = default_run("o:n", "0").path
    for name in (new.name, "o-n-0"):
        (tmp_path / "runs" / name).mkdir()
        made(model="o:n").write(tmp_path / "runs" / name / "manifest.json")
    assert default_run("o:n", "0").path == new
