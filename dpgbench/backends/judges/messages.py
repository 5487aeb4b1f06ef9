"""What a judge is asked and what it replies: the types that cross between it and whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from PIL.Image import Image


class TileQuestions(NamedTuple):
    """One image and everything that is asked about it; `qids` go with `questions`.

    `prepared` is what the judge's own `prepare` made of the image, None where it has none.
    """

    item_id: str
    tile: int
    image: Image
    qids: tuple[int, ...]
    questions: tuple[str, ...]
    prepared: Any = None


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
