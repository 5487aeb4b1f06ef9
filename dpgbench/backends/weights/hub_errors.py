"""Why the Hugging Face hub did not give what was asked of it, and what to do: each kind told apart.

The hub's client, diffusers and transformers wrap each other's errors; the cause is looked for in
the whole chain.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from dpgbench.errors import reason_of

_FULL = (errno.ENOSPC, errno.EDQUOT)
_CUT = ("RemoteProtocolError", "ReadError", "ReadTimeout", "IncompleteRead", "ChunkedEncodingError")
_CUT_WORDS = "Consistency check failed"  # the client counts the bytes
_NO_NETWORK = ("ConnectError", "ConnectionError", "ConnectTimeout", "Timeout", "NetworkError")


def hub_trouble(error: BaseException, repository: str, revision: str | None = None) -> str:
    """Return the reason in words, with the next step, as one line without a full stop.

    Args:
        error: what the client raised.
        repository: ``ORG/REPO`` that was asked for.
        revision: of it; None is the newest.
    """
    from huggingface_hub import errors

    at = f" --revision {revision}" if revision else ""
    elsewhere = f"run 'hf download {repository}{at}' where there is a network"
    chain = list(_chain(error))

    def raised(*kinds: type[BaseException]) -> BaseException | None:
        return next((one for one in chain if isinstance(one, kinds)), None)

    if raised(errors.GatedRepoError):
        return (
            f"{repository} is gated: accept its terms at https://huggingface.co/{repository}, then "
            "log in with 'hf auth login' (or set HF_TOKEN)"
        )
    if raised(errors.RevisionNotFoundError):
        return (
            f"{repository} has no revision '{revision or 'main'}': see "
            f"https://huggingface.co/{repository}/commits for those that it has "
            "(--revision main is the newest)"
        )
    if raised(errors.DisabledRepoError):
        return f"{repository} was taken down by the hub: take another copy"
    if raised(errors.RepositoryNotFoundError):
        return (
            f"the hub has no repository {repository}, or it is private: check the name, and for a "
            "private one log in with 'hf auth login' (or set HF_TOKEN)"
        )
    if any(isinstance(one, OSError) and one.errno in _FULL for one in chain):
        return (
            "the disk of the hub's cache is full: free some space, or set HF_HOME to a folder on "
            "another disk"
        )
    if raised(errors.RemoteEntryNotFoundError):
        reason = reason_of(error, first_line=True)
        return f"{repository} lacks a file that is needed ({reason}): check the name"
    if any(map(_is_cut, chain)):
        return (
            f"the transfer of {repository} ended before it was whole: run the same command again, "
            "what has arrived is kept"
        )
    if raised(errors.OfflineModeIsEnabled) or (_offline() and raised(errors.EntryNotFoundError)):
        return (
            "the hub may not be asked (HF_HUB_OFFLINE is set) and its files are not in the cache: "
            f"unset HF_HUB_OFFLINE, or {elsewhere}"
        )
    if raised(errors.LocalEntryNotFoundError) or any(_is_network(one) for one in chain):
        return f"the hub cannot be reached (no network, or a proxy in between): {elsewhere}"
    status = next((code for one in chain if (code := _status(one))), None)
    return _of_status(status, repository) or f"{reason_of(error, first_line=True)}: {elsewhere}"


def _of_status(status: int | None, repository: str) -> str | None:
    """Return what an HTTP status without a reason of its own says; None without a status."""
    if status in (401, 403):
        return (
            f"the hub refuses ({status}): log in with 'hf auth login' (or set HF_TOKEN) with an "
            f"account that may read {repository}"
        )
    return None if status is None else f"the hub answered with {status}: try again later"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.is_offline_mode())


def _is_cut(error: BaseException) -> bool:
    """Return whether a transfer had begun and ended before all bytes were there."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return bool(names & {*_CUT}) or (isinstance(error, OSError) and _CUT_WORDS in str(error))


def _is_network(error: BaseException) -> bool:
    """Return whether an error is of the connection: httpx's, requests' and Python's own."""
    names = {cls.__name__ for cls in type(error).__mro__}
    return isinstance(error, (ConnectionError, TimeoutError)) or bool(names & {*_NO_NETWORK})


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None
