"""Files as they should not be: strategies that damage sound ones, with and without their structure.

Small examples are tried first, and hypothesis shrinks what fails: the smallest damage is reported.
"""

from __future__ import annotations

import csv
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

TEXTS = (
    "", " ", "x", "0", "-0", "-1", "00", "1.0", "1.5", "1e400", "-1e400", "1e-400", "nan", "NaN",
    "inf", "-Infinity", "1_0", "+1", "0x10", "9" * 20, "9" * 400, "9" * 5000, "1" + "0" * 308,
    "１２", "१", "²", "½", "yes", "no", "Yes", "TRUE", "None", "null", "N/A",
    "../x", "..", ".", "/", "/etc/passwd", "C:\\x", "CON", "con.png", "nul", "a/b", "a\\b", "a:b",
    "~", "~root", "~nobody-there/x", "x" * 255, "x" * 10_000, "é" * 200, "\u202e", "\u200b",
    "\ufeff",
    "\x00", "\x07", "\x1b[31m", "\x85", "\u2028", "\r", "\n", "\r\n", "\t", '"', "'", '""', ",",
    ";",
    "=1+1", "@x", "{item_id}", "{0}", "{item_id:>9999999999}", "{item_id.__class__}", "%s", "%(x)s",
    "{", "}", "[", "]", "\\", "\\u0000", "\\ud800", "<script>", "&amp;", "*", "?", "[!", "(",
    "a" * 63,
    "\U0001f600", "e\u0301", "\uffff", "\U0010ffff", "A=B=C", "=", "0,0", "1,2,3", "1,,2", "-",
    "--x",
    "hf:", "hf:x", "hf:a/b", "openai:", "ensemble:", "ensemble:,", "ensemble:ensemble:x", "a:b:c",
    "http://", "http://[", "http://x:99999", "://", "file:///etc/passwd", "1/3", "0/3", "4/3",
    "1/0",
    "4x4", "2x2", "1×4", "0x0", "2X2", "²x2",
)  # fmt: skip
"""What stands in cells, ids, options and names of people who mean well or ill."""

RAW_JSON = (
    "null", "true", "false", "0", "-0", "-0.0", "1", "-1", "3", "1.5", "1e400", "-1e400", "1e-400",
    "1e308", "NaN", "Infinity", "-Infinity", "9" * 19, "9" * 400, "9" * 4300, "9" * 5000,
    "0." + "9" * 5000, "1" + "0" * 308, '""', '"x"', '"../x"', '"CON"', r'"\u0000"', r'"\ud800"',
    r'"\udc00\ud800"', r'"\u202e"', r'"a\nb"', r'"\u001b[31m"', '"' + "x" * 10_000 + '"', '"٣"',
    '"yes"', '"2x2"', '"{item_id}.png"', '"~nobody-there"', "[]", "[1]", '["x"]', "[null]",
    '[["a", 1]]', "{}", '{"a": 1}', '{"": null}', '{"a": {"b": [1e400]}}', "[" * 300 + "]" * 300,
    "[" * 100_000, '{"a":' * 900 + "1" + "}" * 900, '{"a":' * 20_000, "01", "+1", "'x'",
    "undefined",
    "1 2", "/**/1", '"\t"', '"', "\\", "[1,]", '{"a":1,"a":2}', '{"a"}', "[" + "0," * 5000 + "0]",
)  # fmt: skip
"""JSON values that are of another type, out of range, huge, deep, or no JSON."""

TOKENS: tuple[bytes, ...] = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xed\xa0\x80", b"\xc0\x80",
    b"\r",
    b"\n", b"\r\n", b"\n\n\n", b"\x0c", b"\x1a", b"\x1b[31m", b"\xc2\x85", b"\xe2\x80\xa8", b'"',
    b"'",
    b",", b";", b"\t", b'""', b"{", b"}", b"[", b"]", b":", b"\\", b"1e400", b"NaN", b"-0",
    b"9" * 5000,
    b"null", b"\xd9\xa3", b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x00" * 64, b"x" * 20_000, b"," * 3_000, b"[" * 20_000,
)  # fmt: skip

Strategy = st.SearchStrategy[bytes]


