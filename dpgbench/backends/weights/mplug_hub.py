"""mPLUG's weights from the Hugging Face hub: a second source beside ModelScope.

The hub's client keeps the files in its own cache, resumes cut transfers and checks what arrives.
Here lives what the toolkit adds: which files, one line before the transfer, errors in one line.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dpgbench.backends.judges.table import MPLUG_REPOSITORY
from dpgbench.backends.weights.hub_errors import hub_trouble
from dpgbench.errors import SetupError

NEEDED = ("config.yaml", "vocab.txt", "pytorch_model.bin")
"""Without these there is no judge."""
OPTIONAL = ("configuration.json", "config_bert.json")
"""What a copy may lack: mPLUG-large's own fields stand in for the second."""

_OTHERWISE = (
    "or take ModelScope's with --weights-source modelscope, or give a copy with "
    "--weights judge=FOLDER"
)


def fetch(*, revision: str | None = None, say: Callable[[str], None]) -> tuple[Path, str]:
    """Return the folder that holds the judge's files, and the commit that they are of.

    Args:
        revision: branch, tag or commit; None is the default branch.
        say: told one line before gigabytes are fetched; nothing where they are in the cache.

    Raises:
        SetupError: gated, no such repository or revision, no network, no room on the disk, or a
            file is missing.
    """
    from huggingface_hub import snapshot_download

    if not is_cached(revision):
        say(
            f"fetching {MPLUG_REPOSITORY} (revision {revision or 'main'}) from Hugging Face, about "
            "3 GB, into the hub's cache"
        )
    try:
        folder = Path(
            snapshot_download(
                MPLUG_REPOSITORY, revision=revision, allow_patterns=[*NEEDED, *OPTIONAL]
            )
        )
    except Exception as error:  # the hub's client raises errors of many kinds
        raise SetupError(
            "mPLUG's weights are not on this machine and cannot be fetched from Hugging Face: "
            f"{hub_trouble(error, MPLUG_REPOSITORY, revision)}; {_OTHERWISE}"
        ) from error
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise SetupError(
            f"{MPLUG_REPOSITORY} as it is in {folder} lacks {', '.join(missing)}: a cut transfer "
            f"(run the same command again where there is a network) or another revision is needed; "
            f"{_OTHERWISE}"
        )
    return folder, folder.name


def is_cached(revision: str | None = None) -> bool:
    """Return whether the hub's cache has all needed files at a revision; no network is used."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(MPLUG_REPOSITORY, name, revision=revision) for name in NEEDED]
    return all(isinstance(path, str) for path in found)
