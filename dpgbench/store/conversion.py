"""Other people's benchmarks as rows of a file of questions in DPG-Bench's columns.

Bytes of verified files in, the text of one CSV out; nothing is read or written here.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from dpgbench.domain.answer_text import YES, read_expected
from dpgbench.domain.benchmark import ANSWER_COLUMN, COLUMNS, TEMPLATE_COLUMN
from dpgbench.errors import DataError, reason_of

Files = Mapping[str, bytes]
"""Content by path, in the order of the table of benchmarks."""
ONE_WORD = "{question} Answer in one word."
"""How GenEval 2 words a question."""
_ONEIG_SETS = {"anime": "Anime_Stylization", "human": "Portrait", "object": "General_Object"}
_ATOMS = ("three", "four", "five", "six", "seven", "eight", "nine", "ten")
_FEWEST_ATOMS = 3

Row = dict[str, str]


def converted(format_: str, files: Files) -> str:
    """Return the CSV of a benchmark's files.

    Args:
        format_: `table`, `corebench`, `oneig` or `geneval2`.
        files: their verified content.

    Raises:
        DataError: a file has another form than the benchmark's.
    """
    if format_ == "table":
        (content,) = files.values()
        return content.decode("utf-8")
    try:
        rows = list(_ROWS[format_](files))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise DataError(
            f"{', '.join(files)}: not in the form of {format_} ({reason_of(error)}); nothing was "
            "replaced"
        ) from error
    return _csv(rows)


def _csv(rows: Iterable[Row]) -> str:
    """Return rows as CSV; every cell in quotes, since prompts hold whatever they like."""
    buffer = io.StringIO()
    columns = (*COLUMNS, ANSWER_COLUMN, TEMPLATE_COLUMN)
    writer = csv.DictWriter(buffer, columns, restval="", quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def _row(item_id: str, text: str, qid: int, question: str, category: str, detail: str) -> Row:
    """Return a row without parents, its category in small letters, as every rule reads it."""
    category, detail = category.lower(), detail.lower()
    name = f"{category} - {detail}" if detail else category
    return {
        "item_id": item_id,
        "text": text,
        "proposition_id": str(qid),
        "dependency": "0",
        "category_broad": category,
        "category_detailed": detail,
        "tuple": f"{name} ({question})",
        "question_natural_language": question,
    }


def _corebench(files: Files) -> Iterator[Row]:
    """Yield T2I-CoReBench's rows: L1 is the main class, L2 the sub class."""
    for content in files.values():
        for item_id, item in json.loads(content).items():
            for qid, asked in enumerate(item["Checklist"], 1):
                row = _row(
                    item_id,
                    item["Prompt"],
                    qid,
                    asked["question"],
                    item["Main Class"],
                    item["Sub Class"],
                )
                yield row | {"keywords": ", ".join(asked["tags"])}


def _oneig(files: Files) -> Iterator[Row]:
    """Yield OneIG-Bench's rows: L1 is the set of prompts, L2 its class where it has one.

    Questions and dependencies are JSON texts inside JSON.
    """
    by_name = {path.rpartition("/")[2]: content for path, content in files.items()}
    table = csv.DictReader(io.StringIO(by_name["OneIG-Bench.csv"].decode("utf-8-sig"), newline=""))
    prompts = {(cells["category"], cells["id"]): cells for cells in table}
    for name, category in _ONEIG_SETS.items():
        for number, graph in json.loads(by_name[f"{name}.json"]).items():
            cells = prompts[category, number]
            questions, parents = (_inner(graph[key]) for key in ("question", "dependency"))
            for qid, question in questions.items():
                row = _row(
                    f"{name}_{number}",
                    cells["prompt_en"],
                    int(qid),
                    question,
                    category.replace("_", " "),
                    cells["class"],
                )
                yield row | {"dependency": ",".join(map(str, parents[qid]))}


def _inner(value: Any) -> dict[str, Any]:
    inner: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return inner


def _geneval2(files: Files) -> Iterator[Row]:
    """Yield GenEval 2's rows: the category is the skill, an item's source its number of atoms."""
    (content,) = files.values()
    for number, line in enumerate(content.decode("utf-8").strip("\n").split("\n")):
        item = json.loads(line)
        atoms = int(item["atom_count"])
        item_id = f"{_ATOMS[atoms - _FEWEST_ATOMS]}_atoms_{number:03d}"
        asked = zip(item["vqa_list"], item["skills"], strict=True)
        for qid, ((question, answer), skill) in enumerate(asked, 1):
            expected = read_expected(answer)
            yield _row(item_id, item["prompt"], qid, question, skill, "") | {
                "keywords": f"{atoms} atoms",
                ANSWER_COLUMN: "" if expected == YES else expected,
                TEMPLATE_COLUMN: ONE_WORD,
            }


_ROWS: Mapping[str, Callable[[Files], Iterator[Row]]] = {
    "corebench": _corebench,
    "oneig": _oneig,
    "geneval2": _geneval2,
}
