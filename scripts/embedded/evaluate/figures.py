r"""Write the figures of docs/embedded-world.md from four finished, scored runs.

    python -m scripts.embedded.evaluate.figures --ella RUN --clip RUN \
        --ella-control RUN --clip-control RUN

ELLA against the CLIP baseline, on all prompts, on those that CLIP's 77 tokens cut and on those that
they do not; and both against controls (`shuffle.py`). Writes figures.json and
figures.md, and prints the latter. Intervals and differences are the toolkit's own: 95% of bootstrap
draws of the items, the same draws for all runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from dpgbench.domain.aggregate import recorded_parts
from dpgbench.domain.result import Result
from dpgbench.domain.rules import find_rule
from dpgbench.domain.statistics.bootstrap import Matrix, intervals, ratio_draws
from dpgbench.domain.statistics.paired import PairedDifference, difference_of, paired_differences
from dpgbench.errors import DataError, DpgBenchError
from dpgbench.store.files import json_text, write_atomic
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import read_manifest
from dpgbench.store.run.scores import read_result

SCHEMA: Final = 1
ROLES: Final = ("ella", "clip", "ella_control", "clip_control")
PAIRS: Final = (("ella", "clip"), ("ella", "ella_control"), ("clip", "clip_control"))
PARTS: Final = ("all", "cut", "whole")
SAME: Final = 1e-6


class Table(NamedTuple):
    """What each item adds to each run's mean in each part: sums and counts, [N, runs * parts]."""

    sums: Matrix
    counts: Matrix

    @staticmethod
    def column(role: str, part_name: str) -> int:
        """Where a run's part stands."""
        return ROLES.index(role) * len(PARTS) + PARTS.index(part_name)

    @property
    def means(self) -> Matrix:
        """The mean of each column; NaN over nothing."""
        total = self.counts.sum(axis=0)
        empty = np.full(len(total), np.nan)
        means: Matrix = np.divide(self.sums.sum(axis=0), total, out=empty, where=total > 0)
        return means


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the figures; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for role in ROLES:
        parser.add_argument(f"--{role.replace('_', '-')}", type=Path, required=True, metavar="RUN")
    parser.add_argument("--judge", default="tiny-mplug")
    parser.add_argument("--rule", default="ella-reference")
    parser.add_argument("--out", type=Path, default=Path(), help="folder (default: here)")
    options = parser.parse_args(arguments)
    runs = {role: RunDir(getattr(options, role)) for role in ROLES}
    try:
        numbers = figures(runs, options.judge, options.rule)
    except DpgBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    text = markdown(numbers)
    write_atomic(options.out / "figures.json", json_text(numbers))
    write_atomic(options.out / "figures.md", text)
    print(text, end="")
    return 0


def figures(runs: Mapping[str, RunDir], judge: str, rule: str) -> dict[str, Any]:
    """The figures as plain data.

    Args:
        runs: by role.
        judge: whose answers.
        rule: under which the runs were scored.

    Raises:
        DataError: a run lacks that score, is not complete, or has other items; or the manifest of
            the `clip` run does not tell which prompts were cut.
    """
    scores = {role: read_result(run.scores(judge, rule)) for role, run in runs.items()}
    limit, cut = _cut_prompts(runs["clip"])
    items = _shared_items(scores)
    table = _table(scores, items, cut, rule)
    for role, score in scores.items():
        mean = table.means[table.column(role, "all")]
        if not np.isclose(mean, score.overall or 0.0, rtol=0, atol=SAME):
            path = runs[role].scores(judge, rule)
            raise DataError(f"{path}: its table of items is of another day; score again")
    return {
        "schema": SCHEMA,
        "benchmark": scores["ella"].benchmark,
        "judge": judge,
        "rule": rule,
        "num_tiles": scores["ella"].num_tiles,
        "token_limit": limit,
        "runs": {role: _described(run) for role, run in runs.items()},
        "parts": _parts(table),
        "gap_cut_less_gap_whole": _comparison_json(_gap(table)),
    }


