"""PNG files that Pillow opens in half the time: the same rows, inflated beforehand.

Pillow inflates a PNG row by row, which takes twice as long as inflating it at once; thumbs of a
large report spend most of their time so. Where anything is unusual, a file stays as it is, and
Pillow says what is wrong with it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from isal import isal_zlib

from dpgbench.store.images import MAX_PIXELS

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_DATA, _END = b"IDAT", b"IEND"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}  # by the kind of colour; palettes are not usual for pictures
_MOST_IN_BLOCK = 0xFFFF
_ZLIB_HEADER = b"\x78\x01"
_CHECKSUM = 4  # bytes at the end of a stream: Adler-32 of what is inside


class _Chunk(NamedTuple):
    """A part of the file: its kind, and its place from its length to its checksum."""

    kind: bytes
    start: int
    end: int


def inflated_png(content: bytes) -> bytes:
    """Return a PNG of the same picture whose data are not compressed.

    A file of another format, a damaged one, and one that is interlaced, has a palette or not 8 bits
    a channel is returned as it is.
    """
    try:
        return _inflated(content) or content
    except Exception:  # noqa: BLE001 - whatever is wrong with a file, Pillow says it
        return content


def _inflated(content: bytes) -> bytes | None:
    chunks = list(_chunks(content))
    size = _size_of_rows(content, chunks)
    data = [chunk for chunk in chunks if chunk.kind == _DATA]
    if not size or not data or chunks[-1].kind != _END:
        return None
    first, last = chunks.index(data[0]), chunks.index(data[-1])
    if last - first + 1 != len(data):
        return None
    view = memoryview(content)
    stream = b"".join(view[chunk.start + 8 : chunk.end - 4] for chunk in data)
    engine = isal_zlib.decompressobj()
    rows = engine.decompress(stream, size + 1)
    if len(rows) != size or not engine.eof or engine.unused_data:
        return None
    body = _stored(rows, stream[-_CHECKSUM:])
    return b"".join(
        [
            view[: data[0].start],
            struct.pack(">I", len(body)),
            _DATA,
            body,
            struct.pack(">I", isal_zlib.crc32(body, isal_zlib.crc32(_DATA))),
            view[data[-1].end :],
        ]
    )


def _chunks(content: bytes) -> Iterator[_Chunk]:
    """Yield the chunks up to the last one.

    Raises:
        ValueError: it is no PNG, or is cut off.
    """
    if not content.startswith(_SIGNATURE):
        raise ValueError("no PNG")
    start = len(_SIGNATURE)
    kind = b""
    while kind != _END:
        length, kind = struct.unpack_from(">I4s", content, start)
        end = start + length + 12
        if end > len(content):
            raise ValueError("cut off")
        yield _Chunk(kind, start, end)
        start = end


def _size_of_rows(content: bytes, chunks: list[_Chunk]) -> int:
    """Return how many bytes the rows have, each with its filter; 0 for a file to be left alone."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(
        ">IIBBBBB", content, chunks[0].start + 8
    )
    usual = chunks[0].kind == b"IHDR" and depth == 8 and colour in _CHANNELS and not interlaced
    animated = any(chunk.kind == b"acTL" for chunk in chunks)
    if not usual or animated or width * height > MAX_PIXELS:
        return 0
    return int((width * _CHANNELS[colour] + 1) * height)


def _stored(rows: bytes, checksum: bytes) -> bytes:
    """Return a zlib stream that holds `rows` as they are."""
    view = memoryview(rows)
    parts: list[Any] = [_ZLIB_HEADER]
    for at in range(0, len(rows), _MOST_IN_BLOCK):
        part = view[at : at + _MOST_IN_BLOCK]
        last = at + _MOST_IN_BLOCK >= len(rows)
        parts += [struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF), part]
    return b"".join([*parts, checksum])
