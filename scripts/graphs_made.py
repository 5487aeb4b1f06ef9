"""How well made question graphs agree with given ones: tuples, edges, and scores.

    python -m scripts.graphs_made GIVEN MADE [--near 0.5] [--out FILE.json]
    python -m scripts.graphs_made GIVEN --controls [--out FILE.json]
    python -m scripts.graphs_made shapes --parser [--out FILE.json]

GIVEN and MADE are benchmarks: names or question files with the same item ids (what `dpgbench
prompts make` wrote is one). Tuples match one to one within a category, by the words between their
brackets: `same` where the words are the same, `near` where at least the share --near of both
together is.

--controls sets GIVEN beside itself, beside itself with every second question left out, and beside
itself with each item's graph taken from the next item: what the measure gives for graphs of which
the agreement is known. --parser makes the graphs with the parser of shapes captions, which reads
nothing else. Where GIVEN is `shapes`, whose true answers are known for every picture, the scores of
both graphs are compared too, on the right pictures and on those with one changed attribute.
"""

from __future__ import annotations

import argparse
import json
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.plan import ItemPlan
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import RULES
from dpgbench.domain.score import score_item
from dpgbench.domain.statistics.correlation import average_ranks
from dpgbench.shapes import Scene, benchmark_items
from dpgbench.shapes.facts import (
    REGIONS,
    Between,
    Compared,
    Count,
    Exists,
    Fact,
    Has,
    InStyle,
    Located,
    OnGround,
    Ref,
    Related,
    holds,
)
from dpgbench.shapes.parse import parse_caption
from dpgbench.shapes.questions import DETAIL_OF, STYLE_NAMES
from dpgbench.shapes.scene import COLORS, DIRECTIONS, GROUNDS, SHAPES
from dpgbench.shapes.scene_edits import VALUES, edits
from dpgbench.shapes.words import plural_of
from dpgbench.store.benchmarks import load_benchmark

RULE = RULES["corrected-v1"]
ARTICLES = {"a", "an", "the"}
LEVELS = ("same", "near")


class Tally(NamedTuple):
    """Tuples of a category: how many are given, how many made, how many of them match."""

    reference: int
    made: int
    same: int
    near: int


def agreement(reference: Benchmark, made: Benchmark, near: float = 0.5) -> dict[str, Any]:
    """Return how far the made graphs have what the given ones have, on the items that both have.

    Args:
        near: the share of both tuples' words together that near ones have in common.
    """
    shared = [item for item in reference.items if item in made.items]
    tallies: defaultdict[str, list[Tally]] = defaultdict(list)
    edges = Counter[str]()
    for item in shared:
        one, other = reference.items[item], made.items[item]
        pairs = matched(one, other, near)
        for name in sorted({category_of(row) for row in (*one, *other)}):
            of_category = [pair for pair in pairs if category_of(pair[0]) == name]
            tallies[name].append(
                Tally(
                    sum(category_of(row) == name for row in one),
                    sum(category_of(row) == name for row in other),
                    sum(words_of(a) == words_of(b) for a, b in of_category),
                    len(of_category),
                )
            )
        edges.update(_edges(pairs))
    categories = {name: _shares(tallies[name]) for name in sorted(tallies)}
    everything = [tally for some in tallies.values() for tally in some]
    return {
        "items": len(shared),
        "items_without_a_made_graph": len(reference.items) - len(shared),
        "all": _shares(everything),
        "categories": categories,
        "edges": {
            "between_matched": edges["given"],
            "made_too": edges["both"],
            "share": _share(edges["both"], edges["given"]),
        },
        "questions": {
            "given": sum(len(reference.items[item]) for item in shared),
            "made": sum(len(made.items[item]) for item in shared),
        },
    }


def matched(
    reference: Sequence[QuestionRow], made: Sequence[QuestionRow], near: float
) -> list[tuple[QuestionRow, QuestionRow]]:
    """Return pairs of given and made tuples, the most alike first, each row in one pair at most."""
    alike = []
    for i, one in enumerate(reference):
        for j, other in enumerate(made):
            if category_of(one) == category_of(other):
                both, either = words_of(one) & words_of(other), words_of(one) | words_of(other)
                likeness = sum(both.values()) / max(1, sum(either.values()))
                if likeness >= near:
                    alike.append((-likeness, i, j))
    pairs, used_given, used_made = [], set(), set()
    for _, i, j in sorted(alike):
        if i not in used_given and j not in used_made:
            used_given.add(i)
            used_made.add(j)
            pairs.append((reference[i], made[j]))
    return pairs


def category_of(row: QuestionRow) -> str:
    """Return the L1 category of a row, however it was typed."""
    return row.meant_category.l1


def words_of(row: QuestionRow) -> Counter[str]:
    """Return the words between a tuple's brackets: small, singular as far as an s goes."""
    subject = row.tuple.partition("(")[2].rpartition(")")[0]
    plain = unicodedata.normalize("NFKC", subject).casefold()
    words = (word for word in re.findall(r"==?\d+|\w+", plain) if word not in ARTICLES)
    return Counter(re.sub(r"(?<=[^s])s$", "", word) for word in words)


