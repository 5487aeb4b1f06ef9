"""Which words of a chat model's reply belong to which of the numbered questions.

Strict on purpose: a reply in which a number could mean another question than it says is worth
nothing. What the words of one question mean is read by `dpgbench.backends.judges.answer_reading`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from dpgbench.backends.judges.answer_reading import plain_answer, unboxed, without_thoughts

_FENCED = re.compile(r"```\w*\n?(.*?)```", re.DOTALL)
_LINE = re.compile(r"[\W_]*(?:q(?:uestion)?\s*)?(\d{1,4})[\W_]+(.*)", re.I)
_KEY = re.compile(r"[\W_]*(?:q(?:uestion)?|a(?:nswer)?)?[\W_]*(\d{1,4})[\W_]*", re.I)


def read(text: str, asked: Collection[int], count: int) -> dict[int, str]:
    """Return the words that a reply has for each of the `asked` questions; the unclear is absent.

    Args:
        text: the reply.
        asked: numbers that were asked for, of 1 to `count`.
        count: questions in the whole conversation. A reply with any other number counts them in a
            way of its own (from 0, say), and none of its answers can be trusted.
    """
    text = without_thoughts(text)
    text = unboxed(text) or text
    fenced = _FENCED.findall(text)
    if len(fenced) == 1:
        text = fenced[0]
    value = _json(text)
    numbered = _by_key(value) if isinstance(value, Mapping) else _by_line(text)
    if any(not 1 <= number <= count for number in numbered):
        return {}
    if not numbered and len(asked) == 1:
        return {next(iter(asked)): _only(value, text)}
    return {number: words for number in asked if (words := numbered.get(number)) is not None}


def p_yes(tokens: Any) -> float | None:
    """Return the probability of yes against no at the token that decided, 0..1.

    Args:
        tokens: `choices[0].logprobs.content` of a reply to one question, whatever it is.
    """
    for token in reversed(_mappings(tokens)):
        if plain_answer(str(token.get("token"))) is None:
            continue
        mass = {"yes": 0.0, "no": 0.0}
        for other in _mappings(token.get("top_logprobs")):
            said, logprob = plain_answer(str(other.get("token"))), other.get("logprob")
            if said and isinstance(logprob, int | float):
                mass[said] += math.exp(min(logprob, 0.0))
        total = mass["yes"] + mass["no"]
        return mass["yes"] / total if total > 0 else None
    return None


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _json(text: str) -> Any:
    """Return the JSON value that `text` is, or the object in it, or None."""
    for part in (text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            value = json.loads(part, object_pairs_hook=_without_conflicts)
        except (ValueError, RecursionError):
            continue
        return _unwrapped(value)
    return None


def _unwrapped(value: Any) -> Any:
    """Return the object inside ``{"answers": {...}}`` or ``[{...}]``; under a number it stays."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    while isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if not isinstance(inner, dict) or _KEY.fullmatch(key):
            break
        value = inner
    return value


def _without_conflicts(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    said: dict[str, Any] = {}
    for key, value in pairs:
        said[key] = value if said.get(key, value) == value else None
    return said


def _by_key(value: Mapping[str, Any]) -> dict[int, str | None]:
    pairs = [
        (int(match[1]), _words(answer))
        for key, answer in value.items()
        if (match := _KEY.fullmatch(key))
    ]
    return _agreed(pairs)


def _by_line(text: str) -> dict[int, str | None]:
    matches = [_LINE.fullmatch(line) for line in text.splitlines()]
    return _agreed([(int(match[1]), match[2]) for match in matches if match])


def _agreed(pairs: Sequence[tuple[int, str | None]]) -> dict[int, str | None]:
    """Return the words for each number; None where two places give it different ones."""
    said: dict[int, str | None] = {}
    for number, words in pairs:
        said[number] = words if said.get(number, words) == words else None
    return said


def _only(value: Any, text: str) -> str:
    """Return the words of a reply to one question that bears no number."""
    if isinstance(value, Mapping):
        named = [inner for key, inner in value.items() if key.strip().lower() == "answer"]
        if len(named) == 1 or len(value) == 1:
            return _words((named or list(value.values()))[0]) or text
    return value if isinstance(value, str) else text


def _words(value: Any) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return None if value is None else str(value)