@st.composite
def changed_bytes(draw: st.DrawFn, sample: bytes, most: int = 4) -> bytes:
    """Return a file with some bytes changed, cut, doubled, moved or put in."""
    data = sample
    for _ in range(draw(st.integers(1, most))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.sampled_from((0, 1, 2, 4, 8, 40, 1000))))
        change = draw(st.integers(0, 7))
        if change == 0:
            data = data[:start]
        elif change == 1:
            data = data[:start] + data[end:]
        elif change == 2:
            data = data[:end] + data[start:]
        elif change == 3:
            data = data[:start] + draw(st.binary(min_size=1, max_size=4)) + data[end:]
        elif change == 4:
            data = data[:start] + draw(st.sampled_from(TOKENS)) + data[end:]
        elif change == 5:
            data = data[start:end] + data[:start] + data[end:]
        elif change == 6:
            number = draw(st.sampled_from((0, 1, -1, 2**31 - 1, -(2**31), 2**16, 2**24)))
            data = (
                data[:start] + struct.pack(draw(st.sampled_from("<>")) + "i", number) + data[end:]
            )
        else:
            data = data[:start] + data[start:end] * draw(st.integers(2, 50)) + data[end:]
    return data


def recoded(sample: bytes) -> Strategy:
    """Return the whole file in another coding, with other line ends, or wrapped."""
    text = sample.decode("utf-8", "replace")
    forms = (
        b"", b"\n", b" ", b"\x00", b"\xef\xbb\xbf", b"\xef\xbb\xbf" + sample,
        b"\xef\xbb\xbf" * 2 + sample, text.encode("utf-16"), text.encode("utf-16-le"),
        text.encode("utf-32"), text.encode("latin-1", "replace"), text.encode("cp1252", "replace"),
        sample.replace(b"\n", b"\r\n"), sample.replace(b"\n", b"\r"), sample.replace(b"\n",
    b"\n\r"),
        sample.replace(b"\n", b"\n\n"), sample.replace(b"\n", b" "), sample.replace(b",", b";"),
        sample.replace(b",", b"\t"), sample.replace(b'"', b"'"), sample.rstrip(b"\n"),
        sample + sample, sample + b"\x00" * 4096, b"\n" * 2000 + sample, sample * 20,
        b"PK\x03\x04" + sample, b"\x1f\x8b" + sample, b"%PDF-1.4\n" + sample, sample.upper(),
        sample[::-1], b"[" + sample + b"]", b'{"x":' + sample + b"}",
    )  # fmt: skip
    return st.sampled_from(forms)


def raw_bytes() -> Strategy:
    """Return anything at all."""
    return st.binary(max_size=300)


def any_text() -> st.SearchStrategy[str]:
    """Return a text that people, programs or attackers write."""
    parts = st.one_of(st.sampled_from(TEXTS), st.text(max_size=8))
    return st.one_of(parts, st.lists(parts, max_size=4).map("".join))


class _Raw(str):
    """JSON as it is to stand in the file."""


class _Pairs(list[tuple[str, Any]]):
    """A JSON object whose keys may be there twice."""


def _tree(value: Any) -> Any:
    if isinstance(value, dict):
        return _Pairs((key, _tree(inner)) for key, inner in value.items())
    return [_tree(inner) for inner in value] if isinstance(value, list) else value


def _rendered(tree: Any) -> str:
    if isinstance(tree, _Raw):
        return str(tree)
    if isinstance(tree, _Pairs):
        pairs = (f"{json.dumps(key)}: {_rendered(inner)}" for key, inner in tree)
        return "{" + ", ".join(pairs) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(_rendered, tree)) + "]"
    return json.dumps(tree)


@st.composite
def _raw_value(draw: st.DrawFn) -> _Raw:
    if draw(st.booleans()):
        return _Raw(draw(st.sampled_from(RAW_JSON)))
    if draw(st.booleans()):
        return _Raw(json.dumps(draw(any_text())))
    number = st.one_of(st.integers(-(2**70), 2**70), st.floats())
    return _Raw(json.dumps(draw(number)))


def _change_tree(draw: st.DrawFn, tree: Any, depth: int = 0) -> Any:
    """Change one place of a tree, the deeper the likelier that it is here."""
    inside = isinstance(tree, list) and len(tree) > 0
    if not inside or draw(st.integers(0, 9)) < depth:
        return draw(_raw_value())
    place = draw(st.integers(0, len(tree) - 1))
    change = draw(st.integers(0, 9))
    changed = type(tree)(tree)
    entry = tree[place]
    if change == 0:
        del changed[place]
    elif change == 1:
        changed.insert(place, entry)
    elif change == 2 and isinstance(tree, _Pairs):
        changed[place] = (draw(any_text()), entry[1])
    elif change == 3 and isinstance(tree, _Pairs):
        changed.append((entry[0], draw(_raw_value())))  # the same key twice
    elif change == 4 and isinstance(tree, _Pairs):
        changed.append((draw(any_text()), draw(_raw_value())))
    elif isinstance(tree, _Pairs):
        changed[place] = (entry[0], _change_tree(draw, entry[1], depth + 1))
    else:
        changed[place] = _change_tree(draw, entry, depth + 1)
    return changed


