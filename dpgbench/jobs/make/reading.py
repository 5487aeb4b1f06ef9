"""What a language model's reply says: a graph as JSON, or numbered lines, whatever is around them.

Nothing is guessed: what is not there or has two meanings is a fault, in words that the model can
mend it by.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from dpgbench.backends.judges.answer_reading import without_thoughts
from dpgbench.domain.draft import DraftQuestion
from dpgbench.errors import clipped

# Every repetition has an end: a reply can be long runs of anything.
_FENCED = re.compile(r"```[\w-]{0,20}[ \t]{0,9}\n(.*?)(?:\n[ \t]{0,9}```|\Z)", re.DOTALL)
_LINE = re.compile(
    r"[\s>*\-\u2022#]{0,12}\(?(?:id|no\.?|question|tuple)?\s{0,4}#?(\d{1,4})\s{0,4}\)?\s{0,4}[|.):\-]"
    r"\s{0,20}(\S.*)",
    re.IGNORECASE,
)
_TUPLE = re.compile(r"([^()\s][^()]{0,60}?)\s{0,9}\((.*)\)\.?", re.DOTALL)
_WHOLE = re.compile(r"\s*(-?\d{1,9})\s*")
_NONE = {"", "-", "0", "none", "null", "n/a", "[]", "\u2013", "\u2014"}
_MOST_STARTS = 40
_LONGEST_TEXT = 200_000


class Read(NamedTuple):
    """What a reply says, and what is wrong with how it says it.

    `has_list` tells whether there is a list of objects in it at all.
    """

    questions: tuple[DraftQuestion, ...]
    faults: tuple[str, ...]
    has_list: bool = True


def read_graph(text: str) -> Read:
    """Return the questions of a reply that is a JSON object, or has one in it."""
    text = _answer(text)
    entries = _listed(text)
    if entries is None:
        return Read((), (_no_json(text),), has_list=False)
    questions, faults = [], []
    for place, entry in enumerate(entries, 1):
        try:
            questions.append(_question(entry))
        except ValueError as error:
            faults.append(f"entry {place} of the list: {error}")
    return Read(tuple(questions), tuple(faults))


def read_lines(text: str) -> tuple[dict[int, str], list[str]]:
    """Return the text by number of a reply that is numbered lines, and what is wrong with it.

    Lines without a number are not meant for us: a model's own words around its list.
    """
    text = _answer(text)
    fenced = _FENCED.findall(text)
    lines: dict[int, str] = {}
    faults = []
    for line in (fenced[0] if len(fenced) == 1 else text).splitlines():
        match = _LINE.fullmatch(line.strip())
        if match is None:
            continue
        number, rest = int(match[1]), match[2].strip()
        if lines.setdefault(number, rest) != rest:
            faults.append(f"number {number} stands before two different lines")
    if not lines:
        faults.append(f"there is no numbered line in it: {clipped(text.strip(), 120)}")
    return lines, faults


def read_tuple(line: str) -> tuple[str, str]:
    """Return the category and the arguments of ``attribute - color (car, red)``.

    Raises:
        ValueError: it has another form.
    """
    match = _TUPLE.fullmatch(line.strip())
    if match is None:
        raise ValueError(f"{clipped(line)} is not of the form category (what it is about)")
    return match[1], match[2]


def read_parents(line: str) -> tuple[int, ...]:
    """Return the numbers that a line names.

    Raises:
        ValueError: it holds anything else.
    """
    return _parents(line)


def _answer(text: str) -> str:
    """Return a reply without thoughts before it, and without what nobody would write."""
    plain = text[:_LONGEST_TEXT].strip()
    whole = plain[:1] in ("{", "[") and plain[-1:] in ("}", "]")
    return plain if whole else without_thoughts(plain, _LONGEST_TEXT)


def _question(entry: Any) -> DraftQuestion:
    if not isinstance(entry, dict):
        raise ValueError(f"{clipped(entry)} is not an object")
    fields = {str(name).strip().casefold(): value for name, value in entry.items()}
    category = _text(fields, "category")
    arguments = _arguments(fields)
    if "(" in category and not arguments:
        category, arguments = read_tuple(category)
    return DraftQuestion(
        number=_number(_first(fields, ("id", "number", "qid", "proposition_id")), "id"),
        category=category,
        arguments=arguments,
        question=_text(fields, "question", "question_natural_language"),
        parents=_parents(_first(fields, ("parents", "dependency", "dependencies", "parent"))),
        span=fields["span"] if isinstance(fields.get("span"), str) else "",
    )


def _first(fields: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((fields[name] for name in names if name in fields), None)


def _text(fields: Mapping[str, Any], *names: str) -> str:
    value = _first(fields, names)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f'"{names[0]}" is {clipped(value)}, not text')
    return value


def _arguments(fields: Mapping[str, Any]) -> str:
    value = _first(fields, ("about", "args", "arguments", "tuple"))
    if isinstance(value, list) and all(isinstance(part, str | int) for part in value):
        return ", ".join(str(part).strip() for part in value)
    if value is not None and not isinstance(value, str):
        raise ValueError(f'"about" is {clipped(value)}, not text')
    text = (value or "").strip()
    match = _TUPLE.fullmatch(text)
    if match and " - " in match[1]:  # the whole tuple, category and all
        return match[2]
    return text[1:-1] if text.startswith("(") and text.endswith(")") else text


def _number(value: Any, name: str) -> int:
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value)):
        return int(match[1])
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is not int or abs(value) > 10**9:
        raise ValueError(f'"{name}" is {clipped(value)}, not a whole number')
    return value


def _parents(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        plain = value.strip().strip("[](){}").strip()
        value = [] if plain.casefold() in _NONE else plain.split(",")
    parts = value if isinstance(value, list) else [value]
    parts = [part for part in parts if not isinstance(part, str) or part.strip() not in _NONE]
    return tuple(_number(part, "parents") for part in parts)


def _listed(text: str) -> list[Any] | None:
    """Return the list of questions that a text holds as JSON; None where it holds none."""
    for value in map(_unwrapped, _values(text)):
        if isinstance(value, list) and (not value or any(isinstance(e, dict) for e in value)):
            return value
    return None


def _unwrapped(value: Any) -> Any:
    """Return the list within ``{"questions": [...]}`` or ``{"graph": {"questions": [...]}}``."""
    while isinstance(value, dict) and len(value) == 1:
        (value,) = value.values()
    return value.get("questions") if isinstance(value, dict) else value


def _values(text: str) -> Iterator[Any]:
    """Yield the JSON values in a text, those that are likeliest meant first."""
    fenced = _FENCED.findall(text)
    for part in (text, *fenced):
        value = _decoded(part.strip())
        if value is not None:
            yield value
    starts = [match.start() for match in re.finditer(r"[{\[]", text)][:_MOST_STARTS]
    for start in starts:
        value = _decoded(text[start:], whole=False)
        if value is not None:
            yield value


def _decoded(text: str, *, whole: bool = True) -> Any:
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return None if whole and text[end:].strip() else value


def _no_json(text: str) -> str:
    if not text.strip():
        return "the reply is empty"
    return f"there is no JSON object with questions in it: {clipped(text.strip(), 120)}"
