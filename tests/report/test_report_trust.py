"""What a figure is about stands beside it: parts, few items, absent items, changed pictures."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from dpgbench.analysis.board import make_board
from dpgbench.analysis.comparison import RunComparison, compare_runs
from dpgbench.cli import compare as compare_command
from dpgbench.cli import report as report_command
from dpgbench.cli.compare import comparison_sentences, comparison_table
from dpgbench.domain.aggregate import recorded_part
from dpgbench.domain.plan import plan_item
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.rules import RULES, find_rule
from dpgbench.domain.score import score_item
from dpgbench.domain.spec import canonical_json
from dpgbench.domain.statistics.bootstrap import LEAST_ITEMS
from dpgbench.domain.statistics.paired import paired_differences
from dpgbench.errors import ResumeMismatchError
from dpgbench.report import ReportOptions, build_report
from dpgbench.report.tables.csv_table import leaderboard_csv
from dpgbench.report.tables.json_table import comparison_json
from dpgbench.report.tables.latex import leaderboard_latex
from dpgbench.report.tables.markdown import leaderboard_markdown
from dpgbench.report.text import shown, warning_texts
from dpgbench.store.benchmarks import load_csv
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.images import UNVERIFIED
from dpgbench.store.run.scores import _lost
from tests.report.report_page import Page
from tests.report.report_runs import RunMaker, maker

TEN = [f"COCOval{n}" for n in range(1, 20, 2)]


def edit(run: RunDir, rule: str = "corrected-v1", **fields: object) -> None:
    """Put fields into a score file."""
    path = run.scores("fake", rule)
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def size(dpg: RunMaker, number: int = 30) -> dict:
    """Return a manifest's benchmark that knows how many items there are."""
    benchmark = dpg.benchmark
    return {
        "name": benchmark.name,
        "path": str(benchmark.path),
        "items": number,
        "prompts_sha256": benchmark.prompts_sha256,
        "questions_sha256": benchmark.questions_sha256,
    }


def corrected(compared: list[RunComparison]) -> RunComparison:
    return next(results for results in compared if results.first.rule == "corrected-v1")


def measured(text: str) -> list[dict[str, str]]:
    return [row for row in csv.DictReader(io.StringIO(text)) if row["kind"] == "measured"]


# Parts of a benchmark


def subset(items: list[str], of: int, choice: str) -> dict:
    digest = hashlib.sha256(canonical_json(sorted(items)).encode()).hexdigest()
    return {"items": len(items), "of": of, "items_sha256": digest, "choice": choice}


def test_a_part_says_so_everywhere_and_stands_in_a_table_of_its_own(
    dpg: RunMaker, tmp_path: Path
) -> None:
    whole = dpg.make("whole", benchmark=size(dpg))
    few = dpg.make("few", items=TEN, skill=1.0, benchmark=size(dpg))
    for rule in dpg.rules:
        edit(few, rule, subset=subset(TEN, 30, "source COCOval"))
    page, *beside = build_report([whole, few], tmp_path / "out", ReportOptions(published=False))
    words = "10 of 30 items (source COCOval)"
    for path in (page, *beside[:-1]):  # all but what to cite
        assert words in path.read_text(), path.name
    inside = json.loads(Page(page).texts["script"][0])
    assert f"only {words}" in [note for row in inside["rows"] for note in row["notes"]]
    rows = measured(beside[0].read_text())
    assert [(r["run"], r["subset"], r["rank"]) for r in rows if r["rule"] == "corrected-v1"] == [
        ("whole", "", "1"),
        ("few", words, "1"),
    ]
    assert float(rows[-1]["coverage"]) == pytest.approx(1 / 3)
    groups = make_board([whole, few]).groups
    assert [[row.run for row in group.rows] for group in groups] == [["whole"], ["few"]] * 2
    assert all("not ranked against each other" in group.apart for group in groups)
    assert "100%" not in beside[1].read_text().partition("(source COCOval)")[2].split("##")[0]


