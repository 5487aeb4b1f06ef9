"""Probabilities of right answers, as judges give them: tiny networks of real classes, a server."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from PIL import Image

from dpgbench.backends.device import single_thread
from dpgbench.backends.judges.openai.parsing import p_answer
from dpgbench.backends.judges.request import judge_request, load_judge
from dpgbench.backends.protocols import JudgeAnswer, JudgeRequest, TileQuestions
from dpgbench.domain.answer_forms import answer_forms
from tests.backends.fake_openai import Act, Asked, FakeOpenAi
from tests.backends.openai_kit import collected, judge_of, leave_alone, picture
from tests.backends.tiny_vlms import WRITERS

WORDED = ("How many dogs are there? Answer in one word.", "Is it red? Answer in one word.")
FORMS = (answer_forms("How many dogs are there?", "two"), answer_forms("Is it red?", "yes"))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with single_thread():
        yield


def worded_tile(image: Image.Image, forms: Any = FORMS) -> TileQuestions:
    return TileQuestions(
        "a", 0, image, (1, 2), WORDED, None, ("two", "yes"), (True, True), tuple(forms)
    )


def test_a_language_model_gives_the_first_token_of_each_form(tmp_path: Path) -> None:
    folder = WRITERS["llava"](tmp_path / "vlm")
    judge = load_judge(judge_request(f"hf:{folder}", device="cpu"))
    image = Image.linear_gradient("L").convert("RGB").resize((50, 40))
    (answers,) = judge.ask([worded_tile(image)])
    model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    for question, forms, answer in zip(WORDED, FORMS, answers, strict=True):
        content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
        inputs = processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            p_V = model(**inputs).logits[0, -1].softmax(-1)
        encode = processor.tokenizer
        firsts = {encode(form, add_special_tokens=False).input_ids[0] for form in forms}
        assert answer.p_answer == pytest.approx(sum(float(p_V[n]) for n in firsts), abs=1e-5)
    assert answers[0].p_yes is None  # its right answer is a number
    (silent,) = judge.ask([worded_tile(image, ())])
    assert [answer.p_answer for answer in silent] == [None, None]
    assert [answer.text for answer in silent] == [answer.text for answer in answers]


def test_blip_of_transformers_gives_it_too(tmp_path: Path) -> None:
    folder = WRITERS["blip"](tmp_path / "vlm")
    judge = load_judge(judge_request(f"hf:{folder}", device="cpu"))
    image = Image.linear_gradient("L").convert("RGB").resize((50, 40))
    (answers,) = judge.ask([worded_tile(image)])
    assert all(answer.p_answer is None or 0 <= answer.p_answer <= 1 for answer in answers)
    assert answers[1].p_answer is not None


def test_mplug_gives_it_where_its_vocabulary_has_the_word() -> None:
    judge = load_judge(judge_request("tiny-mplug", device="cpu"))
    image = Image.new("RGB", (64, 64), (200, 10, 10))
    forms = (FORMS[1], answer_forms("How many?", "two"), answer_forms("How many?", "zyzzyva"))
    asked = TileQuestions(
        "a", 0, image, (1, 2, 3), ("Is it red?",) * 3, None, ("yes", "two", "zyzzyva"), (), forms
    )
    (answers,) = judge.ask([asked])
    yes, two, none = (answer.p_answer for answer in answers)
    assert yes is not None
    assert two is not None
    assert none is None
    assert 0 <= two < yes + two <= 1
    plain = asked._replace(forms=())
    assert [a._replace(p_answer=None) for a in answers] == judge.ask([plain])[0]
    vqa: Any = judge
    (no_id,) = vqa.vqa.processor.word_ids(["no"])
    assert vqa.vqa.processor.word_ids(["No", " no"]) == [no_id]


def answered(text: str, likely: dict[str, float]) -> Act:
    """A reply whose first token has these probabilities."""
    top = [{"token": token, "logprob": math.log(p)} for token, p in likely.items()]
    tokens = [{"token": text, "logprob": top[0]["logprob"], "top_logprobs": top}]
    choice = {"message": {"content": text}, "logprobs": {"content": tokens}}
    return Act(body=json.dumps({"model": "m", "choices": [choice]}).encode())


def test_a_server_lists_the_likeliest_words(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_alone(monkeypatch)

    def rule(asked: Asked) -> Act:
        if "How many" in asked.questions[1]:
            return answered("two", {"two": 0.5, "Two": 0.25, "2": 0.125, "three": 0.125})
        return answered("No", {"No": 0.75, "no": 0.125, "yes": 0.0625, " yes": 0.0625})

    with FakeOpenAi(rule=rule) as server:
        answers, errors = collected(
            judge_of(server, questions_per_request=2).stream(iter([worded_tile(picture(1))]))
        )
    assert not errors
    assert answers["a", 0, 1] == JudgeAnswer("two", p_answer=0.875)
    assert answers["a", 0, 2].text == "no"
    assert answers["a", 0, 2].p_answer == pytest.approx(0.125)
    for asked in server.asked:
        assert asked.request["top_logprobs"] == 20
        assert "response_format" not in asked.request
        assert asked.request["messages"][0]["content"][1]["text"] in WORDED


def test_questions_that_a_judge_words_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    leave_alone(monkeypatch)
    asked_tile = worded_tile(picture(1))._replace(templated=())
    with FakeOpenAi() as server:
        server.rule = lambda asked: (
            answered("seven", {"seven": 0.5}) if "How many" in asked.questions[1] else Act()
        )
        answers, _ = collected(judge_of(server).stream(iter([asked_tile])))
    assert answers["a", 0, 1].text == "seven"
    assert answers["a", 0, 1].p_answer == 0.0  # it is not among the likeliest
    assert answers["a", 0, 2].p_answer == pytest.approx(math.exp(-0.25))  # of yes, among all
    texts = [a.request["messages"][0]["content"][1]["text"] for a in server.asked]
    assert sum("Reply with one word only." in text for text in texts) == 1


@pytest.mark.parametrize(
    "tokens",
    [None, [], "yes", [None], [{"token": "yes"}], [{"token": 1, "logprob": -1}],
     [{"token": "yes", "logprob": "0"}], [{"token": "yes", "logprob": float("nan")}]],
)  # fmt: skip
def test_what_a_server_does_not_tell_is_missing(tokens: Any) -> None:
    for structured in (False, True):
        assert p_answer(tokens, FORMS[1], structured=structured) is None


def test_a_label_tells_what_was_asked() -> None:
    assert JudgeRequest("mplug", dtype="float16", about="vqascore").label == (
        "mplug:float16:vqascore"
    )
