"""The weights that ship: what they are, how they are loaded, and what packs them."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from safetensors import safe_open

from dpgbench.backends.judges.request import load_judge
from dpgbench.backends.protocols import JudgeRequest
from dpgbench.embedded import embedded_path
from dpgbench.mplug import write_tiny_checkpoint
from ella import TimestepAwareSemanticConnector, tiny
from scripts.embedded import pack
from tests.helpers import Run

ROOT = Path(__file__).parents[2]
LIMIT_BYTES = 25_000_000


def read_sums(folder: Path) -> dict[str, str]:
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: sha256 for sha256, name in (line.split("  ") for line in lines)}


def below(part: str) -> dict[str, str]:
    """The listed hashes of a part's files, by their paths in it."""
    sums = read_sums(embedded_path("."))
    return {name.removeprefix(f"{part}/"): h for name, h in sums.items() if name.startswith(part)}


def check_folder(folder: Path) -> None:
    """Every file is listed with its hash; weights are float16; nothing tells where it was made."""
    names = [p.relative_to(folder).as_posix() for p in sorted(folder.rglob("*")) if p.is_file()]
    data = [n for n in names if Path(n).suffix not in (".py", ".pyc", ".md") and n != "SHA256SUMS"]
    sums = read_sums(folder)
    assert sorted(sums) == sorted(data)
    for name, sha256 in sums.items():
        path = folder / name
        assert hashlib.sha256(path.read_bytes()).hexdigest() == sha256, name
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                dtypes = {file.get_tensor(key).dtype for key in file.keys()}  # noqa: SIM118
            assert torch.float16 in dtypes
            assert not dtypes & {torch.float32, torch.float64, torch.bfloat16}
        elif path.suffix in (".json", ".yaml") and path.name not in (
            "tokenizer.json",
            "vocab.json",
        ):
            assert not re.search(r'_name_or_path|"/|: /|[A-Z]:\\', path.read_text()), name


def test_what_ships_is_listed_small_and_tells_no_origin() -> None:
    folder = embedded_path(".")
    check_folder(folder)
    assert sum((folder / name).stat().st_size for name in read_sums(folder)) <= LIMIT_BYTES
    assert {Path(name).parts[0] for name in read_sums(folder)} == {"sd15", "ella", "mplug"}


@pytest.mark.filterwarnings("error::ella.PrecisionWarning")
def test_a_run_tells_the_weights_that_drew_and_judged_it(run: Run, tmp_path: Path) -> None:
    words = ("--model", "tiny-ella-sd15", "--device", "cpu", "--steps", 2, "--num-images", 1)
    ended = run("generate", *words, "--limit", 1, "--out", "r")
    assert ended.code == 0, ended.err
    assert run("score", "r", "--judge", "tiny-mplug", "--device", "cpu").code == 0
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    weights = manifest["generation"]["weights"]
    assert weights["base"]["files"] == below("sd15")
    assert weights["text_encoder"]["files"] == below("ella/text_encoder")
    (connector,) = below("ella/connector").values()
    assert weights["connector"]["files"] == {"connector.safetensors": connector}
    assert manifest["identity"]["weights"].keys() == weights.keys()
    assert manifest["judges"]["tiny-mplug"]["weights"] == below("mplug")
    assert manifest["notes"] == []


def test_a_connector_of_ones_own_replaces_the_embedded_one(run: Run, tmp_path: Path) -> None:
    connector = TimestepAwareSemanticConnector.from_safetensors(
        embedded_path("ella/connector.safetensors"), dtype=torch.float32
    )
    with torch.no_grad():
        connector.connector.latents.mul_(-1)
    connector.save_safetensors(tmp_path / "mine.safetensors")
    words = ("--model", "tiny-ella-sd15", "--device", "cpu", "--steps", 2, "--limit", 1)
    for out, more in (("own", ("--weights", "connector=mine.safetensors")), ("embedded", ())):
        assert run("generate", *words, "--out", out, *more).code == 0
    own, embedded = (next((tmp_path / out / "images").iterdir()) for out in ("own", "embedded"))
    assert own.read_bytes() != embedded.read_bytes()


