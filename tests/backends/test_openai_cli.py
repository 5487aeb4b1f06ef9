"""The openai judge through the command line: from end to end, keys, caps, a real kill."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dpgbench.backends.judges.openai.prompts import MANY, MANY_AGAIN, ONE, ONE_AGAIN, TEMPLATE
from dpgbench.backends.openai_server import PUBLIC_URL, TIMEOUT_VARIABLE
from dpgbench.store.run.directory import RunDir
from tests.backends.fake_openai import HONEST, Act, FakeOpenAi, truth
from tests.backends.openai_kit import (
    KEY,
    leave_alone,
    name_of,
    picture,
)
from tests.helpers import row, write_csv


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    leave_alone(monkeypatch)


@pytest.fixture
def server():
    with FakeOpenAi() as fake:
        yield fake


@pytest.fixture
def pictures(tmp_path):
    """Six pictures, four questions each."""
    (tmp_path / "pictures").mkdir()
    for number in range(6):
        picture(number).save(tmp_path / f"pictures/it{number}.png")
    rows = [
        row(f"it{n}", q, question_natural_language=f"Is there a {q}, in {n}?")
        for n in range(6)
        for q in (1, 2, 3, 4)
    ]
    write_csv(tmp_path / "b.csv", rows)
    return tmp_path


def score_words(server, *more):
    where = ("score", "pictures", "--bench", "b.csv", "--num-images", 1, "--out", "r")
    return [*where, "--judge", "openai:m", "--base-url", server.url, *more]


def lines(folder):
    return [
        json.loads(line)
        for line in RunDir(folder / "r").answers("openai:m").read_text().splitlines()
    ]


def everything_written(folder):
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_scoring_from_end_to_end(run, server, pictures):
    server.key = KEY
    server.script.append(Act(text="Who knows?"))
    server.rule = lambda asked: (
        Act(text="perhaps") if "a 2, in 3?" in asked.questions[1] else HONEST
    )
    ended = run(*score_words(server, "--json"))
    assert ended.code == 0, ended.err
    corrected = json.loads(ended.out)["results"][1]
    assert corrected["judge"] == "openai:m"
    assert corrected["items_scored"] == 6
    assert corrected["warnings"]["invalid_answers"] == 1
    by_question = {(line["item_id"], line["qid"]): line for line in lines(pictures)}
    assert len(by_question) == 24
    for (item, qid), line in by_question.items():
        if (item, qid) == ("it3", 2):
            assert (line["answer"], line["invalid"]) == ("perhaps", True)
            continue
        name = name_of(picture(int(item[2:])))
        assert line["answer"] == truth(name, f"Is there a {qid}, in {item[2:]}?")
    described = json.loads((pictures / "r/manifest.json").read_text())["judges"]["openai:m"]
    assert (described["model"], described["base_url"]) == ("m", server.url)
    # again: nothing is asked twice
    asked = len(server.asked)
    assert run(*score_words(server)).code == 0
    assert len(server.asked) == asked
    assert KEY.encode() not in everything_written(pictures) + ended.err.encode()


def test_a_failed_item_is_incomplete_and_asked_again(run, server, pictures):
    sad = name_of(picture(2))
    server.rule = lambda asked: Act(400, f"no {KEY}") if asked.picture == sad else HONEST
    ended = run(*score_words(server))
    assert ended.code == 6
    assert "it2: the server answered 400: no [key]" in ended.error
    assert KEY.encode() not in everything_written(pictures) + ended.err.encode()
    server.rule = lambda asked: HONEST
    assert run(*score_words(server)).code == 0
    assert len(lines(pictures)) == 24
    assert len(server.served) == 24


def test_a_cap_is_raised_in_the_next_command(run, server, pictures):
    ended = run(*score_words(server, "--max-requests", 5))
    assert ended.code == 6
    assert "--max-requests 5" in ended.error
    assert ended.error.endswith("(19 of 24 questions are left)")
    assert len(lines(pictures)) == len(server.asked) == 5
    prices = ("--price-in", 2.5, "--price-out", 10)
    assert run(*score_words(server, "--max-requests", 19, *prices)).code == 0
    assert len(lines(pictures)) == len(server.asked) == 24
    described = json.loads((pictures / "r/manifest.json").read_text())["judges"]["openai:m"]
    account = described["account"]
    assert account["requests"] == 24
    assert account["prompt_tokens"] == 2400
    asked = [19 * tokens // 24 for tokens in (2400, account["completion_tokens"])]
    assert account["cost_usd"] == pytest.approx((2.5 * asked[0] + 10 * asked[1]) / 1e6)


def test_a_refused_key_names_what_to_set(run, server, pictures):
    server.key = "another"
    ended = run(*score_words(server))
    assert ended.code == 4
    assert "OPENAI_API_KEY" in ended.error and "--base-url" in ended.error
    assert "****" not in ended.err
    assert KEY.encode() not in everything_written(pictures) + ended.err.encode()


def test_after_a_kill_only_open_questions_are_asked(server, pictures):
    server.rule = lambda asked: Act(seconds=0.1)
    command = [sys.executable, "-m", "dpgbench", *map(str, score_words(server, "--concurrency", 2))]
    process = subprocess.Popen(command, cwd=pictures, stderr=subprocess.DEVNULL)
    log = RunDir(pictures / "r").answers("openai:m")
    deadline = time.monotonic() + 60
    while (not log.exists() or log.stat().st_size < 400) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.idle()
    there = {(line["item_id"], line["qid"]) for line in lines(pictures)}
    assert 5 <= len(there) < 24
    before = len(server.asked)
    assert before <= len(there) + 2  # of what was paid for, only what was in flight is lost
    server.rule = lambda asked: HONEST
    subprocess.run(command, cwd=pictures, check=True, capture_output=True)
    asked = {asked.questions[1] for asked in server.asked[before:]}
    assert len(server.asked) - before == len(asked) == 24 - len(there)
    assert not asked & {f"Is there a {qid}, in {item[2:]}?" for item, qid in there}
    assert len(lines(pictures)) == len({(a["item_id"], a["qid"]) for a in lines(pictures)}) == 24
    assert server.most_in_flight <= 2


def test_sigterm_lets_requests_in_flight_come_to_their_end(server, pictures):
    server.rule = lambda asked: Act(seconds=0.2)
    command = [sys.executable, "-m", "dpgbench", *map(str, score_words(server, "--concurrency", 2))]
    process = subprocess.Popen(command, cwd=pictures, stderr=subprocess.PIPE, text=True)
    log = RunDir(pictures / "r").answers("openai:m")
    deadline = time.monotonic() + 60
    while (not log.exists() or log.stat().st_size < 300) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    server.idle()
    there = {(line["item_id"], line["qid"]) for line in lines(pictures)}
    before = len(server.asked)
    assert before == len(there) < 24  # nothing that was paid for is lost
    record = json.loads((pictures / "r/manifest.json").read_text())["judges"]["openai:m"]
    assert record["account"]["requests"] == before
    server.rule = lambda asked: HONEST
    subprocess.run(command, cwd=pictures, check=True, capture_output=True)
    assert len(server.asked) == 24
    assert len({(line["item_id"], line["qid"]) for line in lines(pictures)}) == 24


def test_the_page_shows_what_is_asked():
    page = (Path(__file__).parents[2] / "docs/judges-openai.md").read_text()
    for text in (TEMPLATE, ONE, MANY, ONE_AGAIN, MANY_AGAIN, PUBLIC_URL, TIMEOUT_VARIABLE):
        assert text in page
