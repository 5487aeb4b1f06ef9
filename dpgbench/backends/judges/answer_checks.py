"""What a judge has returned, made sure of before anything is written."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any

from dpgbench.backends.judges.answer_reading import writable
from dpgbench.backends.protocols import JudgeAnswer, JudgeReply, JudgeRequest, TileQuestions
from dpgbench.errors import DataError, DpgBenchError, counted, one_line, reason_of


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


def stream_of(judge: Any, tiles: Iterator[TileQuestions]) -> Iterator[Any]:
    """Return what ``judge.stream(tiles)`` yields.

    Raises:
        JudgeContractError: it is nothing that yields.
    """
    stream = judge.stream(tiles)
    if not isinstance(stream, Iterable):
        raise JudgeContractError(
            f"{_class(judge)}.stream must yield JudgeReply(item_id, tile, answers), not "
            f"return {_shown(stream)}; see docs/judges.md"
        )
    return iter(stream)


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


def refuse_strays(judge: object, reply: JudgeReply, asked: Collection[int]) -> None:
    """Raise where a reply is about a tile or a question that was not asked.

    Raises:
        JudgeContractError: names the class and the first such question.
    """
    strays = [str(qid) for qid in reply.answers if qid not in asked]
    if strays:
        raise JudgeContractError(
            f"{_class(judge)}.stream must yield replies to what it was asked, not to "
            f"{one_line(str(reply.item_id))} tile {reply.tile} question {one_line(strays[0])}"
        )


def checked_description(judge: Any) -> dict[str, Any]:
    """Return what ``judge.describe()`` returned, made sure that the manifest can hold it.

    Raises:
        JudgeContractError: names the class and what it must return.
    """
    described = judge.describe()
    must = f"{_class(judge)}.describe must return a dict of plain data (JSON) for the manifest"
    if not isinstance(described, Mapping):
        raise JudgeContractError(f"{must}, not {_shown(described)}; see docs/judges.md")
    try:
        json.dumps(dict(described), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise JudgeContractError(f"{must}: {reason_of(error)}; see docs/judges.md") from error
    return dict(described)


def own_judge(target: str, cls: Any, request: JudgeRequest) -> Any:
    """Return a judge of the user's own class, made sure that it has what is called.

    Raises:
        JudgeContractError: the class fails when it is built, or lacks a method.
    """
    try:
        judge = cls(request)
    except DpgBenchError:
        raise
    except Exception as error:  # whatever the user's own class does
        raise JudgeContractError(
            f"judge {target} cannot be built: {reason_of(error, with_type=True)}; "
            "it is built with one argument, a JudgeRequest"
        ) from error
    has = [name for name in ("describe", "ask", "stream") if callable(getattr(judge, name, None))]
    if "describe" not in has or len(has) < 2:
        raise JudgeContractError(
            f"judge {target} needs the methods describe() and ask(tiles) or stream(tiles); it has "
            f"{' and '.join(has) or 'none of them'}; see docs/judges.md"
        )
    at_once = getattr(judge, "num_images_at_once", None)
    if "stream" not in has and (type(at_once) is not int or at_once < 1):
        raise JudgeContractError(
            f"judge {target}: num_images_at_once must be a whole number from 1, not "
            f"{_shown(at_once)}; see docs/judges.md"
        )
    return judge


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
