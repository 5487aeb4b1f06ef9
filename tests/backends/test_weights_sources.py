"""Where weights come from is data: what is here, what fetches it, what the tables say of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dpgbench.backends.entries import EmbeddedWeights, HuggingFace, ModelScope, Role
from dpgbench.backends.generators.table import MODELS
from dpgbench.backends.judges.table import JUDGES
from dpgbench.backends.weights.locate import fetch_command, here, locate, modelscope_folder
from dpgbench.errors import SetupError

ROLES = [
    pytest.param(entry.name, role, id=f"{entry.name} {role.name}")
    for entry in (*MODELS.values(), *JUDGES.values())
    for role in entry.roles
]


@pytest.mark.parametrize(("name", "role"), ROLES)
def test_what_ships_is_here_and_all_else_has_a_command(name: str, role: Role) -> None:
    for source in role.sources:
        if isinstance(source, EmbeddedWeights):
            assert name.startswith("tiny-")
            assert (here(source) or Path()).exists()
            assert (fetch_command(source), str(source)) == ("", "ships with the toolkit")
        else:
            assert not name.startswith("tiny-")
            commands = ("hf download ", "modelscope download ", "curl -L ")
            assert fetch_command(source).startswith(commands)


def test_commands() -> None:
    whole, file = HuggingFace("a/b"), HuggingFace("a/b", "c.bin", required=("c.bin",))
    folder = HuggingFace("a/b", "c", required=("c/d.json",))
    assert fetch_command(whole) == "hf download a/b"
    assert fetch_command(whole, "v1") == "hf download a/b --revision v1"
    assert fetch_command(file) == "hf download a/b c.bin"
    assert fetch_command(folder) == "hf download a/b --include 'c/*'"
    scope = ModelScope("a/b", "judges/x")
    command, cached = fetch_command(scope, "v1"), modelscope_folder(scope, "v1")
    assert command == f"modelscope download --model a/b --revision v1 --local_dir {cached}"


def test_a_source_in_words() -> None:
    role = Role("judge", ModelScope("a/b", "x"), "a folder", HuggingFace("c/d"))
    assert role.source_text == "ModelScope a/b, or with --weights-source hf Hugging Face c/d"


def test_a_whole_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DPGBENCH_CACHE", str(tmp_path))
    source = ModelScope("a/b", "judges/x", required=("one", "two"))
    role = Role("judge", source, "a folder")
    folder = modelscope_folder(source)
    folder.mkdir(parents=True)
    (folder / "one").touch()
    assert here(source) is None
    (folder / "two").touch()
    assert here(source) == folder
    location = locate(role, None, subject="it is", otherwise="")
    assert location == (folder, source)
    assert locate(role, str(tmp_path), subject="it is", otherwise="") == (tmp_path, None)
    with pytest.raises(SetupError, match="there is no such path; it must be a folder"):
        locate(role, str(tmp_path / "no"), subject="it is", otherwise="")
