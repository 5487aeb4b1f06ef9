"""Where a model is fetched from, and what its client's complaints mean in plain words."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dpgbench.errors import SetupError
from dpgbench.store.files import writing

if TYPE_CHECKING:
    from modelscope_hub import HubApi

OWN_COPY = (
    "or give a copy of your own with --weights judge=FOLDER, or take Hugging Face's with "
    "--weights-source hf"
)
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


class Source(NamedTuple):
    """A model at a revision, and the client that reaches it."""

    api: HubApi
    host: str
    model_id: str
    revision: str

    def __str__(self) -> str:
        return f"{self.model_id} (revision {self.revision})"


@contextlib.contextmanager
def in_plain_words(source: Source, target: Path) -> Iterator[None]:
    """Turn what the client raises into one line with what, where and what to do next."""
    from modelscope_hub import errors as hub
    from requests import RequestException

    try:
        yield
    except hub.FileIntegrityError as error:
        raise SetupError(
            f"{source} came from {source.host} with wrong content, which was thrown away "
            f"({error.message}); try again later, {OWN_COPY}"
        ) from error
    except (hub.AuthenticationError, hub.PermissionDeniedError) as error:
        raise SetupError(
            f"{source.host} refuses {source} ({error.message}); "
            f"set MODELSCOPE_API_TOKEN to a token that may read it, {OWN_COPY}"
        ) from error
    except (hub.NetworkError, RequestException) as error:
        cause = _root_cause(error)
        if isinstance(cause, OSError) and cause.errno in _DISK_ERRORS:
            with writing(target):
                raise cause from None
        raise SetupError(
            f"{source} cannot be fetched from {source.host}: {_reason(cause)}; check the "
            f"network and run the same command again (what arrived is kept in {target}), "
            f"{OWN_COPY}"
        ) from error
    except hub.HubError as error:
        raise SetupError(
            f"{source.host} does not give {source}: {error.message}; try again later, {OWN_COPY}"
        ) from error
    except OSError:
        with writing(target):
            raise


def _root_cause(error: BaseException) -> BaseException:
    """Return what happened first, from under the layers of the client."""
    while deeper := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = deeper
    return error


def _reason(cause: BaseException) -> str:
    if isinstance(cause, TimeoutError):
        return "timed out"
    if isinstance(cause, OSError):
        return cause.strerror or str(cause)
    if isinstance(cause, ValueError):
        return "the answer is not one that ModelScope gives"
    return "the transfer was cut off"
