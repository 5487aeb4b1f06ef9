"""Question files for the tests of the review page."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from dpgbench.domain.benchmark import COLUMNS

NASTY = 'A cat & a dog </script><b>"bold"</b> <!-- 一只戴帽子的猫, =1+1'
Row = tuple[int, str, str, str, str]
"""Number, dependency, tuple, question, flags."""
ITEMS: Mapping[str, tuple[str, Sequence[Row]]] = {
    "alpha_1": (
        "A red cat sits on a mat beside a small blue ball.",
        (
            (1, "0", "entity - whole (cat)", "Is there a cat?", "uncovered: small, beside"),
            (2, "1", "attribute - color (cat, red)", "Is the cat red?", ""),
            (3, "1", "entity - part (cat, whiskers)", "Does the cat have whiskers?", "invented: x"),
            (4, "3", "attribute - size (whiskers, long)", "Are the whiskers long?", ""),
            (5, "0", "entity - whole (mat)", "Is there a mat?", ""),
            (6, "1,5", "relation - spatial (cat, mat, on)", "Is the cat on the mat?", ""),
        ),
    ),
    "beta_2": (
        NASTY,
        (
            (1, "0", "entity - whole (猫)", "Is there a 猫 </script><i>?", "text-check: <b>no</b>"),
            (2, "1", 'other - text (cat, "bold")', 'Does it say "bold"?', ""),
        ),
    ),
    "gamma_3": ("A plain wall.", ((1, "0", "entity - whole (wall)", "Is there a wall?", ""),)),
}


def write_items(path: Path, *, with_flags: bool = True) -> Path:
    """A question file of three items, with the column of flags or in DPG-Bench's nine."""
    header = (*COLUMNS, "review") if with_flags else COLUMNS
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for item_id, (text, rows) in ITEMS.items():
            for number, dependency, words, question, flags in rows:
                broad, _, detail = words.split("(")[0].partition("-")
                cells = (item_id, text, "", number, dependency, broad.strip(), detail.strip())
                writer.writerow((*cells, words, question, flags)[: len(header)])
    return path


def write_many(path: Path, num_items: int = 1065, num_questions: int = 13) -> Path:
    """A question file of the real benchmark's size: prompts of 70 words, 13 questions each."""
    words = ("dense", "prompt", "of", "many", "words", "about", "several", "things")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for item in range(num_items):
            text = " ".join(f"{words[n % len(words)]}{item % 97}" for n in range(70))
            for n in range(1, num_questions + 1):
                thing = f"{words[n % len(words)]}{item % 97}"
                cells = (f"item_{item}", text, thing, n, n // 2, "entity", "whole")
                writer.writerow((*cells, f"entity - whole ({thing} {n})", f"Is there {thing} {n}?"))
    return path


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
