"""Weights from the hub by the real client, against a hub on this machine that has its troubles."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

import dpgbench
from dpgbench.backends.entries import HuggingFace
from dpgbench.backends.generators import table
from dpgbench.errors import SetupError
from tests.backends.fake_hub import COMMIT, Hub, served_hub
from tests.backends.tiny_pipelines import write_pipeline
from tests.helpers import Run, row, write_csv

REPOSITORY = "org/tiny"
SMALL = ("--steps", 2, "--width", 64, "--height", 64, "--num-images", 1, "--device", "cpu")


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(write_pipeline("sd", tmp_path_factory.mktemp("hub") / "sd"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: Path) -> Iterator[Hub]:
    with served_hub() as served:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", served.address)
        template = served.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", served.address)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)
        served.folders[REPOSITORY] = weights
        yield served


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "bench.csv", [row("a", 1)])


def test_a_pipeline_is_fetched_and_draws(run: Run, hub: Hub, bench: Path, tmp_path: Path) -> None:
    words = ("generate", "--model", f"hf:{REPOSITORY}", "--bench", bench, *SMALL, "--out", "r")
    ended = run(*words)
    assert ended.code == 0, ended.err
    paths = json.loads((tmp_path / "r/manifest.json").read_text())["generation"]["weights"]
    assert f"snapshots/{COMMIT}" in paths["base"]["path"]
    asked = len(hub.asked)
    again = run(*words)
    assert again.code == 0, again.err
    assert not [path for path in hub.asked[asked:] if path.endswith(".safetensors")]


def test_a_revision_is_what_is_fetched(run: Run, hub: Hub, bench: Path) -> None:
    hub.revisions.add("v2")
    words = ("generate", "--model", f"hf:{REPOSITORY}", "--bench", bench, *SMALL)
    assert run(*words, "--revision", "v2").code == 0
    assert any("/v2" in path for path in hub.asked)
    refused = run(*words, "--revision", "v9")
    assert refused.code == 4
    assert f"{REPOSITORY} has no revision 'v9'" in refused.error
    assert f"https://huggingface.co/{REPOSITORY}/commits" in refused.error
    assert run(*words, "--revision", "base=v2").code == 0
    assert run(*words, "--revision", "").code == 2
    with pytest.raises(SetupError, match="no revision 'v9'"):
        dpgbench.load_generator(f"hf:{REPOSITORY}", revisions={"base": "v9"})


def test_a_model_of_the_table_is_fetched_at_its_pinned_revision(
    run: Run, hub: Hub, bench: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = table.MODELS["sd2"].roles[0].source
    assert isinstance(source, HuggingFace)
    assert source.revision
    hub.folders[source.repository] = weights
    ended = run("generate", "--model", "sd2", "--bench", bench, *SMALL)
    assert ended.code == 4, "the fake hub has only its newest"
    assert f"has no revision '{source.revision}'" in ended.error
    assert "--revision main" in ended.error
    assert any(source.revision in path for path in hub.asked)
    assert (
        run("generate", "--model", "sd2", "--bench", bench, *SMALL, "--revision", "main").code == 0
    )


def trouble(kind: str, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "gated":
        hub.gated.add(REPOSITORY)
    elif kind == "unknown":
        hub.folders.clear()
    elif kind == "busy":
        hub.busy = 503
    elif kind == "cut":
        hub.broken.add("diffusion_pytorch_model.safetensors")
    elif kind == "network":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", "http://127.0.0.1:9")
    elif kind == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif kind == "disk":
        _full_disk(monkeypatch)


def _full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)


STEPS = {
    "gated": (f"{REPOSITORY} is gated: accept its terms", "hf auth login"),
    "unknown": (f"no repository {REPOSITORY}", "check the name"),
    "busy": ("answered with 503", "try again later"),
    "cut": ("ended before it was whole", "run the same command again"),
    "network": ("cannot be reached", f"hf download {REPOSITORY}"),
    "offline": ("HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE"),
    "disk": ("disk of the hub's cache is full", "HF_HOME"),
}


@pytest.mark.parametrize("kind", STEPS)
def test_each_trouble_has_its_message_and_next_step(
    kind: str, run: Run, hub: Hub, bench: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble(kind, hub, monkeypatch)
    ended = run("generate", "--model", f"hf:{REPOSITORY}", "--bench", bench, *SMALL, "--out", "r")
    assert ended.code == 4, ended.err
    for words in STEPS[kind]:
        assert words in ended.error
    for other, (reason, _) in STEPS.items():
        assert other == kind or reason not in ended.error
    assert "--weights base=PATH" in ended.error


def test_a_dead_transfer_is_mended_by_the_same_command(run: Run, hub: Hub, bench: Path) -> None:
    hub.broken.add("diffusion_pytorch_model.safetensors")
    words = ("generate", "--model", f"hf:{REPOSITORY}", "--bench", bench, *SMALL, "--out", "r")
    assert run(*words).code == 4
    hub.broken.clear()
    ended = run(*words)
    assert ended.code == 0, ended.err
