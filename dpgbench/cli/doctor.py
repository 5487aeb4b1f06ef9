"""`dpgbench doctor`: what this machine can run and what is missing; is a judge sound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from dpgbench.cli.console import echo, print_json, print_table
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import AsJson, JudgeOptions, complete_judge
from dpgbench.errors import UsageError, counted

if TYPE_CHECKING:
    from dpgbench.backends.protocols import JudgeRequest
    from dpgbench.jobs.doctor.judge import JudgeReport, PictureAnswers


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


@dataclass(frozen=True)
class TestedJudgeOptions(JudgeOptions):
    """What a judge that is tested is built from."""

    source: Annotated[
        str | None,
        typer.Option("--source", metavar="modelscope|hf", help="As --weights-source."),
    ] = None

    OPTIONS: ClassVar = (
        *("weights", "device", "dtype", "decode", "revision", "weights_source", "source"),
        *("base_url", "max_requests"),
    )


@with_option_groups
def doctor(
    *,
    judge: Annotated[
        str | None,
        typer.Option(
            "--judge",
            help="Test this judge; 'dpgbench judges' lists them.",
            autocompletion=complete_judge,
        ),
    ] = None,
    options: TestedJudgeOptions,
    as_json: AsJson = False,
) -> None:
    """Tell versions, device and memory, which weights are here, and how to get the rest.

    With --judge: ask it about pictures with known answers, within about a minute; exit code 4 if
    it is not sound.
    """
    source, weights_source = options.source, options.weights_source
    if source and weights_source not in (None, source):
        raise UsageError(f"--source {source}, --weights-source {weights_source}: give one of them")
    if judge is None:
        _examine_machine(as_json=as_json)
        return
    chosen = replace(options, weights_source=weights_source or source)
    _examine_judge(chosen.request(judge), as_json=as_json)


def _examine_machine(*, as_json: bool) -> None:
    from dpgbench.jobs.doctor.machine import examine_machine

    report = examine_machine()
    if as_json:
        print_json(report.to_json())
        return
    _print_machine(report.machine)
    for device in report.devices:
        memory = f", {device.memory_gib} GiB" if device.memory_gib else ""
        echo(f"device {device.name}: {device.what}{memory}")
    echo("")
    rows = [
        [w.used_by, w.role, "here" if w.present else "missing", w.path or w.command]
        for w in report.weights
    ]
    print_table(["used by", "role", "state", "path, or the command that gets it"], rows)


def _examine_judge(request: JudgeRequest, *, as_json: bool) -> None:
    from dpgbench.errors import SetupError
    from dpgbench.jobs.doctor.judge import CANNOT_RUN, examine_judge

    report = examine_judge(request)
    if as_json:
        print_json(report.to_json())
    else:
        _print_judge(report)
    if not report.sound:
        what = "cannot be tested here" if report.verdict == CANNOT_RUN else "is not sound"
        raise SetupError(f"judge {report.judge} {what}: {'; '.join(report.reasons)}")


def _print_judge(report: JudgeReport) -> None:
    _print_machine(report.machine)
    echo(f"\njudge {report.judge} on {report.device}, {report.dtype}")
    if report.network:
        state = "as the reference" if report.network["sound"] else "NOT as the reference"
        echo(f"network: {state}, {report.network['questions']} golden questions")
    if report.pictures:
        _print_pictures(report.pictures)
    for warning in report.warnings:
        echo(f"note: {warning}")
    echo(f"verdict: {report.verdict} ({report.seconds:.0f} s)")


def _print_pictures(pictures: PictureAnswers) -> None:
    between = ""
    if pictures.interval:  # there is none where few pictures were asked about
        low, high = pictures.interval
        between = f" ({_percent(low)} to {_percent(high)})"
    echo(
        f"{counted(pictures.pictures, 'picture')} with known answers, half of the questions "
        f"true; right: {_percent(pictures.accuracy)}{between}"
    )
    rows = [
        [
            name,
            shares.questions,
            _percent(shares.accuracy),
            _percent(shares.accuracy_of_true),
            _percent(shares.accuracy_of_false),
            _percent(shares.yes_rate),
        ]
        for name, shares in [("all", pictures.overall), *pictures.by_category.items()]
    ]
    print_table(["", "questions", "right", "right of true", "right of false", "said yes"], rows)


def _print_machine(machine: Mapping[str, Any]) -> None:
    echo(f"dpgbench {machine['dpgbench']}, Python {machine['python']}, {machine['platform']}")
    for name, number in machine["packages"].items():
        echo(f"  {name} {number}")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f}%"
