"""The rows of several indexes that training uses, block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ella.data.conditions import ColumnCondition, check_conditions, column_values
from ella.data.index import Index
from ella.data.order import Block
from ella.data.pictures import Buckets
from ella.errors import TrainingDataError

BLOCK_ROWS = 1_024
WINDOW_BLOCKS = 64
TABLE_BYTES = 256 * 2**20  # of tables' pictures in one window: each process keeps them unpacked


class Span(NamedTuple):
    """A block: the rows from `start` to `stop` of an index.

    Attributes:
        source: Which index.
        start: Its first row there.
        stop: The row after its last.
    """

    source: int
    start: int
    stop: int


class Selection:
    """Usable rows of some indexes, numbered one index after the other.

    Args:
        indexes: Their rows.
        conditions: All must hold of a row.
        buckets: Shapes of the pictures.
        block_rows: Rows in a block.
        window_blocks: Blocks that are shuffled together.

    Raises:
        TrainingDataError: If a column is not there, or no row is left.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        conditions: Sequence[ColumnCondition] = (),
        buckets: Buckets | None = None,
        *,
        block_rows: int = BLOCK_ROWS,
        window_blocks: int = WINDOW_BLOCKS,
    ) -> None:
        self._indexes = list(indexes)
        self._conditions = list(conditions)
        self._buckets = buckets
        for index in indexes:
            check_conditions(conditions, index.columns, str(index.root))
        table_rows = min((_table_rows(index) for index in indexes), default=BLOCK_ROWS**2)
        block_rows = min(block_rows, max(table_rows, 16))
        self.window_blocks = max(1, min(window_blocks, table_rows // block_rows))
        sizes = [index.num_rows for index in indexes]
        self.first_rows = [int(first) for first in np.cumsum([0, *sizes[:-1]])]
        self._spans = [
            Span(source, start, min(start + block_rows, size))
            for source, size in enumerate(sizes)
            for start in range(0, size, block_rows)
        ]
        self._counts = self._counted()
        if not self._counts.sum():
            raise TrainingDataError(
                f"{', '.join(str(index.root) for index in indexes)}: no picture is left by the"
                " filter; change --filter or --min-px"
            )

    def _counted(self) -> NDArray[np.int64]:
        if not self._conditions:
            return np.array([span.stop - span.start for span in self._spans], dtype=np.int64)
        return np.array([len(self._kept(span)) for span in self._spans], dtype=np.int64)

    def num_rows(self) -> NDArray[np.int64]:
        """Usable rows of each block."""
        return self._counts

    def _kept(self, span: Span) -> NDArray[np.int64]:
        """Places of a block's usable rows."""
        index = self._indexes[span.source]
        kept = np.ones(span.stop - span.start, dtype=np.bool_)
        records = index.records(span.start, span.stop)
        for condition in self._conditions:
            values = column_values(index, condition.column, span.start, span.stop, records)
            kept &= condition.holds(values)
        return np.flatnonzero(kept)

    def block(self, number: int) -> Block:
        """A block's usable rows."""
        span = self._spans[number]
        records = self._indexes[span.source].records(span.start, span.stop)
        kept = self._kept(span) if self._conditions else np.arange(len(records))
        records = records[kept]
        if self._buckets is None or len(self._buckets.shapes) == 1:
            buckets = np.zeros(len(records), dtype=np.int64)
        else:
            buckets = self._buckets.numbers(records["width"], records["height"])
        rows = self.first_rows[span.source] + span.start + kept
        return Block(rows, records["key"].astype(np.uint64), buckets)

    def draw(self, generator: np.random.Generator) -> int:
        """Any usable row."""
        shares = np.cumsum(self._counts)
        place = int(generator.integers(int(shares[-1])))
        number = int(np.searchsorted(shares, place, side="right"))
        rows = self.block(number).rows
        return int(rows[place - int(shares[number])])


def _table_rows(index: Index) -> int:
    """Rows of one window of an index: few where pictures are unpacked from tables."""
    tables = [part for part in index.parts if part.kind == "parquet" and part.rows]
    if not tables:
        return BLOCK_ROWS**2
    num_bytes = sum(int(part.source_mark.partition(":")[0]) for part in tables)
    return max(1, TABLE_BYTES * sum(part.rows for part in tables) // max(num_bytes, 1))
