"""The published JSON schemas: as the types are, true of real runs, and of no damaged ones."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dpgbench.errors import DataError
from dpgbench.store.files import json_text, read_json, read_jsonl
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import read_manifest
from dpgbench.store.run.scores import read_result
from scripts.make_schemas import FOLDER, schemas
from tests.cli.own_parts import GENERATE, ITEMS, SCORE, write_parts
from tests.helpers import Run, answers_csv
from tests.store.manifests import FAULTS
from tests.store.manifests import made as manifest_of


def validator(name: str) -> Any:
    schema = json.loads((FOLDER / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_published_schemas_are_made_of_the_types() -> None:
    written = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.json")}
    assert written == {name: json_text(schema) for name, schema in schemas().items()}, (
        "run 'python -m scripts.make_schemas'"
    )


@pytest.fixture
def runs(run: Run, tmp_path: Path) -> list[RunDir]:
    """A run of each kind, judged: drawn, of a folder of images, and of recorded answers."""
    write_parts(tmp_path)
    answers_csv(tmp_path / "a.csv", [(item, 0, qid, "yes") for item in ITEMS for qid in (1, 2, 3)])
    judged = SCORE[2:-1]
    patterned = ("score", "r/images", "--bench", "b.csv", "--out", "apart", *judged)
    for words in (
        (*GENERATE, "--bench", "b.csv"),
        ("score", "r", *judged),
        ("score", "r/images", "--bench", "b.csv", "--out", "folder", *judged),
        (*patterned, "--pattern", "{item_id}.png", "--layout", "2x2"),
        ("score", "--answers", "a.csv", "--bench", "b.csv", "--out", "recorded", "--rule", "dsg"),
    ):
        assert run(*words).code == 0
    return [RunDir(Path(name)) for name in ("r", "folder", "apart", "recorded")]


def test_every_file_of_a_run_is_as_its_schema_says(runs: list[RunDir]) -> None:
    manifest, image, answer, scores = map(validator, ("manifest", "image", "answer", "scores"))
    lines: dict[str, int] = {}
    for run in runs:
        manifest.validate(read_json(run.manifest))
        assert run.score_files()
        for path in run.score_files():
            scores.validate(read_json(path))
        for name, path in (("image", run.images_log), *(("answer", p) for p in answers_of(run))):
            for line in read_jsonl(path):
                (image if name == "image" else answer).validate(line)
                lines[name] = lines.get(name, 0) + 1
    assert lines == {"image": 3 * len(ITEMS), "answer": 3 * 4 * 3 * len(ITEMS) + 3 * len(ITEMS)}


def answers_of(run: RunDir) -> list[Path]:
    return sorted((run.path / "answers").glob("*.jsonl"))


def test_a_manifest_is_written_again_byte_for_byte(runs: list[RunDir]) -> None:
    """What a later version or a judge of one's own put into a part of it is kept, in its place."""
    for run in runs:
        record = json.loads(run.manifest.read_text())
        record["benchmark"] = {"licence": "of later", **record["benchmark"]}
        record["generation"]["later"] = {"z": [1, {"y": None}], "a": 0.1}
        record["environment"]["later"] = "x"
        for judge in record["judges"].values():
            judge["own"] = {"b": 1, "a": [True]}
        text = json_text(record)
        run.manifest.write_text(text)
        read_manifest(run.manifest).write(run.manifest)
        assert run.manifest.read_text() == text
        validator("manifest").validate(record)


def test_what_is_refused_is_refused_by_the_schema(tmp_path: Path) -> None:
    check = validator("manifest")
    for kind, change, says in FAULTS:
        manifest_of(kind).write(tmp_path / "manifest.json")
        record = json.loads((tmp_path / "manifest.json").read_text())
        assert check.is_valid(record)
        damaged = copy.deepcopy(record)
        change(damaged)
        if says != "item id" and damaged != record:  # a file's name; 4.0, which is 4 in JSON
            assert not check.is_valid(damaged), says


@pytest.mark.parametrize("name", ["extra", "identity_hash", "schema"])
def test_the_fields_at_the_top_are_all_there_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / "manifest.json"
    manifest_of().write(path)
    record = json.loads(path.read_text())
    if name in record:
        del record[name]
    else:
        record[name] = 1
    assert not validator("manifest").is_valid(record)
    path.write_text(json.dumps(record))
    with pytest.raises(DataError if name != "identity_hash" else Exception, match="manifest"):
        read_manifest(path)


def test_what_scoring_prints_is_as_score_files_are(run: Run, runs: list[RunDir]) -> None:
    printed = json.loads(run("score", runs[0].path, *SCORE[2:-1], "--json").out)["results"]
    assert [result["rule"] for result in printed] == ["dsg", "corrected-v1"]
    for result in printed:
        validator("scores").validate(result)


def test_a_score_file_that_is_refused_is_refused_by_the_schema(runs: list[RunDir]) -> None:
    check, path = validator("scores"), runs[0].score_files()[0]
    whole = read_json(path)
    for name, value in (("overall", "66"), ("items_scored", -1), ("l1", {"a": {}}), ("schema", 2)):
        assert not check.is_valid({**whole, name: value})
        path.write_text(json.dumps({**whole, name: value}))
        with pytest.raises(DataError, match=path.name):
            read_result(path)
    path.write_text(json.dumps({**whole, "later": 1}))
    assert check.is_valid(read_json(path))
    assert read_result(path).overall == whole["overall"]
