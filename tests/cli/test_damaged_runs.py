"""Whatever happened to a run's files, a command ends with one line and the right code."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dpgbench.domain.spec import identity_hash
from tests.cli.own_parts import GENERATE, ITEMS, SCORE, write_parts
from tests.cli.processes import start
from tests.helpers import Ended, Run, answers_csv

GENERATED = (*GENERATE, "--bench", "b.csv")
JUDGED = SCORE[:-1]
COMMANDS = (
    JUDGED,
    GENERATED,
    ("compare", "r", "other"),
    ("report", "r", "--out", "rep"),
    ("judges", "compare", "own_judge:Judge", "a.csv", "--run", "r"),
)
MISSING = object()
VALUES: tuple[Any, ...] = (
    MISSING, None, 1, -1, True, 1.5, 10**400, "", "x", "\x1b[31m", "\ud83c", [], ["x"], [1], {},
    {"a": 1}, [[["a"]]], {"a": {"b": None}},
)  # fmt: skip
RAW = {
    "empty": b"",
    "cut": b'{"schema": 1, "kind": "gener',
    "null": b"null",
    "a list": b"[]",
    "a number": b"1",
    "text": b"hello",
    "not UTF-8": b'{"schema": 1, "model": "\xff"}',
    "UTF-16": '{"schema": 1}'.encode("utf-16"),
    "binary": bytes(range(256)),
    "deep": b"[" * 100_000,
    "a huge number": b'{"schema": ' + b"1" * 10_000 + b"}",
    "NaN": b'{"schema": 1, "num_images": NaN}',
    "another schema": b'{"schema": 2}',
    "no field": b'{"schema": 1}',
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a generated and judged run `r`, another one, and recorded answers."""
    folder = tmp_path_factory.mktemp("whole")
    write_parts(folder)
    answers_csv(folder / "a.csv", [(item, 0, qid, "yes") for item in ITEMS for qid in (1, 2, 3)])
    assert start(folder, GENERATED) == 0
    assert start(folder, JUDGED) == 0
    shutil.copytree(folder / "r", folder / "other")
    return folder


