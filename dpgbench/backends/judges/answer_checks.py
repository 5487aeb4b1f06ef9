"""What a judge has returned, made sure of before anything is written.

Messages name the judge's class and what its method must return.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

from dpgbench.backends.judges.answer_reading import writable
from dpgbench.backends.judges.messages import JudgeAnswer, JudgeReply, TileQuestions
from dpgbench.errors import DataError, counted, one_line, reason_of


class JudgeContractError(DataError):
    """A judge returned something else than answers: its class is wrong, not the image."""


def checked_answers(
    class_name: str, tiles: Sequence[TileQuestions], answers: Any
) -> list[list[JudgeAnswer]]:
    """Return what ``ask(tiles)`` of a judge returned, as plain answers in lists.

    Raises:
        JudgeContractError: names the class and what it must return.
    """
    by_tile = _listed(class_name, answers, len(tiles), "tile", "a list of JudgeAnswer")
    return [
        [
            _checked(f"{class_name}.ask", answer, f"{tile.item_id} tile {tile.tile} question {qid}")
            for qid, answer in zip(
                tile.qids,
                _listed(class_name, of_tile, len(tile.qids), "question", "a JudgeAnswer"),
                strict=True,
            )
        ]
        for tile, of_tile in zip(tiles, by_tile, strict=True)
    ]


def checked_stream(class_name: str, stream: Any) -> Iterable[Any]:
    """Return what ``stream(tiles)`` of a judge returned, if it can be gone through.

    Raises:
        JudgeContractError: names the class and what it must yield.
    """
    if not isinstance(stream, Iterable):
        raise JudgeContractError(
            f"{_must_yield(class_name)} return {shown(stream)}; see docs/judges.md"
        )
    return stream


def checked_reply(class_name: str, reply: Any) -> JudgeReply:
    """Return what ``stream(tiles)`` of a judge yielded, with plain answers.

    Raises:
        JudgeContractError: names the class and what it must yield.
    """
    if not isinstance(reply, JudgeReply) or not isinstance(reply.answers, Mapping):
        raise JudgeContractError(f"{_must_yield(class_name)} {shown(reply)}; see docs/judges.md")
    where = f"{reply.item_id} tile {reply.tile} question"
    answers = {
        qid: _checked(f"{class_name}.stream", answer, f"{where} {qid}")
        for qid, answer in reply.answers.items()
    }
    error = None if reply.error is None else writable(str(reply.error))
    return reply._replace(answers=answers, error=error)


def _must_yield(class_name: str) -> str:
    return f"{class_name}.stream must yield JudgeReply(item_id, tile, answers), not"


def refuse_strays(class_name: str, reply: JudgeReply, asked: Collection[int]) -> None:
    """Raise where a reply is about a tile or a question that was not asked.

    Raises:
        JudgeContractError: names the class and the first such question.
    """
    strays = [str(qid) for qid in reply.answers if qid not in asked]
    if strays:
        raise JudgeContractError(
            f"{class_name}.stream must yield replies to what it was asked, not to "
            f"{one_line(str(reply.item_id))} tile {reply.tile} question {one_line(strays[0])}"
        )


def checked_description(class_name: str, described: Any) -> Mapping[str, Any]:
    """Return what ``describe()`` of a judge returned, made sure that the manifest can hold it.

    Raises:
        JudgeContractError: names the class and what it must return.
    """
    must = f"{class_name}.describe must return a dict of plain data (JSON) for the manifest"
    if not isinstance(described, Mapping):
        raise JudgeContractError(f"{must}, not {shown(described)}; see docs/judges.md")
    try:
        json.dumps(dict(described), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise JudgeContractError(f"{must}: {reason_of(error)}; see docs/judges.md") from error
    return dict(described)


def _listed(class_name: str, values: Any, number: int, noun: str, what: str) -> list[Any]:
    must = f"{class_name}.ask must return a list with {what} for each {noun}"
    if not isinstance(values, (list, tuple)) or isinstance(values, JudgeAnswer):
        raise JudgeContractError(f"{must}, not {shown(values)}; see docs/judges.md")
    if len(values) != number:
        raise JudgeContractError(
            f"{must}: it returned {len(values)} for {counted(number, noun)}; see docs/judges.md"
        )
    return list(values)


def _checked(method: str, answer: Any, where: str) -> JudgeAnswer:
    must = f"{method} must return JudgeAnswer"
    if not isinstance(answer, JudgeAnswer):
        raise JudgeContractError(
            f"{must}, not {shown(answer)} ({where}); write JudgeAnswer('yes') or JudgeAnswer('no')"
        )
    if not isinstance(answer.text, str):
        raise JudgeContractError(
            f"{must} with the text 'yes' or 'no', not {shown(answer.text)} ({where})"
        )
    p_yes = _checked_probability(must, "p_yes", answer.p_yes, where)
    p_answer = _checked_probability(must, "p_answer", answer.p_answer, where)
    try:
        truncated, invalid = bool(answer.truncated), bool(answer.invalid)
    except Exception as error:  # an array of several truths, or whatever a class says of itself
        raise JudgeContractError(
            f"{must} with truncated and invalid true or false ({where}): {reason_of(error)}"
        ) from error
    return JudgeAnswer(writable(answer.text), p_yes, truncated, invalid, p_answer)


def _checked_probability(must: str, name: str, value: Any, where: str) -> float | None:
    """Return a probability as a float.

    Raises:
        JudgeContractError: it is none.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise JudgeContractError(f"{must} with a number as {name}, not {shown(value)} ({where})")
    try:
        number = float(value)
    except OverflowError:  # a whole number, or a fraction, beyond every float
        number = math.inf
    if not math.isfinite(number) or not 0 <= number <= 1:
        raise JudgeContractError(f"{must} with {name} from 0 to 1, not {number} ({where})")
    return number


def shown(value: object) -> str:
    """Return a value and its type, for a message about what was returned."""
    if value is None:
        return "None"
    try:
        text = one_line(repr(value))
    except Exception:  # noqa: BLE001 - it is a user's class, and this is about what it returned
        return f"something of type {type(value).__name__}"
    return f"{text if len(text) <= 60 else 'something'} of type {type(value).__name__}"
