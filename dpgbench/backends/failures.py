"""When one item's failure is recorded so that the rest can go on, and when it is not."""

from __future__ import annotations

from dpgbench.errors import DataError, DpgBenchError, reason_of


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
        """
        foreseen = isinstance(error, DpgBenchError)
        if foreseen and not isinstance(error, DataError):
            raise error
        self._in_a_row += not foreseen
        if self._in_a_row >= self.too_many_in_a_row:
            raise error
        text = reason_of(error, with_type=not foreseen)
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
