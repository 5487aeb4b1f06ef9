"""Manifests: every field is checked, identity decides, records for people do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench.errors import DataError, ResumeMismatchError
from dpgbench.store.run import manifest as module
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import (
    check_same,
    environment,
    judge_releases,
    open_manifest,
    read_manifest,
    toolkit_version,
)
from tests.store.manifests import FAULTS, drop, made, put


@pytest.mark.parametrize("kind", ["generated", "images", "answers"])
def test_what_is_written_is_read(tmp_path: Path, kind: str) -> None:
    run = RunDir(tmp_path)
    whole = made(kind, notes=["é"], commands=["c"], completed="2026", environment={"a": 1})
    whole.write(run.manifest)
    assert read_manifest(run.manifest) == whole
    record = json.loads(run.manifest.read_text())
    assert record["identity_hash"] == whole.identity_hash
    assert record["schema"] == 1


@pytest.mark.parametrize("number", range(len(FAULTS)))
def test_a_field_of_another_type_is_named(tmp_path: Path, number: int) -> None:
    kind, change, says = FAULTS[number]
    run = RunDir(tmp_path)
    made(kind).write(run.manifest)
    record = json.loads(run.manifest.read_text())
    change(record)
    run.manifest.write_text(json.dumps(record))
    with pytest.raises(DataError) as caught:
        read_manifest(run.manifest)
    assert "manifest.json is damaged" in str(caught.value) or says == "item id"
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        ({}, "identity.generation is missing"),
        ({"generation": []}, "identity.generation is"),
        ({"generation": {"width_px": 8}}, "identity.generation.height_px is missing"),
        ({"generation": {"height_px": 8}}, "identity.generation.width_px is missing"),
        ({"generation": {"width_px": 8, "height_px": 0}}, "height_px is below 1"),
        ({"generation": {"width_px": -8, "height_px": 8}}, "width_px is below 1"),
        ({"generation": {"width_px": "8", "height_px": 8}}, "width_px is '8'"),
    ],
)
def test_a_drawn_run_knows_its_size(tmp_path: Path, identity: dict[str, Any], says: str) -> None:
    run = RunDir(tmp_path)
    made(identity=identity).write(run.manifest)
    with pytest.raises(DataError) as caught:
        read_manifest(run.manifest)
    assert says in str(caught.value)
    small = {"generation": {"width_px": 1, "height_px": 1}}
    made(identity=small).write(run.manifest)
    assert read_manifest(run.manifest).identity == small


def test_the_side_of_a_tile_is_a_number_or_nothing(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    for sound in ({"tile_px": 8}, {"tile_px": None}, {}):
        made("images", identity=sound).write(run.manifest)
        assert read_manifest(run.manifest).identity == sound
    made("images", identity={"tile_px": "8"}).write(run.manifest)
    with pytest.raises(DataError, match="tile_px is '8'"):
        read_manifest(run.manifest)


@pytest.mark.parametrize("record", [[], 5, {}, {"schema": 2}, {"schema": None}])
def test_another_schema_is_refused(tmp_path: Path, record: Any) -> None:
    run = RunDir(tmp_path)
    run.manifest.write_text(json.dumps(record))
    with pytest.raises(DataError, match="not a manifest of schema 1"):
        read_manifest(run.manifest)


def test_an_unknown_or_absent_field_is_damage(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    made().write(run.manifest)
    record = json.loads(run.manifest.read_text())
    for change in (put("extra", value=1), drop("items")):
        other = json.loads(json.dumps(record))
        change(other)
        run.manifest.write_text(json.dumps(other))
        with pytest.raises(DataError, match="is damaged"):
            read_manifest(run.manifest)


def test_identity_decides_whether_a_run_goes_on(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    fresh = made()
    assert open_manifest(run.manifest, fresh) is fresh
    made(notes=["kept"], model="old name").write(run.manifest)
    again = open_manifest(run.manifest, made(model="new name", items=[]))
    assert (again.notes, again.model, again.items) == (["kept"], "old name", ["a", "b"])
    other = {"generation": {"width_px": 16, "height_px": 8}, "weights": {"base": "b"}}
    with pytest.raises(ResumeMismatchError, match=r"holds a run with other settings: .*8 -> 16"):
        open_manifest(run.manifest, made(identity=other))
    with pytest.raises(ResumeMismatchError, match='kind: "generated" -> "answers"'):
        open_manifest(run.manifest, made("answers", identity=fresh.identity))
    check_same(run.path, {"a": 1}, {"a": 1})
    with pytest.raises(ResumeMismatchError, match="holds answers with other settings: a: 1 -> 2"):
        check_same(run.path, {"a": 1}, {"a": 2}, "answers")


def test_a_changed_identity_is_refused(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    made().write(run.manifest)
    text = run.manifest.read_text()
    run.manifest.write_text(text.replace('"base": "b"', '"base": "c"'))
    with pytest.raises(ResumeMismatchError, match="its identity was changed"):
        read_manifest(run.manifest)


def test_notes_stand_once_and_items_in_order() -> None:
    manifest = made(items=["c"], notes=["x"])
    manifest.note("y", "x")
    manifest.note("y")
    assert manifest.notes == ["x", "y"]
    manifest.add_items(["a", "c"], ["a", "b", "c", "d"])
    assert manifest.items == ["a", "c"]
    manifest.add_items(["d"], ["d", "c", "b", "a"])
    assert manifest.items == ["d", "c", "a"]


def test_releases_that_are_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    versions = environment()
    assert versions.keys() == {"dpgbench", "python", "platform", "packages"}
    assert versions["packages"]["torch"] == torch.__version__
    assert list(judge_releases()) == ["pillow", "torch", "transformers"]
    real = module.metadata.version

    def version(name: str) -> str:
        if name in ("torch", "dpgbench"):
            raise module.metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(module.metadata, "version", version)
    assert list(judge_releases()) == ["pillow", "transformers"]
    assert toolkit_version() == "unknown"


def test_times_are_utc_to_the_second() -> None:
    assert module.now().endswith("+00:00")
    assert len(module.now()) == len("2026-01-01T00:00:00+00:00")
