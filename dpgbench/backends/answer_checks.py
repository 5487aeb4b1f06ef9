"""What a judge has returned, made sure of before anything is written."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from dpgbench.backends.answer_reading import writable
from dpgbench.backends.base import JudgeAnswer, JudgeReply, TileQuestions
from dpgbench.errors import DataError, counted, one_line


class JudgeContractError(DataError):
    """A judge returned something else than answers: its class is wrong, not the image."""


def checked_answers(
    judge: object, tiles: Sequence[TileQuestions], answers: Any
) -> list[list[JudgeAnswer]]:
    """Return what ``judge.ask(tiles)`` returned, as plain answers in lists.

    Raises:
        JudgeContractError: names the class and what it must return.
    """
    by_tile = _listed(judge, answers, len(tiles), "tile", "a list of JudgeAnswer")
    return [
        [
            _checked(judge, answer, f"{tile.item_id} tile {tile.tile} question {qid}")
            for qid, answer in zip(
                tile.qids,
                _listed(judge, given, len(tile.qids), "question", "a JudgeAnswer"),
                strict=True,
            )
        ]
        for tile, given in zip(tiles, by_tile, strict=True)
    ]


def checked_reply(judge: object, reply: Any) -> JudgeReply:
    """Return what ``judge.stream(tiles)`` yielded, with plain answers.

    Raises:
        JudgeContractError: names the class and what it must yield.
    """
    if not isinstance(reply, JudgeReply) or not isinstance(reply.answers, Mapping):
        raise JudgeContractError(
            f"{_class(judge)}.stream must yield JudgeReply(item_id, tile, answers), not "
            f"{_shown(reply)}; see docs/judges.md"
        )
    where = f"{reply.item_id} tile {reply.tile}"
    answers = {
        qid: _checked(judge, answer, f"{where} question {qid}", "stream")
        for qid, answer in reply.answers.items()
    }
    error = None if reply.error is None else writable(str(reply.error))
    return reply._replace(answers=answers, error=error)


def _listed(judge: object, values: Any, number: int, noun: str, what: str) -> list[Any]:
    must = f"{_class(judge)}.ask must return a list with {what} for each {noun}"
    if not isinstance(values, (list, tuple)) or isinstance(values, JudgeAnswer):
        raise JudgeContractError(f"{must}, not {_shown(values)}; see docs/judges.md")
    if len(values) != number:
        raise JudgeContractError(
            f"{must}: it returned {len(values)} for {counted(number, noun)}; see docs/judges.md"
        )
    return list(values)


def _checked(judge: object, answer: Any, where: str, method: str = "ask") -> JudgeAnswer:
    must = f"{_class(judge)}.{method} must return JudgeAnswer"
    if not isinstance(answer, JudgeAnswer):
        raise JudgeContractError(
            f"{must}, not {_shown(answer)} ({where}); write JudgeAnswer('yes') or JudgeAnswer('no')"
        )
    if not isinstance(answer.text, str):
        raise JudgeContractError(
            f"{must} with the text 'yes' or 'no', not {_shown(answer.text)} ({where})"
        )
    p_yes: Any = answer.p_yes
    if p_yes is not None:
        if isinstance(p_yes, bool) or not isinstance(p_yes, Real):
            raise JudgeContractError(
                f"{must} with a number as p_yes, not {_shown(p_yes)} ({where})"
            )
        p_yes = float(p_yes)
        if not math.isfinite(p_yes) or not 0 <= p_yes <= 1:
            raise JudgeContractError(f"{must} with p_yes from 0 to 1, not {p_yes} ({where})")
    return JudgeAnswer(writable(answer.text), p_yes, bool(answer.truncated), bool(answer.invalid))


def _class(judge: object) -> str:
    return f"{type(judge).__module__}:{type(judge).__qualname__}"


def _shown(value: object) -> str:
    if value is None:
        return "None"
    shown = one_line(repr(value))
    return f"{shown if len(shown) <= 60 else 'something'} of type {type(value).__name__}"
