"""What scoring says and decides before and after the judge is asked, function by function."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.backends.entries import JudgeEntry
from dpgbench.backends.judges.table import find_judge
from dpgbench.backends.protocols import JudgeRequest
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.own_questions import OwnQuestion
from dpgbench.domain.result import Origin, Result
from dpgbench.domain.rules import (
    CORRECTED_V1,
    DSG,
    ELLA_REFERENCE,
    MEAN,
    PRODUCT,
    SOFT_TIFA_AM,
    VQASCORE,
    find_rule,
)
from dpgbench.domain.score import Answer, collect, score_benchmark
from dpgbench.domain.shard import Shard
from dpgbench.domain.spec import GridSpec
from dpgbench.engine.asking import JudgeFacts
from dpgbench.engine.options import EngineOptions
from dpgbench.errors import (
    DataError,
    DpgBenchError,
    IncompleteError,
    ResumeMismatchError,
    SetupError,
    UsageError,
)
from dpgbench.jobs import score as scoring
from dpgbench.jobs.score import Scored, ScoreRequest
from dpgbench.jobs.target import Target
from dpgbench.store.benchmark_table import pulled_folder
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.run.answers import answer_line
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.image_log import image_line
from dpgbench.store.run.manifest import Manifest, describe_benchmark
from dpgbench.store.run.questions import write_own_questions
from tests.helpers import row, write_csv

ITEMS = ("a", "b", "c")


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return said


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    rows = [row(item, qid) for item in ITEMS for qid in (1, 2)]
    return load_benchmark(write_csv(tmp_path / "b.csv", rows))


@pytest.fixture
def target(tmp_path: Path, benchmark: Benchmark) -> Target:
    about, folder = describe_benchmark(benchmark), str(tmp_path)
    manifest = Manifest("images", "m", {}, [*ITEMS], about, 2, {"folder": folder})
    (tmp_path / "r").mkdir()
    return Target(RunDir(tmp_path / "r"), manifest, benchmark, [*ITEMS], 2)


def write_answers(run: RunDir, answers: Sequence[Answer], truncated: Sequence[int] = ()) -> None:
    """Write the answers of judge `j`; those at these places were to questions that are cut."""
    run.answers("j").parent.mkdir(exist_ok=True, parents=True)
    lines = [answer_line(a, truncated=n in truncated) for n, a in enumerate(answers)]
    run.answers("j").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_answers_that_are_neither_are_counted_with_empty_ones_and_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good = [Answer("a", 0, n, "yes") for n in range(20)]
    hm, nothing = Answer("a", 0, 1, "hm", invalid=True), Answer("a", 0, 2, "")
    both = Answer("a", 0, 3, "", invalid=True)
    assert scoring._check_invalid([*good, hm], "j") is None
    assert scoring._check_invalid([*good, nothing, hm, both], "j") is None
    assert scoring._check_invalid([*good, nothing], "j") is None
    assert scoring._check_invalid(good, "j") is None
    assert scoring._check_invalid([hm] * 9, "replay") is None
    assert messages(caplog) == [
        "1 of 21 answers of judge j is neither yes nor no (first: 'hm'); --ask-invalid-again asks "
        "it anew",
        "3 of 23 answers of judge j are neither yes nor no (first: 'hm'); --ask-invalid-again asks "
        "them anew",
        "1 of 21 answers of judge j is neither yes nor no (first: ''); --ask-invalid-again asks it "
        "anew",
    ]
    error = scoring._check_invalid([*good, *[nothing] * 3, *[hm] * 3], "j")
    assert isinstance(error, IncompleteError)
    assert str(error).startswith("6 of 26 answers")
    assert messages(caplog) == []


def test_answers_about_nothing_are_counted_in_words(
    benchmark: Benchmark, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = Answer("x", 3, 7, "yes"), Answer("y", 0, 1, "no")
    scoring.warn_strays([], benchmark)
    scoring.warn_strays([one], benchmark)
    scoring.warn_strays([one, *[other] * 1999], benchmark)
    first = "nowhere (first: item x tile 3 question 7)"
    assert messages(caplog) == [
        f"1 answer is about no item, tile or question of b and counts {first}",
        f"2,000 answers are about no item, tile or question of b and count {first}",
    ]


def result_of(benchmark: Benchmark, rule: str, texts: Sequence[str], **origin: Any) -> Result:
    answers = [Answer("a", 0, qid, text) for qid, text in zip((1, 2), texts, strict=True)]
    return score_benchmark(
        *(benchmark, collect(answers), find_rule(rule)),
        num_images=1,
        items=["a"],
        origin=Origin(**origin),
    )


def test_the_warning_names_the_rules_that_read_and_those_that_take_no(
    benchmark: Benchmark, caplog: pytest.LogCaptureFixture
) -> None:
    plain = [result_of(benchmark, rule, ["yes", "no"]) for rule in ("dsg", "corrected-v1")]
    exact, read = (result_of(benchmark, rule, ["Yes", "no"]) for rule in ("dsg", "corrected-v1"))
    both = result_of(benchmark, "dsg", ["Yes", "No."])
    for results in (plain, [], [exact, read], [exact], [plain[0], read], [both]):
        scoring.warn_reading(results)
    scoring.warn_reading([result_of(benchmark, "dsg", ["Yes", "no"], num_read=1)])
    once = "; --read-answers reads them once for all rules"
    one = "1 of 2 answers is neither 'yes' nor 'no' (such as 'Yes')"
    can = "read where that can be done under corrected-v1"
    assert messages(caplog) == [
        f"{one}; no under dsg; {can}{once}",
        f"{one}; no under dsg{once}",
        f"{one}; {can}{once}",
        f"2 of 2 answers are neither 'yes' nor 'no' (such as 'No.'); no under dsg{once}",
        f"{one}; no under dsg",
    ]


YES_NO = find_judge("mplug")
NUMBERS = find_judge("clipscore")
OWN = JudgeEntry("mine:Judge", "", "mine:Judge", is_own=True)
VOTES = JudgeEntry("ensemble:x", "", "", gives_probabilities=False)


@pytest.mark.parametrize(
    ("rules", "entry", "message"),
    [
        ([DSG, CORRECTED_V1], YES_NO, None),
        ([VQASCORE], OWN, None),
        ([VQASCORE, DSG], OWN, "--rule vqascore asks a question of its own about each prompt"),
        ([DSG, VQASCORE], OWN, "--rule vqascore asks a question of its own about each prompt"),
        ([SOFT_TIFA_AM], OWN, None),
        ([DSG], VOTES, None),
        ([SOFT_TIFA_AM], VOTES, "judge ensemble:x gives no probabilities"),
        ([MEAN], OWN, None),
        ([PRODUCT], YES_NO, None),
        ([MEAN], NUMBERS, None),
        (
            [DSG],
            NUMBERS,
            "judge clipscore gives the number of each image; leave --rule out (mean)",
        ),
        ([MEAN], YES_NO, "--rule mean: judge mplug gives yes and no; leave --rule out"),
        ([DSG, MEAN], YES_NO, "(ella-reference, corrected-v1)"),
    ],
)
def test_a_rule_about_other_answers_than_the_judge_gives_is_refused(
    rules: Sequence[Any], entry: JudgeEntry, message: str | None
) -> None:
    if message is None:
        scoring._check_rules(rules, entry)
        return
    with pytest.raises(UsageError) as refused:
        scoring._check_rules(rules, entry)
    assert message in str(refused.value)


def all_yes(items: Sequence[str] = ITEMS) -> list[Answer]:
    return [Answer(item, tile, qid, "yes") for item in items for tile in (0, 1) for qid in (1, 2)]


def test_a_recorded_judge_with_nothing_left_to_ask_is_built_only_where_its_files_are_named(
    target: Target, tmp_path: Path
) -> None:
    target.run.answers("spatial").parent.mkdir()
    lines = [json.dumps(answer_line(answer)) for answer in all_yes()]
    target.run.answers("spatial").write_text("\n".join([*lines, ""]))
    pictures: Mapping[str, Path] = dict.fromkeys(ITEMS, tmp_path / "x.png")

    def ask(images: Mapping[str, Path] = pictures, **chosen: Any) -> object:
        request = JudgeRequest("spatial", device="cpu", **chosen)
        return scoring._ask_open(target, request, images, ScoreRequest(), [MEAN])

    assert ask(images={}) == {}  # nothing to look at: what is there is scored
    with pytest.raises(DpgBenchError, match="--detections"):
        ask()
    target.manifest.judges["spatial"] = {"truncated_questions": 3}
    assert ask() == {}
    assert target.manifest.judges["spatial"] == {"truncated_questions": 0}
    with pytest.raises(DpgBenchError, match="--weights judge"):
        ask(weights={"judge": "nowhere"})
    with pytest.raises(DpgBenchError, match="--weights-source"):
        ask(options={"weights_source": "hf"})
    with pytest.raises(DpgBenchError, match="nowhere"):
        ask(options={"detections": str(tmp_path / "nowhere")})


JUDGE = """
from dpgbench import JudgeAnswer
seen = []
class Judge:
    num_images_at_once = 1
    def __init__(self, request): pass
    def describe(self): return {}
    def ask(self, tiles):
        seen.extend((t.item_id, t.tile, t.qids, bool(t.forms)) for t in tiles)
        return [[JudgeAnswer("yes", truncated=qid == 1) for qid in t.qids] for t in tiles]
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, Any, bool]]:
    """What judge `seen_judge:Judge` is asked: items, tiles, questions, whether with forms."""
    (tmp_path / "seen_judge.py").write_text(JUDGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return importlib.import_module("seen_judge").seen  # type: ignore[no-any-return]


@pytest.fixture
def pictures(target: Target, tmp_path: Path) -> Mapping[str, Path]:
    target.grid = GridSpec(2, 4, 4)
    Image.effect_noise((8, 4), 50).convert("RGB").save(tmp_path / "x.png")
    return dict.fromkeys(ITEMS, tmp_path / "x.png")


SEEN = JudgeRequest("seen_judge:Judge", device="cpu")


def test_a_judge_is_asked_for_probabilities_where_a_rule_is_about_them(
    target: Target,
    pictures: Mapping[str, Path],
    seen: list[tuple[str, int, Any, bool]],
    tmp_path: Path,
) -> None:
    rows = [row(item, qid) for item in ITEMS for qid in (1, 2, 3, 4)]
    target.benchmark = load_benchmark(write_csv(tmp_path / "four.csv", rows))
    for rules, forms in (([DSG], False), ([SOFT_TIFA_AM, DSG], True)):
        seen.clear()
        assert scoring._ask_open(target, SEEN, pictures, ScoreRequest(), rules) == {}
        assert [(item, tile) for item, tile, *_ in seen] == [(i, t) for i in ITEMS for t in (0, 1)]
        assert {asked[-1] for asked in seen} == {forms}
        record = json.loads(target.run.manifest.read_text())["judges"][SEEN.label]
        assert record["questions_sha256"] == target.benchmark.questions_sha256
        assert target.manifest.judges[SEEN.label]["truncated_questions"] == 6
        assert target.manifest.notes == []  # a question was cut, which is no prompt
        target.run.answers(SEEN.label).unlink()
    with pytest.raises(DataError, match="gives none"):
        scoring._ask_open(target, SEEN, pictures, ScoreRequest(), [SOFT_TIFA_AM])
    about = replace(SEEN, about="vqascore")
    scoring._ask_open(target, about, pictures, ScoreRequest(), [DSG])
    assert [note.split(": ")[0] for note in target.manifest.notes] == [
        f"judge {about.label} read the beginning of long prompts alone"
    ]


def test_a_shard_asks_anew_what_its_run_has_no_valid_answer_to(
    target: Target,
    pictures: Mapping[str, Path],
    seen: list[tuple[str, int, Any, bool]],
    tmp_path: Path,
) -> None:
    target.home = RunDir(tmp_path / "home")
    target.home.path.mkdir()
    target.manifest.write(target.home.manifest)
    good, invalid, empty = (
        all_yes()[:-2],
        Answer("c", 1, 1, "hm", invalid=True),
        Answer("c", 1, 2, ""),
    )
    path = target.home.answers(SEEN.label)
    path.parent.mkdir()
    path.write_text("".join(json.dumps(answer_line(a)) + "\n" for a in (*good, invalid, empty)))
    scoring._ask_open(target, SEEN, pictures, ScoreRequest(), [DSG])
    assert [asked[:3] for asked in seen] == [("c", 1, (2,))]
    seen.clear()
    target.run.answers(SEEN.label).unlink()
    scoring._ask_open(target, SEEN, pictures, ScoreRequest(ask_invalid_again=True), [DSG])
    assert [asked[:3] for asked in seen] == [("c", 1, (1, 2))]


def test_cut_questions_are_counted_by_their_answers_each_once(target: Target) -> None:
    answers = [*all_yes(["a"]), Answer("b", 0, 1, "no"), Answer("a", 0, 1, "yes")]
    write_answers(target.run, answers, truncated=[0, 1, 2, 4, 5])
    scoring._count_truncated(target, "j")
    assert target.manifest.judges == {}
    target.manifest.judges["j"] = {"truncated_questions": 9}
    scoring._count_truncated(target, "j")
    assert target.manifest.judges["j"] == {"truncated_questions": 4}


def test_the_record_of_a_judge_binds_once_it_has_answered(
    target: Target, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def record(version: int) -> Mapping[str, Any]:
        facts = JudgeFacts("c", {"version": version}, {"from": f"place {version}"})
        made = scoring._judge_record(target, "j", facts)
        target.manifest.judges["j"] = made
        return made

    about = {"questions_sha256": target.benchmark.questions_sha256, "truncated_questions": 0}
    first = {**record(1)}
    releases = first.pop("releases")
    assert first == {"version": 1, "from": "place 1", **about}
    assert releases
    target.manifest.judges["j"]["account"] = {"requests": 1}
    write_answers(target.run, [])
    assert "account" not in record(2)  # it never answered: another one may
    write_answers(target.run, all_yes())
    target.manifest.judges["j"]["account"] = {"requests": 2}
    again = {**record(2)}
    assert (again["account"], again["releases"]) == ({"requests": 2}, releases)
    with pytest.raises(ResumeMismatchError, match=r"answers of judge j.*version: 2 -> 3"):
        record(3)
    assert messages(caplog) == []
    target.manifest.judges["j"]["releases"] = {**releases, "pillow": "1.0"}
    record(2)
    (message,) = messages(caplog)
    assert 'with other releases: pillow: "1.0" -> "' in message
    target.run.answers("j").unlink()
    target.home = RunDir(tmp_path / "home")
    target.home.path.mkdir()
    target.manifest.write(target.home.manifest)
    record(2)
    with pytest.raises(ResumeMismatchError, match=r"answers of judge j.*version: 2 -> 4"):
        record(4)


def test_answers_to_other_questions_are_refused_and_untold_ones_are_said(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    other = "f" * 64
    target.manifest.judges["j"] = {"questions_sha256": other}
    scoring._refuse_other_questions(target, "j")  # no answers
    write_answers(target.run, [])
    scoring._refuse_other_questions(target, "j")  # a file of none
    write_answers(target.run, all_yes())
    with pytest.raises(ResumeMismatchError, match="answers of judge j to other questions"):
        scoring._refuse_other_questions(target, "j")
    target.manifest.judges["j"] = {"questions_sha256": target.benchmark.questions_sha256}
    scoring._refuse_other_questions(target, "j")
    assert messages(caplog) == []
    target.manifest.judges["j"] = {"truncated_questions": 0}
    target.manifest.benchmark["questions_sha256"] = None
    scoring._refuse_other_questions(target, "j")
    assert messages(caplog) == [f"{target.run.manifest} does not tell which questions j was asked"]
    target.manifest.judges.clear()
    scoring._refuse_other_questions(target, "j")
    assert messages(caplog) == []


def test_single_colour_tiles_of_the_chosen_items_are_counted(
    target: Target, caplog: pytest.LogCaptureFixture
) -> None:
    scoring._keep_single_colour(target, {})
    assert not target.run.manifest.exists()
    scoring._keep_single_colour(target, {"c": [0, 1], "a": [1]})
    scoring._keep_single_colour(target, {"a": [0], "b": [0]})
    assert [message.partition(":")[0] for message in messages(caplog)] == [
        "3 tiles of 2 items are of one single colour (first",
        "1 tile of 1 item is of one single colour (first",
    ]
    written = json.loads(target.run.manifest.read_text())["generation"]["single_colour"]
    assert written == {"tiles": 4, "items": {"c": [0, 1], "a": [1], "b": [0]}}
    assert scoring._num_single_colour_tiles(target) == 4
    target.items = ["a", "c"]
    assert scoring._num_single_colour_tiles(target) == 3


def own(*items: str) -> list[OwnQuestion]:
    return [OwnQuestion(item, 1, "?", "", "chunk") for item in items]


@pytest.mark.parametrize(
    ("of_run", "scored", "own_of", "is_part"),
    [
        (ITEMS, ITEMS, (), False),
        (ITEMS, "ab", (), True),
        ("ab", "ab", (), False),  # the run never set out to do more
        ("ab", "a", (), True),
        (("a", "b", "x"), "ab", (), True),
        (("a", "b", "x"), "ab", "ab", False),  # the judge has no question about x
        (("a", "b", "x"), "a", "ab", True),
    ],
)
def test_a_result_over_fewer_items_than_the_runs_has_a_file_of_its_own(
    target: Target, of_run: Sequence[str], scored: str, own_of: str, is_part: bool
) -> None:
    target.manifest.items, target.items = [*of_run], [*scored]
    target.own_questions = own(*own_of)
    subset = target.benchmark.subset(target.items)
    assert scoring._part_of_run(target) == (subset.file_part if subset and is_part else "")


def test_what_ends_a_command_is_written_into_the_manifest(target: Target) -> None:
    scoring._complete(target, ScoreRequest())
    written = json.loads(target.run.manifest.read_text())
    assert written["commands"] == []
    assert written["completed"]
    assert written["environment"]["python"]
    target.manifest.environment = {"python": "2.7"}  # the run was made with it
    scoring._complete(target, ScoreRequest(command="dpgbench score"))
    written = json.loads(target.run.manifest.read_text())
    assert written["commands"] == ["dpgbench score"]
    assert written["environment"] == {"python": "2.7"}


def test_a_shard_tells_what_its_run_and_it_lack_together(target: Target, tmp_path: Path) -> None:
    target.shard, target.home = Shard(2, 1), RunDir(tmp_path / "home")
    write_answers(target.home, all_yes(["a"]) + all_yes(["b"])[:-1])
    write_answers(target.run, all_yes(["b"])[-1:] + all_yes(["c"])[:-1])
    request = ScoreRequest(command="dpgbench score --shard 1/2")
    answers = scoring._read_answers(target, "j", read=False)
    asked = scoring._asked_shard(target, request, answers, {"a": "no image"})
    assert (asked.run, asked.results, asked.refused) == (target.run, [], [])
    assert asked.incomplete == {"c": "not all answers"}
    assert json.loads(target.run.manifest.read_text())["commands"] == [request.command]
    answers = scoring._read_answers(target, "j", read=False)
    invalid = [Answer("c", 0, 1, "hm", invalid=True)] * 9
    write_answers(target.home, [])
    target.items = ["a", "c"]
    asked = scoring._asked_shard(
        target, request, replace(answers, of_items=invalid), {"a": "no image"}
    )
    assert [type(error) for error in asked.refused] == [IncompleteError]
    assert asked.incomplete == {"a": "no image", "c": "not all answers"}
    assert asked.subset == target.benchmark.subset(["a", "c"])


def test_answers_of_other_items_count_as_strays_alone(target: Target) -> None:
    write_answers(target.run, [*all_yes(), Answer("x", 0, 1, "Yes"), Answer("a", 0, 3, "YES")])
    target.items = ["a", "b"]
    answers = scoring._read_answers(target, "j", read=False)
    assert {answer.item_id for answer in answers.of_items} == {"a", "b"}
    assert [(a.item_id, a.qid) for a in answers.strays] == [("x", 1), ("a", 3)]
    assert (answers.num_read, answers.texts["a", 0][3], answers.judge) == (None, "YES", "j")
    read = scoring._read_answers(target, "j", read=True)
    assert (read.num_read, read.texts["a", 0][3]) == (2, "yes")
    assert [answer.answer for answer in read.of_items][-1] == "YES"


def test_items_that_are_incomplete_have_their_reason(benchmark: Benchmark) -> None:
    """`ella-reference` never sees the file's first row: `a` has a score without it."""
    answers = [Answer("a", 0, 2, "yes"), Answer("b", 0, 2, "yes")]
    answers += [Answer("c", 0, qid, "no") for qid in (1, 2)]
    results = [
        score_benchmark(
            *(benchmark, collect(answers), ELLA_REFERENCE),
            num_images=1,
            items=items,
            origin=Origin(reasons={"b": "no image"}),
        )
        for items in (["c"], ["a", "b", "c"])
    ]
    assert scoring._incomplete(results[:1]) == {}
    incomplete = scoring._incomplete(results)
    assert [*incomplete.items()] == [("a", "not all answers"), ("b", "no image")]


def test_results_as_a_table(benchmark: Benchmark, tmp_path: Path) -> None:
    results = [result_of(benchmark, "dsg", ["yes", "no"], judge="j", model="m")]
    results.append(replace(results[0], rule="other", interval=(12.5, 80.0)))
    table = Scored(RunDir(tmp_path), results, []).to_frame()
    assert table.astype(object).where(table.notna(), None).to_dict("split")["data"] == [
        ["m", "j", "dsg", 50.0, None, None, 1, 1, 1.0],
        ["m", "j", "other", 50.0, 12.5, 80.0, 1, 1, 1.0],
    ]
    assert [*table.columns] == [
        *("model", "judge", "rule", "overall", "low", "high"),
        *("items_scored", "items_expected", "coverage"),
    ]


def test_nothing_is_lenient_unless_it_is_asked_for() -> None:
    request = ScoreRequest()
    lenient = (request.partial, request.read_answers, request.ask_invalid_again)
    assert (*lenient, request.reference_files) == (False, False, False, False)


REQUEST = ScoreRequest(["dsg"], SEEN, partial=True, command="dpgbench score")
MISSING = {"c": "image c.png is missing"}


@pytest.fixture
def two(target: Target, tmp_path: Path) -> Target:
    """The target with pictures of two of its items."""
    target.grid, target.folder = GridSpec(2, 4, 4), tmp_path / "p"
    target.folder.mkdir()
    for item in ("b", "a"):
        Image.effect_noise((8, 4), 50).convert("RGB").save(tmp_path / f"p/{item}.png")
    return target


def lines_of(run: RunDir) -> list[str]:
    return run.answers(SEEN.label).read_text().splitlines(keepends=True)


def test_from_pictures_to_results_and_again(
    two: Target,
    seen: list[tuple[str, int, Any, bool]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    target, request = two, REQUEST
    scored = scoring.score(target, request)
    assert (scored.run, scored.refused, scored.subset) == (target.run, [], None)
    assert [(r.rule, r.judge, r.items_scored) for r in scored.results] == [("dsg", SEEN.label, 2)]
    assert (scored.incomplete, scored.results[0].failures) == (MISSING, MISSING)
    assert [asked[:3] for asked in seen] == [(i, t, (1, 2)) for i in "ab" for t in (0, 1)]
    written = json.loads(target.run.manifest.read_text())
    assert (written["items"], written["commands"]) == ([*ITEMS], ["dpgbench score"])
    assert written["completed"]
    assert written["judges"][SEEN.label]["truncated_questions"] == 4
    assert "4 questions longer than the judge reads" in " ".join(messages(caplog))
    assert target.run.scores(SEEN.label, "dsg").exists()
    seen.clear()
    # what a power cut left, an answer too few, and another rule: the usual ones
    target.run.images_log.write_bytes(b"\0" * 50 + b"\n")
    lines = lines_of(target.run)
    target.run.answers(SEEN.label).write_text("".join(lines[1:]))
    scored = scoring.score(target, replace(request, rules=(), reference_files=True))
    assert [r.rule for r in scored.results] == ["ella-reference", "corrected-v1"]
    assert [asked[:3] for asked in seen] == [("a", 0, (1,))]
    assert lines_of(target.run) == lines
    folder = target.run.scores(SEEN.label, "dsg").parent
    assert sorted(path.name for path in folder.glob("*.txt")) == [
        "dpg-bench_results.txt",
        "dpg-bench_results_detail.txt",
    ]


def test_what_does_not_go_on_with_a_run_is_refused_and_nothing_is_asked(
    two: Target, seen: list[tuple[str, int, Any, bool]], tmp_path: Path
) -> None:
    target, request = two, REQUEST
    scoring.score(target, request)
    part = replace(target, run=RunDir(tmp_path / "s"), shard=Shard(1, 1), home=target.run)
    shard = scoring.score(part, request)
    assert (shard.run, shard.results, shard.incomplete) == (part.run, [], MISSING)
    assert len(json.loads(part.run.manifest.read_text())["commands"]) == 2
    seen.clear()
    fresh = replace(target, manifest=replace(target.manifest, identity={"num_images": 3}))
    with pytest.raises(ResumeMismatchError, match="num_images"):
        scoring.score(fresh, request)
    rows = [row(item, qid, question_natural_language="?") for item in ITEMS for qid in (1, 2)]
    rewritten = load_benchmark(write_csv(tmp_path / "rewritten.csv", rows))
    with pytest.raises(ResumeMismatchError, match="to other questions than"):
        scoring.score(replace(target, benchmark=rewritten), request)
    with pytest.raises(UsageError, match="in a command of its own"):
        scoring.score(target, replace(request, rules=["vqascore", "dsg"]))
    other = replace(request, judge=replace(SEEN, name="no_such_module:Judge"))
    with pytest.raises(DpgBenchError, match="no_such_module"):
        scoring.score(target, other)
    assert seen == []


def test_too_many_invalid_answers_are_refused_until_they_are_asked_anew(
    two: Target, seen: list[tuple[str, int, Any, bool]]
) -> None:
    target, request = two, REQUEST
    scoring.score(target, request)
    lines = lines_of(target.run)
    bad = [{**json.loads(line), "answer": "hm", "invalid": True} for line in lines[:2]]
    text = "".join(json.dumps(line) + "\n" for line in bad) + "".join(lines[2:])
    target.run.answers(SEEN.label).write_text(text)
    scored = scoring.score(target, request)
    assert [str(error).split(" of judge")[0] for error in scored.refused] == ["2 of 8 answers"]
    assert (len(scored.results), scored.results[0].warnings["invalid_answers"]) == (1, 2)
    logged = [json.dumps(image_line(item, sha256="0" * 64)) + "\n" for item in "ba"]
    target.run.images_log.write_text("".join(logged))
    target.verify = False  # these are no hashes of its pictures
    scored = scoring.score(target, replace(request, ask_invalid_again=True))
    assert (scored.refused, seen.pop()[:3]) == ([], ("a", 0, (1, 2)))
    assert lines_of(target.run) == lines
    assert target.run.images_log.read_text() == "".join(reversed(logged))


def test_recorded_answers_are_scored_with_all_that_is_wrong_with_them_said(
    target: Target, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [row(item, qid) for item in ITEMS for qid in (1, 2)]
    rows[3]["dependency"] = "2"  # its own parent
    rows[5]["dependency"] = "1, red"
    target.benchmark = load_benchmark(write_csv(tmp_path / "bad.csv", rows))
    target.manifest = Manifest("answers", "m", {}, [*ITEMS], {}, 2, {"answers": "a.csv"})
    target.run.answers("replay").parent.mkdir()
    answers = [*all_yes(), Answer("x", 0, 1, "yes")]
    answers[0] = answers[0]._replace(answer="Yes")
    lines = [json.dumps(answer_line(answer)) + "\n" for answer in answers]
    target.run.answers("replay").write_text("".join(lines))
    scored = scoring.score(target, ScoreRequest(judge=JudgeRequest("mplug")))  # is not asked
    assert [(r.rule, r.judge) for r in scored.results] == [("corrected-v1", "replay")]
    assert [type(error) for error in scored.refused] == [DataError]  # of ella-reference
    assert scored.results[0].warnings["stray_answers"] == 1
    said = messages(caplog)
    assert len(said) == 4, said
    starts = [f"{tmp_path / 'bad.csv'}: 1 ", f"{tmp_path / 'bad.csv'}: 1 ", "1 answer is", "1 of "]
    assert [message.startswith(start) for message, start in zip(said, starts, strict=True)] == [
        True
    ] * 4
    with pytest.raises(DataError):  # no rule is left
        scoring.score(target, ScoreRequest(["ella-reference"]))


def test_answers_that_are_no_number_are_said_where_they_cost_items_their_score(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    benchmark = load_benchmark(write_csv(tmp_path / "one.csv", [row(i, 1) for i in ITEMS]))

    def result(rule: str, **texts: str) -> Result:
        answers = [Answer(item, 0, 1, text) for item, text in texts.items()]
        more: dict[str, Any] = {"num_images": 1, "items": ITEMS}
        return score_benchmark(benchmark, collect(answers), find_rule(rule), **more)

    scoring._warn_no_numbers([result("mean", a="0.5", b="0.25")])  # c has no answer
    scoring._warn_no_numbers([result("mean", a="hm", b="hm", c="hm")])  # nothing is a mean
    scoring._warn_no_numbers([result("dsg", a="hm", b="yes", c="0.5")])
    assert messages(caplog) == []
    scoring._warn_no_numbers([result("mean", a="0.5", b="hm", c="oh")])
    scoring._warn_no_numbers([result("mean", a="0.5", b="0.5", c="oh")])
    starts = [message.partition(":")[0] for message in messages(caplog)]
    assert starts == [
        "2 of 3 items are left out of the mean of rule mean, first b",
        "1 of 3 items is left out of the mean of rule mean, first c",
    ]


@pytest.fixture
def named(benchmark: Benchmark) -> Benchmark:
    """The same, as if it were pulled by a name whose authors have rules of their own."""
    return replace(benchmark, name="geneval2", path=pulled_folder("geneval2") / "b.csv")


def test_recorded_answers_have_an_entry_of_no_judge() -> None:
    entry = scoring._entry_of("replay")
    assert (entry.name, entry.rules, entry.notes) == ("replay", (), ())
    assert scoring._entry_of("mplug") == YES_NO


def test_the_usual_rules_are_the_judge_s_or_the_benchmark_s_or_two(
    benchmark: Benchmark, named: Benchmark
) -> None:
    usual = scoring._usual_rules
    assert usual(benchmark, YES_NO) == ("ella-reference", "corrected-v1")
    assert usual(named, NUMBERS) == usual(benchmark, NUMBERS) == ("mean",)
    theirs = scoring._rules_of(named)
    assert [*usual(named, OWN)] == [*theirs]
    without = [name for name in theirs if not find_rule(name).of_right_answers]
    assert [*usual(named, VOTES)] == (without or ["ella-reference", "corrected-v1"])
    assert scoring._rules_of(replace(named, path=Path("mine.csv"))) == ()


def test_judge_rules_and_benchmark_are_checked_before_any_work(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[EngineOptions] = []
    monkeypatch.setattr(scoring, "check_engine", engines.append)

    def checked(judge: JudgeRequest | None, *rules: str, **more: Any) -> tuple[Any, ...]:
        return scoring._checked(target, ScoreRequest(rules, judge, **more))

    request, entry, rules = checked(SEEN, "dsg", "ulmeval")
    assert (request.judge, entry.name, [rule.name for rule in rules]) == (
        *(SEEN, SEEN.name, ["dsg", "ulmeval"]),
    )
    assert engines == [EngineOptions()]
    with pytest.raises(UsageError, match="--dtype int4"):
        checked(replace(SEEN, dtype="int4"), "dsg")
    server = JudgeRequest("openai:m", options={"max_requests": 3})
    with pytest.raises(UsageError, match="--engine ray"):
        checked(server, "dsg", engine=EngineOptions("ray"))
    plain = target.benchmark
    rows = [row("a", 1), row("b", 1), row("b", 1)]
    target.benchmark = load_benchmark(write_csv(tmp_path / "twice.csv", rows))
    target.items = ["a"]
    checked(SEEN, "dsg")
    target.items = ["a", "b"]
    with pytest.raises(DataError, match="question 1 stands at row 3 already"):
        checked(SEEN, "dsg")
    checked(None, "dsg")  # recorded answers are not asked
    (tmp_path / "p.txt").write_text("one\ntwo\n")
    target.benchmark = load_benchmark(tmp_path / "p.txt")
    with pytest.raises(SetupError, match="without questions"):
        checked(SEEN, "dsg")
    target.benchmark, target.items = plain, [*ITEMS]
    request, _, rules = checked(SEEN, "vqascore")
    assert request.judge == replace(SEEN, about="vqascore")
    assert [question.qid for question in target.own_questions] == [1, 1, 1]
    assert {len(rows) for rows in target.benchmark.items.values()} == {1}


def test_recorded_answers_are_to_the_questions_that_are_on_file(target: Target) -> None:
    target.manifest = replace(target.manifest, kind="answers")
    plain = target.benchmark
    questions = [OwnQuestion("a", 1, "a dog?", "", "chunk")]
    write_own_questions(target.run, "blip-vqa", questions)
    target.recorded_judge = "blip-vqa"
    request, entry, _ = scoring._checked(target, ScoreRequest(judge=SEEN))
    assert (request.judge, entry.name, target.items) == (None, "blip-vqa", ["a"])
    assert [row.question for row in target.benchmark.items["a"]] == ["a dog?"]
    assert target.benchmark is not plain


def test_rules_that_nobody_chose_are_left_out_where_they_cannot_be_had(
    target: Target, named: Benchmark, caplog: pytest.LogCaptureFixture
) -> None:
    target.benchmark = named
    target.manifest = Manifest("answers", "m", {}, [*ITEMS], {}, 2, {"answers": "a.csv"})
    target.run.answers("replay").parent.mkdir()
    lines = [json.dumps(answer_line(answer)) + "\n" for answer in all_yes()]
    target.run.answers("replay").write_text("".join(lines))
    unasked = scoring.score(target, ScoreRequest())
    assert [result.rule for result in unasked.results] == ["corrected-v1"]
    assert unasked.refused == []
    starts = [message[:27] for message in messages(caplog)]
    assert starts == ["left out: rule soft-tifa-gm", "left out: rule soft-tifa-am"]
    asked = scoring.score(target, ScoreRequest(["soft-tifa-am", "corrected-v1"]))
    assert [result.rule for result in asked.results] == ["corrected-v1"]
    assert [str(error)[:17] for error in asked.refused] == ["rule soft-tifa-am"]
