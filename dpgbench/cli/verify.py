"""`dpgbench verify`: is a run what it says; with --repair, what is damaged is set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpgbench.cli.console import echo, print_json
from dpgbench.cli.options import AsJson, Bench, ImagesFolder
from dpgbench.errors import counted

if TYPE_CHECKING:
    from dpgbench.jobs.verify.findings import Finding, Verification
    from dpgbench.jobs.verify.repair import Repaired

_MOST_OF_A_KIND = 20


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("verify")(verify)


def verify(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run to look at.")],
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Set aside what is damaged and can be done again; deletes nothing."
        ),
    ] = False,
    bench: Bench = None,
    images: ImagesFolder = None,
    as_json: AsJson = False,
) -> None:
    """Look at every file of a run: hashes, answers, scores computed anew; say what to do.

    Exit code 3 where something is damaged, else 6 where work is open or something could not be
    verified, else 0.
    """
    from dpgbench.jobs.verify.repair import repair as set_aside
    from dpgbench.jobs.verify.run import verify as look

    if repair:
        done = set_aside(run, bench=bench, images=images)
        verification = done.after
        if as_json:
            print_json(
                {
                    **verification.to_json(),
                    "set_aside": [str(folder) for folder in done.folders],
                    "taken": list(done.taken),
                    "commands": list(done.commands),
                }
            )
        else:
            _print(verification)
            _print_repair(done)
    else:
        verification = look(run, bench=bench, images=images)
        if as_json:
            print_json(verification.to_json())
        else:
            _print(verification)
    if verification.error:
        raise verification.error


def _print(verification: Verification) -> None:
    for shard in verification.shards:
        _print(shard)
    for finding in _shortened(verification.findings):
        echo(finding)
    checked = ", ".join(f"{number:,} {name}" for name, number in verification.checked.items())
    echo(f"{verification.run}: {verification.verdict} (looked at: {checked or 'nothing'})")


def _shortened(findings: Sequence[Finding]) -> list[str]:
    """Return a line a finding; of very many of one kind the first, and how many more."""
    seen: Counter[tuple[str, str]] = Counter()
    lines = []
    for finding in findings:
        group = (finding.level, finding.kind)
        seen[group] += 1
        if seen[group] <= _MOST_OF_A_KIND:
            lines.append(f"{finding.level}  {finding}")
    for (level, kind), number in seen.items():
        if number > _MOST_OF_A_KIND:
            lines.append(f"{level}  {number - _MOST_OF_A_KIND} more of {kind}: --json has all")
    return lines


def _print_repair(done: Repaired) -> None:
    if not done.folders:
        echo("nothing was set aside: there is nothing damaged that could be done again")
        return
    echo(f"set aside in {', '.join(map(str, done.folders))}:")
    for line in done.taken:
        echo(f"  {line}")
    echo(f"{counted(len(done.commands), 'command')} to do it again, in this order:")
    for command in done.commands:
        echo(f"  {command}")
