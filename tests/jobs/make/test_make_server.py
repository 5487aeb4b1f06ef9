"""`prompts make` against a server that replays good and bad replies, through the command line."""

from __future__ import annotations

import csv
import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from dpgbench.backends.judges.openai.usage import Usage
from dpgbench.backends.llms.options import LlmOptions
from dpgbench.backends.llms.server import Budget
from dpgbench.backends.openai_server import TIMEOUT_VARIABLE
from dpgbench.store.benchmarks import load_csv
from tests.backends.fake_openai import Act, Asked
from tests.backends.openai_kit import KEY, leave_alone
from tests.helpers import Ended, Run, json_lines
from tests.jobs.make.kit import (
    graph_of,
    honest,
    honest_text,
    is_repair,
    llm_server,
    prompt_in,
    prompt_of,
    reply,
    step_of,
    text_of,
)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_alone(monkeypatch)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """Six prompts in a text file; their ids are 00001 to 00006."""
    path = tmp_path / "p.txt"
    path.write_text("".join(f"{prompt_of(n)}\n" for n in range(6)))
    return path


def make(run: Run, server: object, *more: object) -> Ended:
    return run("prompts", "make", "p.txt", "--llm", "openai:m", "--base-url", server.url, *more)  # type: ignore[attr-defined]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def as_json(graph: object) -> str:
    return json.dumps({"questions": graph})


def checks(run: Run) -> int:
    return run("prompts", "check", "made/p/p.csv", "--strict").code


