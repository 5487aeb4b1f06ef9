"""Item ids name files; here is what they may look like."""

from __future__ import annotations

from dpgbench.errors import DataError, clipped

_MAX_ID_BYTES = 200


def check_item_id(item_id: str, where: str) -> None:
    """Raise where an id could not be a file's name, or could escape its folder.

    Raises:
        DataError: names the id and `where` it stands.
    """
    bad = (
        not item_id
        or item_id != item_id.strip()
        or item_id.startswith(".")
        or any(character in '/\\:*?"<>|' or not character.isprintable() for character in item_id)
        or len(item_id.encode()) > _MAX_ID_BYTES
    )
    if bad:
        raise DataError(
            f"{where}: item id {clipped(item_id, 80)} cannot name an image file; use letters, "
            f"digits, '_', '-' and '.', at most {_MAX_ID_BYTES} bytes, no leading '.'"
        )
