"""`prompts make` with language models of transformers in this process."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from dpgbench.backends.llms import constrained
from dpgbench.store.benchmarks import load_csv
from tests.helpers import Run, json_lines, row, write_csv
from tests.jobs.make.kit import graph_of, prompt_of
from tests.jobs.make.tiny_llm import write_random, write_scripted

PROMPT = prompt_of(1)
GRAPH = graph_of(PROMPT)
STEPS = {
    "tuples": [f"\n{q['id']} | {q['category']} ({q['about']})" for q in GRAPH],
    "questions": [f"\n{q['id']} | {q['question']}" for q in GRAPH],
    "parents": [f"\n{q['id']} | {', '.join(map(str, q['parents'])) or '-'}" for q in GRAPH],
}
CHECK = ['{"1": "yes"', *(f', "{number}": "yes"' for number in range(2, 7)), " }"]


def pieces_of(graph: list[dict[str, Any]]) -> list[str]:
    names = ("id", "span", "category", "about", "question", "parents")
    objects = [json.dumps({name: question[name] for name in names}) for question in graph]
    return ['{"questions": [', objects[0], *(f", {text}" for text in objects[1:]), "]}"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A prompt, and an example that is short."""
    (tmp_path / "p.txt").write_text(f"{PROMPT}\n")
    write_csv(tmp_path / "e.csv", [row("e", 1)])
    return tmp_path


def words(folder: Path) -> tuple[object, ...]:
    model = ("--llm", f"hf:{folder}", "--device", "cpu")
    return ("prompts", "make", "p.txt", "--examples", "e.csv", *model)


def test_a_local_model_held_to_the_schema(run: Run, files: Path) -> None:
    assert importlib.util.find_spec("llguidance"), "the development group has it"
    folder = write_scripted(files / "m", {"graph": pieces_of(GRAPH), "check": CHECK})
    ended = run(*words(folder))
    assert ended.code == 0, ended.err
    assert run("prompts", "check", "made/p/p.csv", "--strict").code == 0
    (questions,) = load_csv(files / "made/p/p.csv", "p").items.values()
    assert [q.question for q in questions] == [question["question"] for question in GRAPH]
    record = json.loads((files / "made/p/make.json").read_text())
    assert record["account"]["last_command"] == {"requests": 2, "held_to_schema": True}
    assert set(record["identity"]["llm"]["weights"]) >= {"model.safetensors", "tokenizer.json"}
    assert record["flags"] == {"uncovered": 1}
    again = run(*words(folder), "--json")
    assert json.loads(again.out)["account"]["last_command"]["requests"] == 0


def test_a_local_model_without_llguidance_goes_by_steps(
    run: Run, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constrained, "is_installed", lambda: False)
    folder = write_scripted(files / "m", {**STEPS, "check": CHECK})
    ended = run(*words(folder))
    assert ended.code == 0, ended.err
    (questions,) = load_csv(files / "made/p/p.csv", "p").items.values()
    assert [q.question for q in questions] == [question["question"] for question in GRAPH]
    assert [q.dependency for q in questions] == ["0", "1", "1", "0", "4", "1,4"]
    schema = run(*words(folder), "--mode", "schema", "--out", "o")
    assert schema.code == 6
    assert "cannot be held to a JSON schema" in schema.err


def test_what_a_model_that_knows_nothing_writes_fits_the_schema_and_is_listed(
    run: Run, files: Path
) -> None:
    (files / "p.txt").write_text(f"{PROMPT}\n{prompt_of(2)}\n")
    folder = write_random(files / "m")
    tokens = ("--max-tokens", 120, "--concurrency", 2)
    ended = run(*words(folder), "--max-questions", 1, *tokens)
    assert ended.code == 6
    assert "Traceback" not in ended.err
    record = json.loads((files / "made/p/make.json").read_text())
    assert set(record["failures"]) == {"00001", "00002"}
    for line in json_lines(files / "made/p/chat.jsonl"):
        assert line["text"].lstrip().startswith("{")
        assert '"questions"' in line["text"].replace(" ", "")[:14]
    assert not (files / "made/p/p.csv").exists()
    assert "no file was written" in ended.out


def test_a_prompt_too_long_for_the_model_is_listed(run: Run, files: Path) -> None:
    (files / "p.txt").write_text(f"{PROMPT}\n{'A red cat, ' * 4000}\n")
    folder = write_scripted(files / "m", {"graph": pieces_of(GRAPH), "check": CHECK})
    ended = run(*words(folder))
    assert ended.code == 6
    record = json.loads((files / "made/p/make.json").read_text())
    assert list(record["failures"]) == ["00002"]
    assert "reads 8192" in record["failures"]["00002"]["reason"]


def test_models_that_write_no_text_or_are_not_there(run: Run, files: Path) -> None:
    (files / "m").mkdir()
    (files / "m/config.json").write_text(json.dumps({"model_type": "clip"}))
    assert "writes no text" in run(*words(files / "m")).error
    (files / "m/config.json").write_text(json.dumps({"model_type": "llama"}))
    ended = run(*words(files / "m"))
    assert ended.code == 4
    assert "language model hf:" in ended.error
    assert "no *.safetensors" in ended.error
    assert run(*words(files / "n")).code == 2
