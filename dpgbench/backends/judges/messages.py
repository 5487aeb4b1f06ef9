"""What a judge is asked and what it replies: the types that cross between it and whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from dpgbench.domain.answer_text import YES
from dpgbench.domain.rows import QuestionRow

if TYPE_CHECKING:
    from PIL.Image import Image


class TileQuestions(NamedTuple):
    """One image and everything that is asked about it; `qids` go with `questions`.

    `prepared` is what the judge's own `prepare` made of the image, None where it has none.
    `expected` are the right answers, for judges that give the probability of one; empty where all
    are yes. `templated` tells of each question whether the benchmark words it itself: such a one is
    put as it is, without a judge's own "answer yes or no"; empty where none is.
    """

    item_id: str
    tile: int
    image: Image
    qids: tuple[int, ...]
    questions: tuple[str, ...]
    prepared: Any = None
    expected: tuple[str, ...] = ()
    templated: tuple[bool, ...] = ()

    @classmethod
    def of(
        cls,
        item_id: str,
        tile: int,
        image: Image,
        rows: Sequence[QuestionRow],
        prepared: Any = None,
    ) -> Self:
        """Return what the questions of `rows` ask about an image."""
        return cls(
            item_id,
            tile,
            image,
            tuple(row.qid for row in rows),
            tuple(row.asked for row in rows),
            prepared,
            tuple(row.expected for row in rows) if any(row.expected != YES for row in rows) else (),
            tuple(bool(row.template) for row in rows) if any(row.template for row in rows) else (),
        )

    def part(self, some: slice) -> Self:
        """Return the same image with some of its questions."""
        return self._replace(
            qids=self.qids[some],
            questions=self.questions[some],
            expected=self.expected[some],
            templated=self.templated[some],
        )


class JudgeAnswer(NamedTuple):
    """A judge's answer to one question.

    `text` is raw: only exactly ``yes`` counts. `p_yes` is a probability, None where the judge
    gives none. `truncated` tells that the judge did not see the question's end, `invalid` that it
    was asked for yes or no and said neither.
    """

    text: str
    p_yes: float | None = None
    truncated: bool = False
    invalid: bool = False


class JudgeReply(NamedTuple):
    """What a judge has about one tile so far: answers by question number, or an error.

    A tile may be replied to in several parts; questions in none of them stay open.
    """

    item_id: str
    tile: int
    answers: Mapping[int, JudgeAnswer]
    error: str | None = None