@pytest.fixture
def made(run: Run, whole: Path, tmp_path: Path) -> Path:
    """The run of a copy of that folder, which is the current one."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    for manifest in tmp_path.glob("*/manifest.json"):
        manifest.write_text(manifest.read_text().replace(str(whole), str(tmp_path)))
    return tmp_path / "r"


def is_one_line(ended: Ended) -> None:
    assert ended.code in (0, 3, 5, 6), ended.err
    if ended.code:
        assert ended.error.isprintable()


@pytest.mark.parametrize("damage", RAW)
def test_a_manifest_that_is_none(run: Run, made: Path, damage: str) -> None:
    (made / "manifest.json").write_bytes(RAW[damage])
    for command in COMMANDS:
        ended = run(*command)
        assert ended.code == 3, ended.err
        assert "manifest.json" in ended.error


@pytest.mark.parametrize("damage", sorted({*RAW} - {"cut", "empty"}))
def test_a_log_or_result_that_is_none(run: Run, made: Path, damage: str) -> None:
    answers, scores = next(made.glob("answers/*")), next(made.glob("scores/*/dsg.json"))
    places = {
        made / "images.jsonl": (JUDGED, GENERATED),
        answers: (JUDGED, COMMANDS[4]),
        scores: (COMMANDS[2], COMMANDS[3]),
    }
    for path, commands in places.items():
        whole = path.read_bytes()
        path.write_bytes(RAW[damage] + b"\n")
        for command in commands:
            ended = run(*command)
            assert ended.code == 3, ended.err
            assert path.name in ended.error
        path.write_bytes(whole)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("judges",), []), (("judges", "own_judge:Judge"), None), (("items",), {}),
        (("items",), [1]), (("items",), ["../evil"]), (("identity",), None),
        (("identity", "generation"), []), (("identity", "generation", "width_px"), "8"),
        (("benchmark",), None), (("benchmark", "path"), MISSING), (("benchmark", "name"), 1),
        (("num_images",), "4"), (("num_images",), True), (("num_images",), 3), (("kind",), "x"),
        (("kind",), "images"), (("model",), MISSING), (("notes",), [1]), (("commands",), None),
        (("generation", "weights"), ["x"]), (("created",), 1), (("unknown",), 1),
        (("judges", "own_judge:Judge", "truncated_questions"), "x"),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_kind_is_named(
    run: Run, made: Path, keys: tuple[str, ...], value: Any
) -> None:
    record = changed(json.loads((made / "manifest.json").read_text()), keys, value)
    (made / "manifest.json").write_text(json.dumps(record))
    ended = run(*JUDGED)
    assert ended.code == 3, ended.err
    assert "manifest.json is damaged" in ended.error or keys == ("items",)


@pytest.mark.parametrize(
    ("pattern", "number"),
    [("manifest.json", 50), ("images.jsonl", 15), ("answers/*", 15), ("scores/*/dsg.json", 25)],
)
def test_any_change_of_any_field_ends_in_one_line(
    run: Run, made: Path, pattern: str, number: int
) -> None:
    path = next(made.glob(pattern))
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else []
    real = json.loads(lines[0] if lines else path.read_text())
    keep = made.with_name("keep")
    shutil.copytree(made, keep)
    dice = random.Random(pattern)
    places = list(fields(real))
    for _ in range(number):
        shutil.rmtree(made)
        shutil.copytree(keep, made)
        record = changed(real, dice.choice(places), dice.choice(VALUES))
        path.write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")
        is_one_line(run(*dice.choice(COMMANDS)))


@pytest.mark.parametrize("place", ["scores/*/dsg.items.csv", "../b.csv", "../a.csv", "../h.csv"])
def test_any_damage_to_a_table_ends_in_one_line(run: Run, made: Path, place: str) -> None:
    people = made.with_name("h.csv")
    people.write_text("item,score\n" + "".join(f"{item},{n}\n" for n, item in enumerate(ITEMS)))
    path = next(made.glob(place)) if "*" in place else (made / place).resolve()
    whole = path.read_bytes()
    commands = (
        ("report", "r", "--out", "rep"),
        ("compare", "r", "other"),
        JUDGED,
        (*COMMANDS[4], "--human", "h.csv"),
        ("score", "--bench", "b.csv", "--answers", "a.csv", "--out", "ra"),
    )
    dice = random.Random(place)
    for damage in (*dice.sample(list(RAW.values()), 5), *(damaged(whole, dice) for _ in range(9))):
        path.write_bytes(damage)
        shutil.rmtree("ra", ignore_errors=True)
        ended = run(*dice.choice(commands))
        assert ended.code in (0, 2, 3, 4, 5, 6), ended.err
        if ended.code:
            assert ended.error.isprintable()


def fields(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the parts of a record stand; of a list, the first two."""
    yield above
    inner = value.items() if isinstance(value, dict) else []
    if isinstance(value, list):
        inner = list(enumerate(value[:2]))
    for key, part in inner:
        yield from fields(part, (*above, key))


def changed(record: Any, keys: tuple[Any, ...], value: Any) -> Any:
    """Return a copy with `value` at `keys`; a manifest's hash stays that of its identity."""
    if not keys:
        return None if value is MISSING else value
    record = copy.deepcopy(record)
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    if value is MISSING:
        del inner[keys[-1]]
    else:
        inner[keys[-1]] = value
    if keys[0] == "identity" and isinstance(record.get("identity"), dict):
        text = json.dumps(record["identity"]).encode("utf-8", "replace")
        record["identity_hash"] = identity_hash(json.loads(text.replace(b"\\ud83c", b"?")))
    return record


def damaged(whole: bytes, dice: random.Random) -> bytes:
    """Return a file with some bytes cut out, doubled, or replaced by others."""
    start, length = dice.randrange(len(whole)), dice.randrange(1, 30)
    other = dice.choice(
        (b"", b"\xff\xfe", b'"', b",,", b"\n\n", b"1e999", b"-1", b"\x00", whole[:40])
    )
    return whole[:start] + other + whole[start + length * dice.randrange(2) :]


def test_half_a_character_from_a_model_or_a_user_stops_nothing(run: Run, made: Path) -> None:
    judge = made.with_name("own_judge.py").read_text()
    made.with_name("own_half.py").write_text(judge.replace('"no"', '"\\ud83c"'))
    asked = ("--judge", "own_half:Judge", "--device", "cpu")
    half = os.fsdecode(b"\xff")
    ended = run("score", "r/images", "--bench", "b.csv", "--out", "half", "--name", half, *asked)
    assert ended.code == 0, ended.err
    answers = next(Path("half/answers").iterdir()).read_text("utf-8")
    assert '"answer": "?"' in answers
    assert run("score", "half", *asked, "--json").code == 0
    assert run("report", "half", "--out", "rep").code == 0
