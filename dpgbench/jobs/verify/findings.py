"""What was looked at in a run, what is wrong there, and what is to be done about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from dpgbench.errors import DataError, DpgBenchError, IncompleteError, counted

Level = Literal["damaged", "incomplete", "unverified", "note"]
LEVELS: tuple[Level, ...] = ("damaged", "incomplete", "unverified", "note")
"""From the worst to the harmless: a run is as its worst finding is; notes are none."""
Verdict = Literal["damaged", "incomplete", "unverified", "sound"]


@dataclass(frozen=True)
class SetAside:
    """Something of a run that is to be done again, and so has to be out of the way.

    Attributes:
        path: of a file of the run.
        lines: numbers of its lines, from 1, that go; the whole file where None.
        redo: what makes it anew: ``generate``, ``score`` (whatever was scored), or a judge's name
            with a colon before it, which is asked again.
        facts: of a grid that goes: its item and hashes, for the record.
    """

    path: Path
    lines: tuple[int, ...] | None = None
    redo: tuple[str, ...] = ()
    facts: tuple[tuple[str, str | None], ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing about a run.

    Attributes:
        level: how bad it is.
        kind: a word for it, the same in every run.
        where: file, line, item.
        what: what is the matter.
        action: what to do; "" where nothing has to be done.
        set_aside: what a repair takes out of the run.
        details: the same for programs.
    """

    level: Level
    kind: str
    where: str
    what: str
    action: str = ""
    set_aside: tuple[SetAside, ...] = ()
    details: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        """Return it as one sentence."""
        return f"{self.where}: {self.what}" + (f"; {self.action}" if self.action else "")

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "level": self.level,
            "kind": self.kind,
            "where": self.where,
            "what": self.what,
            "action": self.action,
            "repairable": bool(self.set_aside),
            **({"details": dict(self.details)} if self.details else {}),
        }


@dataclass
class Findings:
    """Findings as they come, and how much was looked at.

    Attributes:
        all: in the order in which they came.
        checked: how many of what were looked at, whatever came of it.
    """

    all: list[Finding] = field(default_factory=list)
    checked: Counter[str] = field(default_factory=Counter)

    def add(
        self,
        level: Level,
        kind: str,
        where: str,
        what: str,
        action: str = "",
        *,
        set_aside: Iterable[SetAside] = (),
        **details: Any,
    ) -> None:
        """Add one; arguments are the fields of `Finding`."""
        finding = Finding(
            level, kind, where, what, action, tuple(set_aside), tuple(details.items())
        )
        self.all.append(finding)


@dataclass(frozen=True)
class Verification:
    """What became of looking at a run.

    Attributes:
        run: its folder.
        findings: the worst first, else in the order of the files.
        checked: how many of what were looked at.
        shards: the same of each part of the run that was not merged yet.
    """

    run: Path
    findings: Sequence[Finding]
    checked: dict[str, int]
    shards: Sequence[Verification] = ()

    @property
    def every_finding(self) -> list[Finding]:
        """The findings of the run and of its shards."""
        return [*self.findings, *(f for shard in self.shards for f in shard.every_finding)]

    @property
    def verdict(self) -> Verdict:
        """As the worst finding is, of the shards too."""
        levels = {finding.level for finding in self.every_finding}
        for level in LEVELS:
            if level in levels and level != "note":
                return level
        return "sound"

    @property
    def error(self) -> DpgBenchError | None:
        """What a command ends with: data faults first, then work that is open; None if sound."""
        if self.verdict == "sound":
            return None
        counts = Counter(finding.level for finding in self.every_finding)
        if counts["damaged"]:
            mend = any(finding.set_aside for finding in self.every_finding)
            how = f"'dpgbench verify {self.run} --repair' sets aside what can be done again"
            return DataError(
                f"{self.run}: {counted(counts['damaged'], 'fault')}; "
                + (how if mend else "each line above says what to do")
            )
        parts = [
            f"{counted(counts[level], 'finding')} of work that is open"
            if level == "incomplete"
            else f"{counted(counts[level], 'thing')} that could not be verified"
            for level in LEVELS[1:3]
            if counts[level]
        ]
        return IncompleteError(
            f"{self.run}: no fault was seen, but {' and '.join(parts)}; "
            "each line above says what to do"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "run": str(self.run),
            "verdict": self.verdict,
            "checked": self.checked,
            "findings": [finding.to_json() for finding in self.findings],
            "shards": [shard.to_json() for shard in self.shards],
        }


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings with the worst first, each level in the order in which they came."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))
