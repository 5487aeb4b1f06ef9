"""The content of an address, whole or not at all."""

from __future__ import annotations

import http.client
import io
import urllib.error
import urllib.request
from collections.abc import Callable

from dpgbench.errors import DataError, SetupError

_CHUNK_BYTES = 1 << 16
_TIMEOUT_SECONDS = 60

Progress = Callable[[int, int | None], None]


def download(url: str, *, progress: Progress, limit: int | None = None) -> bytes:
    """Return the content of `url`.

    Args:
        url: http or https.
        progress: told bytes done and bytes in all (None where the server does not say).
        limit: more bytes than these are not taken.

    Raises:
        SetupError: it cannot be reached.
        DataError: the transfer was cut off, or is larger than `limit`.
    """
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
            return _read_all(url, response, progress, limit)
    except urllib.error.HTTPError as error:
        error.close()
        raise SetupError(
            f"{url} answered {error.code} {error.reason}; check the address, or try again later"
        ) from None
    except http.client.IncompleteRead as error:
        raise DataError(
            f"{url} was cut off after {len(error.partial)} bytes; run the same command again"
        ) from None
    except (urllib.error.URLError, TimeoutError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise SetupError(
            f"{url} cannot be reached: {reason}; check the network, "
            "or give a copy of your own with --from"
        ) from None


def _read_all(
    url: str,
    response: http.client.HTTPResponse,
    progress: Progress,
    limit: int | None,
) -> bytes:
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdigit() else None
    buffer = io.BytesIO()
    while chunk := response.read(_CHUNK_BYTES):
        buffer.write(chunk)
        if limit is not None and buffer.tell() > limit:
            raise DataError(f"{url} is larger than {limit >> 20} MiB, which the benchmark is not")
        progress(buffer.tell(), total)
    if total is not None and buffer.tell() != total:
        raise DataError(
            f"{url} was cut off after {buffer.tell()} of {total} bytes; run the same command again"
        )
    return buffer.getvalue()
