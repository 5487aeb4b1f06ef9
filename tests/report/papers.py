"""LaTeX documents as authors have them, compiled by pdflatex; what PDF files hold."""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Mapping
from pathlib import Path

PDFLATEX = shutil.which("pdflatex")
PDFTOTEXT = shutil.which("pdftotext")
PDFFONTS = shutil.which("pdffonts")
NEEDS_LATEX = (
    "no pdflatex: apt-get install texlive-latex-base texlive-latex-recommended poppler-utils"
)
NEEDS_POPPLER = "no pdffonts: apt-get install poppler-utils"

LAYOUTS: Mapping[str, str] = {
    "article": "\\documentclass[10pt]{article}\n",
    # As conferences of the field set it: two columns of 3.25 inches, 0.375 between them.
    "conference": (
        "\\documentclass[10pt,twocolumn]{article}\n"
        "\\setlength{\\textwidth}{6.875in}\\setlength{\\columnsep}{0.375in}\n"
        "\\setlength{\\textheight}{8.875in}\\setlength{\\topmargin}{-0.5in}\n"
        "\\setlength{\\oddsidemargin}{-0.2in}\n"
    ),
}
_COMPLAINTS = re.compile(
    r"^(?:Overfull|! |LaTeX Error|Missing character|.*Float too large|.*undefined).*$", re.MULTILINE
)


def compile_tables(folder: Path, tables: Mapping[str, str], layout: str) -> list[str]:
    """Compile a document with all tables, each from a file of its own; return what is wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    body = []
    for name, text in tables.items():
        (folder / name).write_text(text, encoding="utf-8")
        label = text.split("\\label{")[1].split("}")[0]
        body.append(f"See Table~\\ref{{{label}}}. \\input{{{name}}}\\clearpage")
    document = (
        f"{LAYOUTS[layout]}\\usepackage{{booktabs,graphicx}}\n\\begin{{document}}\n"
        f"\\listoftables\\clearpage\n{chr(10).join(body)}\n\\end{{document}}\n"
    )
    (folder / "paper.tex").write_text(document, encoding="utf-8")
    assert PDFLATEX is not None
    for _ in range(2):  # the second time labels are there, and the list of tables
        subprocess.run(
            [PDFLATEX, "-interaction=nonstopmode", "paper.tex"],
            cwd=folder,
            capture_output=True,
            check=False,
            timeout=60,
        )
    log = (folder / "paper.log").read_text(encoding="utf-8", errors="replace")
    return [line for line in _COMPLAINTS.findall(log) if "There were undefined" not in line]


def pdf_text(path: Path) -> str:
    """Return the text of a PDF; letters that look alike (Ohm, Omega) have one form."""
    assert PDFTOTEXT is not None
    done = subprocess.run(
        [PDFTOTEXT, "-layout", str(path), "-"], capture_output=True, text=True, check=True
    )
    return unicodedata.normalize("NFKC", done.stdout)


def embedded_fonts(path: Path) -> dict[str, tuple[str, bool]]:
    """Return kind and whether it is embedded of each font of a PDF."""
    assert PDFFONTS is not None
    done = subprocess.run([PDFFONTS, str(path)], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()[2:]
    marks = done.stdout.splitlines()[1]
    widths = [len(part) for part in marks.split(" ")]
    fonts = {}
    for line in lines:
        name, kind = line[: widths[0]].strip(), line[widths[0] + 1 :][: widths[1]].strip()
        after = line[sum(widths[:3]) + 3 :].split()
        fonts[name] = (kind, after[0] == "yes")
    return fonts
