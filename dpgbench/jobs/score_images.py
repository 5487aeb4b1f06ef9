"""Images in memory to answers and scores: what `dpgbench.score_images` and the server share.

Nothing is written. Scores themselves are `dpgbench.domain.score`'s, as everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dpgbench.backends.judges.own_class import as_judge
from dpgbench.backends.protocols import Judge, JudgeReply, TileQuestions
from dpgbench.domain.answer_text import is_word
from dpgbench.domain.plan import ItemPlan
from dpgbench.domain.result import ItemScore
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import ScoringRule
from dpgbench.domain.score import Answer, Answers, collect, read_answers, score_item
from dpgbench.jobs.ask import Validity

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class AskedImages:
    """One judge's raw answers about images, and why items lack some, by id."""

    answers: Sequence[Answer]
    reasons: Mapping[str, str]


def tile_questions(
    item_id: str,
    tile: int,
    image: Image,
    rows: Sequence[QuestionRow],
    prepare: Callable[[Image], Any] = lambda image: None,
) -> TileQuestions:
    """Return a tile with all questions of its item.

    Args:
        item_id: whose image.
        tile: its number in the item, from 0.
        image: RGB.
        rows: the item's questions.
        prepare: the judge's own, where the image is to be prepared now.
    """
    return TileQuestions.of(item_id, tile, image, rows, prepare(image))


def answers_of(reply: JudgeReply) -> Iterator[Answer]:
    """Yield the answers of a judge's reply."""
    for qid, answer in reply.answers.items():
        yield Answer(
            *(reply.item_id, reply.tile, qid, answer.text),
            p_yes=answer.p_yes,
            invalid=answer.invalid,
            p_answer=answer.p_answer,
        )


def ask_images(judge: Judge, name: str, tiles: Iterable[TileQuestions]) -> AskedImages:
    """Return what a judge answers.

    Args:
        judge: is asked.
        name: that messages call it.
        tiles: with their questions.

    Raises:
        IncompleteError: nearly all answers from the start are neither yes nor no.
        JudgeContractError: the judge returned something else than answers.
    """
    validity = Validity(name)
    answers: list[Answer] = []
    reasons: dict[str, str] = {}
    for reply in as_judge(judge).replies(iter(tiles)):
        validity.watch(reply.answers.values())
        if reply.error is not None:
            reasons[reply.item_id] = reply.error
        answers += answers_of(reply)
    return AskedImages(answers, reasons)


def texts_of(answers: Sequence[Answer], rows: Iterable[QuestionRow], *, read: bool) -> Answers:
    """Return the texts of answers as rules see them, read as yes or no first where `read`.

    `rows` are the questions that they are answers to.
    """
    words = {(row.item_id, row.qid) for row in rows if is_word(row.expected)}
    return collect(read_answers(answers, words)[0] if read else answers)


def score_one_item(
    plan: ItemPlan, rule: ScoringRule, texts: Answers, num_tiles: int, reason: str | None
) -> ItemScore:
    """Return one item's score under a rule.

    Args:
        plan: of the item under `rule`.
        rule: that scores.
        texts: of its answers.
        num_tiles: that it has.
        reason: why it could not be judged, said in place of the rule's words; None where it was.
    """
    item = score_item(plan, texts, rule, num_tiles)
    if item.failure is None or reason is None:
        return item
    return ItemScore(item.item_id, item.plan, failure=reason, answered=item.answered)
