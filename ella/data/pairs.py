"""Pictures and captions of indexed data, by number: what training reads."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ella.data.captions import COLUMNS, CaptionColumns
from ella.data.conditions import ColumnCondition
from ella.data.index import Index, Part, build_index, default_folder, is_index
from ella.data.order import MixedOrder, Order, PermutedOrder, WindowedOrder, check_weights
from ella.data.pictures import Buckets, Shape, decode
from ella.data.readers import ROW_NAME, TableColumns, picture_bytes, pyarrow_parquet
from ella.data.selection import TABLE_BYTES, Selection
from ella.errors import TrainingDataError, one_line
from ella.whole_files import bytes_hash, text_hash

if TYPE_CHECKING:
    from PIL import Image

_REPLACEMENT = 5  # a kind of randomness; ella.data.order has the others


class DataSource(NamedTuple):
    """Data that is trained on.

    Attributes:
        data: A folder, list, shard or table.
        weight: Its share of the samples, before shares are scaled to a sum of 1; None where each
            pair of all sources counts alike.
    """

    data: Path
    weight: float | None = None

    @classmethod
    def parse(cls, words: str) -> DataSource:
        """From `folder` or `folder:weight`."""
        name, colon, number = words.rpartition(":")
        if colon and not Path(words).exists():
            try:
                weight = float(number)
            except ValueError:
                return cls(Path(words))
            if not 0 < weight < float("inf"):
                raise ValueError(f"`data` must have a weight above 0, got {words!r}")
            return cls(Path(name), weight)
        return cls(Path(words))


class IndexedPairs:
    """Every row of some indexes, numbered one index after the other.

    Args:
        indexes: Where pictures and captions are.
        weights: A share for each index; empty: each pair counts alike.
        num_open: Shards that stay open.
        table_bytes: Of tables' columns that stay unpacked.

    Raises:
        ValueError: If some indexes have a weight and some have none, or one has hardly any.
    """

    def __init__(
        self,
        indexes: Sequence[Index],
        weights: Sequence[float] = (),
        *,
        num_open: int = 32,
        table_bytes: int = 2 * TABLE_BYTES,
    ) -> None:
        if weights and len(weights) != len(indexes):
            raise ValueError("`data` must have a weight for each source, or for none")
        check_weights(weights)
        self.indexes = list(indexes)
        self.weights = list(weights)
        ends = np.cumsum([index.num_rows for index in indexes])
        self._firsts = [0, *(int(end) for end in ends[:-1])]
        self._num_rows = int(ends[-1])
        self._selections: list[Selection] = []
        self._shards = _Shards(num_open)
        self._tables = _Tables(table_bytes)
        self._any = CaptionColumns({})
        self._has_usual = [not {*COLUMNS}.isdisjoint(index.text_columns) for index in indexes]

    @classmethod
    def open(
        cls, sources: Sequence[DataSource], cache_folder: Path, *, processes: int = 1
    ) -> IndexedPairs:
        """Open the index of each source; one without is indexed now, into `cache_folder`.

        Raises:
            TrainingDataError: If data cannot be used.
            ValueError: If some sources have a weight and some have none.
        """
        indexes = []
        for source in sources:
            folder = default_folder(source.data)
            if is_index(source.data):  # one that was put elsewhere
                indexes.append(Index(source.data))
                continue
            if (folder / "index.json").is_file():
                root = source.data.parent if source.data.is_file() else source.data
                indexes.append(Index(folder, root))
                continue
            name = text_hash(str(source.data.resolve()))
            folder = cache_folder / f"index-{source.data.name}-{name[:12]}"
            indexes.append(build_index(source.data, folder, processes=processes))
        weights = [source.weight for source in sources if source.weight is not None]
        if weights and len(weights) != len(sources):
            raise ValueError("`data` must have a weight for each source, or for none")
        return cls(indexes, weights)

    def __len__(self) -> int:
        return self._num_rows

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {
            "_shards": _Shards(self._shards.num_open),
            "_tables": _Tables(self._tables.num_bytes),
        }

    def identity(self) -> dict[str, Any]:
        """What a resumed run must share of the data."""
        about: dict[str, Any] = {
            "pairs": len(self),
            "captions": " ".join(index.digest for index in self.indexes),
        }
        return about | ({"weights": self.weights} if self.weights else {})

    @property
    def text_columns(self) -> set[str]:
        """Columns that captions can come from."""
        return {name for index in self.indexes for name in index.text_columns}

    def select(
        self, conditions: Sequence[ColumnCondition], buckets: Buckets | None
    ) -> Sequence[Selection]:
        """The usable rows, from now on: of each source, or, without weights, of all together.

        Raises:
            TrainingDataError: If a column is not there, or no row is left.
        """
        groups = [[index] for index in self.indexes] if self.weights else [self.indexes]
        self._selections = [Selection(group, conditions, buckets) for group in groups]
        return self._selections

    def order(self, seed: int, together: int) -> Order:
        """Which pair sample n is; `select` comes first."""
        orders = [WindowedOrder(seed, selected, together) for selected in self._selections]
        if len(orders) == 1:
            return orders[0]
        return MixedOrder(seed, orders, self._firsts, self.weights)

    def listed_order(self, seed: int) -> Order:
        """As before there were indexes: one permutation of all rows."""
        return PermutedOrder(seed, len(self))

    @property
    def num_selected(self) -> int:
        """Usable rows."""
        return sum(int(selected.num_rows().sum()) for selected in self._selections)

    def replacement(self, index: int, seed: int, number: int, attempt: int) -> int:
        """Another pair for sample `number`, whose pair `index` cannot be used.

        It follows from the arguments and the data alone.
        """
        generator = np.random.default_rng([_REPLACEMENT, seed, number, attempt])
        if len(self._selections) == 1:
            return self._selections[0].draw(generator)
        source = self._place(index)[0]
        return self._firsts[source] + self._selections[source].draw(generator)

    def _place(self, index: int) -> tuple[int, int]:
        source = int(np.searchsorted(self._firsts, index, side="right")) - 1
        return source, index - self._firsts[source]

    def caption(self, index: int, columns: CaptionColumns, seed: int = 0, number: int = 0) -> str:
        """The caption that sample `number` shows.

        Raises:
            TrainingDataError: If the row has none in these columns.
        """
        source, row = self._place(index)
        texts = (
            self._texts(source, row) if not columns.weights else self.indexes[source].texts(row)[1]
        )
        caption = columns.choose(texts, seed, number)
        if caption is None:
            there = ", ".join(self.indexes[source].texts(row)[1]) or "none"
            raise TrainingDataError(
                f"{self.name(index)}: has no caption in"
                f" {', '.join(columns.weights) or 'a column that is usual'} (it has:"
                f" {there}); name its column with --caption-column"
            )
        return caption

    def text(self, index: int) -> str:
        """The first caption."""
        source, row = self._place(index)
        caption = self._any.first(self._texts(source, row))
        return caption if caption is not None else self.caption(index, self._any)

    def _texts(self, source: int, row: int) -> dict[str, Any]:
        """Texts that may be captions: a row without a usual column shows its only other text.

        But not where other rows of its data have such a column.
        """
        _, texts = self.indexes[source].texts(row)
        if not self._has_usual[source]:
            return texts
        return {name: one for name, one in texts.items() if name in COLUMNS}

    def name(self, index: int) -> str:
        """Where the picture is."""
        source, row = self._place(index)
        opened = self.indexes[source]
        part, _ = opened.record(row)
        name, _ = opened.texts(row)
        if _has_path(part, name):
            return str(opened.root / name)
        return f"{opened.root / part.source}: {name}"

    def size(self, index: int) -> Shape:
        """Height and width; 0 where they are not known."""
        source, row = self._place(index)
        _, record = self.indexes[source].record(row)
        return Shape(int(record["height"]), int(record["width"]))

    def content(self, index: int) -> bytes:
        """The picture's file.

        Raises:
            TrainingDataError: If it is not there, or not whole.
            OSError: If the disk refuses.
        """
        source, row = self._place(index)
        opened = self.indexes[source]
        part, record = opened.record(row)
        name, _ = opened.texts(row)
        path = opened.root / (name if _has_path(part, name) else part.source)
        if part.kind == "tar":
            content = self._shards.read(path, int(record["at"]), int(record["num_bytes"]))
            if len(content) < int(record["num_bytes"]):
                raise self._unusable(index, "the shard ends within it")
            return content
        if not _has_path(part, name):
            try:
                cell = self._tables.cell(path, int(record["group"]), int(record["at"]))
                table_content = picture_bytes(cell, path.parent)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError) as error:
                raise self._unusable(index, one_line(error)) from error
            except OSError as error:
                if error.errno:
                    raise
                # pyarrow's own, of a damaged row group
                raise self._unusable(index, one_line(error)) from error
            if table_content is None:
                raise self._unusable(index, "the table has no bytes there")
            return table_content
        try:
            return path.read_bytes()
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError) as error:
            reason = getattr(error, "strerror", None) or one_line(error)
            raise self._unusable(index, reason) from error

    def image(self, index: int) -> Image.Image:
        """The picture.

        Raises:
            TrainingDataError: If the file holds none that can be read.
        """
        return self.decoded(index, self.content(index))

    def decoded(self, index: int, content: bytes) -> Image.Image:
        """The picture in `content`, which is that of `index`.

        Raises:
            TrainingDataError: If there is none that can be read.
        """
        try:
            return decode(content)
        except Exception as error:  # a damaged file can break any decoder in any way
            raise self._unusable(index, one_line(error)) from error

    def image_key(self, index: int) -> str:
        """A hash of the picture's file."""
        return bytes_hash(self.content(index))

    def _unusable(self, index: int, reason: str) -> TrainingDataError:
        return TrainingDataError(
            f"{self.name(index)}: no picture that can be read ({reason}); put a good one in its"
            " place and start the same command again, it resumes"
        )


