"""`dpgbench judges`: which judges can be named; `judges compare`: how far they can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpgbench.cli.console import echo, print_json, print_table
from dpgbench.cli.options import AsJson, Bench, complete_rule
from dpgbench.errors import counted

if TYPE_CHECKING:
    from dpgbench.analysis.judges.agreement import DisputedQuestion
    from dpgbench.analysis.judges.compare import JudgeComparison, JudgeSummary, PairComparison
    from dpgbench.analysis.judges.human import HumanCorrelation, RankCorrelation
    from dpgbench.backends.entries import JudgeEntry
    from dpgbench.domain.statistics.agreement import Agreement, GroupAgreement
    from dpgbench.domain.statistics.bootstrap import Interval
    from dpgbench.domain.statistics.correlation import Estimate

SCHEMA = 1  # of what `compare --json` prints

_ANSWER_LENGTH = 70
"""Characters of an answer that are printed."""

app = typer.Typer(
    help="The judges: list them (no command), or compare them.", invoke_without_command=True
)


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="judges")


@app.callback()
def judges(context: typer.Context, as_json: AsJson = False) -> None:
    """List the judges and the weights that each needs by role; or compare them."""
    if context.invoked_subcommand is None:
        _list(as_json=as_json)


@app.command()
def compare(
    judge: Annotated[
        list[str],
        typer.Argument(
            metavar="A B [C...]", help="Judges whose answers a run has, or files of answers."
        ),
    ],
    run: Annotated[
        list[Path] | None,
        typer.Option(
            "--run", metavar="RUN", help="Where judges are looked up (repeatable); else the newest."
        ),
    ] = None,
    bench: Bench = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN=VALUE", help="Rows of answer CSVs (repeatable)."),
    ] = None,
    model_column: Annotated[
        str | None,
        typer.Option("--model-column", help="Column of answer CSVs that names the image's model."),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            "--rule",
            help="Scoring rule of scores and of the correlation.",
            autocompletion=complete_rule,
        ),
    ] = "corrected-v1",
    human: Annotated[
        Path | None,
        typer.Option("--human", metavar="FILE.csv", help="Human scores: item, model, score."),
    ] = None,
    human_columns: Annotated[
        str | None,
        typer.Option(
            "--human-columns", metavar="item=COLUMN,...", help="Other names of these columns."
        ),
    ] = None,
    human_where: Annotated[
        list[str] | None,
        typer.Option("--human-where", metavar="COLUMN=VALUE", help="Rows of --human (repeatable)."),
    ] = None,
    differences: Annotated[
        int, typer.Option("--differences", min=0, help="How many questions to print.")
    ] = 10,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.csv", help="Write all questions that differ."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare judges' answers to the same questions, with each other and with people.

    Agreement, Cohen's kappa (Fleiss' for three), by category, where they differ, and what it does
    to the score. One judge is enough with --human.
    """
    from dpgbench.analysis.judges.answers import JudgesRequest, read_judged
    from dpgbench.analysis.judges.compare import compare_judges, disputed_csv
    from dpgbench.store.csv_rows import parse_where
    from dpgbench.store.files import write_atomic
    from dpgbench.store.human_scores import parse_columns, read_human_scores

    people = None
    if human:
        chosen = parse_where(human_where or [])
        people = read_human_scores(human, parse_columns(human_columns), chosen)
    request = JudgesRequest(judge, run or (), bench, parse_where(where or []), model_column)
    comparison = compare_judges(read_judged(request), rule, people)
    if out:
        write_atomic(out, disputed_csv(comparison))
    if as_json:
        print_json(_comparison_json(comparison))
    else:
        _print_comparison(comparison, num_disputed=differences)
        if out:
            echo(f"differences: {out}")


def _list(*, as_json: bool) -> None:
    from dpgbench.backends.judges.table import FORMS, JUDGES

    if as_json:
        print_json(
            {
                "judges": [_entry_json(entry) for entry in JUDGES.values()],
                "forms": {**FORMS, "--answers FILE.csv": "recorded answers, replayed"},
            }
        )
        return
    for entry in JUDGES.values():
        echo(f"{entry.name}\n  {entry.summary}")
        for role in entry.roles:
            echo(f"  --weights {role.name}=PATH   {role.what}; else {role.source_text}")
        if entry.world:
            echo(f"  knows the world of {entry.world} alone: elsewhere scores mean nothing")
    for form, meaning in FORMS.items():
        echo(f"{form}\n  {meaning}")
    echo("--answers FILE.csv\n  recorded answers instead of a judge")


