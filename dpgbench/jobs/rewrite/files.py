"""The rewritten benchmark: the original's rows with other prompts, the original's prompt beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from dpgbench.domain.benchmark import (
    ORIGINAL_COLUMN,
    QUESTIONS_FILE,
    REWRITTEN_COLUMN,
    Benchmark,
)
from dpgbench.jobs.make.files import MadeFiles
from dpgbench.store.csv_rows import csv_text, read_table

FOLDER = Path("rewritten")


def files_at(out: Path | None, name: str) -> MadeFiles:
    """Return the files of a rewritten benchmark called `name`: table, record, raw replies.

    Args:
        out: a folder, or the path of the CSV, beside which the others then have its name; None is
            ``rewritten/NAME``.
    """
    if out is not None and out.suffix.lower() == ".csv":
        return MadeFiles(out, out.with_suffix(".rewrite.json"), out.with_suffix(".chat.jsonl"))
    folder = out or FOLDER / name
    return MadeFiles(folder / f"{name}.csv", folder / "rewrite.json", folder / "chat.jsonl")


def rewritten_csv(original: Benchmark, texts: Mapping[str, str]) -> str:
    """Return the question file (or the list) of the items that have a rewritten prompt.

    Every column of the original is kept; its prompt stands in one more, and what the file was
    rewritten from in another.
    """
    header, rows = _original_rows(original)
    kept = [name for name in header if name not in (ORIGINAL_COLUMN, REWRITTEN_COLUMN)]
    origin = " ".join(original.as_original(texts))
    lines: list[Sequence[object]] = []
    for cells in rows:
        item_id = cells["item_id"]
        if item_id in texts:
            changed = {**cells, "text": texts[item_id]}
            lines.append([*(changed[name] for name in kept), original.prompts[item_id], origin])
    return csv_text([*kept, ORIGINAL_COLUMN, REWRITTEN_COLUMN], lines, exact=True)


def _original_rows(original: Benchmark) -> tuple[Sequence[str], list[dict[str, str]]]:
    if not original.has_graphs:
        prompts = original.prompts.items()
        return ("item_id", "text"), [{"item_id": item, "text": text} for item, text in prompts]
    path = original.path
    rows = [cells for _, cells in read_table(path / QUESTIONS_FILE if path.is_dir() else path)]
    return list(rows[0]), rows