def _has_path(part: Part, name: str) -> bool:
    """Whether a row's picture is a file of its own."""
    if part.kind == "parquet":
        return not name.startswith(ROW_NAME)
    return part.kind != "tar"


class _Shards:
    """Files that are read from any place; the last ones used stay open."""

    def __init__(self, num_open: int) -> None:
        self.num_open = num_open
        self._open: OrderedDict[Path, int] = OrderedDict()

    def read(self, path: Path, at: int, num_bytes: int) -> bytes:
        if path not in self._open:
            self._open[path] = os.open(path, os.O_RDONLY)
            if len(self._open) > self.num_open:
                os.close(self._open.popitem(last=False)[1])
        self._open.move_to_end(path)
        return os.pread(self._open[path], num_bytes, at)


class _Tables:
    """Row groups of tables, unpacked; the last ones used stay."""

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._files: OrderedDict[Path, tuple[Any, str]] = OrderedDict()
        self._groups: OrderedDict[tuple[Path, int], Any] = OrderedDict()

    def cell(self, path: Path, group: int, place: int) -> Any:
        key = (path, group)
        if key not in self._groups:
            table, column = self._file(path)
            self._groups[key] = table.read_row_group(group, columns=[column]).column(column)
            while len(self._groups) > 1 and self._held() > self.num_bytes:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key][place].as_py()

    def _held(self) -> int:
        return sum(int(column.nbytes) for column in self._groups.values())

    def _file(self, path: Path, num_open: int = 16) -> tuple[Any, str]:
        if path not in self._files:
            table = pyarrow_parquet().ParquetFile(path, memory_map=True)
            column = TableColumns.of(table.schema_arrow, path).pictures
            assert column is not None
            self._files[path] = (table, column)
            if len(self._files) > num_open:
                self._files.popitem(last=False)[1][0].close()
        self._files.move_to_end(path)
        return self._files[path]
