"""Servers that answer in other forms than a plain yes or no: no wrong number is ever a success."""

import pytest

from dpgbench.backends.secrets import hide_key
from dpgbench.store.run.directory import RunDir
from tests.backends.fake_openai import HONEST, Act, FakeOpenAi, says, sends
from tests.backends.openai_kit import KEY, leave_alone, name_of, picture
from tests.helpers import json_lines, row, write_csv

NUM_ITEMS, NUM_QUESTIONS = 6, 6


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    leave_alone(monkeypatch)


@pytest.fixture
def server():
    with FakeOpenAi() as fake:
        yield fake


@pytest.fixture
def ask(run, server, tmp_path):
    """Score six pictures with six questions each; returns how the command ended."""
    (tmp_path / "pictures").mkdir()
    for number in range(NUM_ITEMS):
        picture(number).save(tmp_path / f"pictures/it{number}.png")
    write_csv(
        tmp_path / "b.csv",
        [
            row(f"it{n}", q, question_natural_language=f"Is there a {q}, in {n}?")
            for n in range(NUM_ITEMS)
            for q in range(1, NUM_QUESTIONS + 1)
        ],
    )
    words = ("score", "pictures", "--bench", "b.csv", "--num-images", 1, "--out", "r")
    words += ("--judge", "openai:m", "--base-url", server.url, "--rule", "corrected-v1")
    return lambda *more: run(*words, *more)


def recorded(folder):
    path = RunDir(folder / "r").answers("openai:m")
    return json_lines(path) if path.exists() else []


READ_AS_YES = {
    "answer tag": says("<think>a</think><answer>Yes</answer>"),
    "GLM box": says("<think>a</think><|begin_of_box|>yes<|end_of_box|>"),
    "Kimi": says("◁think▷maybe no◁/think▷Yes"),
    "boxed": says("The answer is \\boxed{yes}"),
    "boxed text": says("\\boxed{\\text{Yes}}"),
    "gpt-oss": says(
        "<|channel|>analysis<|message|>no?<|end|><|start|>assistant<|channel|>final<|message|>yes"
    ),
    "Magistral": says("[THINK]maybe[/THINK]yes"),
    "Seed": says("<seed:think>x</seed:think>yes"),
    "thought": says("<thought>hmm</thought>yes"),
    "Chinese": says("是"),
    "list of JSON": says('[{"answer": "yes"}]'),
    "capital keys": says('{"Answer": "Yes", "Explanation": "ok"}'),
    "parts": says([{"type": "text", "text": "yes"}]),
    "thinking parts": says(
        [
            {"type": "thinking", "thinking": [{"type": "text", "text": "no"}]},
            {"type": "text", "text": "ye"},
            {"type": "text", "text": "s"},
        ]
    ),
    "reasoning beside": says("yes", reasoning_content="The answer is no"),
}
NEVER_READ = {
    "sorry": says("I'm sorry, but I can't assist with that request."),
    "refusal": says(None, refusal="I'm sorry, I can't help with that."),
    "empty": says(""),
    "nothing": says(None),
    "reasoning alone": says(None, reasoning_content="The answer is yes"),
    "open thought": says("<think>Yes, the picture shows"),
    "open channel": says("<|channel|>analysis<|message|>yes"),
    "both": says("Yes and no."),
    "surrogate": says("\ud83d maybe"),
    "thinking parts alone": says([{"type": "thinking", "thinking": "yes"}]),
    "odd parts": says([None, 3, {"type": "text"}, {"type": "text", "text": 4}]),
    "odd content": says({"text": "yes"}),
    "filter": says("", "content_filter"),
    "filtered words": says("yes", "content_filter"),
    "length": says(None, "length", reasoning_content="I think that yes"),
    "error at the top": sends(error={"code": 429, "message": "rate limited upstream"}),
    "error as text": sends(error="overloaded"),
    "error in the choice": sends(
        choices=[
            {
                "error": {"code": 502, "message": "Upstream idle"},
                "finish_reason": "error",
                "message": {"role": "assistant", "content": ""},
            }
        ]
    ),
    "finish error": says("yes", "error"),
    "403": Act(403, "flagged"),
    "404": Act(404, "no endpoints"),
    "HTML": Act(body=b"<html>502</html>"),
}


@pytest.mark.parametrize("form", READ_AS_YES)
def test_forms_of_models_in_use_are_read(ask, server, tmp_path, form):
    server.rule = lambda asked: READ_AS_YES[form]
    ended = ask()
    assert ended.code == 0, ended.err
    assert [line["answer"] for line in recorded(tmp_path)] == ["yes"] * 36
    assert len(server.asked) == 36  # none asked twice