def test_good_replies_end_as_a_benchmark_that_the_check_passes(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    with llm_server() as server:
        server.key = KEY
        ended = make(run, server, "--price-in", 1, "--price-out", 10, "--concurrency", 3)
    assert ended.code == 0, ended.err
    assert "6 of 6 prompts, 36 questions" in ended.out
    assert server.most_in_flight <= 3
    assert Counter(map(step_of, server.asked)) == {"graph": 6, "check": 6}
    assert checks(run) == 0
    benchmark = load_csv(tmp_path / "made/p/p.csv", "p")
    assert list(benchmark.prompts.values()) == [prompt_of(n) for n in range(6)]
    row = rows(tmp_path / "made/p/p.csv")[7]
    assert (row["question_natural_language"], row["dependency"]) == ("Is the cat green?", "1")
    assert (row["tuple"], row["keywords"]) == ("attribute - color (cat, green)", "green")
    record = json.loads((tmp_path / "made/p/make.json").read_text())
    assert record["identity"]["llm"]["model"] == "openai:m"
    assert record["identity"]["template"] == "graph/1"
    assert record["failures"] == record["faults"] == record["repairs"] == {}
    assert record["account"]["prompt_tokens"] == 1200
    assert record["account"]["cost_usd"] == pytest.approx((1200 + 10 * 240) / 1e6)
    assert KEY not in "".join(p.read_text() for p in (tmp_path / "made").rglob("*") if p.is_file())


def test_the_same_command_again_asks_nothing_and_writes_the_same_file(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    with llm_server() as server:
        make(run, server)
        first, asked = (tmp_path / "made/p/p.csv").read_bytes(), len(server.asked)
        prompts.write_text(f"{prompts.read_text()}{prompt_of(6)}\n")
        assert make(run, server).code == 0
        assert len(server.asked) == asked + 2  # the new prompt alone
    assert (tmp_path / "made/p/p.csv").read_bytes().startswith(first)


BAD_FIRST = {
    "prose": lambda a: f"Sure! Here is it:\n```json\n{honest_text(a)}\n```\nHope {{that}} helps.",
    "cut": lambda a: honest_text(a)[:19],
    "from seven": lambda a: as_json(
        [{**q, "id": q["id"] + 6, "parents": [p + 6 for p in q["parents"]]} for q in graph(a)]
    ),
    "backwards": lambda a: as_json(graph(a)[::-1]),
    "words for numbers": lambda a: as_json([{**q, "id": "one"} for q in graph(a)]),
    "twice": lambda a: as_json([*graph(a), {**graph(a)[1], "id": 7}]),
    "cycle": lambda a: as_json([{**graph(a)[0], "parents": [2]}, *graph(a)[1:]]),
    "own parent": lambda a: as_json([{**graph(a)[0], "parents": [1]}, *graph(a)[1:]]),
    "no such parent": lambda a: as_json([{**graph(a)[0], "parents": [9]}, *graph(a)[1:]]),
    "no such category": lambda a: as_json([{**graph(a)[0], "category": "taste"}, *graph(a)[1:]]),
    "no question": lambda a: as_json([{**graph(a)[0], "question": "The cat."}, *graph(a)[1:]]),
    "other text": lambda a: as_json([*graph(a)[:2], {**graph(a)[2], "about": 'cat, "EXIT"'}]),
    "too many": lambda a: as_json(
        [{**graph(a)[0], "id": n + 1, "about": f"{n}", "question": f"Is {n} in?"} for n in range(8)]
    ),
    "refusal": lambda a: "I'm sorry, but I can't help with that.",
    "nothing": lambda a: "",
    "a list": lambda a: "[1, 2, 3]",
    "deep": lambda a: "[" * 50_000,
    "half a letter": lambda a: as_json([{**graph(a)[0], "question": "Is \ud83d there?"}]),
    "null": lambda a: as_json(None),
}  # fmt: skip
MENDED_UNASKED = {"prose", "from seven", "backwards"}


def graph(asked: Asked) -> list[dict[str, object]]:
    return graph_of(prompt_in(asked))


NO_JSON = {"refusal", "nothing", "deep", "a list", "cut", "null"}
KINDS = [*BAD_FIRST]
BAD_IDS = {f"{number:05d}": kind for number, kind in enumerate(KINDS, 1)}


@pytest.fixture
def bad_prompts(tmp_path: Path) -> None:
    """A prompt for each kind of bad reply; their numbers are the kinds' places."""
    lines = (f"{prompt_of(number)}\n" for number in range(len(KINDS)))
    (tmp_path / "p.txt").write_text("".join(lines))


def kind_of(asked: Asked) -> str:
    return KINDS[int(re.findall(r"number (\d+)", prompt_in(asked))[0])]


@pytest.mark.usefixtures("bad_prompts")
def test_a_bad_reply_is_asked_once_more_with_its_fault_quoted(run: Run, tmp_path: Path) -> None:
    def rule(asked: Asked) -> Act:
        bad = step_of(asked) == "graph" and not is_repair(asked)
        return reply(BAD_FIRST[kind_of(asked)](asked)) if bad else honest(asked)

    with llm_server(rule) as server:
        ended = make(run, server, "--max-questions", 7)
    assert ended.code == 0, ended.err
    assert checks(run) == 0
    assert len(load_csv(tmp_path / "made/p/p.csv", "p").rows) == 6 * len(KINDS)
    record = json.loads((tmp_path / "made/p/make.json").read_text())
    mended = {BAD_IDS[item_id] for item_id in record["repairs"]}
    assert mended == {"from seven", "backwards"}
    repairs = {kind_of(asked): asked for asked in server.asked if is_repair(asked)}
    assert set(repairs) == set(KINDS) - MENDED_UNASKED
    for item_id, (fault, *_) in record["faults"].items():
        quoted = repairs[BAD_IDS[item_id]].request["messages"][2]["content"]
        assert fault[:300] in quoted


@pytest.mark.usefixtures("bad_prompts")
def test_a_prompt_whose_replies_stay_bad_is_listed_with_the_reason(
    run: Run, tmp_path: Path
) -> None:
    def rule(asked: Asked) -> Act:
        if step_of(asked) == "check":
            return honest(asked)
        return reply(BAD_FIRST[kind_of(asked)](asked))

    def asked_for() -> dict[str, list[str]]:
        return {
            kind: sorted(step_of(asked) for asked in server.asked if kind_of(asked) == kind)
            for kind in KINDS
        }

    expected = {
        kind: ["check", "graph"]
        if kind in MENDED_UNASKED
        else ["graph"] * 2 + ["tuples"] * 2 * (kind in NO_JSON)
        for kind in KINDS
    }
    with llm_server(rule) as server:
        ended = make(run, server, "--max-questions", 7)
        assert asked_for() == expected
        again = make(run, server, "--max-questions", 7, "--partial")
        assert asked_for() == expected
        some = ("--items", "00002,00008")
        anew = make(run, server, "--max-questions", 7, "--again", "--partial", *some)
        assert asked_for()["cut"] == sorted(2 * expected["cut"])
        assert asked_for()["cycle"] == expected["cycle"]
    assert (ended.code, again.code, anew.code) == (6, 0, 0)
    assert "no graph of 00002" in ended.err
    assert "are without a graph, first 00002" in ended.error
    listed = again.err.count("no graph of")
    assert listed == len(KINDS) - len(MENDED_UNASKED)
    assert checks(run) == 3  # no file: of the two items that were asked anew none has a graph
    assert make(run, server, "--max-questions", 7, "--partial").code == 0  # by kept replies
    assert checks(run) == 0
    record = json.loads((tmp_path / "made/p/make.json").read_text())
    assert {BAD_IDS[item] for item in record["failures"]} == set(KINDS) - MENDED_UNASKED
    assert all(failure["reason"] for failure in record["failures"].values())


def test_a_reply_that_was_cut_off_gets_twice_the_room(run: Run, prompts: Path) -> None:
    def rule(asked: Asked) -> Act:
        cut = step_of(asked) == "graph" and not is_repair(asked)
        return reply(honest_text(asked)[:200], finish="length") if cut else honest(asked)

    with llm_server(rule) as server:
        assert make(run, server, "--limit", 1, "--max-tokens", 150).code == 0
    rooms = [asked.request["max_tokens"] for asked in server.asked if step_of(asked) == "graph"]
    assert rooms == [150, 300]
    assert "cut off after 150 tokens" in server.asked[1].request["messages"][2]["content"]


def test_a_server_without_schemas_is_asked_in_three_steps(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    with llm_server() as server:
        server.refuses = ("json_schema",)
        assert make(run, server).code == 0
        answered = [asked for asked in server.asked if "response_format" not in asked.request]
        counts = Counter(map(step_of, answered))
        assert counts == {"tuples": 6, "questions": 6, "parents": 6, "check": 6}
        before = len(server.asked)
        assert make(run, server).code == 0
        assert len(server.asked) == before
    assert checks(run) == 0
    by_steps = rows(tmp_path / "made/p/p.csv")
    with llm_server() as server:
        assert make(run, server, "--out", "other").code == 0
    for one, other in zip(by_steps, rows(tmp_path / "other/p.csv"), strict=True):
        assert {**one, "keywords": ""} == {**other, "keywords": ""}


def test_a_server_that_holds_the_model_to_nothing_is_asked_in_steps_too(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    def rule(asked: Asked) -> Act:
        return reply("1 | a cat") if step_of(asked) == "graph" else honest(asked)

    with llm_server(rule) as server:
        assert make(run, server, "--limit", 1).code == 0
        steps = [step_of(asked) for asked in server.asked]
        assert steps == ["graph", "graph", "tuples", "questions", "parents", "check"]
        strict = make(run, server, "--limit", 1, "--mode", "schema", "--out", "o")
        assert strict.code == 6
        assert "there is no JSON object with questions in it" in strict.err


STEPS = {
    "numbered with dots": lambda text: text.replace(" |", "."),
    "bullets and prose": lambda text: (
        "Here you are:\n\n" + text.replace("\n", "\n- ") + "\n\nDone."
    ),
    "fenced": lambda text: f"```\n{text}\n```",
    "thoughts": lambda text: f"<think>1 | entity - whole (ghost)</think>{text}",
}


@pytest.mark.parametrize("kind", STEPS)
def test_lines_are_read_however_they_are_numbered(
    run: Run, prompts: Path, tmp_path: Path, kind: str
) -> None:
    def rule(asked: Asked) -> Act:
        text = honest_text(asked)
        return reply(text if step_of(asked) == "check" else STEPS[kind](text))

    with llm_server(rule) as server:
        assert make(run, server, "--limit", 1, "--mode", "steps").code == 0
        assert len(server.asked) == 4
    assert len(rows(tmp_path / "made/p/p.csv")) == 6


BAD_STEPS = {
    "tuples": lambda text: text.replace("entity - whole (cat)", "cat"),
    "questions": lambda text: "\n".join(text.splitlines()[:-1]),
    "parents": lambda text: text.replace("2 | 1", "2 | 17"),
}


@pytest.mark.parametrize("step", BAD_STEPS)
def test_a_bad_step_is_asked_once_more(run: Run, prompts: Path, tmp_path: Path, step: str) -> None:
    def rule(asked: Asked) -> Act:
        bad = step_of(asked) == step and not is_repair(asked)
        return reply(BAD_STEPS[step](honest_text(asked))) if bad else honest(asked)

    with llm_server(rule) as server:
        assert make(run, server, "--limit", 1, "--mode", "steps").code == 0
        assert len(server.asked) == 5
    assert len(rows(tmp_path / "made/p/p.csv")) == 6


def test_what_a_person_should_look_at_is_flagged(run: Run, prompts: Path, tmp_path: Path) -> None:
    def rule(asked: Asked) -> Act:
        if step_of(asked) == "check":
            return reply(json.dumps({"1": "yes", "2": "no", "3": "yes"}))
        return reply(
            as_json([
                {**graph(asked)[0]},
                {**graph(asked)[1], "about": "cat, crimson", "question": "Is the cat crimson?"},
                {**graph(asked)[1], "id": 3, "parents": []},
                {**graph(asked)[3]},
            ])
        )  # fmt: skip

    with llm_server(rule) as server:
        ended = make(run, server, "--limit", 1)
    assert "flags: 1 invented, 1 no-entity, 2 text-check, 1 uncovered" in ended.out
    reviews = [row["review"] for row in rows(tmp_path / "made/p/p.csv")]
    assert reviews == [
        "uncovered: number, 0, wooden",
        "invented: crimson | text-check: from the prompt alone the model answers no",
        "no-entity: nothing above it is an entity: attribute - color (cat, red)",
        "text-check: the model gave no answer to it",
    ]
    checked = run("prompts", "check", "made/p/p.csv")
    assert (
        "note: column review: 4 questions are flagged; scoring does not look at it" in checked.err
    )


def test_a_check_that_cannot_be_read_is_one_flag_that_says_why(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    yes = dict.fromkeys(map(str, range(1, 9)), "yes")
    replies = {
        "red": reply(json.dumps(yes)),
        "green": reply("All of that is in the text."),
        "blue": reply('{"1": "yes', finish="length"),
        "white": reply("No.", finish="content_filter"),
        "black": reply(" "),
        "brown": reply(json.dumps({"1": "yes", "2": "yes"})),
    }

    def rule(asked: Asked) -> Act:
        return replies[prompt_in(asked).split()[1]] if step_of(asked) == "check" else honest(asked)

    with llm_server(rule) as server:
        assert "13 text-check" in make(run, server).out
    made = rows(tmp_path / "made/p/p.csv")
    firsts = [row["review"].rpartition("text-check: ")[2] for row in made[:30:6]]
    assert firsts == [
        "not checked: the model answered question 7, 8, and there are 6",
        "not checked: the model's reply holds no answers",
        made[12]["review"],
        "not checked: a filter stopped it",
        "not checked: the reply was empty",
    ]
    assert sum("text-check: the model's reply was cut off before" in r["review"] for r in made) == 5
    assert sum("gave no answer" in row["review"] for row in made) == 4


def test_nothing_is_paid_twice_after_a_kill(prompts: Path, tmp_path: Path) -> None:
    """Also where two prompts are the same: one request serves both."""
    prompts.write_text(prompts.read_text() + f"{prompt_of(0)}\n")

    def slow(asked: Asked) -> Act:
        return honest(asked)._replace(seconds=0.15)

    with llm_server(slow) as server:
        words = ["--llm", "openai:m", "--base-url", server.url, "--concurrency", "2"]
        command = [sys.executable, "-m", "dpgbench", "prompts", "make", "p.txt", *words]
        kept = tmp_path / "made/p/chat.jsonl"
        killed = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (kept.exists() and kept.read_bytes().count(b"\n") >= 4):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
        killed.wait(20)
        server.idle()
        paid = json_lines(kept)
        first = [text_of(asked) for asked in server.asked]
        with kept.open("a") as file:
            file.write('{"key": "torn')
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        asked = Counter(map(text_of, server.asked))
    lost = len(first) - len(paid)
    assert lost <= 2  # those in flight
    assert sum(asked.values()) == 12 + lost
    assert not (tmp_path / "made/p/p.csv").read_text().count("torn")
    assert len({row["item_id"] for row in rows(tmp_path / "made/p/p.csv")}) == 7


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_command_goes_on(
    prompts: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    def slow(asked: Asked) -> Act:
        return honest(asked)._replace(seconds=0.0 if "A red" in prompt_in(asked) else 20.0)

    with llm_server(slow) as server:
        words = ["--llm", "openai:m", "--base-url", server.url]
        command = [sys.executable, "-m", "dpgbench", "prompts", "make", "p.txt", *words]
        kept = tmp_path / "made/p/chat.jsonl"
        working = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not (kept.exists() and kept.read_bytes().count(b"\n") >= 2):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        working.send_signal(sent)
        _, err = working.communicate(timeout=20)
        assert working.returncode == code
        assert "run the same command again to go on" in err
        assert "Traceback" not in err
        assert len(json_lines(kept)) == 2


def test_silence_and_hang_ups_are_tried_again_and_a_lasting_one_is_listed(
    run: Run, prompts: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(TIMEOUT_VARIABLE, "0.5")
    seen: Counter[str] = Counter()

    def rule(asked: Asked) -> Act:
        seen[prompt_in(asked)] += 1
        if "A green" in prompt_in(asked) and seen[prompt_in(asked)] == 1:
            return honest(asked)._replace(seconds=1.0)
        if "A blue" in prompt_in(asked) and seen[prompt_in(asked)] == 1:
            return honest(asked)._replace(hang_up="half")
        if "A white" in prompt_in(asked):
            return Act(400, "this prompt is not allowed")
        return honest(asked)

    with llm_server(rule) as server:
        ended = make(run, server, "--limit", 4)
    assert ended.code == 6, ended.err
    record = json.loads((tmp_path / "made/p/make.json").read_text())
    assert list(record["failures"]) == ["00004"]
    assert "this prompt is not allowed" in record["failures"]["00004"]["reason"]
    assert record["account"]["last_command"]["retries"] >= 2
    assert checks(run) == 0


def test_a_refused_prompt_does_not_keep_the_others_from_the_schema(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    def rule(asked: Asked) -> Act:
        return Act(400, "not allowed") if "A red" in prompt_in(asked) else honest(asked)

    with llm_server(rule) as server:
        assert make(run, server, "--concurrency", 1, "--partial").code == 0
        counts = Counter(step_of(asked) for asked in server.asked if "A red" not in text_of(asked))
    assert counts == {"graph": 5, "check": 5}
    assert list(json.loads((tmp_path / "made/p/make.json").read_text())["failures"]) == ["00001"]


def test_a_wrong_key_ends_all_at_once(run: Run, prompts: Path) -> None:
    with llm_server() as server:
        server.key = "sk-another-0123456789-key"
        ended = make(run, server)
    assert ended.code == 4
    assert "OPENAI_API_KEY" in ended.error


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\n<!DOCTYPE html>\n<title>Log in</title>", "answers with HTML, a page for people"),
        (b'{"status": "ok"}', "answers with JSON without 'choices'"),
    ],
)
def test_an_address_of_something_else_ends_all_within_seconds(
    run: Run, prompts: Path, body: bytes, words: str
) -> None:
    begun = time.monotonic()
    with llm_server(lambda asked: Act(body=body)) as server:
        ended = make(run, server)
    assert ended.code == 4
    assert words in ended.error
    assert f"{server.url} " in ended.error
    assert "check --base-url, which mostly ends in /v1" in ended.error
    assert len(server.asked) <= 12
    assert time.monotonic() - begun < 8


def test_a_page_between_good_replies_is_tried_again(run: Run, prompts: Path) -> None:
    """A router shows one while it starts anew."""
    pages = [Act(body=b"<html>502</html>")] * 2

    def rule(asked: Asked) -> Act:
        return pages.pop() if "A green" in prompt_in(asked) and pages else honest(asked)

    with llm_server(rule) as server:
        assert make(run, server, "--concurrency", 1, "--limit", 2).code == 0


def test_the_cost_is_told_before_and_kept_below_a_cap(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    prices = ("--price-in", 1000, "--price-out", 1000, "--max-tokens", 30)

    with llm_server() as server:
        dry = make(run, server, *prices, "--dry-run", "--json")
        assert not server.asked
        assert not (tmp_path / "made").exists() or not list((tmp_path / "made").rglob("*.csv"))
        expected = json.loads(dry.out)
        assert (expected["prompts"], expected["requests"]) == (6, 12)
        in_words = make(run, server, "--dry-run", "--quiet").out
        assert in_words.startswith("expected: 6 prompts, about 12 requests, ")
        assert expected["cost_usd"] > 1
        capped = make(run, server, *prices, "--max-cost", 3.9, "--concurrency", 1)
        assert capped.code == 6
        assert "--max-cost 3.9" in capped.error
        record = json.loads((tmp_path / "made/p/make.json").read_text())
        assert 0 < record["account"]["cost_usd"] <= 3.9
        assert record["made"] >= 1
        reasons = {failure["reason"] for failure in record["failures"].values()}
        assert reasons == {"not asked yet"}
        asked = len(server.asked)
        assert make(run, server, *prices, "--max-cost", 3.9).code == 6  # earlier commands count too
        assert len(server.asked) == asked
        assert make(run, server, *prices, "--max-cost", 800).code == 0
        assert len(server.asked) == 12
    assert checks(run) == 0
    assert make(run, server, "--max-cost", 3.9).code == 2


def test_what_a_reply_of_no_use_cost_counts_against_the_cap() -> None:
    options = LlmOptions(price_in=1.0, price_out=2.0, max_cost=9.0)
    usage = Usage(None, 1.0, 2.0)
    budget = Budget(options, 1.5, usage)
    usage.replied({"prompt_tokens": 1_000_000, "completion_tokens": 2_000_000}, "m")
    budget.settle(0.0, None)
    assert budget.spent == 1.5 + 5.0


@pytest.mark.slow  # six tries, with the pauses between them
def test_replies_of_no_use_whose_tokens_are_counted_are_below_the_cap_too(
    run: Run, prompts: Path
) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000}
    body = json.dumps({"model": "m", "choices": [], "usage": usage}).encode()
    prices = ("--price-in", 1000, "--price-out", 1000, "--max-tokens", 30, "--concurrency", 1)
    with llm_server(lambda asked: Act(body=body)) as server:
        ended = make(run, server, *prices, "--max-cost", 3.9)
        asked = Counter(map(prompt_in, server.asked))
    assert ended.code == 6
    assert len(asked) == 1, "each reply cost 2 dollars: no second prompt was asked"
    assert "--max-cost 3.9: " in ended.error


def test_a_later_command_counts_what_useless_replies_have_cost(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 1000}
    useless = [Act(body=json.dumps({"choices": [], "usage": usage}).encode())]
    prices = ("--price-in", 1000, "--price-out", 1000, "--max-tokens", 30, "--concurrency", 1)
    with llm_server(lambda asked: useless.pop() if useless else honest(asked)) as server:
        assert make(run, server, *prices, "--limit", 1).code == 0
        record = json.loads((tmp_path / "made/p/make.json").read_text())["account"]
        assert record["cost_usd"] == pytest.approx(2.0 + 2 * 0.12)
        assert (record["prompt_tokens"], record["tokens_of_useless_replies"]) == (1200, 2000)
        asked = len(server.asked)
        capped = make(run, server, *prices, "--limit", 2, "--max-cost", 3.9)
        assert capped.code == 6
        assert "2.2400 dollars are spent" in capped.error
        assert len(server.asked) == asked


def test_a_cap_on_requests(run: Run, prompts: Path) -> None:
    with llm_server() as server:
        ended = make(run, server, "--max-requests", 5, "--concurrency", 2)
        assert ended.code == 6
        assert "--max-requests 5" in ended.error
        assert len(server.asked) == 5
        assert make(run, server).code == 0
        assert len(server.asked) == 12


def test_a_file_that_a_person_changed_is_not_overwritten(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    table = tmp_path / "made/p/p.csv"
    with llm_server() as server:
        make(run, server)
        table.write_text(table.read_text().replace("Is the cat red?", "Is the cat really red?"))
        ended = make(run, server)
        assert ended.code == 5
        assert "was changed since it was made" in ended.error
        assert "really" in table.read_text()
        other = make(run, server, "--max-questions", 9)
        assert other.code == 5
        assert "max_questions was 40, is 9" in other.error
        table.unlink()
        assert make(run, server).code == 0
        assert len(server.asked) == 12


def test_a_list_of_the_same_name_does_not_take_the_place_of_another(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    table = tmp_path / "made/p/p.csv"
    with llm_server() as server:
        words = ("--llm", "openai:m", "--base-url", server.url)
        assert make(run, server, "--limit", 2).code == 0
        before, asked = table.read_bytes(), len(server.asked)
        (other / "p.txt").write_text(f"{prompt_of(0)}\n{prompt_of(9)}\n")
        ended = run("prompts", "make", "other/p.txt", *words)
        assert ended.code == 5
        assert "made/p/p.csv was made of p.txt, and 1 of its 2 items is" in ended.error
        assert "name another --out" in ended.error
        assert (table.read_bytes(), len(server.asked)) == (before, asked)
        (other / "p.txt").write_text(prompts.read_text())  # the same list, moved
        assert run("prompts", "make", "other/p.txt", *words, "--limit", 3).code == 0
        prompts.write_text(f"{prompt_of(0)}\n")
        edited = run("prompts", "make", "other/p.txt", *words, "--items", "00002,00003")
        assert edited.code == 0
        assert "1 item of the earlier made/p/p.csv is left out or has another prompt" in edited.err


def test_prompts_come_from_folders_tables_and_json(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "first.txt").write_text(prompt_of(1))
    (folder / "second.txt").write_text(f"{prompt_of(2)}\n")
    (tmp_path / "t.csv").write_text(f"id,prompt\nx,{prompt_of(3)}\n")
    (tmp_path / "j.jsonl").write_text(json.dumps({"id": "y", "prompt": prompt_of(4)}) + "\n")
    with llm_server() as server:
        for name, items in (("mine", {"first", "second"}), ("t.csv", {"x"}), ("j.jsonl", {"y"})):
            words = ("prompts", "make", name, "--llm", "openai:m", "--base-url", server.url)
            ended = run(*words, "--out", f"{name}-out/b.csv")
            assert ended.code == 0, ended.err
            assert set(load_csv(tmp_path / f"{name}-out/b.csv", "b").items) == items
            assert (tmp_path / f"{name}-out/b.make.json").is_file()


def test_ids_and_prompts_that_a_sound_benchmark_cannot_have_are_listed_unasked(
    run: Run, tmp_path: Path
) -> None:
    entries = [("CON", prompt_of(1)), ("a", prompt_of(2)), ("A", prompt_of(3)), ("n", "None")]
    lines = [json.dumps({"id": name, "prompt": prompt}) for name, prompt in entries]
    (tmp_path / "p.jsonl").write_text("\n".join(lines))
    with llm_server() as server:
        words = ("prompts", "make", "p.jsonl", "--llm", "openai:m", "--base-url", server.url)
        assert run(*words).code == 6
        assert {prompt_in(asked) for asked in server.asked} == {prompt_of(2)}
    assert checks(run) == 0


def test_examples_of_ones_own_are_shown_and_checked(
    run: Run, prompts: Path, tmp_path: Path
) -> None:
    with llm_server() as server:
        assert make(run, server, "--limit", 2).code == 0
        own = make(run, server, "--out", "o", "--examples", "made/p/p.csv", "--limit", 1)
        assert own.code == 0, own.err
        last = server.asked[-2]
        assert "harbour" in text_of(server.asked[0])
        assert "harbour" not in text_of(last)
        assert prompt_of(1) in text_of(last)
        bad = (tmp_path / "made/p/p.csv").read_text().replace('"1,4"', '"1,6"')
        (tmp_path / "bad.csv").write_text(bad)
        ended = make(run, server, "--out", "o2", "--examples", "bad.csv")
    assert ended.code == 3
    assert "bad.csv item 00001 is no example of a good graph" in ended.error


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ((), "name a language model"),
        (("--llm", "gpt"), "--llm gpt is no language model"),
        (("--llm", "openai:m", "--mode", "x"), "--mode x"),
        (("--llm", "openai:m", "--max-questions", 0), "--max-questions 0"),
        (("--llm", "openai:m", "--device", "cpu"), "--device is not for --llm openai:MODEL"),
        (("--llm", "hf:x/y", "--price-in", 1), "--price-in is not for --llm hf:REPO"),
        (("--llm", "shapes", "--base-url", "http://x/v1"), "--base-url is not for --llm shapes"),
        (("--llm", "openai:m", "--concurrency", 0), "--concurrency 0"),
    ],
)
def test_options_that_cannot_be_right(
    run: Run, prompts: Path, words: tuple[object, ...], meaning: str
) -> None:
    ended = run("prompts", "make", "p.txt", *words)
    assert ended.code == 2
    assert meaning in ended.error
