"""What tests of made graphs share: prompts with graphs that fit them, and a server that replies.

The server's honest reply is made of the prompt alone, so that a reply to another prompt shows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tests.backends.fake_openai import Act, Asked, FakeOpenAi

COLORS = ("red", "green", "blue", "white", "black", "brown", "yellow", "purple")
THINGS = ("cat", "dog", "car", "boat", "chair", "house", "tree", "clock")


def prompt_of(number: int) -> str:
    """Return a prompt that says four things, another one for each number."""
    color, thing = COLORS[number % 8], THINGS[number // 8 % 8]
    return f"A {color} {thing} number {number} under a wooden table"


def graph_of(prompt: str) -> list[dict[str, Any]]:
    """Return the graph of a prompt of `prompt_of`."""
    color, thing, number = re.findall(r"A (\w+) (\w+) number (\d+)", prompt)[-1]
    rows = [
        ("entity - whole", thing, f"Is there a {thing}?", [], thing),
        ("attribute - color", f"{thing}, {color}", f"Is the {thing} {color}?", [1], color),
        ("other - text", f'{thing}, "{number}"', f'Is "{number}" on the {thing}?', [1], number),
        ("entity - whole", "table", "Is there a table?", [], "table"),
        ("attribute - texture", "table, wooden", "Is the table wooden?", [4], "wooden table"),
        (
            "relation - spatial",
            f"{thing}, table, under",
            f"Is the {thing} under the table?",
            [1, 4],
            "under",
        ),
    ]
    names = ("category", "about", "question", "parents", "span")
    return [{"id": n, **dict(zip(names, row, strict=True))} for n, row in enumerate(rows, 1)]


def text_of(asked: Asked) -> str:
    """Return the first message."""
    return str(asked.request["messages"][0]["content"])


def step_of(asked: Asked) -> str:
    """Return what a request is for."""
    text = text_of(asked)
    if "Here is the description of a picture" in text:
        return "check"
    steps = {"First step": "tuples", "Second step": "questions", "Third step": "parents"}
    return next((name for words, name in steps.items() if words in text), "graph")


def prompt_in(asked: Asked) -> str:
    """Return the prompt that a request is about."""
    return re.findall(r"^(?:Prompt|Description): (A .* number .*)$", text_of(asked), re.M)[-1]


def is_repair(asked: Asked) -> bool:
    return len(asked.request["messages"]) > 1


def lines(pairs: list[tuple[int, str]]) -> str:
    return "\n".join(f"{number} | {text}" for number, text in pairs)


def honest_text(asked: Asked) -> str:
    """Return the reply that a good model gives."""
    return text_for(step_of(asked), prompt_in(asked))


def text_for(step: str, prompt: str) -> str:
    """Return the reply that a good model gives to a step of a prompt's."""
    graph = graph_of(prompt)
    if step == "check":
        return json.dumps({str(question["id"]): "yes" for question in graph})
    if step == "graph":
        return json.dumps({"questions": graph})
    texts = {
        "tuples": lambda q: f"{q['category']} ({q['about']})",
        "questions": lambda q: q["question"],
        "parents": lambda q: ", ".join(map(str, q["parents"])) or "-",
    }
    return lines([(question["id"], texts[step](question)) for question in graph])


def reply(text: str, finish: str = "stop", tokens: tuple[int, int] | None = (100, 20)) -> Act:
    """Return the act of a model that says `text`."""
    message = {"role": "assistant", "content": text}
    body: dict[str, Any] = {"choices": [{"finish_reason": finish, "message": message}]}
    if tokens:
        body["usage"] = dict(zip(("prompt_tokens", "completion_tokens"), tokens, strict=True))
    return Act(body=json.dumps({"model": "m-2026", **body}).encode())


def honest(asked: Asked) -> Act:
    return reply(honest_text(asked))


def llm_server(rule: Callable[[Asked], Act] = honest) -> FakeOpenAi:
    return FakeOpenAi(rule=rule)
