"""The judge behind an OpenAI-compatible server that misbehaves on purpose; stopping."""

import email.utils
import signal
import threading
import time
from dataclasses import replace
from itertools import pairwise

import pytest

from dpgbench.errors import IncompleteError, SetupError
from tests.backends.fake_openai import HONEST, Act, FakeOpenAi
from tests.backends.openai_kit import (
    KEY,
    QUICK,
    collected,
    judge_of,
    leave_alone,
    name_of,
    picture,
    texts,
    tiles,
    truths,
)

TOO_MANY = Act(429, "slow down")


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    leave_alone(monkeypatch)


@pytest.fixture
def server():
    with FakeOpenAi() as fake:
        yield fake


def test_a_storm_passes(server):
    server.script.extend(
        [
            TOO_MANY, Act(500), Act(hang_up="at once"), Act(hang_up="half"), Act(503),
            Act(hang_up="chunked"), Act(body=b"{nonsense"), Act(body=b"<html>"), Act(body=b"[]"),
            Act(body=b'{"choices": []}'), Act(body=b'{"error": {"message": "busy"}}'),
            Act(429, "slow down", headers=(("Retry-After", "0.1"),)), Act(seconds=0.2),
            Act(502, "x" * 5000), Act(529), Act(hang_up="half", seconds=0.1), TOO_MANY, TOO_MANY,
        ]
    )  # fmt: skip
    wrong = {11: Act(text="maybe"), 12: Act(text=""), 13: HONEST}
    server.rule = lambda asked: HONEST if asked.is_repair else wrong[int(asked.questions[1][19:21])]
    judge = judge_of(server, replace(QUICK, tries=12), concurrency=4)
    answers, errors = collected(judge.stream(tiles(12)))
    assert (texts(answers), errors) == (truths(12), {})
    assert server.most_in_flight <= 4
    account = judge.account()
    assert account["requests"] == len(server.asked) == 36 + 17 + account["repaired"]
    assert account["retries"] == 17
    assert account["repaired"] >= 24 - 18
    assert account["invalid"] == 0


def test_silence_is_a_failure_too(server, monkeypatch):
    monkeypatch.setenv("DPGBENCH_OPENAI_TIMEOUT", "0.15")
    server.script.append(Act(seconds=0.5))
    answers, errors = collected(judge_of(server).stream(tiles(2)))
    assert (texts(answers), errors) == (truths(2), {})


def test_what_fails_for_good_is_recorded_and_the_rest_goes_on(server):
    bad = {name_of(picture(1)): Act(500, "out of memory"), name_of(picture(3)): Act(400, "no legs")}
    server.rule = lambda asked: bad.get(asked.picture, HONEST)
    judge = judge_of(server)
    answers, errors = collected(judge.stream(tiles(5)))
    good = {key: text for key, text in truths(5).items() if key[0] not in ("it1", "it3")}
    assert texts(answers) == good
    assert errors == {
        "it1": "the server answered 500: out of memory (4 tries)",
        "it3": "the server answered 400: no legs",
    }


def test_a_server_that_fails_item_after_item_ends_it(server):
    server.rule = lambda asked: Act(500, "broken")
    with pytest.raises(IncompleteError, match=r"10 items on end failed.* broken \(4 tries\)"):
        collected(judge_of(server).stream(tiles(40, questions=1)))
    assert len(server.asked) <= 13 * 4


@pytest.mark.parametrize("form", ["seconds", "date", "ms"])
def test_a_demand_for_a_pause_holds_for_all(server, form):
    seconds = 2 if form == "date" else 0.6
    demand = {
        "seconds": ("Retry-After", str(seconds)),
        "date": ("Retry-After", email.utils.formatdate(time.time() + seconds, usegmt=True)),
        "ms": ("retry-after-ms", str(1000 * seconds)),
    }[form]
    server.script.extend([Act(seconds=0.05)] * 3)
    server.script.extend([Act(429, headers=(demand,)), Act(seconds=0.1), Act(seconds=0.1)])
    answers, _ = collected(judge_of(server).stream(tiles(4)))
    assert texts(answers) == truths(4)
    begun = sorted(asked.begun for asked in server.asked)
    gaps = [after - before for before, after in pairwise(begun)]
    assert max(gaps) > (0.8 if form == "date" else 0.5)
    assert gaps.index(max(gaps)) <= 5  # nobody slipped out but who was in flight already


def test_a_rate_limit_lowers_the_number_in_flight(server):
    busy = threading.Semaphore(1)

    def one_at_a_time(asked):
        if not busy.acquire(blocking=False):
            return TOO_MANY
        threading.Timer(0.01, busy.release).start()
        return Act(seconds=0.01)

    server.rule = one_at_a_time
    judge = judge_of(server, concurrency=8)
    answers, errors = collected(judge.stream(tiles(20)))
    assert (texts(answers), errors) == (truths(20), {})
    assert judge.account()["retries"] < 60


