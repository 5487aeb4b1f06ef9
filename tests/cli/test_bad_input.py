"""Bad input: one line, the right exit code, and nothing lost."""

from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import pytest

from dpgbench.mplug import write_tiny_checkpoint
from tests.cli.pictures import noise
from tests.helpers import Run, csv_text, row, write_csv

SCORE = ("score", "pictures")
GENERATE = ("generate", "--model", "tiny-sd15", "--steps", "2", "--bench")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([*GENERATE, "none.csv"], 3, "none.csv does not exist"),
        ([*GENERATE, "empty.csv"], 3, "empty.csv is empty"),
        ([*GENERATE, "columns.csv"], 3, "has no column keywords"),
        ([*GENERATE, "latin.csv"], 3, "is not UTF-8"),
        ([*GENERATE, "paths.csv"], 3, "item id '../evil'"),
        ([*GENERATE, "twice.csv"], 3, "row 3: item a1 has another prompt than at row 2"),
        (["score", "pictures", "--bench", "duplicate.csv"], 3, "row 3 (item a1): question 1"),
        (["prompts", "check", "duplicate.csv"], 3, "1 duplicate_question"),
        (["prompts", "check", "cycle.csv", "--strict"], 3, "1 cycle_edge"),
        (["prompts", "check", "none.csv"], 3, "does not exist"),
        (["generate", "--model", "tiny-sd16"], 2, "did you mean tiny-sd15"),
        (["generate", "--model", "ella-sd15", "--weights", "conector=x"], 2, "its roles are base"),
        (["generate", "--model", "sd15", "--weights", "base=x", "--bench", "shapes"], 4, "no such"),
        (["generate", "--model", "hf:nobody/x", "--bench", "shapes"], 4, "--weights base=PATH"),
        ([*SCORE, "--bench", "good.csv", "--judge", "mplugg"], 2, "did you mean mplug"),
        ([*SCORE, "--bench", "good.csv", "--rule", "correct"], 2, "did you mean corrected-v1"),
        (["score", "pictures", "--bench", "shape"], 2, "did you mean shapes"),
        (["score", "--answers", "good.csv"], 2, "--answers needs --bench"),
        (["score", "--answers", "none.csv", "--bench", "good.csv"], 3, "does not exist"),
        (["score", "--answers", "good.csv", "--bench", "good.csv"], 3, "has no column answer"),
        (["prompts", "show", "a2", "--bench", "good.csv"], 2, "did you mean a1"),
        (["prompts", "pull", "--from", "none.tar.gz"], 3, "does not exist"),
        (["report", "pictures"], 2, "is not a run"),
        (["generate", "--model", "tiny-sd15", "--dtype", "int8"], 2, "float32, float16"),
        (["generate", "--model", "tiny-sd15", "--device", "tpu9"], 2, "cannot be used here"),
        (["generate", "--model", "tiny-sd15", "--out", "pictures"], 2, "not empty and not a run"),
        (["generate", "--model", "tiny-sd15", "--option", "a=b"], 2, "write NAME=VALUE"),
        (["generate", "--nonsense"], 2, "No such option"),
        (["generate"], 2, "Missing option"),
    ],
)  # fmt: skip
def test_one_line_and_the_right_code(
    run: Run, tmp_path: Path, words: list[str], code: int, says: str
) -> None:
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "columns.csv").write_text("item_id,text,tuple\na1,x,y\n")
    (tmp_path / "latin.csv").write_bytes(csv_text([row("a1", 1, text="é")]).encode("latin-1"))
    write_csv(tmp_path / "paths.csv", [row("../evil", 1)])
    write_csv(tmp_path / "twice.csv", [row("a1", 1), row("a1", 2, text="other")])
    write_csv(tmp_path / "duplicate.csv", [row("a1", 1), row("a1", 1)])
    write_csv(tmp_path / "cycle.csv", [row("a1", 1, "2"), row("a1", 2, "1")])
    write_csv(tmp_path / "good.csv", [row("a1", 1)])
    (tmp_path / "pictures").mkdir()
    noise(1).save(tmp_path / "pictures/a1.png")
    before = sorted(path.name for path in tmp_path.rglob("*"))
    ended = run(*words)
    assert ended.code == code, ended.err
    assert says in ended.error
    after = sorted(path.name for path in tmp_path.rglob("*") if "runs" not in path.parts)
    assert after == before


