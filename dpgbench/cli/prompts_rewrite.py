"""`dpgbench prompts rewrite`: prompts made longer or shorter by a language model."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dpgbench.cli.console import echo, print_json, raise_incomplete, say, say_unless_quiet
from dpgbench.cli.option_groups import with_option_groups
from dpgbench.cli.options import AsJson, ItemOptions
from dpgbench.cli.prompts_make import AskingOptions, LlmChoice

if TYPE_CHECKING:
    from dpgbench.jobs.rewrite.rewrite import RewriteEstimate, RewrittenBenchmark

_SHOWN_FAILURES = 20


class To(StrEnum):
    """What prompts are to become."""

    longer = "longer"
    shorter = "shorter"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rewrite")(rewrite)


@with_option_groups
def rewrite(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Prompts: .txt, .jsonl, .csv, a folder, or a benchmark's name."
        ),
    ],
    *,
    goal: Annotated[To, typer.Option("--to", help="What prompts are to become.")],
    model: LlmChoice,
    items: ItemOptions,
    asking: AskingOptions,
    tokens: Annotated[
        int | None,
        typer.Option(
            "--tokens", help="The most that a prompt may have (longer: 128, shorter: 75)."
        ),
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option(
            "--tokenizer", metavar="REPO|FOLDER", help="Counts them (default: words and marks)."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER|FILE.csv", help="Default: rewritten/NAME-longer."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Rewrite prompts with a language model, as another benchmark with the same questions.

    Writes NAME-longer.csv (or -shorter; the original prompt stands beside each), rewrite.json (how
    it was made, what failed) and chat.jsonl (raw replies: nothing is asked twice). The same command
    again goes on.
    """
    from dpgbench.errors import UsageError
    from dpgbench.jobs.make.prompts import load_prompts
    from dpgbench.jobs.rewrite.rewrite import RewriteRequest, plan_rewrite
    from dpgbench.jobs.rewrite.rewrite import rewrite as run

    if not model.llm:
        raise UsageError(
            "--llm: name a language model: openai:MODEL or hf:REPO (docs/own-prompts.md)"
        )
    benchmark = load_prompts(file)
    request = RewriteRequest(
        benchmark,
        model.llm,
        items.choice().of(benchmark),
        goal.value,
        tokens,
        tokenizer,
        model.options(),
        out,
        asking.again,
    )
    expected = plan_rewrite(request) if asking.dry_run or not model.llm.startswith("hf:") else None
    if expected is not None and (asking.dry_run or expected.requests):
        _say_expected(expected, dry_run=asking.dry_run, as_json=as_json)
    if not asking.dry_run:
        _report(run(request), partial=asking.partial, as_json=as_json)


def _say_expected(expected: RewriteEstimate, *, dry_run: bool, as_json: bool) -> None:
    if dry_run and as_json:
        print_json(expected._asdict())
        return
    cost = "" if expected.cost_usd is None else f", ${expected.cost_usd:.4f}"
    (echo if dry_run else say_unless_quiet)(
        f"expected: {expected.prompts} prompts, {expected.kept} of them without asking, about "
        f"{expected.requests} requests, {expected.prompt_tokens:,} prompt tokens and "
        f"{expected.completion_tokens:,} tokens of replies{cost}; repairs come on top"
    )


def _report(result: RewrittenBenchmark, *, partial: bool, as_json: bool) -> None:
    from dpgbench.errors import counted

    files, record = result.files, result.record
    for item_id, reason in list(result.failures.items())[:_SHOWN_FAILURES]:
        say(f"{item_id} is not rewritten: {reason}")
    if len(result.failures) > _SHOWN_FAILURES:
        say(f"and {len(result.failures) - _SHOWN_FAILURES} more; all are in {files.record}")
    if as_json:
        print_json(
            {
                "csv": str(files.table) if result.rewritten else None,
                "record": str(files.record),
                "items": result.items,
                "rewritten": result.rewritten,
                "as_they_were": len(record["as_they_were"]),
                "tokens": record["tokens"],
                "failures": dict(result.failures),
                "account": record["account"],
            }
        )
    else:
        length, counted_by = record["tokens"], record["identity"]["counter"]
        place = files.table if result.rewritten else "no file was written"
        echo(f"{result.rewritten} of {counted(result.items, 'prompt')}: {place}")
        if result.rewritten:
            echo(
                f"tokens a prompt, by {counted_by}: {length['original']} in the original, "
                f"{length['rewritten']} now"
            )
    if as_they_were := len(record["as_they_were"]):
        say(f"note: {counted(as_they_were, 'prompt')} had the length already and stayed as it was")
    if lost := len(record["lost_texts"]):
        say(
            f"warning: {counted(lost, 'prompt')} lost a text in quotation marks that questions may "
            f"ask for; which are in {files.record}"
        )
    if result.stopped is not None:
        raise result.stopped
    raise_incomplete(
        result.failures,
        "not rewritten",
        partial=partial,
        next_step=f"the reasons are in {files.record}; --again asks anew",
    )