@st.composite
def changed_json(draw: st.DrawFn, sample: bytes) -> bytes:
    """Return a JSON text with values of other types, keys twice, absent or more."""
    tree = _tree(json.loads(sample))
    for _ in range(draw(st.integers(1, 3))):
        tree = _change_tree(draw, tree)
    return _rendered(tree).encode("utf-8", "surrogatepass")


@st.composite
def changed_lines(draw: st.DrawFn, sample: bytes) -> bytes:
    """Return JSON lines of which some are damaged, twice, absent, or cut off."""
    lines = sample.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(lines) - 1)) if lines else 0
        change = draw(st.integers(0, 5))
        if not lines or change == 0:
            lines.insert(place, draw(st.one_of(raw_bytes(), st.sampled_from((b"", b" ", b"[]")))))
        elif change == 1:
            del lines[place]
        elif change == 2:
            lines.insert(draw(st.integers(0, len(lines))), lines[place])
        else:
            lines[place] = draw(_changed_line(lines[place]))
    end = draw(st.sampled_from((b"\n", b"\n", b"\n", b"", b"\r\n", b"\n{")))
    return b"\n".join(lines) + end


@st.composite
def _changed_line(draw: st.DrawFn, line: bytes) -> bytes:
    try:
        tree = _tree(json.loads(line))
    except (ValueError, RecursionError):
        return draw(changed_bytes(line))
    return _rendered(_change_tree(draw, tree)).encode("utf-8", "surrogatepass")


@st.composite
def changed_table(draw: st.DrawFn, sample: bytes) -> bytes:
    """Return a CSV with other cells, columns, rows, separators, quotes or line ends."""
    rows = list(csv.reader(io.StringIO(sample.decode(), newline="")))
    for _ in range(draw(st.integers(1, 3))):
        number = draw(st.integers(0, len(rows) - 1)) if rows else 0
        if not rows or not rows[number]:
            rows.insert(number, [draw(any_text())])
            continue
        column = draw(st.integers(0, len(rows[number]) - 1))
        change = draw(st.integers(0, 9))
        if change == 0:
            del rows[number]
        elif change == 1:
            rows.insert(number, list(rows[number]))
        elif change == 2:
            rows[number].insert(column, draw(any_text()))
        elif change == 3:
            del rows[number][column]
        elif change == 4:
            rows = [[*row[:column], *row[column + 1 :]] for row in rows]
        elif change == 5:
            rows = [[*row[: column + 1], *row[column:]] for row in rows]
        elif change == 6:
            rows.insert(number, [""] * draw(st.integers(0, 3)))
        else:
            rows[number][column] = draw(any_text())
    buffer = io.StringIO()
    style = draw(st.sampled_from((csv.QUOTE_MINIMAL, csv.QUOTE_MINIMAL, csv.QUOTE_ALL)))
    ends = draw(st.sampled_from(("\n", "\n", "\r\n", "\r")))
    comma = draw(st.sampled_from((",", ",", ",", ",", ";", "\t")))
    csv.writer(buffer, delimiter=comma, quoting=style, lineterminator=ends).writerows(rows)
    return buffer.getvalue().encode("utf-8", "surrogatepass")


@st.composite
def changed_png(draw: st.DrawFn, sample: bytes) -> bytes:
    """Return a PNG whose chunks are changed, twice or absent, with checksums that are right."""
    chunks = list(_png_chunks(sample))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(chunks) - 1))
        kind, content = chunks[place]
        change = draw(st.integers(0, 4))
        if change == 0 and len(chunks) > 1:
            del chunks[place]
        elif change == 1:
            chunks.insert(place, chunks[place])
        elif change == 2:
            chunks.insert(place, draw(st.sampled_from(_CHUNKS)))
        elif change == 3:
            chunks[place] = (kind, draw(changed_bytes(content)))
        else:
            width, height = (
                draw(st.sampled_from((0, 1, 7, 8, 8193, 2**31 - 1, 2**32 - 1))) for _ in "wh"
            )
            depth = draw(st.sampled_from((1, 2, 4, 8, 16, 0, 3, 255)))
            colour = draw(st.sampled_from((0, 2, 3, 4, 6, 1, 255)))
            interlace = draw(st.sampled_from((0, 1, 2)))
            chunks[0] = (
                b"IHDR",
                struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace),
            )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_chunk(*chunk) for chunk in chunks)


