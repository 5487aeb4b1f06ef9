"""`dpgbench judges`: which judges can be named; `judges compare`: how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dpgbench.cli.console import echo, print_json, print_table
from dpgbench.cli.options import AsJson, Bench, complete_rule
from dpgbench.errors import counted

if TYPE_CHECKING:
    from dpgbench.backends.entries import JudgeEntry

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
    from dpgbench.analysis.judges.compare import compare_judges, differences_csv
    from dpgbench.store.files import write_atomic
    from dpgbench.store.human_scores import parse_columns, read_human_scores
    from dpgbench.store.recorded_answers import parse_where

    people = None
    if human:
        chosen = parse_where(human_where or [])
        people = read_human_scores(human, parse_columns(human_columns), chosen)
    request = JudgesRequest(judge, run or (), bench, parse_where(where or []), model_column)
    comparison = compare_judges(read_judged(request), rule, people)
    if out:
        write_atomic(out, differences_csv(comparison))
    if as_json:
        print_json(comparison)
    else:
        _print_comparison(comparison, num_differences=differences)
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


def _print_comparison(comparison: Mapping[str, Any], *, num_differences: int) -> None:
    """Print a comparison; of the questions that differ, those with the widest gap of p_yes."""
    models = ", ".join(model for model in comparison["models"] if model) or "not named"
    echo(f"benchmark {comparison['benchmark']}, rule {comparison['rule']}, images of {models}\n")
    _print_judges(comparison["judges"])
    for pair in comparison["pairs"]:
        _print_pair(pair, comparison["rule"])
    if group := comparison["fleiss"]:
        echo(
            f"\nall {len(group['judges'])} judges: {counted(group['questions'], 'question')}, "
            f"all agree {_share(group['all_agree'])}, Fleiss' kappa {_estimate(group['kappa'])}"
        )
    if comparison["human"]:
        _print_human(comparison["human"])
    if comparison["differences"] and num_differences:
        _print_differences(comparison["differences"], num_differences)


def _print_judges(judges: Sequence[Mapping[str, Any]]) -> None:
    rows = [
        [
            judge["name"],
            judge["answers"],
            f"{100 * judge['yes_rate']:.1f}%",
            judge["invalid"],
            judge["not_in_benchmark"],
            _score(judge["overall"], judge["interval"]),
            f"{judge['grids_scored']}/{judge['grids_expected']}",
        ]
        for judge in judges
    ]
    header = ["judge", "answers", "yes", "invalid", "not in benchmark", "overall", "grids"]
    print_table(header, rows)


def _print_pair(pair: Mapping[str, Any], rule: str) -> None:
    first, second = pair["judges"]
    echo(
        f"\n{first} against {second}: {counted(pair['questions'], 'question')}; "
        f"only {first} answered {pair['only_first_answered']} more, only {second} "
        f"{pair['only_second_answered']} more"
    )
    rows = [_row("all", pair)]
    for name, entry in pair["l1"].items():
        rows.append(_row(f"  {name}", entry))
        rows += [
            _row(f"    {l2}", below)
            for l2, below in pair["l2"].items()
            if l2.split("-")[0].strip() == name
        ]
    print_table(
        ["", "questions", "agreement", "kappa", "both yes", "only first", "only second", "neither"],
        rows,
    )
    if pair["p_yes"]:
        echo(
            f"p_yes: Pearson {_estimate(pair['p_yes']['pearson'])} "
            f"over {counted(pair['p_yes']['questions'], 'question')}"
        )
    score = pair["score"]
    if score["difference"] is not None:
        echo(
            f"{rule} on {counted(score['grids'], 'grid')}: {first} {score['first']:.2f}, {second} "
            f"{score['second']:.2f}, difference {_score(score['difference'], score['interval'])}"
        )


def _row(name: str, entry: Mapping[str, Any]) -> list[object]:
    counts = entry["counts"]
    cells = [counts[key] for key in ("both_yes", "only_first", "only_second", "neither")]
    return [name, counts["all"], _share(entry["agreement"]), _estimate(entry["kappa"]), *cells]


def _print_human(human: Mapping[str, Any]) -> None:
    left = {name.replace("_", " "): n for name, n in human["left_out"].items() if n}
    note = "".join(f"; {number} left out ({why})" for why, number in left.items())
    echo(
        f"\npeople ({human['file']}): {counted(human['samples'], 'grid')} of "
        f"{counted(human['items'], 'item')}{note}"
    )
    rows = [
        [judge, _estimate(entry["spearman"]), _estimate(entry["kendall"])]
        for judge, entry in human["judges"].items()
    ]
    rows += [
        [
            f"{entry['judges'][0]} less {entry['judges'][1]}",
            _estimate(entry["spearman"]),
            _estimate(entry["kendall"]),
        ]
        for entry in human["differences"]
    ]
    print_table(["judge", "Spearman", "Kendall (tau-b)"], rows)


def _print_differences(differences: Sequence[Mapping[str, Any]], number: int) -> None:
    chosen = sorted(differences, key=_gap, reverse=True)[:number]
    echo(f"\n{len(chosen)} of {len(differences)} questions that differ:")
    for entry in chosen:
        model = f"{entry['model']} " if entry["model"] else ""
        answers = ", ".join(
            f"{judge}: {answer[:_ANSWER_LENGTH]}{_probability(entry['p_yes'][judge])}"
            for judge, answer in entry["answers"].items()
        )
        echo(
            f"{model}{entry['item_id']} tile {entry['tile']} question {entry['qid']} "
            f"[{entry['l2']}] {' '.join(entry['question'].split())}\n    {answers}"
        )


def _gap(entry: Mapping[str, Any]) -> float:
    """Return the widest gap between two judges' probabilities of yes; 0 where none has any."""
    p_yes = [probability for probability in entry["p_yes"].values() if probability is not None]
    return max(p_yes) - min(p_yes) if p_yes else 0.0


def _probability(p_yes: float | None) -> str:
    return "" if p_yes is None else f" ({p_yes:.2f})"


def _estimate(estimate: Mapping[str, Any], scale: float = 1.0, form: str = ".3f") -> str:
    if estimate["value"] is None:
        return "-"
    value = format(scale * estimate["value"], form)
    if estimate["interval"] is None:
        return value
    low, high = (format(scale * end, form) for end in estimate["interval"])
    return f"{value} ({low} to {high})"


def _share(estimate: Mapping[str, Any]) -> str:
    return _estimate(estimate, 100.0, ".1f")


def _score(value: float | None, interval: Sequence[float] | None) -> str:
    return _estimate({"value": value, "interval": interval}, 1.0, ".2f")