class Bomb:
    """A pickle that runs code when it is opened."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("fault", ["cut", "code", "shape"])
def test_wrong_judge_weights(run: Run, tmp_path: Path, fault: str) -> None:
    import torch

    write_csv(tmp_path / "b.csv", [row("a1", 1)])
    (tmp_path / "pictures").mkdir()
    noise(1).save(tmp_path / "pictures/a1.png")
    write_tiny_checkpoint(tmp_path / "judge")
    weights = tmp_path / "judge/pytorch_model.bin"
    if fault == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif fault == "code":
        weights.write_bytes(pickle.dumps({"model": Bomb(tmp_path / "ran")}))
    else:
        state = torch.load(weights, weights_only=True)
        inner = state.get("model", state)
        name = next(name for name in inner if name.endswith("visn_fc.weight"))
        inner[name] = torch.zeros(3, 3)
        torch.save(state, weights)
    words = ("score", "pictures", "--bench", "b.csv", "--judge", "mplug", "--device", "cpu")
    ended = run(*words, "--weights", "judge=judge", "--out", "r")
    assert ended.code == 4, ended.err
    assert "pytorch_model.bin" in ended.error
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("fault", ["missing", "cut", "pickle", "shape"])
def test_wrong_connector(run: Run, tmp_path: Path, fault: str) -> None:
    from safetensors.torch import load_file, save_file

    from ella.tiny import tiny_connector, tiny_pipeline, tiny_text_encoder

    pipeline, encoder = tiny_pipeline(), tiny_text_encoder()
    pipeline.save_pretrained(tmp_path / "base")
    encoder.model.save_pretrained(tmp_path / "t5")
    encoder.tokenizer.save_pretrained(tmp_path / "t5")
    connector = tmp_path / "connector.safetensors"
    tiny_connector().save_safetensors(connector)
    words = ["generate", "--model", "ella-sd15", "--bench", "shapes", "--limit", 1, "--steps", 2]
    words += ["--width", 64, "--height", 64, "--weights", "base=base", "--weights"]
    words += ["text_encoder=t5", "--weights", f"connector={connector}"]
    good = run(*words, "--out", "good")
    assert good.code == 0, good.err
    if fault == "missing":
        connector.unlink()
    elif fault == "cut":
        connector.write_bytes(connector.read_bytes()[:5000])
    elif fault == "pickle":
        connector.write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    else:
        tensors = load_file(connector)
        tensors["connector.latents"] = tensors["connector.latents"][:, :5].contiguous()
        save_file(tensors, connector)
    ended = run(*words, "--out", "bad")
    assert ended.code == 4, ended.err
    assert "connector" in ended.error
    assert not (tmp_path / "ran").exists()
    changed = run(*words, "--out", "good")
    assert changed.code in (4, 5)


def test_full_disk(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row(f"a{n}", 1, text=f"Scene {n}.") for n in range(4)]
    bench = write_csv(tmp_path / "b.csv", rows)
    words = (*GENERATE, bench, "--out", "r")
    real, calls = os.fsync, []

    def full(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 4:  # two manifests and one grid are written before
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    ended = run(*words)
    assert ended.code == 6
    assert "the disk is full" in ended.error
    assert [path.name for path in (tmp_path / "r/images").iterdir()] == ["a0.png"]
    monkeypatch.setattr(os, "fsync", real)
    assert run(*words).code == 0
    assert len(list((tmp_path / "r/images").iterdir())) == 4


def test_another_version_of_a_manifest(run: Run, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r/manifest.json").write_text('{"schema": 99}')
    ended = run("score", "r")
    assert ended.code == 3
    assert "another version" in ended.error
    (tmp_path / "r/manifest.json").write_text('{"schema": ')
    assert run("score", "r").code == 3
