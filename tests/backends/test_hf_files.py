"""What a Hugging Face judge's files may be, and what is said where they are something else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import torch
import transformers
from PIL import Image

from dpgbench.backends.device import single_thread
from dpgbench.backends.judges.hf.judge import HfJudge
from dpgbench.backends.protocols import JudgeRequest
from tests.backends.tiny_vlms import write_blip, write_llava, write_qwen2_vl
from tests.helpers import Run, row, write_csv

Spoil = Callable[[Path], object]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with single_thread():
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llava(tmp_path_factory.mktemp("vlm") / "llava")


@pytest.fixture
def score(run: Run, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """Score one picture with a judge; return the exit code and the error's line."""
    write_csv(tmp_path / "b.csv", [row("it0", 1)])
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (32, 32), "red").save(tmp_path / "pictures/it0.png")

    def call(judge: str, *more: str) -> tuple[int, str]:
        words = ("score", "pictures", "--bench", "b.csv", "--num-images", 1, "--out", "r")
        ended = run(*words, "--judge", judge, "--device", "cpu", *more)
        return ended.code, ended.error

    return call


def edit_config(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def drop_a_weight(path: Path) -> None:
    weights = safetensors.torch.load_file(path)
    del weights[sorted(weights)[0]]
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})


def widen(folder: Path) -> None:
    text = json.loads((folder / "config.json").read_text())["text_config"]
    edit_config(folder, text_config={**text, "vocab_size": text["vocab_size"] + 8})


def pickle_only(folder: Path) -> None:
    torch.save({}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def overflow(path: Path) -> None:
    weights = safetensors.torch.load_file(path)
    next(weights[name] for name in weights if "embed_tokens" in name).fill_(float("nan"))
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})


SPOILT: dict[str, tuple[int, Spoil, str]] = {
    "no configuration": (4, lambda f: (f / "config.json").unlink(), "has no config.json"),
    "half a configuration": (4, lambda f: cut(f / "config.json"), "config.json cannot be read"),
    "a list": (4, lambda f: (f / "config.json").write_text("[]"), "is not a JSON object"),
    "pickles": (4, pickle_only, "only pytorch_model.bin, a pickle, which is never opened"),
    "no weights": (4, lambda f: (f / "model.safetensors").unlink(), "(no weights)"),
    "cut weights": (4, lambda f: cut(f / "model.safetensors"), "is cut off or damaged"),
    "a weight less": (
        4,
        lambda f: drop_a_weight(f / "model.safetensors"),
        "lack 1 of the network's weights",
    ),
    "other sizes": (4, widen, "another size (lm_head.weight"),
    "not numbers": (4, lambda f: overflow(f / "model.safetensors"), "use --dtype bfloat16 or"),
    "its own code": (
        4,
        lambda f: edit_config(f, model_type="mine", auto_map={"AutoConfig": "mine.Config"}),
        "needs code from its repository (auto_map in config.json), which is never run",
    ),
    "too new": (4, lambda f: edit_config(f, model_type="llava9"), "pip install -U transformers"),
    "no type": (4, lambda f: edit_config(f, model_type=None), "does not know model type 'None'"),
    "no eyes": (2, lambda f: edit_config(f, model_type="llama"), "does not answer questions about"),
    "captions": (2, lambda f: edit_config(f, model_type="blip"), "does not answer questions about"),
    "no processor": (
        4,
        lambda f: [(f / n).unlink() for n in ("processor_config.json", "tokenizer_config.json")],
        "judge hf:llava",
    ),
    "no chat": (4, lambda f: (f / "chat_template.jinja").unlink(), "has no chat template"),
    "a chat without images": (
        4,
        lambda f: (f / "chat_template.jinja").write_text("{{ messages[0]['role'] }}"),
        "judge hf:llava",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_folder_that_cannot_judge(
    score: Callable[..., tuple[int, str]], whole: Path, tmp_path: Path, name: str
) -> None:
    code, spoil, message = SPOILT[name]
    shutil.copytree(whole, tmp_path / "llava")
    spoil(tmp_path / "llava")
    ended, error = score("hf:llava")
    assert (ended, message in error) == (code, True), error
    assert "\n" not in error


def test_names(score: Callable[..., tuple[int, str]], whole: Path) -> None:
    code, error = score("hf:nowhere")
    assert (code, "there is no folder nowhere" in error) == (2, True)
    code, error = score("hf:nobody/nothing")
    assert (code, "run 'hf download nobody/nothing'" in error) == (4, True)
    code, error = score("hf:nobody/nothing", "--revision", "v1")
    assert (code, "hf download nobody/nothing --revision v1" in error) == (4, True)
    code, error = score(f"hf:{whole}", "--revision", "v1")
    assert (code, "is a folder; a revision is for a repository" in error) == (2, True)


def test_a_repository_is_fetched_at_its_revision_and_known_by_its_commit(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "snapshots" / "0f0f0f"
    shutil.copytree(whole, snapshot)
    asked = {}

    def fetch(repository: str, **options: object) -> str:
        asked.update(options, repository=repository)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    described = HfJudge(JudgeRequest("hf:org/llava", revision="v1", device="cpu")).describe()
    assert (asked["repository"], asked["revision"]) == ("org/llava", "v1")
    assert not any(".bin" in str(pattern) for pattern in asked["allow_patterns"])
    assert (described["model"], described["revision"]) == ("org/llava", "0f0f0f")
    assert "weights" not in described


def test_code_in_the_folder_of_a_known_model_is_not_run(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "llava"
    shutil.copytree(whole, folder)
    (folder / "mine.py").write_text("raise SystemExit('it ran')\n")
    own = {"AutoConfig": "mine.Config", "AutoModelForImageTextToText": "mine.Model"}
    edit_config(folder, auto_map=own)
    assert (
        HfJudge(JudgeRequest(f"hf:{folder}", device="cpu")).network
        == "LlavaForConditionalGeneration"
    )


def test_a_repositorys_own_sampling_is_left_out(tmp_path: Path) -> None:
    folder = write_qwen2_vl(tmp_path / "qwen")
    saved = json.loads((folder / "generation_config.json").read_text())
    assert saved["do_sample"]
    model = HfJudge(JudgeRequest(f"hf:{folder}", device="cpu")).answerer.model
    assert model.generation_config.do_sample is None or not model.generation_config.do_sample
    assert model.generation_config.repetition_penalty in (None, 1.0)
    assert model.generation_config.eos_token_id == saved["eos_token_id"]


def test_other_weights_are_another_judge(tmp_path: Path) -> None:
    described = []
    for seed in (0, 1):
        folder = write_blip(tmp_path / f"{seed}/blip", seed)
        described.append(HfJudge(JudgeRequest(f"hf:{folder}", device="cpu")).describe())
    changed = {key for key in described[0] if described[0][key] != described[1][key]}
    assert changed == {"weights"}
    assert described[0]["network"] == transformers.BlipForQuestionAnswering.__name__