def test_a_server_that_lets_nothing_through(server):
    server.rule = lambda asked: TOO_MANY
    answers, errors = collected(judge_of(server, concurrency=1).stream(tiles(1)))
    assert answers == {}
    assert "429: slow down (for 1 s, to every request)" in errors["it0"]
    server.rule = lambda asked: Act(429, "come tomorrow", headers=(("Retry-After", "9000"),))
    with pytest.raises(IncompleteError, match="come tomorrow; it asks for a pause of 9000 s"):
        collected(judge_of(server).stream(tiles(1)))


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (Act(401, f"bad key {KEY}"), r"answered 401: set OPENAI_API_KEY .* --base-url"),
        (Act(402), "no money or quota left"),
        (Act(429, "no", code="insufficient_quota"), "429 .* no money or quota left"),
        (Act(302, headers=(("Location", "http://127.0.0.1:9/"),)), "302 .* check --base-url"),
    ],
)
def test_what_no_request_can_mend_ends_it_at_once(server, act, says):
    server.script.append(HONEST)
    server.rule = lambda asked: act
    stream, answers = judge_of(server, concurrency=1).stream(tiles(40)), []
    with pytest.raises(SetupError, match=says) as caught:
        answers.extend(stream)
    assert KEY not in str(caught.value) and "***" not in str(caught.value)
    assert len(answers) == 1
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (Act(403, f"no {KEY} sk-te***cret"), r"403 \(no \[key\] \[key\]\): OPENAI_API_KEY .*m at"),
        (Act(404, "no such model"), r"404 \(no such model\): check the model's name \(m\) and --b"),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 40])
def test_refused_from_the_start_is_the_key_or_the_model(server, act, says, count):
    server.rule = lambda asked: act
    with pytest.raises(SetupError, match=says):
        collected(judge_of(server, concurrency=1).stream(tiles(count)))
    assert len(server.asked) == min(count, 3)


@pytest.mark.parametrize("status", [403, 404, 400])
@pytest.mark.parametrize("flagged", [{0}, {1}, {0, 1, 5}, set(range(2, 20))])
def test_refused_beside_answers_is_about_the_picture(server, status, flagged):
    names = {name_of(picture(number)) for number in flagged}
    server.rule = lambda asked: Act(status, "flagged") if asked.picture in names else HONEST
    answers, errors = collected(judge_of(server, concurrency=1).stream(tiles(21)))
    assert errors == {f"it{n}": f"the server answered {status}: flagged" for n in flagged}
    good = {key: text for key, text in truths(21).items() if key[0] not in errors}
    assert texts(answers) == good


def test_at_the_next_start_refused_pictures_are_no_trouble_of_the_key(server):
    server.rule = lambda asked: Act(403, "flagged")
    judge = judge_of(server)
    judge.has_answers = True
    answers, errors = collected(judge.stream(tiles(15)))
    assert (answers, len(errors)) == ({}, 15)


def test_a_refused_key_stops_all_requests(server):
    server.key = "another"
    with pytest.raises(SetupError, match="OPENAI_API_KEY"):
        collected(judge_of(server, concurrency=8).stream(tiles(40)))
    assert len(server.asked) <= 2 * 8


def test_no_server_at_all(server):
    judge = judge_of(server, base_url="http://127.0.0.1:9/v1")
    with pytest.raises(SetupError, match=r"127.0.0.1:9/v1 cannot be reached .*; start the server"):
        collected(judge.stream(tiles(40)))


def test_the_cap_counts_every_request(server):
    server.script.extend([Act(500), Act(text="maybe")])
    judge = judge_of(server, max_requests=10, concurrency=4)
    answers, errors = {}, {}
    with pytest.raises(IncompleteError, match=r"--max-requests 10: .* higher --max-requests"):
        for reply in judge.stream(tiles(40)):
            answers.update({(reply.item_id, reply.tile, q): a for q, a in reply.answers.items()})
            errors[reply.item_id] = reply.error
    assert len(server.asked) == judge.account()["requests"] == 10
    assert len(answers) >= 7 and set(errors.values()) == {None}
    assert texts(answers).items() <= truths(40).items()


def test_a_cap_that_is_just_enough_is_no_cap(server):
    answers, _ = collected(judge_of(server, max_requests=6).stream(tiles(2)))
    assert len(answers) == 6


def test_closing_the_stream_hangs_up(server):
    server.rule = lambda asked: HONEST if "in 0?" in asked.questions[1] else Act(seconds=1.5)
    stream = judge_of(server).stream(tiles(40))
    assert next(stream).item_id == "it0"
    begun = time.monotonic()
    stream.close()
    assert time.monotonic() - begun < 1.0
    time.sleep(0.1)
    assert len(server.asked) <= 4
    assert not [t for t in threading.enumerate() if t.name.startswith("dpgbench-openai")]


def test_an_interrupt_loses_no_answer_that_has_arrived(server):
    main = threading.main_thread().ident

    def interrupting(asked):
        if "11 in 9?" not in asked.questions[1]:
            return HONEST
        threading.Timer(0.1, signal.pthread_kill, (main, signal.SIGINT)).start()
        return Act(seconds=30)

    server.rule = interrupting
    answers = {}
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        for reply in judge_of(server, concurrency=1).stream(tiles(40)):
            answers.update({(reply.item_id, reply.tile, q): a for q, a in reply.answers.items()})
    assert time.monotonic() - begun < 3
    assert len(answers) == len(server.served) == 27
