"""mPLUG's weights from the Hugging Face hub: a fake hub's client, no network."""

from __future__ import annotations

import errno
import hashlib
import json
import pickle
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors as hub_errors
from PIL import Image

import dpgbench
from dpgbench.backends.entries import HuggingFace
from dpgbench.backends.judges.mplug import MplugJudge
from dpgbench.backends.judges.table import JUDGES
from dpgbench.backends.weights.locate import fetch_from_hub
from dpgbench.mplug import config, write_tiny_checkpoint
from tests.helpers import Run, row, write_csv

SCORE = ("score", "pictures", "--bench", "b.csv", "--num-images", 1, "--out", "r")
CPU = ("--device", "cpu")
(ROLE,) = JUDGES["mplug"].roles
SOURCE = next(source for source in ROLE.sources if isinstance(source, HuggingFace))
MPLUG_REPOSITORY = SOURCE.repository
NEEDED = SOURCE.required
OPTIONAL = sorted({*SOURCE.files} - {*NEEDED})


class FakeHub:
    """A hub with commits of one repository, and its client's cache below `cache`."""

    def __init__(self, cache: Path) -> None:
        self.cache = cache
        self.folders: dict[str, Path] = {}
        self.revisions: dict[str, str] = {}
        self.error: Exception | None = None
        self.asked: list[tuple[str, str | None]] = []

    def add(self, commit: str, seed: int = 0, revision: str = "main") -> Path:
        """Put a tiny judge there, with a file that is not the judge's."""
        folder = self.cache.parent / "remote" / commit
        write_tiny_checkpoint(folder, seed)
        (folder / "README.md").write_text(f"commit {commit}")
        self.folders[commit] = folder
        self.revisions[revision] = commit
        return folder

    def download(
        self,
        repository: str,
        *,
        revision: str | None = None,
        allow_patterns: Sequence[str],
        ignore_patterns: Sequence[str] | None = None,
    ) -> str:
        """As `huggingface_hub.snapshot_download`: what there is of the files asked for."""
        self.asked.append((repository, revision))
        if self.error is not None:
            raise self.error
        commit = self.revisions[revision or "main"]
        snapshot = self.cache / "snapshots" / commit
        snapshot.mkdir(parents=True, exist_ok=True)
        for name in allow_patterns:
            if (self.folders[commit] / name).exists():
                shutil.copy(self.folders[commit] / name, snapshot / name)
        return str(snapshot)

    def cached(self, repository: str, name: str, *, revision: str | None = None) -> str | None:
        """As `huggingface_hub.try_to_load_from_cache`."""
        path = self.cache / "snapshots" / self.revisions.get(revision or "main", "-") / name
        return str(path) if path.is_file() else None


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHub:
    fake = FakeHub(tmp_path / "hub")
    fake.add("0123abc")
    monkeypatch.setattr(huggingface_hub, "snapshot_download", fake.download)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", fake.cached)
    return fake


@pytest.fixture(autouse=True)
def _pictures(run: Run, tmp_path: Path) -> None:
    write_csv(tmp_path / "b.csv", [row("it0", 1), row("it1", 1)])
    (tmp_path / "pictures").mkdir()
    for number in range(2):
        Image.new("RGB", (32, 32), "red").save(tmp_path / f"pictures/it{number}.png")


def record(folder: str = "r") -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((Path(folder) / "manifest.json").read_text())
    return dict(entry["judges"]["mplug"])


def hashes(folder: Path) -> Mapping[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "README.md"
    }


def test_the_manifest_has_source_commit_and_the_hash_of_each_file(run: Run, hub: FakeHub) -> None:
    ended = run(*SCORE, *CPU, "--weights-source", "hf")
    assert ended.code == 0, ended.err
    entry = record()
    assert entry["model"] == f"{MPLUG_REPOSITORY} (Hugging Face)"
    assert (entry["weights_source"], entry["commit"]) == ("Hugging Face", "0123abc")
    assert entry["weights"] == hashes(hub.folders["0123abc"])
    assert "config_bert" not in entry
    assert hub.asked == [(MPLUG_REPOSITORY, None)]
    assert "from Hugging Face, about 3 GB" in ended.err
    assert not (hub.cache / "snapshots/0123abc/README.md").exists()
    again = run(*SCORE, *CPU, "--weights-source", "hf")
    assert again.code == 0
    assert "fetching" not in again.err  # all is in the cache