def test_an_older_file_over_a_part_is_known_by_its_counts(dpg: RunMaker) -> None:
    by_manifest = dpg.make("one", items=TEN, benchmark=size(dpg))
    by_warning, all_but_one = dpg.make("two", items=TEN), dpg.make("three", items=TEN)
    edit(by_warning, warnings={"items_not_chosen": 1055})
    edit(all_but_one, warnings={"items_not_chosen": 1})
    board = make_board([by_manifest, by_warning, all_but_one])
    rows = {(row.run, row.rule): row for row in board.rows}
    assert str(rows["three", "corrected-v1"].subset) == "10 of 11 items"
    assert str(rows["one", "corrected-v1"].subset) == "10 of 30 items"
    assert str(rows["two", "corrected-v1"].subset) == "10 of 1,065 items"
    assert rows["two", "corrected-v1"].coverage == 10 / 1065
    assert make_board([dpg.make("all", benchmark=size(dpg))]).rows[0].subset is None


def narrow(run: RunDir, dpg: RunMaker) -> None:
    """Put a result over ten items beside that over all, as `score --items` does."""
    small = dpg.make(f"{run.name}-small", items=TEN, skill=1.0)
    about = subset(TEN, 30, "10 items")
    edit(small, subset=about)
    place = run.scores("fake", "corrected-v1")
    for end in (".json", ".items.csv"):
        name = f"corrected-v1@{about['items_sha256'][:8]}{end}"
        source = small.scores("fake", "corrected-v1").with_suffix(end)
        place.with_name(name).write_bytes(source.read_bytes())


def test_a_narrow_result_never_stands_for_the_wide_one(dpg: RunMaker, tmp_path: Path) -> None:
    one, two = dpg.make("one"), dpg.make("two", seed=2)
    plain = corrected(compare_runs(one, two)).comparison
    narrow(one, dpg)
    rows = [row for row in make_board([one, two]).rows if row.rule == "corrected-v1"]
    assert [row.narrow for row in rows] == [False, False, True]
    assert corrected(compare_runs(one, two)).comparison.overall == plain.overall
    compared = [v for v in compare_runs(one, two) if v.first.rule == "corrected-v1"]
    assert len(compared) == 1
    page = Page(build_report([one, two], tmp_path / "out")[0])
    names = [row["name"] for row in json.loads(page.texts["script"][0])["rows"]]
    assert "one, 10 of 30 items" in names
    wide = next(row for row in rows if row.run == "one" and not row.narrow)
    method = page.source.partition("Where rules differ on these runs")[2].partition("</table>")[0]
    assert f"{wide.overall:.2f}" in method
    assert "100.00" not in method


def test_two_parts_of_one_size_without_tables_are_not_ranked_together(dpg: RunMaker) -> None:
    runs = [dpg.make(f"run{n}", items=TEN[n : n + 8]) for n in range(2)]
    for run in runs:
        manifest = json.loads(run.manifest.read_text())
        run.manifest.write_text(json.dumps({**manifest, "items": list(dpg.benchmark.items)}))
        for path in run.path.glob("scores/*/*.items.csv"):
            path.unlink()
    assert all(len(group.rows) == 1 for group in make_board(runs).groups)


# Few items


def test_one_item_has_a_score_and_no_interval_anywhere(dpg: RunMaker, tmp_path: Path) -> None:
    runs = [dpg.make(name, items=TEN[:1], seed=n) for n, name in enumerate(("one", "two"))]
    for run in runs:
        for rule in dpg.rules:
            record = json.loads(run.scores("fake", rule).read_text())
            for level in ("l1", "l2", "sources"):
                for entry in record[level].values():
                    entry["interval"] = [entry["score"], entry["score"]]
            edit(
                run, rule, interval=[75.0, 75.0], **{k: record[k] for k in ("l1", "l2", "sources")}
            )
    paths = build_report(runs, tmp_path / "out", ReportOptions(published=False))
    for path in paths:
        if path.suffix != ".html":
            assert "[75.0, 75.0]" not in path.read_text()
    page = Page(paths[0])
    assert not [text for text in page.texts["span"] if text.startswith("[")]
    for row in measured(paths[1].read_text()):
        assert not [name for name, cell in row.items() if name.endswith(("_lo", "_hi")) and cell]
        assert row["l1_entity_n"] == "2"
        assert row["l1_entity_items"] == "1"
    assert "fewer than 8 do not tell a difference from chance" in page.text
    assert {row.rank_range for row in make_board(runs).rows} == {(1, 2)}