_CHUNKS: tuple[tuple[bytes, bytes], ...] = (
    (b"acTL", struct.pack(">II", 2, 0)), (b"acTL", struct.pack(">II", 2**32 - 1, 0)),
    (b"fcTL", b"\x00" * 26), (b"fdAT", b"\x00\x00\x00\x01x"), (b"PLTE", b"\x00" * 3),
    (b"PLTE", b"\xff" * 769), (b"tRNS", b"\x00"), (b"tRNS", b"\xff" * 300), (b"gAMA", b""),
    (b"iCCP", b"x\x00\x00" + zlib.compress(b"\x00" * 5_000_000)),
    (b"zTXt", b"x\x00\x00" + zlib.compress(b"a" * 50_000_000)),
    (b"iTXt", b"x\x00\x01\x00\x00\x00" + zlib.compress(b"a" * 50_000_000)),
    (b"tEXt", b"a" * 100_000), (b"eXIf", b"II*\x00\x08\x00\x00\x00\xff\xff" + b"\x00" * 40),
    (b"eXIf", b"MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"),
    (b"eXIf", b""), (b"pHYs", b"\x00" * 9), (b"cHRM", b"\xff" * 32), (b"IDAT", b""), (b"IEND", b""),
    (b"\x00\x00\x00\x00", b""), (b"sRGB", b"\x09"), (b"IHDR", b""),
)  # fmt: skip


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, place = [], 8
    while place < len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        chunks.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + length]))
        place += 12 + length
    return chunks


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


@st.composite
def changed_safetensors(draw: st.DrawFn, sample: bytes) -> bytes:
    """Return a safetensors file whose header says something else; its length is mostly right."""
    (length,) = struct.unpack("<Q", sample[:8])
    header = sample[8 : 8 + length]
    inner = json.loads(header)
    notes = inner.get("__metadata__", {})
    in_json = sorted(name for name, text in notes.items() if text.startswith("{"))
    if in_json and draw(st.booleans()):  # JSON as a text within JSON
        name = draw(st.sampled_from(in_json))
        changed = draw(changed_json(inner["__metadata__"][name].encode()))
        inner["__metadata__"][name] = changed.decode("utf-8", "replace")
        header = json.dumps(inner).encode()
    else:
        header = draw(changed_json(header))
    said = draw(st.sampled_from((None, None, None, None, 0, 1, 2**63, 2**32, len(sample))))
    return struct.pack("<Q", len(header) if said is None else said) + header + sample[8 + length :]


@st.composite
def changed_zip(draw: st.DrawFn, sample: bytes) -> bytes:
    """Return an archive with members damaged, absent, renamed, packed, or huge when unpacked."""
    with zipfile.ZipFile(io.BytesIO(sample)) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    method = draw(st.sampled_from((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)))
    for _ in range(draw(st.integers(1, 3))):
        if not members:
            break
        place = draw(st.integers(0, len(members) - 1))
        name, content = members[place]
        change = draw(st.integers(0, 6))
        if change == 0:
            del members[place]
        elif change == 1:
            members[place] = (name, b"\x00" * 30_000_000)
            method = zipfile.ZIP_DEFLATED
        elif change == 2:
            members[place] = (draw(any_text()).replace("\x00", "") or "x", content)
        else:
            members[place] = (name, draw(changed_bytes(content)))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in dict(members).items():
            archive.writestr(name.encode("utf-8", "replace").decode(), content)
    return buffer.getvalue()


KINDS: dict[str, Sequence[Callable[[bytes], Strategy]]] = {
    "json": (changed_json, changed_json, changed_bytes, recoded),
    "lines": (changed_lines, changed_lines, changed_bytes, recoded),
    "table": (changed_table, changed_table, changed_bytes, recoded),
    "text": (changed_bytes, recoded),
    "bytes": (changed_bytes,),
    "png": (changed_png, changed_bytes),
    "safetensors": (changed_safetensors, changed_bytes),
    "zip": (changed_zip, changed_bytes),
}


@dataclass(frozen=True)
class Damaged:
    """A damaged file, which shows only as much of itself as can be read."""

    content: bytes

    def __repr__(self) -> str:
        if len(self.content) <= _MOST_SHOWN:
            return f"Damaged({self.content!r})"
        return f"<{len(self.content):,} bytes, first {self.content[:_MOST_SHOWN]!r}>"


_MOST_SHOWN = 1500


def damaged(kind: str, samples: Sequence[bytes]) -> st.SearchStrategy[Damaged]:
    """Return sound files damaged in the ways of a kind, and sometimes anything at all."""
    strategies = [change(sample) for sample in samples for change in KINDS[kind]]
    return st.one_of(*strategies, raw_bytes()).map(Damaged)
