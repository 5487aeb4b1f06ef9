"""Names of files and labels that stand for the leaderboards of a report."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dpgbench.analysis.leaderboard import GroupKey
from dpgbench.domain.spec import identity_hash


def group_names(keys: Sequence[GroupKey]) -> dict[GroupKey, str]:
    """Return a name for each leaderboard; hashes are added where two would have one name."""
    plain = {
        key: re.sub(r"[^\w.-]+", "-", f"{key.benchmark}-{key.judge}-{key.rule}")[:80]
        for key in keys
    }
    names = list(plain.values())
    return {
        key: name if names.count(name) == 1 else f"{name}-{identity_hash(key._asdict())[:8]}"
        for key, name in plain.items()
    }