def controls(reference: Benchmark, near: float = 0.5) -> dict[str, Any]:
    """Return the agreement with graphs whose agreement is known."""
    halved = {item: rows[::2] for item, rows in reference.items.items()}
    ids = list(reference.items)
    turned = {
        item: tuple(replace(row, item_id=item) for row in reference.items[other])
        for item, other in zip(ids, ids[1:] + ids[:1], strict=True)
    }
    return {
        "itself": agreement(reference, reference, near),
        "every second question": agreement(reference, replace(reference, items=halved), near),
        "the next item's graph": agreement(reference, replace(reference, items=turned), near),
    }


def parsed(reference: Benchmark) -> tuple[Benchmark, dict[str, str]]:
    """Return the graphs that the parser of shapes captions makes, and why it made no others."""
    items: dict[str, tuple[QuestionRow, ...]] = {}
    failures = {}
    for item, prompt in reference.prompts.items():
        try:
            rows = parse_caption(prompt)
        except ValueError as error:
            failures[item] = str(error)
        else:
            items[item] = tuple(
                QuestionRow(
                    row=number,
                    item_id=item,
                    text=prompt,
                    keywords=row["keywords"],
                    qid=int(row["proposition_id"]),
                    dependency=row["dependency"],
                    category_broad=row["category_broad"],
                    category_detailed=row["category_detailed"],
                    tuple=row["tuple"],
                    question=row["question_natural_language"],
                )
                for number, row in enumerate(rows, 2)
            )
    prompts = {item: reference.prompts[item] for item in items}
    return Benchmark("parsed", reference.path, prompts, items), failures


