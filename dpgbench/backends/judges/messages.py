"""What a judge is asked and what it replies: the types that cross between it and whoever asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from dpgbench.domain.answer_forms import answer_forms
from dpgbench.domain.answer_text import YES, is_word
from dpgbench.domain.rows import QuestionRow

if TYPE_CHECKING:
    from PIL.Image import Image


class TileQuestions(NamedTuple):
    """One image and everything that is asked about it; `qids` go with `questions`.

    `prepared` is what the judge's own `prepare` made of the image, None where it has none.
    `expected` are the right answers, for judges that give the probability of one; empty where all
    are yes. `templated` tells of each question whether the benchmark words it itself: such a one
    is put as it is, without a judge's own "answer yes or no"; empty where none is. `forms` are the
    words that each answer may begin with to be right, where their probability is wanted; else
    empty.
    """

    item_id: str
    tile: int
    image: Image
    qids: tuple[int, ...]
    questions: tuple[str, ...]
    prepared: Any = None
    expected: tuple[str, ...] = ()
    templated: tuple[bool, ...] = ()
    forms: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(
        cls,
        item_id: str,
        tile: int,
        image: Image,
        rows: Sequence[QuestionRow],
        prepared: Any = None,
        *,
        forms: bool = False,
    ) -> Self:
        """Return what the questions of `rows` ask about an image.

        Args:
            item_id: whose image.
            tile: its number in the item, from 0.
            image: RGB.
            rows: its questions.
            prepared: what the judge made of the image.
            forms: the probabilities of right answers are wanted.
        """
        return cls(
            item_id,
            tile,
            image,
            tuple(row.qid for row in rows),
            tuple(row.asked for row in rows),
            prepared,
            tuple(row.expected for row in rows) if any(row.expected != YES for row in rows) else (),
            tuple(bool(row.template) for row in rows) if any(row.template for row in rows) else (),
            tuple(answer_forms(row.question, row.expected) for row in rows) if forms else (),
        )

    def part(self, some: slice) -> Self:
        """Return the same image with some of its questions."""
        return self._replace(
            qids=self.qids[some],
            questions=self.questions[some],
            expected=self.expected[some],
            templated=self.templated[some],
            forms=self.forms[some],
        )

    def is_templated(self, number: int) -> bool:
        """Return whether the benchmark itself words the question with this place."""
        return bool(self.templated) and self.templated[number]

    def wants_word(self, number: int) -> bool:
        """Return whether the right answer to the question with this place is a number or a word."""
        return bool(self.expected) and is_word(self.expected[number])

    @property
    def forms_of_each(self) -> tuple[tuple[str, ...], ...]:
        """The forms of each question; none of any where no probability is wanted."""
        return self.forms or ((),) * len(self.questions)


class JudgeAnswer(NamedTuple):
    """A judge's answer to one question.

    `text` is raw: only exactly ``yes`` counts. `p_yes` is a probability, None where the judge
    gives none. `truncated` tells that the judge did not see the question's end, `invalid` that it
    was asked for yes or no and said neither. `p_answer` is the probability that the answer's first
    token begins one of the tile's `forms`, each token counted once; None where nobody asked for it
    or the judge cannot tell.
    """

    text: str
    p_yes: float | None = None
    truncated: bool = False
    invalid: bool = False
    p_answer: float | None = None


class JudgeReply(NamedTuple):
    """What a judge has about one tile so far: answers by question number, or an error.

    A tile may be replied to in several parts; questions in none of them stay open.
    """

    item_id: str
    tile: int
    answers: Mapping[int, JudgeAnswer]
    error: str | None = None
