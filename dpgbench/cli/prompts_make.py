"""`dpgbench prompts make`: question graphs of one's own prompts, by a language model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpgbench.cli.console import echo, print_json, raise_incomplete, say, say_unless_quiet
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import AsJson, ItemOptions

if TYPE_CHECKING:
    from dpgbench.backends.llms.options import LlmOptions
    from dpgbench.jobs.make.estimate import MakeEstimate
    from dpgbench.jobs.make.make import Made

_SHOWN_FAILURES = 20


@dataclass(frozen=True)
class LlmChoice:
    """Which language model, and how it is asked."""

    llm: Annotated[
        str, typer.Option("--llm", metavar="openai:MODEL|hf:REPO|shapes", help="Language model.")
    ] = ""
    base_url: Annotated[
        str | None, typer.Option("--base-url", help="openai: address of the server.")
    ] = None
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", help="Requests in flight (8), or prompts in a batch (4)."),
    ] = None
    max_requests: Annotated[
        int | None, typer.Option("--max-requests", help="openai: stop after so many requests.")
    ] = None
    max_cost: Annotated[
        float | None,
        typer.Option("--max-cost", help="openai: dollars that all commands here may cost."),
    ] = None
    price_in: Annotated[
        float | None,
        typer.Option("--price-in", help="openai: dollars for a million prompt tokens."),
    ] = None
    price_out: Annotated[
        float | None,
        typer.Option("--price-out", help="openai: dollars for a million answered tokens."),
    ] = None
    device: Annotated[str, typer.Option("--device", help="hf: auto, cpu, cuda, ...")] = "auto"
    dtype: Annotated[
        str | None,
        typer.Option("--dtype", help="hf: its precision (float32 on a CPU, else bfloat16)."),
    ] = None
    revision: Annotated[
        str | None, typer.Option("--revision", help="hf: revision of the weights to fetch.")
    ] = None

    def options(self) -> LlmOptions:
        """Return how it is asked."""
        from dpgbench.backends.llms.options import LlmOptions

        return LlmOptions(
            base_url=self.base_url,
            concurrency=self.concurrency,
            max_requests=self.max_requests,
            max_cost=self.max_cost,
            price_in=self.price_in,
            price_out=self.price_out,
            device=self.device,
            dtype=self.dtype,
            revision=self.revision,
        )


@dataclass(frozen=True)
class AskingOptions:
    """What is asked anew or not at all, and whether failures are expected."""

    again: Annotated[bool, typer.Option("--again", help="Ask anew for prompts that failed.")] = (
        False
    )
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be asked and cost, and stop.")
    ] = False
    partial: Annotated[
        bool, typer.Option("--partial", help="Prompts that failed are expected.")
    ] = False


def register(prompts: typer.Typer) -> None:
    """Add the command."""
    prompts.command("make")(make)


@with_option_groups
def make(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Prompts: .txt, .jsonl, .csv, a folder, or a benchmark's name."
        ),
    ],
    *,
    model: LlmChoice,
    items: ItemOptions,
    asking: AskingOptions,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER|FILE.csv", help="Default: made/NAME."),
    ] = None,
    max_questions: Annotated[
        int, typer.Option("--max-questions", help="Of one prompt, at most.")
    ] = 40,
    mode: Annotated[
        str,
        typer.Option(
            "--mode", help="schema (one call), steps (three), auto (schema where it works)."
        ),
    ] = "auto",
    examples: Annotated[
        Path | None,
        typer.Option("--examples", metavar="FILE.csv", help="Graphs to show instead of our own."),
    ] = None,
    text_check: Annotated[
        bool,
        typer.Option(
            "--text-check/--no-text-check", help="Have each question answered from the prompt."
        ),
    ] = True,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", help="Of one reply (default: by questions).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make question graphs of prompts with a language model; the same command again goes on.

    Writes NAME.csv (a benchmark, with a column of flags), make.json (how it was made, what failed)
    and chat.jsonl (raw replies: nothing is asked twice).
    """
    from dpgbench.errors import UsageError
    from dpgbench.jobs.make.conversation import MODES, MakeSettings
    from dpgbench.jobs.make.make import MakeRequest, plan
    from dpgbench.jobs.make.make import make as run
    from dpgbench.jobs.make.prompts import load_prompts

    if not model.llm:
        raise UsageError(
            "--llm: name a language model: openai:MODEL, hf:REPO, or shapes (docs/own-prompts.md)"
        )
    chosen_mode = next((name for name in MODES if name == mode), None)
    if chosen_mode is None:
        raise UsageError(f"--mode {mode}: choose one of {', '.join(MODES)}")
    benchmark = load_prompts(file)
    request = MakeRequest(
        benchmark,
        model.llm,
        items.choice().of(benchmark),
        model.options(),
        MakeSettings(max_questions, chosen_mode, text_check, max_tokens),
        out,
        examples,
        asking.again,
    )
    expected = plan(request) if asking.dry_run or not model.llm.startswith("hf:") else None
    if expected is not None and (asking.dry_run or expected.requests):
        _say_expected(expected, dry_run=asking.dry_run, as_json=as_json)
    if asking.dry_run:
        return
    _report(run(request), partial=asking.partial, as_json=as_json)


def _say_expected(expected: MakeEstimate, *, dry_run: bool, as_json: bool) -> None:
    if dry_run and as_json:
        print_json(expected.to_json())
        return
    cost = "" if expected.cost_usd is None else f", ${expected.cost_usd:.4f}"
    kept = f" ({expected.kept} answered by kept replies)" if expected.kept else ""
    (echo if dry_run else say_unless_quiet)(
        f"expected: {expected.prompts} prompts{kept}, about {expected.requests} requests, "
        f"{expected.prompt_tokens:,} prompt tokens and {expected.completion_tokens:,} tokens of "
        f"replies{cost}; repairs and thinking come on top"
    )


def _report(made: Made, *, partial: bool, as_json: bool) -> None:
    from dpgbench.errors import counted

    files, account = made.files, made.record["account"] or {}
    for item_id, reason in list(made.failures.items())[:_SHOWN_FAILURES]:
        say(f"no graph of {item_id}: {reason}")
    if len(made.failures) > _SHOWN_FAILURES:
        say(f"and {len(made.failures) - _SHOWN_FAILURES} more; all are in {files.record}")
    flags = ", ".join(f"{number} {kind}" for kind, number in sorted(made.flagged.items()))
    if as_json:
        print_json(
            {
                "csv": str(files.table) if made.made else None,
                "record": str(files.record),
                "items": made.items,
                "made": made.made,
                "questions": made.questions,
                "failures": dict(made.failures),
                "flags": dict(sorted(made.flagged.items())),
                "account": made.record["account"],
            }
        )
    else:
        cost = account.get("cost_usd")
        spent = "" if cost is None else f", ${cost:.4f}"
        tokens = account and (
            f"; {account['prompt_tokens']:,} + {account['completion_tokens']:,} tokens{spent}"
        )
        echo(
            f"{made.made} of {counted(made.items, 'prompt')}, "
            f"{counted(made.questions, 'question')}: "
            f"{files.table if made.made else 'no file was written'}{tokens or ''}"
        )
        echo(f"flags: {flags or 'none'}")
    if made.stopped is not None:
        raise made.stopped
    raise_incomplete(
        made.failures,
        "without a graph",
        partial=partial,
        next_step=f"the reasons are in {files.record}; --again asks anew",
    )