def scores(reference: Benchmark, made: Benchmark, pictures_an_item: int = 40) -> dict[str, Any]:
    """Return how the scores of both graphs of `shapes` compare, by true answers.

    Args:
        pictures_an_item: with one attribute of one thing changed, spread evenly over all such.

    Returns:
        What each graph loses; `unreadable` are made questions whose tuples are not in the form of
        the benchmark's own: nobody knows their answer, and their items are left out.
    """
    unreadable, agreeing, items = 0, 0, 0
    lost: Counter[tuple[bool, bool]] = Counter()
    pairs: list[tuple[float, float]] = []
    for item in benchmark_items():
        if item.item_id not in made.items:
            continue
        facts = [fact_of(row) for row in made.items[item.item_id]]
        if None in facts:
            unreadable += facts.count(None)
            continue
        items += 1
        score_given = _scorer(reference, item.item_id)
        score_made = _scorer(made, item.item_id)
        right = (score_given(item.scene), score_made(item.scene))
        all_changed = [changed for _, changed in edits(item.scene)]
        step = max(1, len(all_changed) // pictures_an_item)
        changed = [(score_given(s), score_made(s)) for s in all_changed[::step]]
        lost.update((a < 1, b < 1) for a, b in changed)
        noticed = [b < 1 for a, b in changed if a < 1]
        agreeing += min(right) == 1 and all(noticed)
        pairs += [right, *changed]
    values = np.array(pairs)
    return {
        "items": items,
        "unreadable": unreadable,
        "pictures": len(pairs),
        "items_that_lose_what_the_given_lose": _share(agreeing, items),
        "changed_pictures": {
            "both_lose": lost[True, True],
            "given_alone": lost[True, False],
            "made_alone": lost[False, True],
            "neither": lost[False, False],
        },
        "spearman": _spearman(values),
        "mean_score": {"given": float(values[:, 0].mean()), "made": float(values[:, 1].mean())},
        "mean_distance": float(np.abs(values[:, 0] - values[:, 1]).mean()),
    }


def fact_of(row: QuestionRow) -> Fact | None:
    """Return the fact that a tuple in the form of `shapes` names; None for any other."""
    category = row.meant_category.l2
    words = [part.strip() for part in row.tuple.partition("(")[2].rpartition(")")[0].split(",")]
    name, *rest = words
    try:
        return _FACTS[category](name, *rest)
    except (KeyError, TypeError, ValueError):
        return None


def _ref(name: str) -> Ref:
    color, _, noun = name.rpartition(" ")
    singular = next((s for s in (*SHAPES, "shape") if noun in (s, plural_of(s))), None)
    if singular is None or color not in ("", *COLORS):
        raise ValueError(name)
    shape = singular if singular != "shape" else None
    return Ref(shape, color or None, noun != singular)  # type: ignore[arg-type]


def _has(attribute: str) -> Callable[[str, str], Fact]:
    def fact(name: str, value: str) -> Fact:
        ground = next((ground for ground in GROUNDS if ground == value), None)
        if name == "background" and attribute == "color" and ground:
            return OnGround(ground)
        if value not in VALUES[attribute]:  # type: ignore[index]
            raise ValueError(value)
        return Has(_ref(name), attribute, value)  # type: ignore[arg-type]

    return fact


def _placed(name: str, *rest: str) -> Fact:
    match rest:
        case (region, _) if region in REGIONS:
            return Located(_ref(name), region)
        case (other, relation) if relation in (*DIRECTIONS, "inside"):
            return Related(_ref(name), relation, _ref(other))  # type: ignore[arg-type]
        case (first, second, "between"):
            return Between(_ref(name), _ref(first), _ref(second))
        case _:
            raise ValueError(rest)


def _compared(name: str, other: str, comparison: str) -> Fact:
    if comparison not in ("larger than", "same color as"):
        raise ValueError(comparison)
    return Compared(_ref(name), comparison, _ref(other))  # type: ignore[arg-type]


def _style(name: str) -> Fact:
    return InStyle(next(style for style, words in STYLE_NAMES.items() if words == name))


_FACTS: Mapping[str, Callable[..., Fact]] = {
    "entity - whole": lambda name: Exists(_ref(name)),
    **{f"attribute - {detail}": _has(attribute) for attribute, detail in DETAIL_OF.items()},
    "relation - spatial": _placed,
    "relation - non-spatial": _compared,
    "other - count": lambda name, number: Count(_ref(name), int(number.removeprefix("=="))),
    "global -": _style,
    "global": _style,
}


def _scorer(benchmark: Benchmark, item: str) -> Callable[[Scene], float]:
    """Return what scores a picture of a scene, 0 to 1, by the true answers to an item's graph."""
    plan: ItemPlan = benchmark.plans(RULE)[item]
    facts = {row.qid: fact_of(row) for row in benchmark.items[item]}

    def score(scene: Scene) -> float:
        answers = {
            qid: "yes" if fact and holds(fact, scene) else "no" for qid, fact in facts.items()
        }
        return score_item(plan, {(item, 0): answers}, RULE, 1).score or 0.0

    return score


def _spearman(values: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    ones = np.ones((1, len(values)))
    first, second = (average_ranks(values[:, side].round(9), ones)[0] for side in (0, 1))
    return float(np.corrcoef(first, second)[0, 1])


def _edges(pairs: Iterable[tuple[QuestionRow, QuestionRow]]) -> Iterator[str]:
    """Yield `given` for each edge between given questions with a match, `both` if made has it."""
    partner = {one.qid: other for one, other in pairs}
    for qid, other in partner.items():
        parents = next(one for one, _ in pairs if one.qid == qid).parents.numbers
        for parent in parents:
            if parent in partner:
                yield "given"
                if partner[parent].qid in other.parents.numbers:
                    yield "both"


def _shares(tallies: Sequence[Tally]) -> dict[str, Any]:
    reference, made, same, near = (sum(column) for column in zip(*tallies, strict=True))
    return {
        "given": reference,
        "made": made,
        "coverage": {"same": _share(same, reference), "near": _share(near, reference)},
        "precision": {"same": _share(same, made), "near": _share(near, made)},
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def table(report: Mapping[str, Any]) -> str:
    """Return an agreement as a table in Markdown."""
    lines = [
        "| category | given | made | of the given, same words | near | of the made, same | near |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, shares in [*report["categories"].items(), ("all", report["all"])]:
        figures = [shares[kind][level] for kind in ("coverage", "precision") for level in LEVELS]
        cells = ["–" if figure is None else f"{100 * figure:.1f}%" for figure in figures]
        lines.append(f"| {name} | {shares['given']} | {shares['made']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def study(options: argparse.Namespace) -> dict[str, Any]:
    """Return everything that was asked for."""
    reference = load_benchmark(options.reference)
    reference.require_graphs()
    report: dict[str, Any] = {"given": str(options.reference), "near": options.near}
    if options.controls:
        report["controls"] = controls(reference, options.near)
    if options.parser or options.made:
        failures: Mapping[str, str] = {}
        if options.parser:
            made, failures = parsed(reference)
        else:
            made = load_benchmark(options.made)
        report["made"] = "parser" if options.parser else str(options.made)
        report["failures"] = failures
        report["agreement"] = agreement(reference, made, options.near) if made.items else None
        if options.reference == "shapes":
            report["scores"] = scores(reference, made)
    return report


def main() -> None:
    """Compare, and print tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", metavar="GIVEN")
    parser.add_argument("made", metavar="MADE", nargs="?")
    parser.add_argument("--parser", action="store_true")
    parser.add_argument("--controls", action="store_true")
    parser.add_argument("--near", type=float, default=0.5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if not (options.made or options.parser or options.controls):
        parser.error("give MADE, --parser or --controls")
    report = study(options)
    for name, control in report.get("controls", {}).items():
        print(f"beside {name}:\n{table(control)}\n")
    if report.get("agreement"):
        print(f"{table(report['agreement'])}\n\nedges: {report['agreement']['edges']}")
    if report.get("failures"):
        print(f"{len(report['failures'])} items without a made graph")
    if "scores" in report:
        print(json.dumps(report["scores"], indent=1))
    if options.out:
        options.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