def test_a_revision_is_asked_for_and_its_commit_recorded(run: Run, hub: FakeHub) -> None:
    hub.add("4567def", seed=1, revision="v2")
    ended = run(*SCORE, *CPU, "--weights-source", "hf", "--revision", "v2")
    assert ended.code == 0, ended.err
    assert hub.asked == [(MPLUG_REPOSITORY, "v2")]
    assert record()["commit"] == "4567def"


def test_other_hashes_are_refused_on_resume_and_the_same_at_another_commit_are_not(
    run: Run, hub: FakeHub
) -> None:
    words = (*SCORE, *CPU, "--weights-source", "hf")
    assert run(*words, "--items", "it0").code == 0
    hub.add("4567def", seed=1)
    for choice in (("--items", "it0"), ()):  # with nothing left to ask, and with something
        refused = run(*words, *choice)
        assert refused.code == 5
        assert "weights.pytorch_model.bin" in refused.error
    hub.add("89ab", seed=0)
    ended = run(*words)
    assert ended.code == 0, ended.err
    assert record()["commit"] == "0123abc"


def test_files_of_a_folder_are_not_mixed_with_those_of_the_hub(run: Run, hub: FakeHub) -> None:
    write_tiny_checkpoint("own", 1)
    assert run(*SCORE, *CPU, "--weights", "judge=own").code == 0
    ended = run(*SCORE, *CPU, "--weights-source", "hf")
    assert ended.code == 5


def test_source_means_the_weights_where_no_item_is_of_it(run: Run, hub: FakeHub) -> None:
    ended = run(*SCORE, *CPU, "--source", "hf")
    assert ended.code == 0, ended.err
    lines = [line for line in ended.err.splitlines() if "--weights-source hf" in line]
    assert lines == ["--source hf: taken as --weights-source hf, for no item is of such a source"]
    assert record()["weights_source"] == "Hugging Face"
    both = run(*SCORE, *CPU, "--source", "hf", "--source", "it0")
    assert both.code == 0, both.err
    assert "1/1" in both.out


def test_source_means_items_where_there_are_such(run: Run, hub: FakeHub, tmp_path: Path) -> None:
    write_csv(tmp_path / "b.csv", [row("hf_0", 1), row("it1", 1)])
    Image.new("RGB", (32, 32), "red").save(tmp_path / "pictures/hf_0.png")
    ended = run(*SCORE, *CPU, "--source", "hf", "--judge", "tiny-mplug")
    assert ended.code == 0, ended.err
    assert "taken as" not in ended.err
    write_tiny_checkpoint("own")
    ended = run(*SCORE, *CPU, "--source", "hf", "--weights", "judge=own")
    assert ended.code == 0, ended.err
    assert "1/1" in ended.out
    assert hub.asked == []


def test_source_means_items_for_other_judges(run: Run, hub: FakeHub) -> None:
    ended = run(*SCORE, *CPU, "--source", "hf", "--judge", "tiny-mplug")
    assert ended.code == 2
    assert "no item of b is left by the choice" in ended.error


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--weights-source", "hub"), "--weights-source hub: choose one of modelscope, hf"),
        (("--weights-source", "hf", "--judge", "tiny-mplug"), "--weights-source is not for judge"),
        (("--weights-source", "hf", "--weights", "judge=own"), "fetched or given, not both"),
        (("--source", "hf", "--source", "modelscope"), "weights are from one source"),
    ],
)
def test_what_makes_no_sense_is_refused(
    run: Run, hub: FakeHub, words: Sequence[str], message: str
) -> None:
    ended = run(*SCORE, *CPU, *words)
    assert (ended.code, message in ended.error) == (2, True), ended.err
    assert hub.asked == []


def test_in_python(hub: FakeHub) -> None:
    judge: Any = dpgbench.load_judge("mplug", weights_source="hf", device="cpu")
    assert judge.describe()["weights"] == hashes(hub.folders["0123abc"])
    assert judge.origin() == {"weights_source": "Hugging Face", "commit": "0123abc"}
    with pytest.raises(dpgbench.DpgBenchError, match="choose one of modelscope, hf"):
        dpgbench.load_judge("mplug", weights_source="nowhere")
    with pytest.raises(dpgbench.DpgBenchError, match="not for judge tiny-mplug"):
        dpgbench.load_judge("tiny-mplug", weights_source="hf")


