"""Asking in batches, and splitting a batch that failed until the tile at fault is alone.

A batch that does not fit into memory is halved: first its tiles, then the questions of a tile. A
batch that fails otherwise is asked again tile by tile. One tile's failure costs no other tile.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol

from dpgbench.backends.device import give_back_memory, is_out_of_memory
from dpgbench.backends.failures import Failures
from dpgbench.backends.judges.answer_checks import checked_answers
from dpgbench.backends.judges.messages import JudgeAnswer, JudgeReply, TileQuestions
from dpgbench.errors import DataError

log = logging.getLogger(__name__)


class AsksInBatches(Protocol):
    """What asking needs of a judge."""

    num_images_at_once: int

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        """Return the answers for each tile, in the order of its questions."""


def ask_in_batches(
    judge: AsksInBatches, tiles: Iterator[TileQuestions], class_name: str
) -> Iterator[JudgeReply]:
    """Yield the replies to `tiles`, in order, asked `num_images_at_once` at a time.

    Args:
        judge: is asked.
        tiles: with their questions.
        class_name: what messages about wrong answers call the judge.

    Raises:
        JudgeContractError: `ask` returned something else than answers.
        Exception: what `ask` raised, where it is not about one tile, or is the tenth failure in a
            row of a kind that nobody foresaw.
    """
    failures = Failures()
    while batch := list(islice(tiles, max(1, judge.num_images_at_once))):
        yield from _ask(judge, batch, failures, class_name)


def _ask(
    judge: AsksInBatches, batch: Sequence[TileQuestions], failures: Failures, class_name: str
) -> Iterator[JudgeReply]:
    try:
        returned = judge.ask(batch)
    except Exception as error:  # noqa: BLE001 - whatever a judge raises costs its tiles, not the run
        # Of an error about memory the traceback goes first: its frames hold the tensors.
        failed = error.with_traceback(None) if is_out_of_memory(error) else error
    else:
        failures.success()
        answers = checked_answers(class_name, batch, returned)
        for tile, of_tile in zip(batch, answers, strict=True):
            by_qid = dict(zip(tile.qids, of_tile, strict=True))
            yield JudgeReply(tile.item_id, tile.tile, by_qid)
        return
    if parts := _parts(batch, failed):
        for part in parts:
            for reply in _ask(judge, part, failures, class_name):
                yield reply
                if reply.error is not None and len(batch) == 1:
                    return  # a part of the only tile failed: the tile has failed
        return
    tile = batch[0]
    reason = failures.record(tile.item_id, _as_data_error(failed))
    yield JudgeReply(tile.item_id, tile.tile, {}, reason)


def _parts(batch: Sequence[TileQuestions], error: Exception) -> list[Sequence[TileQuestions]]:
    """Return what is asked next of a failed batch; nothing where it cannot be split.

    What the failed attempt held in memory is given back.
    """
    if not is_out_of_memory(error):
        return [[tile] for tile in batch] if len(batch) > 1 else []
    give_back_memory()
    if len(batch) > 1:
        log.warning("out of memory with %d images at once: halving (see --batch-size)", len(batch))
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]
    (tile,) = batch
    middle = len(tile.questions) // 2
    return [[tile.part(half)] for half in (slice(middle), slice(middle, None)) if middle]


def _as_data_error(error: Exception) -> Exception:
    """Return the error that is recorded of one tile."""
    if not is_out_of_memory(error):
        return error
    return DataError(
        "out of memory with a single image at once; take a device with more memory, or half the "
        "precision (--dtype float16 or bfloat16), which is another judge in every result"
    )
