"""How `dpgbench judges compare` reads on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dpgbench.cli.console import echo, print_table
from dpgbench.errors import counted

_WIDTH = 70


def print_comparison(found: Mapping[str, Any], *, num_differences: int) -> None:
    """Print a comparison; of the questions that differ, those with the widest gap of p_yes."""
    models = ", ".join(model for model in found["models"] if model) or "not named"
    echo(f"benchmark {found['benchmark']}, rule {found['rule']}, images of {models}\n")
    _print_judges(found["judges"])
    for pair in found["pairs"]:
        _print_pair(pair, found["rule"])
    if found["fleiss"]:
        group = found["fleiss"]
        echo(
            f"\nall {len(group['judges'])} judges: {counted(group['questions'], 'question')}, "
            f"all agree {_share(group['all_agree'])}, Fleiss' kappa {_estimate(group['kappa'])}"
        )
    if found["human"]:
        _print_human(found["human"])
    if found["differences"] and num_differences:
        _print_differences(found["differences"], num_differences)


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
        below = {l2: found for l2, found in pair["l2"].items() if l2.split("-")[0].strip() == name}
        rows += [_row(f"    {l2}", found) for l2, found in below.items()]
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
        said = ", ".join(
            f"{judge}: {answer[:_WIDTH]}{_probability(entry['p_yes'][judge])}"
            for judge, answer in entry["answers"].items()
        )
        echo(
            f"{model}{entry['item_id']} tile {entry['tile']} question {entry['qid']} "
            f"[{entry['l2']}] {' '.join(entry['question'].split())}\n    {said}"
        )


def _gap(entry: Mapping[str, Any]) -> float:
    given = [p_yes for p_yes in entry["p_yes"].values() if p_yes is not None]
    return max(given) - min(given) if given else 0.0


def _probability(p_yes: float | None) -> str:
    return "" if p_yes is None else f" ({p_yes:.2f})"


def _estimate(found: Mapping[str, Any], scale: float = 1.0, form: str = ".3f") -> str:
    if found["value"] is None:
        return "-"
    value = format(scale * found["value"], form)
    if found["interval"] is None:
        return value
    low, high = (format(scale * end, form) for end in found["interval"])
    return f"{value} ({low} to {high})"


def _share(found: Mapping[str, Any]) -> str:
    return _estimate(found, 100.0, ".1f")


def _score(value: float | None, interval: Sequence[float] | None) -> str:
    return _estimate({"value": value, "interval": interval}, 1.0, ".2f")
