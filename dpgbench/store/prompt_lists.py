"""Lists of prompts without questions: a text file, JSON lines, or a table of ids and prompts.

They can be drawn, not scored. Ids name image files, so they are unique and safe; where a list has
none, the number of the line (in a table, of the row) is the id, padded to five digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from dpgbench.errors import DataError, shortened
from dpgbench.store.csv_rows import TAB_SUFFIXES, read_header, read_table, read_text
from dpgbench.store.paths import check_item_id

TEXT_SUFFIXES = (".txt",)
JSON_SUFFIXES = (".jsonl", ".ndjson")
TABLE_SUFFIXES = (".csv", *TAB_SUFFIXES)
SUFFIXES = (*TABLE_SUFFIXES, *TEXT_SUFFIXES, *JSON_SUFFIXES)
PROMPT_NAMES = ("prompt", "text", "caption", "prompts")
ID_NAMES = ("item_id", "id", "prompt_id", "image_id", "key")
_QUESTION_NAMES = {"proposition_id", "dependency", "tuple", "question_natural_language", "question"}
_QUESTION_NAMES |= {"category_broad", "category_detailed", "keywords"}

Entry = tuple[str, str, str]
"""Where it stands, its id, its prompt."""


def is_prompt_list(path: Path) -> bool:
    """Return whether a file is a list of prompts, by its suffix and, for tables, its columns.

    Raises:
        DataError: a table that cannot be read.
    """
    if path.suffix.lower() in (*TEXT_SUFFIXES, *JSON_SUFFIXES):
        return True
    names = {name.strip().lower() for name in read_header(path)}
    return bool(names & set(PROMPT_NAMES)) and not names & _QUESTION_NAMES


def read_prompt_list(path: Path) -> dict[str, str]:
    """Return prompt by id, in the file's order.

    Raises:
        DataError: it cannot be read, an id is twice or cannot name a file, or there is no prompt.
    """
    suffix = path.suffix.lower()
    if suffix in TEXT_SUFFIXES:
        return _collect(path, _lines(path))
    return _collect(path, _json_lines(path) if suffix in JSON_SUFFIXES else _rows(path))


def _collect(path: Path, entries: Iterable[Entry]) -> dict[str, str]:
    prompts: dict[str, str] = {}
    places: dict[str, str] = {}
    for place, item_id, prompt in entries:
        where = f"{path} {place}"
        check_item_id(item_id, where)
        if item_id in places:
            raise DataError(f"{where}: id {item_id} stands at {places[item_id]} already")
        if not prompt.strip():
            raise DataError(f"{where}: the prompt is empty")
        places[item_id] = place
        prompts[item_id] = prompt.strip()
    if not prompts:
        raise DataError(f"{path} holds no prompt; at least one is needed")
    return prompts


def _lines(path: Path) -> Iterator[Entry]:
    for number, line in enumerate(_split(read_text(path)), 1):
        if "\0" in line:
            raise DataError(f"{path} line {number} holds NUL characters; it is not text")
        if line.strip():
            yield f"line {number}", f"{number:05d}", line


def _split(text: str) -> list[str]:
    """Split at line ends alone; other separators of Unicode can stand within a prompt."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _json_lines(path: Path) -> Iterator[Entry]:
    for number, line in enumerate(_split(read_text(path)), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"{path} line {number} is not JSON") from None
        place = f"line {number}"
        if isinstance(value, str):
            value = {PROMPT_NAMES[0]: value}
        if not isinstance(value, dict):
            raise DataError(f'{path} {place} is not a JSON object; write {{"prompt": ...}}')
        texts = [value[name] for name in PROMPT_NAMES if isinstance(value.get(name), str)]
        if not texts:
            raise DataError(
                f"{path} {place} has no text under {', '.join(PROMPT_NAMES)}; "
                f"its keys are {shortened(sorted(value), 9)}"
            )
        ids = [value[name] for name in ID_NAMES if type(value.get(name)) in (str, int)]
        yield place, _whole(str(ids[0]) if ids else f"{number:05d}"), _whole(texts[0])


def _whole(text: str) -> str:
    """Return a text without halves of surrogate pairs, which no file could hold."""
    return text.encode("utf-8", "replace").decode()


def _rows(path: Path) -> Iterator[Entry]:
    header = {name.strip().lower(): name for name in reversed(read_header(path))}
    prompt = next(header[name] for name in PROMPT_NAMES if name in header)
    item = next((header[name] for name in ID_NAMES if name in header), None)
    for number, cells in read_table(path):
        yield f"row {number}", cells[item] if item else f"{number:05d}", cells[prompt]
