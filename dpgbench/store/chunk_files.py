"""Noun chunks made elsewhere, as JSON lines: ``{"item_id": ..., "chunks": ["a red car", ...]}``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypedDict

from dpgbench.errors import DataError, shortened
from dpgbench.store.files import read_foreign_jsonl
from dpgbench.store.typed_json import first_fault


class ChunksLine(TypedDict):
    """The noun chunks of one prompt.

    Attributes:
        item_id: of the prompt.
        chunks: as they stand in it, in order; none where it has none.
    """

    item_id: str
    chunks: list[str]


def read_chunk_file(path: Path, items: Iterable[str]) -> dict[str, list[str]]:
    """Return the chunks of each of `items`.

    Raises:
        DataError: a line is none, an item stands twice, a chunk is empty, or one of `items` is not
            in the file.
    """
    lines: list[Any] = read_foreign_jsonl(path)
    fault = first_fault(lines, ChunksLine)
    if fault:
        raise DataError(
            f"{path} line {fault[0] + 1} is no prompt's chunks (item_id, chunks): {fault[1]}"
        )
    chunks: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        if line["item_id"] in chunks:
            raise DataError(f"{path} line {number}: item {line['item_id']} stands twice")
        if not all(chunk.strip() for chunk in line["chunks"]):
            raise DataError(f"{path} line {number}: item {line['item_id']} has an empty chunk")
        chunks[line["item_id"]] = line["chunks"]
    wanted = list(items)
    missing = [item for item in wanted if item not in chunks]
    if missing:
        raise DataError(
            f"{path} has no chunks of {shortened(missing)}; give an empty list where a prompt has "
            "none"
        )
    return {item: chunks[item] for item in wanted}
