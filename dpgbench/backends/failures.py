"""When one item's failure is recorded so that the rest can go on, and when it is not."""

from __future__ import annotations

from collections.abc import Sequence

from dpgbench.errors import (
    DataError,
    DpgBenchError,
    IncompleteError,
    SetupError,
    counted,
    reason_of,
)


class Failures:
    """Failures by item id; a row of them means that the trouble is not with the items.

    Args:
        too_many_in_a_row: so many end the work.
    """

    def __init__(self, too_many_in_a_row: int = 10) -> None:
        self.too_many_in_a_row = too_many_in_a_row
        self.reasons: dict[str, str] = {}
        self._in_a_row = 0
        self._any_success = False

    def record(self, item_id: str, error: Exception) -> str:
        """Note a failure and return its text.

        Raises:
            Exception: `error` itself, where it is not about one item, or is one too many in a row
                of a kind that nobody foresaw.
            IncompleteError: it is one too many in a row, about files or the network.
        """
        foreseen = isinstance(error, DpgBenchError)
        if foreseen and not isinstance(error, DataError):
            raise error
        self._in_a_row += not foreseen
        text = reason_of(error, with_type=not foreseen)
        if self._in_a_row >= self.too_many_in_a_row:
            if isinstance(error, OSError):  # connections and downloads that died, full disks
                raise IncompleteError(
                    f"{self._in_a_row} items on end failed, the last one {item_id}: {text}. What "
                    "was done is kept: run the same command again when the network and the disk "
                    "are well"
                ) from error
            raise error
        self.reasons[item_id] = " ".join(text.split())
        return self.reasons[item_id]

    def success(self) -> None:
        """Note that an item went well."""
        self._in_a_row = 0
        self._any_success = True

    def hopeless(self) -> str | None:
        """Return the reason that the first items all failed for, and none went well."""
        reasons = set(self.reasons.values())
        alike = len(reasons) == 1 and len(self.reasons) >= self.too_many_in_a_row
        return reasons.pop() if alike and not self._any_success else None


class TilesError(DataError):
    """Some tiles of an item are no pictures.

    Args:
        words: what is wrong, with ``{tiles}`` where the tiles are named; or all of it, as where an
            error arrives from another process.
        bad: their numbers, from 0.
        num_images: of the item, or of the part of it that was drawn together.
    """

    def __init__(self, words: str, bad: Sequence[int] = (), num_images: int = 0) -> None:
        self.words, self.bad, self.num_images = words, tuple(bad), num_images
        named = (
            f"{len(bad)} of {counted(num_images, 'tile')} ({', '.join(map(str, bad))}, counted "
            "from 0)"
        )
        super().__init__(words.replace("{tiles}", named))

    def of_item(self, first: int, num_images: int) -> TilesError:
        """Return the same of the whole item, whose tile `first` is the first one here."""
        return TilesError(self.words, [first + tile for tile in self.bad], num_images)


class RequestFailedError(Exception):
    """A server has no answer to this request; others may have. The message says why."""


class PassingError(RequestFailedError):
    """May go well another time.

    Attributes:
        too_many: the server wants fewer requests; there is nothing wrong with this one.
        wait_seconds: what the server asks for, if it does.
    """

    def __init__(
        self, reason: str, too_many: bool = False, wait_seconds: float | None = None
    ) -> None:
        super().__init__(reason)
        self.too_many, self.wait_seconds = too_many, wait_seconds


class ForeignReplyError(PassingError):
    """A good status with something else than what the service replies: a web page, for one."""


class RefusedError(RequestFailedError):
    """The server is well and refuses this request; `advice` is for where it refuses all."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.advice = advice


class ServerFailures:
    """Tells a server's trouble with items, which is recorded, from trouble that ends all work.

    Args:
        has_answers: it has answered before, in an earlier command: its key and model are right, and
            what it refuses is about the request.
        too_many_in_a_row: items on end that fail end the work.
        too_many_refused: tiles refused before any answer end it too.
    """

    def __init__(
        self, *, has_answers: bool, too_many_in_a_row: int = 10, too_many_refused: int = 3
    ) -> None:
        self._has_answers = has_answers
        self.too_many_in_a_row, self.too_many_refused = too_many_in_a_row, too_many_refused
        self._in_a_row: set[str] = set()
        self._refused: dict[tuple[str, int], str] = {}

    def success(self) -> None:
        """Note an answer."""
        self._in_a_row.clear()
        self._has_answers = True

    def record(self, item_id: str, tile: int, error: RequestFailedError) -> None:
        """Note a failure.

        Raises:
            IncompleteError: item after item fails.
            SetupError: nothing but refusals since the start: the key or the model is wrong.
        """
        if isinstance(error, RefusedError):
            if self._has_answers:
                return  # a server that answers may refuse as many pictures as it likes
            if error.advice:
                self._refused[item_id, tile] = error.advice
        if len(self._refused) >= self.too_many_refused:
            raise SetupError(next(iter(self._refused.values())))
        self._in_a_row.add(item_id)
        if len(self._in_a_row) >= self.too_many_in_a_row:
            raise IncompleteError(
                f"{len(self._in_a_row)} items on end failed, the last one {item_id}: {error}. What "
                "was answered is kept: run the same command again when the server is well"
            )

    def check_end(self) -> None:
        """Raise where no request but refused ones ended the work.

        Raises:
            SetupError: the key or the model is wrong.
        """
        if self._refused and not self._has_answers:
            raise SetupError(next(iter(self._refused.values())))