def test_a_copy_without_bert_fields_is_read_with_those_of_the_large_network(
    run: Run, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = hub.folders["0123abc"]
    fields = json.loads((remote / "config_bert.json").read_text())
    for name in OPTIONAL:
        (remote / name).unlink()
    refused = run(*SCORE, *CPU, "--weights-source", "hf")  # a tiny network is not the large one
    assert refused.code == 4
    assert "not this network's weights" in refused.error
    monkeypatch.setattr(config, "STANDARD_BERT", fields)
    ended = run(*SCORE, *CPU, "--weights-source", "hf")
    assert ended.code == 0, ended.err
    assert "has no config_bert.json: mPLUG-large's own fields are taken" in ended.err
    entry = record()
    assert entry["config_bert"] == "standard"
    assert entry["weights"].keys() == set(NEEDED)


def test_such_a_copy_may_be_given_as_a_folder(
    run: Run, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    remote = hub.folders["0123abc"]
    fields = json.loads((remote / "config_bert.json").read_text())
    monkeypatch.setattr(config, "STANDARD_BERT", fields)
    for name in OPTIONAL:
        (remote / name).unlink()
    ended = run(*SCORE, *CPU, "--weights", f"judge={remote}")
    assert ended.code == 0, ended.err
    assert record()["config_bert"] == "standard"
    (remote / "vocab.txt").unlink()
    assert "lacks" in run(*SCORE, *CPU, "--weights", f"judge={remote}").error


@pytest.mark.parametrize("name", NEEDED)
def test_a_needed_file_that_is_missing_is_named(run: Run, hub: FakeHub, name: str) -> None:
    (hub.folders["0123abc"] / name).unlink()
    ended = run(*SCORE, *CPU, "--weights-source", "hf")
    assert ended.code == 4
    assert f"lacks {name}" in ended.error
    assert "--weights-source modelscope" in ended.error


class Evil:
    """What a pickle may do when it is loaded as code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("was_run"),))


def test_a_pickle_that_holds_code_is_not_run(run: Run, hub: FakeHub) -> None:
    (hub.folders["0123abc"] / "pytorch_model.bin").write_bytes(pickle.dumps(Evil(), protocol=2))
    ended = run(*SCORE, *CPU, "--weights-source", "hf")
    assert ended.code == 4
    assert not Path("was_run").exists()


def answered(kind: type[Exception], status: int) -> Exception:
    error = kind.__new__(kind)
    error.args = ("no",)
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


class ConnectError(Exception):
    """As the client's own connection calls it."""


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (answered(hub_errors.GatedRepoError, 403), "is gated"),
        (answered(hub_errors.RepositoryNotFoundError, 404), "the hub has no repository"),
        (answered(hub_errors.RevisionNotFoundError, 404), "has no revision 'v9'"),
        (ConnectError("no route"), "the hub cannot be reached"),
        (hub_errors.LocalEntryNotFoundError("not in the cache"), "hf download"),
        (OSError(errno.ENOSPC, "No space left on device"), "is full"),
    ],
)
def test_why_the_hub_does_not_give_is_said_in_one_line(
    run: Run, hub: FakeHub, error: Exception, message: str
) -> None:
    hub.error = error
    ended = run(*SCORE, *CPU, "--weights-source", "hf", "--revision", "v9")
    assert ended.code == 4
    assert message in ended.error
    assert MPLUG_REPOSITORY in ended.error or "disk" in ended.error
    assert "--weights judge=FOLDER" in ended.error


@pytest.mark.parametrize("option", ["--weights-source", "--source"])
def test_doctor_examines_the_copy_and_fetches_nothing(
    run: Run, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(MplugJudge, "self_test", lambda device: None)
    words = ("doctor", "--judge", "mplug", *CPU, option, "hf", "--json")
    ended = run(*words)
    assert ended.code == 4
    assert f"hf download {MPLUG_REPOSITORY}'" in ended.error
    assert hub.asked == []
    fetch_from_hub(SOURCE, subject="weights are", otherwise="")
    entry = json.loads(run(*words).out)
    assert entry["describe"]["weights"] == hashes(hub.folders["0123abc"])
    assert run("doctor", "--judge", "tiny-mplug", *CPU, option, "hf").code == 2
