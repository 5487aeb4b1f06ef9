"""Runs of 159 and 1,059 real items: compared on the items that both have, and on nothing else.

What is expected is computed here from the files, by other means than the toolkit's.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from dpgbench.domain.rules import RULES
from tests.cli.processes import start
from tests.helpers import SHARED, Run

MODELS = ("mini-dalle", "sd2dot1")
READS_RAW = ("ella-reference", "diffusionbench")  # categories before zeroing
SKIPS_FIRST = READS_RAW


@dataclass
class Expected:
    """What one model's answers give under a rule, for each item: sum and count by name."""

    overall: dict[str, tuple[float, int]] = field(default_factory=dict)
    l1: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    l2: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def parents_of(text: str) -> tuple[list[int], bool]:
    """Return parents, and whether a part is no number."""
    parts = [part.strip() for part in text.split(",")]
    numbers = [int(part) for part in parts if part.isdigit()]
    return [number for number in numbers if number], len(numbers) < len(parts)


def zeroed(rows: list[dict], raw: dict[int, bool], rule: str) -> dict[int, bool]:
    """Return which questions hold once failed parents have zeroed them."""
    if rule == "corebench":
        return dict(raw)
    edges = {int(row["proposition_id"]): parents_of(row["dependency"]) for row in rows}
    if rule == "dsg":
        free = any(words for _, words in edges.values())
        return {q: raw[q] and (free or all(raw[p] for p in edges[q][0])) for q in edges}
    if rule == "corrected-v1":

        def holds(qid: int, path: tuple[int, ...] = ()) -> bool:
            above = [p for p in edges[qid][0] if p in edges and p not in (*path, qid)]
            return raw[qid] and all(holds(p, (*path, qid)) for p in above)

        return {q: holds(q) for q in edges}
    seen = {} if rule == "ulmeval" else dict(raw)
    for qid, (parents, _) in edges.items():
        seen[qid] = raw[qid] and all(seen.get(parent, True) for parent in parents)
    return {q: seen[q] for q in edges}


def names(row: dict, rule: str) -> tuple[str, str]:
    """Return a question's category, broad and fine."""
    if rule == "ulmeval":
        return row["category_broad"], f"{row['category_broad']} - {row['category_detailed']}"
    fine = row["tuple"].split("(")[0].strip()
    return fine.split("-")[0].strip(), fine


def expected(rows: list[dict], answers: dict[str, dict[int, bool]], rule: str) -> Expected:
    """Return what the answers give under a rule, item by item."""
    scores = Expected()
    considered = rows[1:] if rule in SKIPS_FIRST else rows
    by_item: dict[str, list[tuple[int, dict]]] = defaultdict(list)
    for place, row in enumerate(considered):
        by_item[row["item_id"]].append((place, row))
    for item, placed in by_item.items():
        if item not in answers:
            continue
        mine = [row for _, row in placed]
        if rule == "ella-reference":  # the last rows that stand together
            start = max(
                (n for n in range(1, len(placed)) if placed[n][0] != placed[n - 1][0] + 1),
                default=0,
            )
            mine = mine[start:]
        raw = {
            int(row["proposition_id"]): answers[item][int(row["proposition_id"])] for row in mine
        }
        held = zeroed(mine, raw, rule)
        weight = len(held) if rule == "ulmeval" else 1
        scores.overall[item] = (100 * weight * sum(held.values()) / len(held), weight)
        for level, n in ((scores.l1, 0), (scores.l2, 1)):
            parts = level.setdefault(item, {})
            for row in mine:
                qid = int(row["proposition_id"])
                value = raw[qid] if rule in READS_RAW else held[qid]
                parts.setdefault(names(row, rule)[n], []).append(100 * value)
            if rule == "corebench":  # a category is the mean of images that have it
                parts |= {name: [scores.overall[item][0]] for name in parts}
    return scores


