r"""Text of any writing as LaTeX that pdflatex prints with its default fonts and encoding.

What pdflatex has no letter for is never left out in silence: it is handed to ``\dpgunicode``,
which prints code points unless the author gives it a font (`PREAMBLE`).
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterable

PREAMBLE = r"""% needs \usepackage{booktabs,graphicx}
\providecommand{\dpgfit}[1]{\sbox2{#1}%
  \ifdim\wd2>\linewidth\resizebox{\linewidth}{!}{\usebox2}\else\usebox2\fi}
\providecommand{\dpgunicode}[2]{#2}
"""
r"""Before tables: what they need. ``\dpgfit`` makes one that is too wide as wide as its line."""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    "\u00a0": "~",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\dots{}",
    "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "œ": r"\oe{}", "Œ": r"\OE{}", "ø": r"\o{}",
    "Ø": r"\O{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}", "§": r"\S{}", "¶": r"\P{}",
    "†": r"\dag{}", "‡": r"\ddag{}", "©": r"\copyright{}", "¡": "!`", "¿": "?`",
}  # fmt: skip
_MATHS = {
    "±": r"\pm", "×": r"\times", "÷": r"\div", "·": r"\cdot", "≤": r"\le", "≥": r"\ge",
    "≠": r"\ne", "≈": r"\approx", "→": r"\to", "←": r"\leftarrow", "↑": r"\uparrow",
    "↓": r"\downarrow", "∞": r"\infty", "∈": r"\in", "∑": r"\sum", "√": r"\surd", "−": "-",
    "°": r"{}^\circ", "²": "{}^2", "³": "{}^3", "¹": "{}^1", "★": r"\star", "∗": r"\ast",
    "µ": r"\mu", "ς": r"\varsigma", "ϵ": r"\epsilon", "ε": r"\varepsilon", "φ": r"\varphi",
    "ϕ": r"\phi", "ο": "o", "ϑ": r"\vartheta",
    "\u2126": r"\Omega",
}  # fmt: skip
_MATHS |= {
    chr(code): rf"\{unicodedata.name(chr(code)).rsplit(maxsplit=1)[-1].lower()}"
    for code in (*range(0x3B1, 0x3BF), *range(0x3C0, 0x3C2), *range(0x3C3, 0x3CA))
    if chr(code) not in _MATHS
}
_MATHS |= {
    chr(code): rf"\{unicodedata.name(chr(code)).rsplit(maxsplit=1)[-1].capitalize()}"
    for code in map(ord, "ΓΔΘΞΠΣΥΦΨΩ")
}
_MATHS |= {
    greek: rf"\mathrm{{{latin}}}"
    for greek, latin in zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧ", "ABEZHIKMNOPTX", strict=True)
}
_MATHS |= {"λ": r"\lambda", "Λ": r"\Lambda"}  # Unicode calls it LAMDA
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u",
    "\u0307": ".", "\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0323": "d",
    "\u0327": "c", "\u0331": "b",
}  # fmt: skip
_BREAK = r"\hspace{0pt}"
_LONG_WORD = 16  # printed characters that fit into any line
_LONGEST_PART = 12  # characters without a place to break a line at


def latex(text: str) -> str:
    """Return one line of text as LaTeX."""
    parts: list[str] = []
    plain = unicodedata.normalize("NFC", text)
    for missing, run in itertools.groupby(plain, lambda letter: _character(letter) is None):
        characters = "".join(run)
        if missing:
            points = " ".join(f"U+{ord(character):04X}" for character in characters)
            parts.append(rf"\dpgunicode{{{characters}}}{{{points}}}")
            continue
        for character in characters:
            if character == "-" and parts and parts[-1].endswith("-"):
                parts.append("{}")  # two hyphens would become a dash
            parts.append(_character(character) or "")
    return "".join(parts)


def breakable(text: str) -> str:
    """Return one line of text as LaTeX whose lines can be broken within long words too."""
    words = text.split(" ")
    return " ".join(
        latex(word) if _printed(word) <= _LONG_WORD else _BREAK.join(map(latex, _pieces(word)))
        for word in words
    )


def unprintable(texts: Iterable[str]) -> str:
    """Return the characters of `texts` that pdflatex has no letter for, each once."""
    characters = dict.fromkeys(character for text in texts for character in text)
    return "".join(character for character in characters if _character(character) is None)


def lines(text: str, width: int) -> list[str]:
    """Return a name in lines of about `width` printed characters, broken where it has marks."""
    broken = [""]
    for piece in re.findall(r"[^\s\-_/:.]*[\s\-_/:.]*", text):
        for part in _chunks(piece, width):
            if broken[-1] and _printed(broken[-1] + part.rstrip()) > width:
                broken.append("")
            broken[-1] += part
    return [line.rstrip() for line in broken]


def _chunks(piece: str, width: int) -> list[str]:
    """Return a piece in parts that are no longer than a line."""
    parts = [""]
    for character in piece:
        if parts[-1] and _printed(parts[-1] + character) > width:
            parts.append("")
        parts[-1] += character
    return parts


def _printed(text: str) -> int:
    """Return how many characters a text is on paper: a code point in hexadecimal is seven."""
    return sum(1 if _character(character) is not None else 7 for character in text)


def _pieces(word: str) -> list[str]:
    """Return a word in the parts between which a line may be broken."""
    parts = re.findall(r"[^\-_/:.=+@,;()]*[\-_/:.=+@,;()]*", word)
    return [
        part[start : start + _LONGEST_PART]
        for part in parts
        for start in range(0, len(part), _LONGEST_PART)
    ] or [""]


def _character(character: str) -> str | None:
    """Return a character as LaTeX; None where pdflatex has no letter for it."""
    if character in _SPECIAL:
        return _SPECIAL[character]
    if " " <= character <= "~":
        return character
    if character in _MATHS:
        return rf"\ensuremath{{{_MATHS[character]}}}"
    parts = unicodedata.normalize("NFD", character)
    base, mark = parts[0], parts[1:]
    if mark in _ACCENTS and base.isascii() and base.isalpha():
        letter = rf"\{base}" if base in "ij" else base
        return rf"\{_ACCENTS[mark]}{{{letter}}}"
    return None