@pytest.mark.parametrize("form", NEVER_READ)
def test_what_is_no_answer_never_ends_well(ask, server, tmp_path, form):
    server.rule = lambda asked: NEVER_READ[form]
    ended = ask()
    assert ended.code == (4 if form in ("403", "404", "HTML") else 6)
    assert "Traceback" not in ended.err
    assert all(line["invalid"] for line in recorded(tmp_path))


@pytest.mark.parametrize("form", NEVER_READ)
def test_no_success_with_more_than_a_fifth_of_answers_invalid(ask, server, tmp_path, form):
    server.rule = lambda asked: NEVER_READ[form] if int(asked.questions[1][11]) % 3 == 0 else HONEST
    ended = ask("--partial")
    lines = recorded(tmp_path)
    invalid = sum(line.get("invalid", False) for line in lines)
    if ended.code == 0:
        assert invalid <= len(lines) / 5
    if invalid > len(lines) / 5:
        assert ended.code == 6
        assert f"{invalid} of {len(lines)} answers of judge openai:m are neither" in ended.error


def test_the_end_comes_early_with_an_example(ask, server, tmp_path):
    server.rule = lambda asked: says("I'm sorry, but no.")
    ended = ask("--concurrency", 1)
    assert ended.code == 6
    assert (
        "20 of 20 answers of judge openai:m are neither yes nor no (first: \"I'm s" in ended.error
    )
    assert "--ask-invalid-again" in ended.error
    assert len(recorded(tmp_path)) == 20


def test_invalid_answers_are_asked_again_where_that_is_wanted(ask, server, tmp_path):
    server.rule = lambda asked: says("Who knows?") if int(asked.questions[1][11]) == 2 else HONEST
    first = ask()
    assert first.code == 0
    assert "6 of 36 answers of judge openai:m are neither yes nor no" in first.err
    before = [line for line in recorded(tmp_path) if not line.get("invalid")]
    server.rule = lambda asked: HONEST
    num_asked = len(server.asked)
    again = ask()
    assert again.code == 0 and "--ask-invalid-again" in again.err
    assert len(server.asked) == num_asked
    assert ask("--ask-invalid-again").code == 0
    assert len(server.asked) == num_asked + 6
    lines = recorded(tmp_path)
    assert len(lines) == 36 and not any(line.get("invalid") for line in lines)
    assert [line for line in lines if line in before] == before
    assert "neither" not in ask().err


def test_an_empty_answer_is_none_and_stays_open(ask, server, tmp_path):
    sad = name_of(picture(2))
    server.rule = lambda asked: says("") if asked.picture == sad else HONEST
    ended = ask()
    assert ended.code == 6
    assert "it2" in ended.error and "empty answer" in ended.error
    assert len(recorded(tmp_path)) == 30
    server.rule = lambda asked: HONEST
    assert ask().code == 0
    assert len(recorded(tmp_path)) == 36


def test_errors_within_200_are_tried_again_and_told(ask, server, tmp_path):
    server.script.extend([NEVER_READ["error at the top"], NEVER_READ["error in the choice"]] * 3)
    assert ask().code == 0
    server.script.clear()
    server.rule = lambda asked: NEVER_READ["error in the choice"]
    RunDir(tmp_path / "r").answers("openai:m").unlink()
    assert "502: Upstream idle" in ask().err


def test_a_filter_and_spent_tokens_are_told(ask, server):
    server.script.append(HONEST)
    server.rule = lambda asked: NEVER_READ["filter"]
    assert "content filter" in ask("--concurrency", 1).err
    server.rule = lambda asked: NEVER_READ["length"]
    assert "thinking" in ask("--concurrency", 1).err


def test_one_flagged_picture_is_one_failed_item_at_each_start(ask, server, tmp_path):
    sad = name_of(picture(1))
    server.rule = lambda asked: Act(403, "flagged") if asked.picture == sad else HONEST
    for _ in range(2):
        ended = ask("--concurrency", 1)
        assert ended.code == 6
        assert "it1: the server answered 403: flagged" in ended.error
        assert len(recorded(tmp_path)) == 30


@pytest.mark.parametrize(
    "echo",
    [KEY, KEY[:8] + "***yz", KEY[:5] + "..." + KEY[-4:], "ends in " + KEY[-4:], KEY[4:-4], KEY[:9],
     "xxxx" + KEY[-5:], KEY[:6] + "…", f"'{KEY[3:15]}'"],
)  # fmt: skip
def test_no_part_of_the_key_is_shown(echo):
    shown = hide_key(f"Incorrect key {echo} was given", KEY)
    assert "[key]" in shown and shown.endswith("was given") and shown.startswith("Incorrect key")
    assert not any(KEY[n : n + 5] in shown for n in range(len(KEY) - 4))
    assert KEY[-4:] not in shown


def test_words_that_are_no_key_stay():
    for text in ("Wait... no", "maybe, I see **two** dogs", "xxx", "the test was refused"):
        assert hide_key(text, KEY) == text
