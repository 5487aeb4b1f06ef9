"""The words that an OpenAI-compatible model is asked with, and the request around them.

`TEMPLATE` stands in the manifest: a change of any text here is a new version of it, because it can
change answers. docs/judges-openai.md shows the same texts.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dpgbench.backends.judges.openai.parameters import ServerParameters
from dpgbench.store.images import png_bytes

if TYPE_CHECKING:
    from PIL.Image import Image

TEMPLATE = "yes-no/1"
IMAGE_FORMAT = "png"
TEMPERATURE = 0

ONE = """Look at the image and answer the question.
Question: {questions}
Reply with JSON only: {"answer": "yes"} or {"answer": "no"}."""
MANY = """Look at the image and answer each question by itself.
{questions}
Reply with one JSON object only. Its keys are the numbers of all {count} questions, each value is \
"yes" or "no"."""
ONE_WORD = """Look at the image and answer the question.
Question: {questions}
Reply with one word only."""
ONE_AGAIN = "That is neither yes nor no. Reply with one word only: yes or no."
MANY_AGAIN = """These questions still lack a plain yes or no. Keep their numbers.
{questions}
Reply with one JSON object only. Its keys are these numbers, each value is "yes" or "no"."""

_TOP_LOGPROBS, _TOP_LOGPROBS_OF_FORMS = 5, 20
_TOKENS, _TOKENS_A_QUESTION = 64, 16
_TOKENS_AGAIN = 1024  # for the model that had not finished
_LONGEST_QUOTE = 1000
_IMAGE = "<image>"  # in place of the long data URL until the rest is JSON, which saves time


@dataclass(frozen=True)
class Conversation:
    """A conversation about one image, up to the point where the model speaks.

    Attributes:
        image_url: of the image; the first message holds `_IMAGE` in its place.
        questions: every question of the conversation, by number from 1.
        asked: those that the next reply must answer.
        tokens: how long that reply may be.
        structured: whether the reply is to be JSON.
        forms: words that the answer may begin with to be right, where their probability is wanted.
    """

    image_url: str
    messages: tuple[Mapping[str, Any], ...]
    questions: Mapping[int, str]
    asked: tuple[int, ...]
    tokens: int
    structured: bool = True
    forms: tuple[str, ...] = ()

    def body(self, model: str, used: ServerParameters) -> bytes:
        """Return the request as JSON, with the parameters that the server takes."""
        request: dict[str, Any] = {"messages": self.messages, "model": model}
        if used.temperature:
            request["temperature"] = TEMPERATURE
        if used.limit:
            request[used.limit] = self.tokens
        if used.logprobs and len(self.questions) == 1:
            most = _TOP_LOGPROBS_OF_FORMS if self.forms else _TOP_LOGPROBS
            request |= {"logprobs": True, "top_logprobs": most}
        if self.structured and used.response_format:
            schema = used.response_format == "json_schema"
            request["response_format"] = self._schema() if schema else {"type": "json_object"}
        return json.dumps(request).replace(_IMAGE, self.image_url, 1).encode()

    def again(self, reply: str, missing: Sequence[int]) -> Conversation:
        """Return the one repair attempt: the reply, and the plea for what it left out."""
        alone = len(self.questions) == 1
        plea = ONE_AGAIN if alone else _filled(MANY_AGAIN, self.questions, missing)
        quote = {"role": "assistant", "content": reply[:_LONGEST_QUOTE].strip() or "(nothing)"}
        return replace(
            self,
            messages=(*self.messages, quote, {"role": "user", "content": plea}),
            asked=tuple(missing),
            tokens=_TOKENS_AGAIN,
            structured=not alone,
        )

    def _schema(self) -> dict[str, Any]:
        alone = len(self.questions) == 1
        keys = ["answer"] if alone else [str(number) for number in self.asked]
        schema = {
            "type": "object",
            "properties": {key: {"type": "string", "enum": ["yes", "no"]} for key in keys},
            "required": keys,
            "additionalProperties": False,
        }
        named = {"name": "answers", "strict": True, "schema": schema}
        return {"type": "json_schema", "json_schema": named}


def worded_question(
    image_url: str, question: str, forms: tuple[str, ...], *, as_it_is: bool
) -> Conversation:
    """Return the conversation that asks a question whose answer is taken as it is said.

    Args:
        image_url: of the image.
        question: about it.
        forms: words that a right answer may begin with.
        as_it_is: the benchmark words the question itself, and nothing is added.
    """
    numbered = {1: question if as_it_is else " ".join(question.split())}
    text = question if as_it_is else _filled(ONE_WORD, numbered, (1,))
    image = {"type": "image_url", "image_url": {"url": _IMAGE}}
    message = {"role": "user", "content": [image, {"type": "text", "text": text}]}
    return Conversation(
        image_url, (message,), numbered, (1,), _TOKENS, structured=False, forms=forms
    )


def first_question(
    image_url: str, questions: Sequence[str], forms: tuple[str, ...] = ()
) -> Conversation:
    """Return the conversation that asks `questions` about an image.

    Args:
        image_url: of the image.
        questions: about it, that want yes or no.
        forms: words that the answer to the one question may begin with to be right.
    """
    numbered = {number: " ".join(text.split()) for number, text in enumerate(questions, 1)}
    asked = tuple(numbered)
    text = _filled(ONE if len(asked) == 1 else MANY, numbered, asked)
    image = {"type": "image_url", "image_url": {"url": _IMAGE}}
    message = {"role": "user", "content": [image, {"type": "text", "text": text}]}
    tokens = _TOKENS + _TOKENS_A_QUESTION * len(asked)
    return Conversation(image_url, (message,), numbered, asked, tokens, forms=forms)


def data_url(image: Image) -> str:
    """Return `image` as a data URL: a PNG, so that the judge sees every pixel as it was drawn."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(image)).decode()


def _filled(template: str, questions: Mapping[int, str], asked: Sequence[int]) -> str:
    """Return the template with its questions, one a line; they may hold braces of their own."""
    lines = [f"{number}. " * (len(questions) > 1) + questions[number] for number in asked]
    return template.replace("{count}", str(len(asked))).replace("{questions}", "\n".join(lines))
