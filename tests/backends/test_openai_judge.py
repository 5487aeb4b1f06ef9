"""The judge behind an OpenAI-compatible server that behaves; wrong answers; settings."""

import json
import time

import pytest

from dpgbench.errors import SetupError, UsageError
from dpgbench.store.run.manifest import add_accounts
from tests.backends.fake_openai import HONEST, Act, FakeOpenAi, truth
from tests.backends.openai_kit import (
    KEY,
    collected,
    judge_of,
    leave_alone,
    texts,
    tiles,
    truths,
)


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    leave_alone(monkeypatch)


@pytest.fixture
def server():
    with FakeOpenAi() as fake:
        yield fake


@pytest.mark.parametrize(("per_request", "requests"), [(1, 15), (2, 10), (3, 5), (50, 5)])
def test_every_question_is_answered_once(server, per_request, requests):
    judge = judge_of(server, questions_per_request=per_request)
    answers, errors = collected(judge.stream(tiles(5)))
    assert (texts(answers), errors) == (truths(5), {})
    assert len(server.asked) == requests
    assert server.most_in_flight <= 3
    account = judge.account()
    assert account["requests"] == requests
    assert account["prompt_tokens"] == 100 * requests
    assert account["completion_tokens"] == 7 * requests
    assert account["retries"] == account["repaired"] == account["invalid"] == 0
    assert account["served_models"] == ["m-2026"]
    assert account["first_date"] <= account["last_date"]


def test_one_question_a_request_has_a_probability(server):
    answers, _ = collected(judge_of(server).stream(tiles(1)))
    assert [answer.p_yes for answer in answers.values()] == pytest.approx([0.7773] * 3, abs=1e-4)
    request = server.asked[0].request
    assert (request["model"], request["temperature"]) == ("m", 0)
    assert request["response_format"]["json_schema"]["schema"]["required"] == ["answer"]
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert server.asked[0].path == "/v1/chat/completions"
    answers, _ = collected(judge_of(server, questions_per_request=3).stream(tiles(1)))
    assert [answer.p_yes for answer in answers.values()] == [None] * 3


def test_what_decides_the_answers_is_described(server):
    judge = judge_of(server, base_url=f"{server.url}/", questions_per_request=2, max_requests=9)
    assert judge.describe() == {
        "model": "m",
        "base_url": server.url,
        "prompt": "yes-no/1",
        "temperature": 0,
        "image": "png",
        "questions_per_request": 2,
    }


def test_tiles_are_taken_only_when_hands_are_free(server):
    server.rule = lambda asked: Act(seconds=0.01)
    taken, ended = [], []

    def counted():
        for tile in tiles(12):
            taken.append(tile)
            assert len(taken) - len(ended) // 3 <= 3 + 1
            yield tile

    for reply in judge_of(server).stream(counted()):
        ended.extend(reply.answers)
    assert len(taken) == 12 and len(ended) == 36


def test_a_closed_connection_is_no_failure(server):
    server.rule = lambda asked: Act(close=True)
    judge = judge_of(server, concurrency=1)

    def slowly():
        for tile in tiles(3, questions=1):
            time.sleep(0.05)  # the end of the connection has arrived by then
            yield tile

    answers, _ = collected(judge.stream(slowly()))
    assert texts(answers) == truths(3, questions=1)
    assert judge.account()["retries"] == 0


def test_a_proxy_of_the_environment_is_used(server, monkeypatch):
    monkeypatch.setenv("http_proxy", server.url.replace("//", "//me:word@").removesuffix("/v1"))
    answers, _ = collected(judge_of(server, base_url="http://judge.invalid/v1").stream(tiles(1)))
    assert texts(answers) == truths(1)
    assert server.asked[0].path == "http://judge.invalid/v1/chat/completions"
    assert server.asked[0].headers["proxy-authorization"] == "Basic bWU6d29yZA=="


@pytest.mark.parametrize(
    ("refuses", "refusal", "left"),
    [
        (["json_schema"], Act(400, "'{}' is not known"), {"response_format": "json_object"}),
        (["json_schema"], Act(500, "no {} here"), {"response_format": "json_object"}),
        (["response_format"], Act(422, "extra input: {}"), {"response_format": None}),
        (["response_format"], Act(400, "Bad"), {"response_format": None, "logprobs": False}),
        (["top_logprobs"], Act(400, "{}?"), {"logprobs": False}),
        (["max_tokens"], Act(400, "{}?"), {"limit": "max_completion_tokens"}),
        (["temperature"], Act(400, "'{}' does not support 0"), {"temperature": False}),
        (["response_format", "logprobs", "temperature", "max_tokens"], Act(400, "no {}"),
         {"response_format": None, "logprobs": False, "temperature": False,
          "limit": "max_completion_tokens"}),
    ],
)  # fmt: skip
def test_parameters_that_the_server_refuses_are_left_out(server, refuses, refusal, left):
    server.refuses, server.refusal = tuple(refuses), refusal
    judge = judge_of(server)
    answers, errors = collected(judge.stream(tiles(6)))
    assert (texts(answers), errors) == (truths(6), {})
    usual = {
        "response_format": "json_schema",
        "logprobs": True,
        "temperature": True,
        "limit": "max_tokens",
    }
    assert judge.account()["parameters"] == {**usual, **left}
    assert len(server.asked) <= 18 + 3 * 5  # found out once, not for every question