def _entry_json(entry: JudgeEntry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "summary": entry.summary,
        "world": entry.world,
        "weights": {role.name: role.source_text for role in entry.roles},
    }


def _comparison_json(comparison: JudgeComparison) -> dict[str, Any]:
    """Return what `--json` prints."""
    group, human = comparison.all_judges, comparison.human
    return {
        "schema": SCHEMA,
        "benchmark": comparison.benchmark,
        "rule": comparison.rule,
        "models": list(comparison.models),
        "runs": [str(path) for path in comparison.runs],
        "judges": [_judge_json(judge) for judge in comparison.judges],
        "pairs": [_pair_json(pair) for pair in comparison.pairs],
        "fleiss": None if group is None else _group_json(comparison, group),
        "human": None if human is None else _human_json(human),
        "differences": [_disputed_json(question) for question in comparison.disputed],
    }


def _judge_json(judge: JudgeSummary) -> dict[str, Any]:
    return {
        "name": judge.name,
        "answers": judge.answers,
        "yes_rate": judge.yes_rate,
        "invalid": judge.invalid,
        "with_p_yes": judge.with_p_yes,
        "not_in_benchmark": judge.not_in_benchmark,
        "overall": judge.overall.value,
        "interval": judge.overall.interval,
        "grids_scored": judge.grids_scored,
        "grids_expected": judge.grids_expected,
    }


def _pair_json(pair: PairComparison) -> dict[str, Any]:
    agreement, difference = pair.agreement, pair.score.difference
    p_yes = agreement.p_yes
    return {
        "judges": list(agreement.judges),
        "questions": agreement.questions,
        "only_first_answered": agreement.only_first_answered,
        "only_second_answered": agreement.only_second_answered,
        **_agreement_json(agreement.overall),
        "l1": {name: _agreement_json(category) for name, category in agreement.l1.items()},
        "l2": {name: _agreement_json(category) for name, category in agreement.l2.items()},
        "p_yes": None
        if p_yes is None
        else {"questions": p_yes.questions, "pearson": p_yes.pearson._asdict()},
        "score": {
            "grids": pair.score.grids,
            "first": pair.score.first,
            "second": pair.score.second,
            "difference": difference.difference if difference else None,
            "interval": difference.interval if difference else None,
            "p_value": difference.p_value if difference else None,
        },
    }


def _agreement_json(agreement: Agreement) -> dict[str, Any]:
    return {
        "counts": {**agreement.counts._asdict(), "all": sum(agreement.counts)},
        "agreement": agreement.agreement._asdict(),
        "kappa": agreement.kappa._asdict(),
    }


def _group_json(comparison: JudgeComparison, group: GroupAgreement) -> dict[str, Any]:
    return {
        "judges": [judge.name for judge in comparison.judges],
        "questions": group.questions,
        "all_agree": group.all_agree._asdict(),
        "kappa": group.kappa._asdict(),
    }


def _human_json(human: HumanCorrelation) -> dict[str, Any]:
    return {
        "file": human.file,
        "ratings": human.ratings,
        "samples": human.samples,
        "items": human.items,
        "left_out": human.left_out._asdict(),
        "judges": {judge: _ranks_json(ranks) for judge, ranks in human.judges.items()},
        "differences": [
            {"judges": list(pair.judges), **_ranks_json(pair.difference)}
            for pair in human.differences
        ],
        "models": {model: means._asdict() for model, means in human.models.items()},
    }


def _ranks_json(ranks: RankCorrelation) -> dict[str, Any]:
    return {"spearman": ranks.spearman._asdict(), "kendall": ranks.kendall._asdict()}


def _disputed_json(question: DisputedQuestion) -> dict[str, Any]:
    return {
        **question.key._asdict(),
        **question.row.category._asdict(),
        "question": question.row.question,
        "answers": {judge: answer.answer for judge, answer in question.answers.items()},
        "p_yes": {judge: answer.p_yes for judge, answer in question.answers.items()},
    }


def _print_comparison(comparison: JudgeComparison, *, num_disputed: int) -> None:
    """Print a comparison; of the questions that differ, those with the widest gap of p_yes."""
    models = ", ".join(model for model in comparison.models if model) or "not named"
    echo(f"benchmark {comparison.benchmark}, rule {comparison.rule}, images of {models}\n")
    _print_judges(comparison.judges)
    for pair in comparison.pairs:
        _print_pair(pair, comparison.rule)
    if group := comparison.all_judges:
        echo(
            f"\nall {len(comparison.judges)} judges: {counted(group.questions, 'question')}, "
            f"all agree {_share(group.all_agree)}, Fleiss' kappa {_estimate(group.kappa)}"
        )
    if comparison.human:
        _print_human(comparison.human)
    if comparison.disputed and num_disputed:
        _print_disputed(comparison.disputed, num_disputed)