@pytest.mark.parametrize("number", [LEAST_ITEMS - 1, LEAST_ITEMS])
def test_a_difference_on_fewer_than_eight_items_is_not_tested(dpg: RunMaker, number: int) -> None:
    one, two = (dpg.make(n, items=TEN[:number], skill=s) for n, s in (("one", 1.0), ("two", 0.0)))
    compared = corrected(compare_runs(one, two))
    overall = compared.comparison.overall
    assert overall is not None
    assert overall.difference == 100
    enough = number >= LEAST_ITEMS
    assert (overall.interval is not None, overall.p_value is not None) == (enough, enough)
    assert overall.significant is enough
    assert {category.difference.significant for category in compared.comparison.l1} == {enough}
    assert {category.items for category in compared.comparison.l1} == {number}
    assert comparison_table(compared)[1][-2:] == ["yes" if enough else "too few", str(number)]
    assert ("fewer than 8" in " ".join(comparison_sentences(compared))) is not enough
    assert (comparison_json(*compared)["p_value"] is None) is not enough


def test_pairs_count_the_items_that_both_columns_have() -> None:
    sums, counts = np.arange(20.0).reshape(10, 2), np.ones((10, 2))
    counts[:3, 1] = sums[:3, 1] = 0
    differences = paired_differences(sums, counts, [(0, 1), (0, 0)])
    assert differences[0] is not None
    assert differences[0].interval is None
    assert differences[1] is not None
    assert differences[1].interval == (0, 0)


def test_a_category_of_few_items_loses_its_interval(tmp_path: Path) -> None:
    dpg = maker(tmp_path, 12)
    text = dpg.benchmark.path.read_text()
    lines = [
        line.replace("global - (painting)", "global - photo (painting)")
        if line.startswith(("stanford_0,", "COCOval1,", "stanford_2,"))
        else line
        for line in text.splitlines()
    ]
    dpg.benchmark.path.write_text("\n".join(lines) + "\n")
    run = RunMaker(dpg.folder, load_csv(dpg.benchmark.path, "dpg"), num_images=4).make("run")
    edit(run, warnings={})
    path = build_report([run], tmp_path / "out", ReportOptions(published=False))[1]
    row = next(row for row in measured(path.read_text()) if row["rule"] == "corrected-v1")
    assert (row["l2_global - photo_items"], row["l2_global - photo_lo"]) == ("3", "")
    assert row["l2_global -_items"] == "9"
    assert row["l2_global -_lo"]


def test_the_length_chart_counts_the_items_of_each_point(dpg: RunMaker, tmp_path: Path) -> None:
    runs = [dpg.make("whole"), dpg.make("part", unanswered=TEN), dpg.make("scrap", seed=2)]
    edit_items = runs[2].item_scores("fake", "corrected-v1")
    lines = edit_items.read_text().splitlines()
    edit_items.write_text("\n".join(lines[:6]) + "\n")
    points = {
        curve.row.run: curve.points[0]
        for view in make_board(runs).prompt_lengths
        if view.group.key.rule == "corrected-v1"
        for curve in view.whole.curves
    }
    counts = {name: point.items for name, point in points.items() if point}
    assert counts == {"whole": 30, "part": 20, "scrap": 5}
    assert points["scrap"] is not None
    assert points["scrap"].interval is None
    assert "n=30/20" in build_report(runs[:2], tmp_path / "out")[0].read_text()


# Items that are not there


def test_an_absent_item_counts_for_nothing_and_a_lost_one_as_the_rule_says() -> None:
    dsg = find_rule("dsg")
    assert recorded_part(None, 4, dsg, absent=True) == (0.0, 0)
    assert recorded_part(None, 4, dsg, absent=False) == (0.0, 1)
    assert recorded_part(None, 4, find_rule("corrected-v1"), absent=False) == (0.0, 0)