def read(path: Path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@dataclass(frozen=True)
class Pair:
    """Both runs scored, the rows of the benchmark and the answers of each model."""

    folder: Path
    rows: list[dict]
    answers: dict[str, dict[str, dict[int, bool]]]
    rules: tuple[str, ...]

    @property
    def runs(self) -> list[Path]:
        return [self.folder / model for model in MODELS]


@pytest.fixture(scope="module", params=["as it is", "with dependencies mended"])
def scored(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    if not SHARED.is_dir():
        pytest.skip("real data (../shared) is not beside this checkout")
    data, tmp_path = SHARED / "data" / "dsg1k", tmp_path_factory.mktemp("dsg1k")
    bench = data / "dsg-1k-anns.csv"
    rows, rules = read(bench), [rule for rule in RULES if rule != "ella-reference"]
    if request.param != "as it is":  # the reference refuses words among dependencies
        for row in rows:
            row["dependency"] = ",".join(map(str, parents_of(row["dependency"])[0])) or "0"
        bench = tmp_path / "mended.csv"
        with bench.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        rules = ["ella-reference"]
    answers: dict[str, dict] = {model: defaultdict(dict) for model in MODELS}
    for row in read(data / "mplug_dsg.csv"):
        if row["t2i_model"] in MODELS:
            answered = answers[row["t2i_model"]][row["item_id"]]
            answered[int(row["question_id"])] = row["answer"] == "yes"
    for model in MODELS:
        words = [word for rule in rules for word in ("--rule", rule)]
        where = ("--where", f"t2i_model={model}")
        recorded = ("--bench", str(bench), "--answers", str(data / "mplug_dsg.csv"), *where)
        more = ("--num-images", "1", "--out", model, "--partial", *words)
        assert start(tmp_path, ("score", *recorded, *more)) == 0
    yield Pair(tmp_path, rows, answers, tuple(rules))


def interval(gaps: np.ndarray) -> tuple[float, float]:
    dice = np.random.default_rng(7)
    drawn = gaps[dice.integers(0, len(gaps), (4000, len(gaps)))].mean(axis=1)
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def test_differences_are_over_the_items_that_both_have(scored: Pair, run: Run) -> None:
    ended = run("compare", *scored.runs, "--json")
    assert ended.code == 0, ended.err
    results = {result["rule"]: result for result in json.loads(ended.out)["results"]}
    assert results.keys() == set(scored.rules)
    for rule, result in results.items():
        one, two = (expected(scored.rows, scored.answers[model], rule) for model in MODELS)
        common = sorted(one.overall.keys() & two.overall.keys())
        assert result["items"] == len(common) == 159
        parts = np.array([[side.overall[item] for item in common] for side in (one, two)])
        means = parts[:, :, 0].sum(axis=1) / parts[:, :, 1].sum(axis=1)
        assert [result["first_score"], result["second_score"]] == pytest.approx(list(means))
        assert result["difference"] == pytest.approx(means[0] - means[1])
        if rule != "ulmeval":  # where items weigh alike: the mean of their own differences
            gaps = parts[0, :, 0] - parts[1, :, 0]
            assert result["difference"] == pytest.approx(gaps.mean())
            low, high = interval(gaps)
            assert result["interval"] == pytest.approx([low, high], abs=0.5)
        assert result["told_apart"] is False
        for level in ("l1", "l2"):
            sides = [getattr(side, level) for side in (one, two)]
            names = {name for item in common for name in sides[0][item]}
            assert result[level].keys() == names
            for name, category in result[level].items():
                items = [item for item in common if name in sides[0][item]]
                values = [[v for i in items for v in side[i][name]] for side in sides]
                gap = np.mean(values[0]) - np.mean(values[1])
                assert category["difference"] == pytest.approx(gap)
                assert category["items"] == len(items)
                assert category["told_apart"] is False
                assert (category["interval"] is None) == (len(items) < 8)
                assert (category["p_value"] is None) == (len(items) < 8)


def test_the_command_says_on_how_many_items(scored: Pair, run: Run) -> None:
    ended = run("compare", *scored.runs)
    assert ended.code == 0
    assert ended.out.count("159 items that both have") == len(scored.rules)
    for line in ended.out.splitlines():
        if line.startswith("overall "):
            assert line.split()[-2:] == ["no", "159"]
        assert " yes " not in line


def test_the_report_ranks_no_part_beside_the_whole(scored: Pair, run: Run) -> None:
    ended = run("report", *scored.runs, "--out", scored.folder / "report")
    assert ended.code == 0, ended.err
    page = (scored.folder / "report" / "leaderboard.html").read_text()
    assert "is ahead of" not in page.partition("<script")[0]
    assert "p &lt; 0.001" not in page
    table = read(scored.folder / "report" / "leaderboard.csv")
    ranks = {(row["model"], row["rule"]): row["rank"] for row in table if row["kind"] == "measured"}
    assert {ranks["mini-dalle", rule] for rule in scored.rules} == {""}
    for rule in scored.rules:
        row = next(row for row in table if (row["model"], row["rule"]) == ("mini-dalle", rule))
        assert row["items_scored"] == "159"
        assert "901 of 1060 items lack answers" in row["unranked"] or "901 items" in row["unranked"]