def _print_judges(judges: Sequence[JudgeSummary]) -> None:
    rows = [
        [
            judge.name,
            judge.answers,
            f"{100 * judge.yes_rate:.1f}%",
            judge.invalid,
            judge.not_in_benchmark,
            _score(judge.overall),
            f"{judge.grids_scored}/{judge.grids_expected}",
        ]
        for judge in judges
    ]
    header = ["judge", "answers", "yes", "invalid", "not in benchmark", "overall", "grids"]
    print_table(header, rows)


def _print_pair(pair: PairComparison, rule: str) -> None:
    agreement, score = pair.agreement, pair.score
    first, second = agreement.judges
    echo(
        f"\n{first} against {second}: {counted(agreement.questions, 'question')}; "
        f"only {first} answered {agreement.only_first_answered} more, only {second} "
        f"{agreement.only_second_answered} more"
    )
    rows = [_row("all", agreement.overall)]
    for name, of_category in agreement.l1.items():
        rows.append(_row(f"  {name}", of_category))
        rows += [
            _row(f"    {l2}", below)
            for l2, below in agreement.l2.items()
            if l2.split("-")[0].strip() == name
        ]
    print_table(
        ["", "questions", "agreement", "kappa", "both yes", "only first", "only second", "neither"],
        rows,
    )
    if agreement.p_yes:
        echo(
            f"p_yes: Pearson {_estimate(agreement.p_yes.pearson)} "
            f"over {counted(agreement.p_yes.questions, 'question')}"
        )
    if score.difference is not None:
        difference = _number(score.difference.difference, score.difference.interval, ".2f")
        echo(
            f"{rule} on {counted(score.grids, 'grid')}: {first} {score.first:.2f}, {second} "
            f"{score.second:.2f}, difference {difference}"
        )


def _row(name: str, agreement: Agreement) -> list[object]:
    counts = agreement.counts
    cells = [_share(agreement.agreement), _estimate(agreement.kappa)]
    return [name, sum(counts), *cells, *counts]


def _print_human(human: HumanCorrelation) -> None:
    left = {name.replace("_", " "): n for name, n in human.left_out._asdict().items() if n}
    note = "".join(f"; {number} left out ({why})" for why, number in left.items())
    echo(
        f"\npeople ({human.file}): {counted(human.samples, 'grid')} of "
        f"{counted(human.items, 'item')}{note}"
    )
    lines = [
        *human.judges.items(),
        *((" less ".join(pair.judges), pair.difference) for pair in human.differences),
    ]
    rows = [
        [name, _estimate(correlation.spearman), _estimate(correlation.kendall)]
        for name, correlation in lines
    ]
    print_table(["judge", "Spearman", "Kendall (tau-b)"], rows)


def _print_disputed(disputed: Sequence[DisputedQuestion], number: int) -> None:
    chosen = sorted(disputed, key=lambda question: question.p_yes_gap, reverse=True)[:number]
    echo(f"\n{len(chosen)} of {len(disputed)} questions that differ:")
    for question in chosen:
        key, row = question.key, question.row
        model = f"{key.model} " if key.model else ""
        answers = ", ".join(
            f"{judge}: {answer.answer[:_ANSWER_LENGTH]}{_probability(answer.p_yes)}"
            for judge, answer in question.answers.items()
        )
        echo(
            f"{model}{key.item_id} tile {key.tile} question {key.qid} "
            f"[{row.category.l2}] {' '.join(row.question.split())}\n    {answers}"
        )


def _probability(p_yes: float | None) -> str:
    return "" if p_yes is None else f" ({p_yes:.2f})"


def _number(
    value: float | None, interval: Interval, digits: str = ".3f", scale: float = 1.0
) -> str:
    if value is None:
        return "-"
    text = format(scale * value, digits)
    if interval is None:
        return text
    low, high = (format(scale * end, digits) for end in interval)
    return f"{text} ({low} to {high})"


def _estimate(estimate: Estimate) -> str:
    return _number(*estimate)


def _share(estimate: Estimate) -> str:
    return _number(*estimate, ".1f", 100.0)


def _score(estimate: Estimate) -> str:
    return _number(*estimate, ".2f")