@pytest.mark.parametrize("name", RULES)
def test_the_words_for_lost_items_are_those_of_scoring(name: str) -> None:
    """`_lost` knows a rule's own reasons from missing answers by their words."""
    fields = QuestionRow.__dataclass_fields__
    rows = [
        QuestionRow(**dict(zip(fields, values, strict=True)))
        for values in _two_questions(list(fields))
    ]
    rule = find_rule(name)
    answered = {("a", 0): {1: "yes", 2: "yes"}}
    for answers, absent in ((answered, False), ({}, True), ({("a", 0): {1: "yes"}}, True)):
        item = score_item(plan_item(rows, rule, 1), answers, rule, 1)
        if item.failure is not None:
            assert _lost(item.failure) is not absent, item.failure
        else:
            assert not absent or rule.skip_first_row
    only = score_item(plan_item(rows[:1], rule, rows[0].row), answered, rule, 1)
    assert only.failure is None or _lost(only.failure)


def _two_questions(fields: list[str]) -> list[list[object]]:
    lines = []
    for qid, dependency in ((1, "9"), (2, "0")):
        cells = {"row": qid + 1, "item_id": "a", "qid": qid, "dependency": dependency}
        cells |= {"tuple": "entity - whole (x)", "position": -1}
        lines.append([cells.get(field, "") for field in fields])
    return lines


def test_runs_are_compared_on_items_that_both_have_under_a_rule_that_counts_zero(
    tmp_path: Path,
) -> None:
    dpg = maker(tmp_path, rules=("dsg",))
    one = dpg.make("one", unanswered=TEN, skill=0.7)
    two = dpg.make("two", unanswered=TEN[:2], seed=1, skill=0.7)
    comparison = compare_runs(one, two)[0].comparison
    assert comparison.items == 20
    items = [
        {
            row["item_id"]: row["score"]
            for row in csv.DictReader(run.item_scores("fake", "dsg").read_text().splitlines())
        }
        for run in (one, two)
    ]
    common = [item for item in items[0] if items[0][item] and items[1][item]]
    gaps = [float(items[0][item]) - float(items[1][item]) for item in common]
    assert comparison.overall is not None
    assert comparison.overall.difference == pytest.approx(sum(gaps) / 20)
    assert sum(comparison.outcomes) == 20


def test_the_score_file_tells_which_items_are_absent(tmp_path: Path) -> None:
    dpg = maker(tmp_path, rules=("dsg",))
    run = dpg.make("run", unanswered=TEN)
    path = run.scores("fake", "dsg")
    record = {**json.loads(path.read_text()), "unanswered_items": TEN[:3]}
    path.write_text(json.dumps(record))
    items = make_board([run]).records[0].results[0].item_figures
    assert [item for item, figure in items.items() if figure.absent] == TEN[:3]
    record.pop("unanswered_items")
    path.write_text(json.dumps(record))
    items = make_board([run]).records[0].results[0].item_figures
    assert [item for item, figure in items.items() if figure.absent] == TEN


def test_a_score_that_counts_absent_items_as_zero_has_no_rank(tmp_path: Path) -> None:
    """Versions before counted them so; such files are still on disks."""
    dpg = maker(tmp_path, rules=("dsg",))
    run = dpg.make("run", unanswered=TEN)
    scores = [
        r["score"] for r in csv.DictReader(run.item_scores("fake", "dsg").read_text().splitlines())
    ]
    path = run.scores("fake", "dsg")
    record = json.loads(path.read_text())
    record["overall"] = sum(float(score) for score in scores if score) / len(scores)
    path.write_text(json.dumps(record))
    row = make_board([run]).rows[0]
    assert row.rank is None
    assert row.unranked.startswith("not ranked: 10 items without answers counted as zero")


# Pictures, notes, files