def test_once_taken_the_parameters_stay(server):
    server.script.extend([HONEST, Act(400, "temperature?")])
    judge = judge_of(server, concurrency=1)
    _, errors = collected(judge.stream(tiles(2)))
    assert errors == {"it0": "the server answered 400: temperature?"}
    assert judge.account()["parameters"]["temperature"] is True


def test_an_answer_that_is_neither_is_asked_for_once_more(server):
    server.rule = lambda asked: HONEST if asked.is_repair else Act(text="Well, maybe.")
    judge = judge_of(server)
    answers, _ = collected(judge.stream(tiles(2)))
    assert texts(answers) == truths(2)
    assert not any(answer.invalid for answer in answers.values())
    assert judge.account()["repaired"] == 6
    repair = next(asked for asked in server.asked if asked.is_repair).request["messages"]
    assert [message["role"] for message in repair] == ["user", "assistant", "user"]
    assert repair[1]["content"] == "Well, maybe."


def test_an_answer_that_stays_neither_is_kept_as_invalid(server):
    server.rule = lambda asked: Act(text=f"I can\nnot tell, {KEY} " + "x" * 500)
    judge = judge_of(server)
    answers, errors = collected(judge.stream(tiles(1)))
    assert errors == {}
    for answer in answers.values():
        assert answer.invalid and answer.p_yes is None
        assert answer.text.startswith("I can not tell, [key] xxx") and len(answer.text) == 200
    assert judge.account()["invalid"] == 3
    assert len(server.asked) == 6


def test_of_many_answers_only_the_missing_are_asked_again(server):
    def half(asked):
        if asked.is_repair:
            return HONEST
        answers = {n: truth(asked.picture, text) for n, text in asked.questions.items()}
        return Act(text=json.dumps({**answers, 2: "unclear", 4: None}))

    server.rule = half
    judge = judge_of(server, questions_per_request=13)
    parts = list(judge.stream(tiles(1, questions=5)))
    assert [sorted(reply.answers) for reply in parts] == [[11, 13, 15], [12, 14]]
    assert texts(collected(parts)[0]) == truths(1, questions=5)
    assert list(server.asked[1].questions) == [2, 4]
    assert judge.account()["repaired"] == 2


@pytest.mark.parametrize("text", ["yes", '["yes", "yes", "yes"]', '{"0": "yes", "1": "yes"}'])
def test_answers_without_their_numbers_are_never_guessed(server, text):
    server.rule = lambda asked: Act(text=text)
    answers, _ = collected(judge_of(server, questions_per_request=3).stream(tiles(2)))
    assert len(answers) == 6
    assert all(answer.invalid and answer.text not in ("yes", "no") for answer in answers.values())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"base_url": "localhost:8000"}, "--base-url is not an address"),
        ({"base_url": "http://me:word@localhost/v1"}, "put the key into OPENAI_API_KEY"),
        ({"base_url": "http://localhost/v1?key=word"}, "put the key into OPENAI_API_KEY"),
        ({"base_url": "http://[::1/v1"}, "--base-url is not an address"),
        ({"concurrency": 0}, "--concurrency 0: give 1 or more"),
        ({"questions_per_request": -1}, "--questions-per-request -1"),
        ({"max_requests": 0}, "--max-requests 0"),
    ],
)
def test_settings_that_cannot_be_right(server, options, says):
    with pytest.raises(UsageError) as caught:
        judge_of(server, **options)
    assert says in str(caught.value) and "word" not in str(caught.value).replace("password", "")


def test_the_public_address_wants_a_key(server, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(SetupError, match="set OPENAI_API_KEY, or give"):
        judge_of(server, base_url=None)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/chat/completions")
    answers, _ = collected(judge_of(server, base_url=None).stream(tiles(1)))
    assert texts(answers) == truths(1)
    assert "authorization" not in server.asked[0].headers
    monkeypatch.setenv("OPENAI_API_KEY", "sk-pasted\nwith-more")
    with pytest.raises(SetupError) as caught:
        judge_of(server)
    assert "sk-pasted" not in str(caught.value)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("DPGBENCH_OPENAI_TIMEOUT", "soon")
    with pytest.raises(UsageError, match="DPGBENCH_OPENAI_TIMEOUT=soon: give seconds"):
        judge_of(server)


def test_accounts_of_several_commands_add_up():
    before = {"requests": 3, "served_models": ["b"], "first_date": "1", "last_date": "2"}
    none = {"requests": 0, "served_models": [], "first_date": None, "last_date": None}
    latest = {"requests": 4, "served_models": ["a", "b"], "first_date": "3", "last_date": "4"}
    total = {"requests": 7, "served_models": ["a", "b"], "first_date": "1", "last_date": "4"}
    assert add_accounts(before, latest) == total
    assert add_accounts(before, none) == before
    assert add_accounts({}, latest) == latest
    assert add_accounts(none, latest) == latest
