"""Names of judges and models become file names one to one; old names stay readable."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.store.paths import file_name, old_file_name
from dpgbench.store.run.directory import RunDir, default_run

PLAIN = ["mplug", "tiny-mplug", "replay", "ella-sd15", "v1.0", "a_b", "default"]
CLOSE = ["a:b", "a/b", "a-b", "a b", "A-b", "A:b", "a--b", "a-b.", ".a-b", "-a-b", "é", "e\u0301"]
HARMFUL = ["con", "CON", "nul.x", "com1", "..", "", "x" * 300, "y" * 64 + "z" * 300, "a\x00b"]


@given(st.text(), st.text())
def test_two_names_are_never_one_file(one: str, other: str) -> None:
    if one != other:
        assert file_name(one).casefold() != file_name(other).casefold()


def test_close_and_harmful_names_stay_apart_and_can_be_files(tmp_path: Path) -> None:
    names = list(dict.fromkeys([*PLAIN, *CLOSE, *HARMFUL, *map(file_name, CLOSE)]))
    files = [file_name(name) for name in names]
    alike = {unicodedata.normalize("NFC", name).casefold() for name in files}
    assert len(alike) == len(names)
    assert files[: len(PLAIN)] == PLAIN  # names in use keep their files
    for name in files:
        (tmp_path / f"{name}.jsonl").write_text("")
        assert name.split(".")[0].lower() not in ("con", "nul", "com1", "")
        assert len(name) < 80
    assert len(list(tmp_path.iterdir())) == len(names)


def old_run(folder: Path, judges: list[str], **more: object) -> RunDir:
    """Write what an earlier version would have: answers under the old names of judges."""
    run = RunDir(folder)
    (folder / "answers").mkdir(parents=True)
    for judge in judges:
        (folder / f"answers/{old_file_name(judge)}.jsonl").write_text("")
        (folder / f"scores/{old_file_name(judge)}").mkdir(parents=True, exist_ok=True)
    run.manifest.write_text(json.dumps({"judges": {judge: {} for judge in judges}, **more}))
    return run


@pytest.mark.parametrize("judge", ["hf:Org/Model", "mplug:first-token", "openai:gpt-4o", "mplug"])
def test_a_judge_of_an_old_run_is_found_under_its_old_name(tmp_path: Path, judge: str) -> None:
    run = old_run(tmp_path, [judge])
    assert run.answers(judge).exists()
    assert run.scores(judge, "dsg").parent.exists()


@pytest.mark.parametrize("other", ["a/b", "a-b", "A:b", "a b"])
def test_an_old_file_is_never_another_judges(tmp_path: Path, other: str) -> None:
    for judges in (["a:b"], ["a:b", other]):
        run = old_run(tmp_path / str(len(judges)), judges)
        assert run.answers("a:b").exists()
        assert not run.answers(other).exists() or old_file_name(other) != "a-b"
        assert run.answers(other) != run.answers("a:b")
        assert run.scores(other, "dsg").parent != run.scores("a:b", "dsg").parent


def test_new_runs_know_no_old_names(tmp_path: Path) -> None:
    run = old_run(tmp_path, ["a:b"], file_names={})
    assert not run.answers("a:b").exists()
    assert run.answers("a-b").exists()


def test_recorded_file_names_cannot_lead_out_of_the_run(tmp_path: Path) -> None:
    run = old_run(tmp_path, ["a:b"], file_names={"a:b": "../../evil"})
    assert run.answers("a:b").parent == tmp_path / "answers"


def test_a_default_run_goes_on_under_its_old_name(tmp_path: Path) -> None:
    old = tmp_path / "My-Model-0123"
    old_run(old, [], model="My Model")
    assert default_run("My Model", "0123", tmp_path).path == old
    assert default_run("My/Model", "0123", tmp_path).path != old
    assert default_run("My Model", "4567", tmp_path).path.name == f"{file_name('My Model')}-4567"


def test_weights_fetched_under_an_old_name_are_used_for_their_revision_alone() -> None:
    from dpgbench.backends.entries import ModelScope
    from dpgbench.backends.weights.locate import modelscope_folder

    source = ModelScope("owner/judge", "judges/mplug")
    old = modelscope_folder(source, "x").with_name("refs-pr-1")
    old.mkdir(parents=True)
    (old / ".fetched.json").write_text('{"revision": "refs/pr/1"}')
    assert modelscope_folder(source, "refs/pr/1") == old
    assert modelscope_folder(source, "refs:pr:1").name.startswith("refs-pr-1~")