def test_the_judge_says_what_it_is() -> None:
    described = load_judge(JudgeRequest("tiny-mplug")).describe()
    assert described["model"] == "embedded"
    assert described["weights"] == below("mplug")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder as training leaves it: float32, with names of folders in it."""
    folder = tmp_path_factory.mktemp("work")
    tiny.tiny_pipeline().save_pretrained(folder / "sd15")
    encoder = tiny.tiny_text_encoder()
    encoder.model.save_pretrained(folder / "ella/text_encoder")
    encoder.tokenizer.save_pretrained(folder / "ella/text_encoder")
    tiny.tiny_connector().save_safetensors(folder / "ella/connector.safetensors")
    write_tiny_checkpoint(folder / "judge")
    config = folder / "sd15/unet/config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_name_or_path": "/home/me"}))
    (folder / "sd15/unet/optimizer.pt").write_bytes(b"not needed")
    return folder


def test_packed_weights_are_loaded_as_any(work: Path, run: Run, tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    assert pack.main(["--from", str(work), "--to", str(tmp_path / "packed")]) == 0
    check_folder(tmp_path / "packed")
    assert not list(tmp_path.rglob("optimizer.pt"))
    assert [path.name for path in tmp_path.iterdir()] == ["packed"]
    words = ["--model", "tiny-ella-sd15", "--device", "cpu", "--steps", 2, "--limit", 1]
    for role, part in (
        ("base", "sd15"),
        ("text_encoder", "ella/text_encoder"),
        ("connector", "ella/connector.safetensors"),
    ):
        words += ["--weights", f"{role}=packed/{part}"]
    ended = run("generate", *words, "--out", "r")
    assert ended.code == 0, ended.err
    judge = ("--judge", "tiny-mplug", "--weights", "judge=packed/mplug", "--device", "cpu")
    assert run("score", "r", *judge).code == 0


def test_a_part_alone_leaves_the_others(work: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    before = pack.pack(work, packed)
    (tmp_path / "more/ella").mkdir(parents=True)
    tiny.tiny_connector(seed=1).save_safetensors(tmp_path / "more/ella/connector.safetensors")
    after = pack.pack(tmp_path / "more", packed)
    changed = [name for name in after if after[name] != before[name]]
    assert changed == ["ella/connector.safetensors"]
    assert after.keys() == before.keys()
    check_folder(packed)
    assert pack.pack(work, packed) == before


def test_what_may_not_ship_is_refused(work: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    with pytest.raises(pack.PackError, match="at most 1,000 may ship"):
        pack.pack(work, packed, limit_bytes=1000)
    with pytest.raises(pack.PackError, match="none of sd15"):
        pack.pack(tmp_path, packed)
    judge = tmp_path / "with_path/judge"
    write_tiny_checkpoint(judge)
    task = yaml.safe_load((judge / "config.yaml").read_text())
    (judge / "config.yaml").write_text(yaml.safe_dump(task | {"clip_file": "/home/me/clip.pt"}))
    with pytest.raises(pack.PackError, match=r"holds the path /home/me/clip\.pt"):
        pack.pack(judge.parent, packed)
    (judge / "config.yaml").unlink()
    with pytest.raises(pack.PackError, match=r"config\.yaml: not there"):
        pack.pack(judge.parent, packed)
    large = tmp_path / "large/ella/connector.safetensors"
    large.parent.mkdir(parents=True)
    connector = tiny.tiny_connector()
    with torch.no_grad():
        connector.connector.latents.fill_(1e6)
    connector.save_safetensors(large)
    with pytest.raises(pack.PackError, match=r"latents not finite in float16"):
        pack.pack(tmp_path / "large", packed)
    assert list(packed.iterdir()) == []
