"""What the words of a chat model mean, and of its server."""

import email.utils
import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dpgbench.backends.judges.answer_reading import kept, plain_answer
from dpgbench.backends.judges.openai.parsing import p_yes, read
from dpgbench.backends.rate_limit import RetryPolicy, retry_after


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("yes", "yes"), ("No.", "no"), (" YES!\n", "yes"), ("**no**", "no"), ("Answer: yes", "yes"),
        ("The answer is no.", "no"), ("Final answer: Yes", "yes"), ("“yes”", "yes"),
        ("maybe", None), ("yes or no", None), ("yes, I think so", None), ("", None),
        ("yesterday", None), ("not", None), ("nothing", None), ("-" * 100_000, None),
        ("answeryes", None),
    ],
)  # fmt: skip
def test_only_a_plain_yes_or_no_counts(text, means):
    assert plain_answer(text) == means


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ('{"answer": "yes"}', "yes"), ('```json\n{"answer": "No"}\n```', "no"), ('"yes"', "yes"),
        ('{"answer": true}', "yes"), ('{"1": "no"}', "no"), ("1. yes", "yes"), ("Yes.", "yes"),
        ('Sure: {"answer": "yes", "confidence": 1}', "yes"), ('{"it": {"answer": "no"}}', "no"),
        ("<think>no, no... {1}</think>\nyes", "yes"), ("so it is</think> no", "no"),
        ('{"0": "yes"}', None), ('{"2": "yes"}', None), ('{"answer": "yes", "answer": "no"}', None),
        ("<think>yes", None), ("[" * 100_000, None), ("3 dogs are there: yes", None),
        ('{"answer": "maybe"}', None), ("{}", None), ("null", None),
    ],
)  # fmt: skip
def test_the_reply_to_one_question(text, means):
    assert plain_answer(read(text, [1], 1).get(1, "")) == means


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        ('{"1": "yes", "2": "no", "3": "yes"}', {1: "yes", 2: "no", 3: "yes"}),
        ('{"answers": {"Q3": "yes", "q1": "no"}}', {1: "no", 3: "yes"}),
        ("1. Yes\n2) no\n- 3: yes", {1: "Yes", 2: "no", 3: "yes"}),
        ('{\n"1": "yes",\n"2": "no",\n"3": "y', {1: "yes", 2: "no"}),
        # counted in a way of its own, or not at all: worth nothing
        ('{"0": "yes", "1": "no", "2": "yes"}', {}),
        ('{"2": "yes", "3": "no", "4": "yes"}', {}),
        ('["yes", "no", "yes"]', {}),
        ("yes\nno\nyes", {}),
        ("yes", {}),
        ('{"Are there 2 dogs?": "yes", "Is it red?": "no"}', {}),
        # answered twice, and not the same
        ('{"1": "yes", "1": "no", "2": "no"}', {2: "no"}),
        ('{"1": "yes", "Q1": "no", "2": "no"}', {2: "no"}),
        ("1. yes\n1. no\n2. no", {2: "no"}),
    ],
)
def test_the_reply_to_many_questions(text, answers):
    plain = {
        n: words.strip('",') for n, words in read(text, [1, 2, 3], 3).items() if plain_answer(words)
    }
    assert plain == answers


def test_a_repair_of_one_question_is_not_mistaken_for_another():
    assert read("yes", [7], 13) == {7: "yes"}
    assert read('{"7": "yes"}', [7], 13) == {7: "yes"}
    assert read('{"1": "yes"}', [7], 13) == {}
    assert read('{"3": {"answer": "yes"}}', [7], 13) == {}
    assert read('{"14": "yes"}', [7], 13) == {}


RENDERINGS = (
    lambda answers: json.dumps({str(n): text for n, text in answers}),
    lambda answers: json.dumps({f"Q{n}": text == "yes" for n, text in answers}, indent=1),
    lambda answers: (
        "```json\n" + json.dumps({"answers": {str(n): text for n, text in answers}}) + "```"
    ),
    lambda answers: "\n".join(f"{n}. {text.upper()}" for n, text in answers),
    lambda answers: "\n".join(f"Question {n}: {text}." for n, text in answers),
)


@settings(deadline=None)
@given(
    count=st.integers(2, 20),
    numbers=st.lists(st.integers(0, 21), unique=True, min_size=1),
    chance=st.randoms(use_true_random=False),
    rendering=st.sampled_from(RENDERINGS),
    data=st.data(),
)
def test_answers_are_never_shifted(count, numbers, chance, rendering, data):
    asked = data.draw(st.lists(st.integers(1, count), unique=True, min_size=1))
    answers = [(number, chance.choice(["yes", "no"])) for number in numbers]
    by_number = dict(answers)
    read_back = {
        n: plain_answer(words) for n, words in read(rendering(answers), asked, count).items()
    }
    if all(1 <= number <= count for number in numbers):
        assert read_back == {n: by_number[n] for n in asked if n in by_number}
    else:
        assert read_back == {}


@settings(deadline=None)
@given(st.text(alphabet='{}[]":,.0123yesno \n`answer', max_size=80), st.integers(2, 5))
def test_no_text_breaks_the_parser_and_none_that_is_kept_counts(text, count):
    assert set(read(text, range(1, count), count)) <= set(range(1, count))
    assert kept(text) not in ("yes", "no")
    assert len(kept(text * 10)) <= 200


def test_p_yes_is_read_at_the_token_that_decides():
    def token(text, *top):
        return {"token": text, "top_logprobs": [{"token": t, "logprob": p} for t, p in top]}

    tokens = [
        token('{"'),
        token("answer"),
        token(' "yes', (" Yes", -1.0), ("no", -1.0)),
        token("}"),
    ]
    assert p_yes(tokens) == pytest.approx(0.5)
    assert p_yes([token("yes", ("yes", 0.0), ("maybe", -1.0))]) == 1.0
    for useless in (None, [], [{}], [None], "yes", [token("yes")], [token("ye", ("yes", 0.0))]):
        assert p_yes(useless) is None


def test_retry_after_in_all_its_forms():
    assert retry_after({"retry-after": "3"}) == 3
    assert retry_after({"retry-after": "1.5", "retry-after-ms": "250"}) == 0.25
    date = email.utils.formatdate(time.time() + 20, usegmt=True)
    assert 18 < retry_after({"retry-after": date}) <= 20
    assert retry_after({"retry-after": email.utils.formatdate(0, usegmt=True)}) == 0
    for nonsense in ({}, {"retry-after": "soon"}, {"retry-after": "-1"}, {"retry-after": "inf"}):
        assert retry_after(nonsense) is None


def test_policy_grows_and_has_an_end():
    policy = RetryPolicy(first_seconds=1.0, longest_seconds=60.0)
    for failures, most in [(1, 1), (2, 2), (5, 16), (9, 60), (5000, 60)]:
        assert most / 2 <= policy.pause(failures) <= most
