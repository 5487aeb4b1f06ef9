"""What asking a judge cost, over several commands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def add_accounts(before: Mapping[str, Any], latest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the account of a judge that was asked in several commands.

    Counts are added, lists joined, the first date is the earlier command's; of everything else the
    latest counts.
    """
    total = dict(before)
    for name, value in latest.items():
        old = before.get(name)
        if isinstance(value, int | float) and isinstance(old, int | float):
            total[name] = round(old + value, 6)
        elif isinstance(value, list) and isinstance(old, list):
            total[name] = sorted({*old, *value})
        elif old is None or (value is not None and not name.startswith("first_")):
            total[name] = value
    return total