@pytest.fixture
def drawn(dpg: RunMaker) -> RunDir:
    run = dpg.make("run", images=True, items=TEN)
    lines = [
        {"item_id": item, "sha256": hashlib.sha256(run.image(item).read_bytes()).hexdigest()}
        for item in TEN
    ]
    run.images_log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def test_changed_pictures_end_report_and_compare(
    drawn: RunDir, dpg: RunMaker, tmp_path: Path
) -> None:
    other = dpg.make("other", items=TEN)
    out = str(tmp_path / "out")
    app = typer.Typer()
    report_command.register(app)
    compare_command.register(app)
    good = CliRunner().invoke(app, ["report", str(drawn.path), "--out", out])
    assert good.exit_code == 0
    assert UNVERIFIED not in (tmp_path / "out" / "leaderboard.html").read_text()
    drawn.image(TEN[0]).write_bytes(drawn.image(TEN[1]).read_bytes())
    for words in (
        ["report", str(drawn.path), "--out", out],
        ["report", str(drawn.path), "--out", out, "--check"],
        ["compare", str(drawn.path), str(other.path)],
    ):
        ended = CliRunner().invoke(app, words)
        assert isinstance(ended.exception, ResumeMismatchError), ended.output
        assert "1 picture changed since drawing or judging" in str(ended.exception)
        assert TEN[0] in str(ended.exception)
    hasty = CliRunner().invoke(app, ["report", str(drawn.path), "--out", out, "--no-verify"])
    assert hasty.exit_code == 0
    for name in ("html", "csv", "md", "tex"):
        text = (tmp_path / "out" / f"leaderboard.{name}").read_text()
        assert UNVERIFIED in text.replace("-{}-", "--")
    hasty = CliRunner().invoke(app, ["compare", str(drawn.path), str(other.path), "--no-verify"])
    assert f"note: run: {UNVERIFIED}" in hasty.output


def test_pictures_of_several_files_are_checked_too(dpg: RunMaker, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    (folder / TEN[0]).mkdir(parents=True)
    names = [f"{TEN[0]}/{tile}.png" for tile in range(4)]
    for tile, name in enumerate(names):
        (folder / name).write_bytes(bytes([tile]))
    hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}
    whole = hashlib.sha256("".join(f"{sha}\n" for sha in hashes.values()).encode()).hexdigest()
    run = dpg.make("run", kind="images", items=TEN, generation={"folder": str(folder)})
    line = {"item_id": TEN[0], "sha256": whole, "error": None, "files": hashes}
    run.images_log.write_text(json.dumps(line) + "\n")
    assert make_board([run]).rows
    (folder / names[2]).write_bytes(b"another")
    with pytest.raises(ResumeMismatchError, match=TEN[0]):
        make_board([run])


def test_a_picture_that_is_not_there_is_no_changed_one(drawn: RunDir) -> None:
    drawn.image(TEN[0]).unlink()
    assert make_board([drawn]).rows


def test_notes_and_warnings_of_any_kind_stand_beside_the_score(
    dpg: RunMaker, tmp_path: Path
) -> None:
    run = dpg.make("run", notes=["settings taken from the repository"])
    warnings = {"invalid_answers": 3, "odd_thing": 1, "read": "12 answers were read loosely (Yes)"}
    edit(run, notes=["4 tiles of 64x64 px, 2x2, assumed"], warnings=warnings)
    page, *beside = build_report([run], tmp_path / "out", ReportOptions(published=False))
    for text in (Page(page).text, *(path.read_text() for path in beside[:-1])):
        assert "settings taken from the repository" in text
        assert "4 tiles of 64x64 px, 2x2, assumed" in text
        assert "12 answers were read loosely (Yes)" in text
        assert "3 answers are neither yes nor no" in text
        assert "odd thing: 1" in text


def test_warnings_have_their_number_right() -> None:
    assert warning_texts({"self_parent": 1, "empty_text": 1200, "split_item": 0}) == [
        "1,200 items with an empty prompt",
        "1 question named as its own parent: ignored",
    ]


@pytest.mark.parametrize("name", [".part-abc.json", ".hidden.json", ".DS_Store.json"])
def test_hidden_files_are_never_results(dpg: RunMaker, name: str) -> None:
    run = dpg.make("run")
    path = run.scores("fake", "corrected-v1")
    path.with_name(name).write_bytes(path.read_bytes())
    (run.path / "scores" / ".part-x").mkdir()
    (run.path / "scores" / ".part-x" / "dsg.json").write_bytes(path.read_bytes())
    assert len(make_board([run]).rows) == 2


