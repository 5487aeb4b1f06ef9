"""Which words of a chat model's reply belong to which of the numbered questions.

Strict on purpose: a reply in which a number could mean another question than it says is worth
nothing. What the words of one question mean is read by `dpgbench.backends.judges.answer_reading`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from dpgbench.backends.judges.answer_reading import plain_answer, unboxed, without_thoughts

_FENCED = re.compile(r"```\w*\n?(.*?)```", re.DOTALL)
_LINE = re.compile(r"[\W_]*(?:q(?:uestion)?\s*)?(\d{1,4})[\W_]+(.*)", re.I)
_KEY = re.compile(r"[\W_]*(?:q(?:uestion)?|a(?:nswer)?)?[\W_]*(\d{1,4})[\W_]*", re.I)
_LONGEST_KEY, _LONGEST_TOKEN, _MOST_TOKENS = 60, 60, 4096
_AROUND = " \n\t\"'{}:.,"
Key = TypeVar("Key")


def read(text: str, asked: Collection[int], count: int) -> dict[int, str]:
    """Return the words that a reply has for each of the `asked` questions; the unclear is absent.

    Args:
        text: the reply.
        asked: numbers that were asked for, of 1 to `count`.
        count: questions in the whole conversation. A reply with any other number counts them in a
            way of its own (from 0, say), and none of its answers can be trusted.
    """
    text, value, numbered = _opened(text)
    if any(not 1 <= number <= count for number in numbered):
        return {}
    if not numbered and len(asked) == 1:
        return {next(iter(asked)): _only(value, text)}
    return {number: words for number in asked if (words := numbered.get(number)) is not None}


def numbers_in(text: str) -> list[int]:
    """Return the numbers that a reply answers, in order, whether they were asked for or not."""
    return sorted(_opened(text)[2])


def _opened(text: str) -> tuple[str, Any, dict[int, str | None]]:
    """Return a reply without its wrapping, the JSON value that it is, and its words by number."""
    text = without_thoughts(text)
    text = unboxed(text) or text
    fenced = _FENCED.findall(text)
    text = fenced[0] if len(fenced) == 1 else text
    value = _json(text)
    if isinstance(value, Mapping):
        pairs = [(_number(key), _words(answer)) for key, answer in value.items()]
    else:
        lines = [_LINE.fullmatch(line) for line in text.splitlines()]
        pairs = [(int(match[1]), match[2]) for match in lines if match]
    return text, value, _agreed((number, words) for number, words in pairs if number is not None)


def p_yes(tokens: Any) -> float | None:
    """Return the probability of yes against no at the token that decided, 0..1.

    Args:
        tokens: `choices[0].logprobs.content` of a reply to one question, whatever it is.
    """
    for token in reversed(_mappings(tokens)):
        if _says(token) is None:
            continue
        mass = {"yes": 0.0, "no": 0.0}
        for other in _mappings(token.get("top_logprobs")):
            answer, logprob = _says(other), other.get("logprob")
            if answer and isinstance(logprob, int | float):
                mass[answer] += math.exp(max(-1000.0, min(logprob, 0.0)))
        total = mass["yes"] + mass["no"]
        return mass["yes"] / total if total > 0 else None
    return None


def p_answer(tokens: Any, forms: Collection[str], *, structured: bool) -> float | None:
    """Return the probability that the answer's token is one of `forms`, each counted once.

    Of a reply in words that is its first token; of one in JSON the token that says yes or no, with
    the marks around it taken off. Forms that the server does not list among the likeliest count 0.

    Args:
        tokens: `choices[0].logprobs.content` of a reply to one question, whatever it is.
        forms: of the right answer; none give None.
        structured: the reply was to be JSON.
    """
    listed = tokens if isinstance(tokens, list) else []
    if structured:
        deciding = [token for token in reversed(_mappings(tokens)) if _says(token) is not None]
    else:
        deciding = [token for token in listed[:1] if isinstance(token, Mapping)]
    if not forms or not deciding:
        return None
    likely = {
        text: math.exp(min(float(logprob), 0.0))
        for other in (deciding[0], *_mappings(deciding[0].get("top_logprobs")))
        if isinstance(text := other.get("token"), str)
        and isinstance(logprob := other.get("logprob"), int | float)
        and not isinstance(logprob, bool)
        and not math.isnan(logprob)
    }
    if not likely:
        return None
    wanted = {form.strip(_AROUND) if structured else form for form in forms}
    mass = [
        p for text, p in likely.items() if (text.strip(_AROUND) if structured else text) in wanted
    ]
    return min(1.0, math.fsum(mass))


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    listed = value[-_MOST_TOKENS:] if isinstance(value, list) else []
    return [one for one in listed if isinstance(one, Mapping)]


def _says(token: Mapping[str, Any]) -> str | None:
    text = token.get("token")
    return plain_answer(text[:_LONGEST_TOKEN]) if isinstance(text, str) else None


def _json(text: str) -> Any:
    """Return the JSON value that `text` is, or the object in it, or None."""
    for part in (text, text[text.find("{") : text.rfind("}") + 1]):
        try:
            return _unwrapped(json.loads(part, object_pairs_hook=_agreed))
        except (ValueError, RecursionError):
            continue
    return None


def _unwrapped(value: Any) -> Any:
    """Return the object inside ``{"answers": {...}}`` or ``[{...}]``; under a number it stays."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    while isinstance(value, dict) and len(value) == 1:
        ((key, inner),) = value.items()
        if not isinstance(inner, dict) or _number(key) is not None:
            break
        value = inner
    return value


def _agreed(pairs: Iterable[tuple[Key, Any]]) -> dict[Key, Any]:
    """Return the value for each key; None where two places give it different ones."""
    values: dict[Key, Any] = {}
    for key, value in pairs:
        values[key] = value if values.get(key, value) == value else None
    return values


def _number(key: str) -> int | None:
    match = _KEY.fullmatch(key) if len(key) <= _LONGEST_KEY else None
    return int(match[1]) if match else None


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
