"""The files that making graphs leaves: the benchmark, how it was made, raw replies."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from dpgbench.domain.benchmark import COLUMNS, Benchmark
from dpgbench.domain.draft import draft_rows
from dpgbench.domain.draft_flags import REVIEW_COLUMN, review_cell
from dpgbench.errors import DataError, ResumeMismatchError, clipped, counted, shortened
from dpgbench.jobs.make.conversation import MadeGraph
from dpgbench.store.csv_rows import csv_text, read_table
from dpgbench.store.files import read_json, utf8, write_atomic, write_json, writing
from dpgbench.store.typed_json import check_json

log = logging.getLogger(__name__)
SCHEMA = 1
FOLDER = Path("made")


@dataclass(frozen=True)
class MadeFiles:
    """Where the files are.

    Attributes:
        table: the question file: DPG-Bench's columns, and one of flags.
        record: `make.json`: model, template, dates, faults, repairs, failures.
        log: raw replies.
    """

    table: Path
    record: Path
    log: Path

    @classmethod
    def at(cls, out: Path | None, name: str) -> MadeFiles:
        """Return the files of a benchmark called `name`.

        Args:
            out: a folder, or the path of the CSV, beside which the others then have its name; None
                is ``made/NAME``.
            name: of the prompts' file or folder.
        """
        if out is not None and out.suffix.lower() == ".csv":
            return cls(out, out.with_suffix(".make.json"), out.with_suffix(".chat.jsonl"))
        folder = out or FOLDER / name
        return cls(folder / f"{name}.csv", folder / "make.json", folder / "chat.jsonl")

    def write(
        self, record: Mapping[str, Any], table: str | None, before: MakeRecord | None
    ) -> None:
        """Write the record, then the question file that it tells of.

        A kill in between leaves the older question file, which the record tells of as well. Where
        there is no graph there is no question file.

        Raises:
            StorageError: one could not be written.
        """
        data = utf8(table or "")
        hashes = {
            "csv_sha256": hashlib.sha256(data).hexdigest(),
            "previous_csv_sha256": before and before["csv_sha256"],
        }
        write_json(self.record, {**record, **hashes})
        if table is None:
            with writing(self.table):
                self.table.unlink(missing_ok=True)
        else:
            write_atomic(self.table, data)


class MakeRecord(TypedDict):
    """`make.json`, as far as it is read again.

    Attributes:
        schema: of this file.
        identity: model, template and settings: what decides graphs beside prompts.
        csv_sha256: of the question file.
        previous_csv_sha256: of the one that it takes the place of.
        failures: by item: why it has no graph, and of which attempt that is.
        started: when the first command began.
        prompts: where those of made graphs came from.
        original: where those of a rewritten benchmark did: its `path`.
    """

    schema: int
    identity: dict[str, Any]
    csv_sha256: str
    previous_csv_sha256: str | None
    failures: dict[str, Any]
    started: NotRequired[str]
    prompts: NotRequired[str]
    original: NotRequired[dict[str, Any]]


def made_csv(prompts: Mapping[str, str], graphs: Mapping[str, MadeGraph]) -> str:
    """Return the question file of all graphs that there are, with its column of flags."""
    rows: list[Sequence[object]] = []
    for item_id, prompt in prompts.items():
        graph = graphs.get(item_id)
        if graph is None or graph.reason:
            continue
        for row in draft_rows(item_id, prompt, graph.questions):
            cells = {
                **{name: getattr(row, name, "") for name in COLUMNS},
                "proposition_id": row.qid,
                "question_natural_language": row.question,
            }
            flags = review_cell(graph.flags.get(row.qid, ()))
            rows.append([*(cells[name] for name in COLUMNS), flags])
    return csv_text([*COLUMNS, REVIEW_COLUMN], rows, exact=True)


def read_record(files: MadeFiles, identity: Mapping[str, Any]) -> MakeRecord | None:
    """Return what an earlier command recorded; None where there was none.

    Raises:
        DataError: the record is none.
        ResumeMismatchError: it is of another model, template or settings, or the question file was
            changed since.
    """
    if not files.record.exists():
        if files.table.exists():
            raise ResumeMismatchError(
                f"{files.table} is there already and was not made by this command (there is no "
                f"{files.record.name} beside it); name another --out"
            )
        return None
    record: Any = read_json(files.record)
    try:
        check_json(record, MakeRecord)
    except ValueError as error:
        raise DataError(
            f"{files.record} is no record of made graphs: {error}; name another --out"
        ) from None
    _check_same(files, record, identity)
    return record  # type: ignore[no-any-return]


def check_same_list(
    files: MadeFiles, earlier_path: str, benchmark: Benchmark, items: Collection[str], column: str
) -> None:
    """Refuse to put one list's prompts in the place of another's; say where a list has changed.

    Args:
        files: that are there.
        earlier_path: of the prompts that the question file was made of.
        benchmark: whose prompts are wanted now.
        items: that are wanted.
        column: of the question file that holds the prompts.

    Raises:
        ResumeMismatchError: the prompts come from elsewhere, and some of the file's are not among
            them.
    """
    if not files.table.exists():
        return
    earlier = {cells["item_id"]: cells.get(column, "") for _, cells in read_table(files.table)}
    lost = [
        item
        for item, prompt in earlier.items()
        if item not in items or benchmark.prompts[item].split() != prompt.split()
    ]
    if not lost:
        return
    number, verb = len(lost), "is" if len(lost) == 1 else "are"
    if not _is_same_path(earlier_path, benchmark.path):
        raise ResumeMismatchError(
            f"{files.table} was made of {earlier_path}, and {number} of its "
            f"{counted(len(earlier), 'item')} {verb} not in {benchmark.path} (first {lost[0]}); "
            "name another --out"
        )
    log.warning(
        "%s of the earlier %s %s left out or %s another prompt, first %s; what was replied to the "
        "earlier ones is kept",
        counted(number, "item"),
        files.table,
        verb,
        "has" if number == 1 else "have",
        lost[0],
    )


def _is_same_path(earlier: str, path: Path) -> bool:
    return earlier == str(path) or Path(earlier).absolute() == path.absolute()


def _check_same(files: MadeFiles, record: MakeRecord, identity: Mapping[str, Any]) -> None:
    before = record["identity"]
    changed = [
        f"{name} was {clipped(before.get(name))}, is {clipped(identity.get(name))}"
        for name in sorted({*before, *identity})
        if before.get(name) != identity.get(name)
    ]
    if changed:
        raise ResumeMismatchError(
            f"{files.table} was made otherwise, by {files.record}: {shortened(changed, 6)}; name "
            "another --out"
        )
    if files.table.exists():
        digest = hashlib.sha256(files.table.read_bytes()).hexdigest()
        if digest not in (record["csv_sha256"], record["previous_csv_sha256"]):
            raise ResumeMismatchError(
                f"{files.table} was changed since it was made, by a review for one; it is not "
                "overwritten: name another --out, or remove it to have it made from the kept "
                "replies again"
            )