def test_other_releases_under_the_judge_are_told(dpg: RunMaker, tmp_path: Path) -> None:
    weights = {"weights": {"judge": {"sha256": "a" * 64}}}
    releases = [{"pillow": "12.0.0", "torch": "2.9"}, {"pillow": "13.0.0", "torch": "2.9"}]
    one, two = (
        dpg.make(f"run{n}", seed=n, judge_record={**weights, "releases": recorded})
        for n, recorded in enumerate(releases)
    )
    words = "pillow 12.0.0, torch 2.9 / pillow 13.0.0, torch 2.9"
    compared = corrected(compare_runs(one, two))
    assert f"  releases that the judge ran with: {words}" in list(comparison_sentences(compared))
    assert compared.comparison.overall is not None
    page = Page(build_report([one, two], tmp_path / "out")[0])
    assert "Not alike in these runs: releases that the judge ran with" in page.text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(dpg: RunMaker, start: str) -> None:
    run = dpg.make("run", model=f"{start}1+1", notes=[f"{start}cmd"])
    edit(run, interval=[-1.5, 3.0], overall=-0.5)
    text = leaderboard_csv(make_board([run], published=False))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {row["model"] for row in rows} == {f"'{start}1+1"}
    assert {row["notes"] for row in rows} == {f"'{start}cmd"}
    assert [row["overall_lo"] for row in rows][-1] == "-1.5"


def test_control_characters_are_shown_and_lines_stay_lines(dpg: RunMaker) -> None:
    run = dpg.make("run", model="a\x1b[31m|b\n\n\\end{table}\x07", notes=["one\n\ntwo\x1b"])
    board = make_board([run], published=False)
    for text in (leaderboard_latex(board), leaderboard_markdown(board)):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "x1b" in text
    assert "\n\n\\" not in leaderboard_latex(board).replace("\n\n\\begin{table}", "")
    lines = [line for line in leaderboard_markdown(board).split("\n") if "31m" in line]
    assert all(line.startswith(("| ", "- ")) for line in lines)


def test_sentences_are_cut_between_words() -> None:
    text = "these are words " * 10
    assert shown(text, 60) == "these are words these are words these are words these are…"
    assert shown("x" * 80, 60) == "x" * 59 + "…"
    assert shown("a\u202eb") == "a\\u202eb"


def test_categories_need_the_answers_that_were_scored(dpg: RunMaker) -> None:
    one, two = dpg.make("one"), dpg.make("two", seed=4)
    text = one.answers("fake").read_text()
    one.answers("fake").write_text(text.replace('"yes"', '"no"', 40))
    sentences = list(comparison_sentences(corrected(compare_runs(one, two))))
    assert (
        "no categories: the answers or questions at hand are not those that were scored"
        in sentences
    )


def test_tables_of_other_items_are_compared_on_the_common_ones(dpg: RunMaker) -> None:
    one, two = dpg.make("one", items=TEN), dpg.make("two", seed=3)
    comparisons = [c for c in make_board([one, two]).comparisons if c.overall is not None]
    assert {comparison.items for comparison in comparisons} == {10}
    assert all(comparison.l1 for comparison in comparisons)


@pytest.mark.parametrize("word", ["Yes", " NO. ", "true", "maybe", "0"])
def test_item_pages_count_answers_as_the_scores_do(dpg: RunMaker, word: str) -> None:
    """Where a rule reads `Yes` as yes, the letters that the page counts are those of the score."""
    board = make_board([dpg.make("run", answer=word, skill=0.5)])
    (items,) = board.item_sets
    verdicts = items.runs[0].judges[0].verdicts
    for result in board.records[0].results:
        letters = dict(zip(items.items, verdicts[result.rule].letters, strict=True))
        for item, figure in result.item_figures.items():
            tiles = [letters[item][at : at + 5] for at in range(0, 20, 5)]
            shares = [tile.count("y") / (5 - tile.count("-")) for tile in tiles if tile != "-" * 5]
            if figure.score is not None:
                assert 100 * sum(shares) / 4 == pytest.approx(figure.score)


def test_an_empty_answer_is_none(dpg: RunMaker) -> None:
    (items,) = make_board([dpg.make("run", answer="", skill=0.5)]).item_sets
    assert set("".join(items.runs[0].judges[0].letters)) == {"y", "."}