def markdown(numbers: Mapping[str, Any]) -> str:
    """The figures as Markdown: a table of scores, one of differences, and a sentence."""
    names = {role: run["model"] for role, run in numbers["runs"].items()}
    limit = numbers["token_limit"]
    cut, whole = f"more than {limit} tokens", f"at most {limit} tokens"
    labels = {"all": "all", "cut": cut, "whole": whole}
    lines = [
        f"| prompts | items | {' | '.join(names[role] for role in ROLES)} |",
        f"|---|---|{'---|' * len(ROLES)}",
    ]
    for name, entry in numbers["parts"].items():
        cells = [_shown(entry["scores"][role], "score") for role in ROLES]
        lines.append(f"| {labels[name]} | {entry['items']} | {' | '.join(cells)} |")
    titles = [f"{names[one]} less {names[other]}" for one, other in PAIRS]
    lines += ["", f"| prompts | {' | '.join(titles)} |", f"|---|{'---|' * len(PAIRS)}"]
    for name, entry in numbers["parts"].items():
        cells = [_shown(entry["differences"][_key(pair)], "points") for pair in PAIRS]
        lines.append(f"| {labels[name]} | {' | '.join(cells)} |")
    gap = _shown(numbers["gap_cut_less_gap_whole"], "points")
    lines += [
        "",
        f"Lead of {names['ella']} on prompts of {cut} less its lead on those of {whole}: {gap}.",
        f"Rule `{numbers['rule']}`, judge `{numbers['judge']}`, {numbers['num_tiles']} pictures a "
        "prompt; in brackets 95% intervals.",
    ]
    return "\n".join(lines) + "\n"


def _cut_prompts(run: RunDir) -> tuple[int, frozenset[str]]:
    """The limit of a run's text encoder, and the items whose prompts are longer."""
    record = read_manifest(run.manifest).generation.get("truncation")
    if not record or not (limit := record.get("limit")):
        raise DataError(
            f"{run.manifest} tells no limit of tokens; give the CLIP baseline as --clip"
        )
    return limit, frozenset(record["items"] or ())


def _shared_items(scores: Mapping[str, Result]) -> list[str]:
    """The items, which must be the same in all runs."""
    first = scores["ella"]
    for role, score in scores.items():
        same = score.item_figures.keys() == first.item_figures.keys()
        if not same or set(score.failures) != set(first.failures):
            raise DataError(f"the {role} run has other items than the ella run; finish both")
    return list(first.item_figures)


def _table(
    scores: Mapping[str, Result], items: Sequence[str], cut: frozenset[str], rule: str
) -> Table:
    is_cut = np.array([item_id in cut for item_id in items])
    held = np.stack([np.ones(len(items), dtype=bool), is_cut, ~is_cut], axis=1)
    of_runs = [scores[role].item_figures for role in ROLES]
    sums, counts = (
        (part[:, :, None] * held[:, None, :]).reshape(len(items), -1)  # [items, runs * parts]
        for part in recorded_parts(of_runs, items, find_rule(rule))
    )
    counted = counts.any(axis=1)  # without items that the rule leaves out
    return Table(sums[counted], counts[counted])


def _parts(table: Table) -> dict[str, Any]:
    """Scores and differences in each part of the prompts."""
    ends = intervals(table.sums, table.counts)
    columns = [
        (table.column(one, name), table.column(other, name))
        for name in PARTS
        for one, other in PAIRS
    ]
    differences = iter(paired_differences(table.sums, table.counts, columns))
    parts: dict[str, Any] = {}
    for name in PARTS:
        column_of = {role: table.column(role, name) for role in ROLES}
        parts[name] = {
            "items": int((table.counts[:, column_of["ella"]] > 0).sum()),
            "scores": {
                role: {"score": _number(table.means[column]), "interval": ends[column]}
                for role, column in column_of.items()
            },
            "differences": {_key(pair): _comparison_json(next(differences)) for pair in PAIRS},
        }
    return parts


def _gap(table: Table) -> PairedDifference | None:
    """How much wider ELLA's lead is on cut prompts than on whole ones."""
    columns = [table.column(role, name) for name in ("cut", "whole") for role in ("ella", "clip")]
    signs = np.array([1.0, -1.0, -1.0, 1.0])
    gap_draws = ratio_draws(table.sums[:, columns], table.counts[:, columns]) @ signs
    num_items = int((table.counts[:, columns] > 0).sum(axis=0).min())
    return difference_of(float(table.means[columns] @ signs), gap_draws, num_items=num_items)


def _comparison_json(comparison: PairedDifference | None) -> dict[str, Any]:
    if comparison is None:
        return {"points": None, "interval": None, "p_value": None, "told_apart": False}
    return {
        "points": comparison.difference,
        "interval": comparison.interval,
        "p_value": comparison.p_value,
        "told_apart": comparison.significant,
    }


def _described(run: RunDir) -> dict[str, Any]:
    manifest = read_manifest(run.manifest)
    return {
        "model": manifest.model,
        "identity_hash": manifest.identity_hash,
        "notes": manifest.notes,
    }


def _key(pair: tuple[str, str]) -> str:
    return f"{pair[0]} - {pair[1]}"


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _shown(entry: Mapping[str, Any], name: str) -> str:
    """`61.2 (58.0 to 64.3)`; over too few items for an interval `61.2`."""
    if entry[name] is None:
        return "-"
    if entry["interval"] is None:
        return f"{entry[name]:.1f}"
    low, high = entry["interval"]
    return f"{entry[name]:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    raise SystemExit(main())
