"""Where the files go, what they are called, what is written when."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dpgbench.domain.graph import PromptGraph
from dpgbench.errors import DataError, UsageError
from dpgbench.report import build_report, stale_files
from dpgbench.report.page.gallery import spread
from dpgbench.report.page.graph_layout import cells
from dpgbench.report.plots.axis import WHOLE, axis_around, place_score
from dpgbench.store.run.directory import RunDir
from tests.report.report_runs import RunMaker


def test_a_folder_gets_files_called_leaderboard(pair: list[RunDir], tmp_path: Path) -> None:
    paths = build_report(pair, tmp_path / "new" / "report")
    assert [path.name for path in paths] == [
        "leaderboard.html",
        "leaderboard.csv",
        "leaderboard.md",
        "leaderboard.tex",
        "leaderboard.bib",
    ]
    assert sorted(paths) == sorted((tmp_path / "new" / "report").iterdir())


def test_a_named_page_has_the_others_beside_it(pair: list[RunDir], tmp_path: Path) -> None:
    paths = build_report(pair, tmp_path / "my report.html")
    assert [path.name for path in paths] == [
        f"my report.{end}" for end in ("html", "csv", "md", "tex", "bib")
    ]
    assert '<a href="my%20report.csv">my report.csv</a>' in paths[0].read_text()


def test_stale_files_are_those_that_would_change(dpg: RunMaker, tmp_path: Path) -> None:
    run = dpg.make("run")
    paths = build_report([run], tmp_path / "out")
    assert stale_files([run], tmp_path / "out") == []
    paths[1].unlink()
    paths[2].write_text("old")
    assert stale_files([run], tmp_path / "out") == paths[1:3]
    (answers,) = (run.path / "answers").iterdir()
    answers.unlink()
    dpg.make("run", skill=0.9)
    assert stale_files([run], tmp_path / "out") == paths[:-1]  # what to cite is the same


def test_the_number_of_threads_changes_no_byte(pair: list[RunDir], tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dpgbench.report import build_report;"
        "from dpgbench.store.run.directory import RunDir;"
        "build_report([RunDir(Path(p)) for p in sys.argv[2:]], Path(sys.argv[1]))"
    )
    made = []
    for threads in ("1", "2"):
        out = tmp_path / threads
        words = [sys.executable, "-c", code, str(out), *(str(run.path) for run in pair)]
        limits = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        subprocess.run(words, check=True, env={**os.environ, **limits})
        made.append({path.name: path.read_bytes() for path in out.iterdir()})
    assert made[0] == made[1]


def test_nothing_is_written_where_a_run_is_damaged(dpg: RunMaker, tmp_path: Path) -> None:
    run = dpg.make("run")
    paths = build_report([run], tmp_path / "out")
    before = [path.read_bytes() for path in paths]
    run.scores("fake", "corrected-v1").write_text("{")
    with pytest.raises(DataError):
        build_report([run], tmp_path / "out")
    assert [path.read_bytes() for path in paths] == before


def test_importing_the_report_is_light() -> None:
    code = "import sys, dpgbench.report; print({'pandas', 'jinja2', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("number", [0, 1, 11, 12, 13, 1065])
def test_a_sample_is_spread_from_the_first_item_to_the_last(number: int) -> None:
    items = [str(place) for place in range(number)]
    sample = spread(items)
    assert len(sample) == len(set(sample)) == min(number, 12)
    assert sample[:1] == items[:1]
    assert sample[-1:] == items[-1:]
    assert sample == sorted(sample, key=int)


@pytest.mark.parametrize(
    ("scores", "ends"),
    [
        ([(50.0, (48.0, 52.0))], (45, 55)),
        ([(0.0, (0.0, 0.0))], (0, 10)),
        ([(100.0, (100.0, 100.0))], (90, 100)),
        ([(3.0, (1.0, 5.0)), (90.0, (88.0, 92.0))], (0, 100)),
        ([(None, None)], (0, 100)),
    ],
)
def test_an_axis_holds_all_and_has_round_ends(scores: list, ends: tuple[int, int]) -> None:
    axis = axis_around(scores)
    assert (axis.low, axis.high) == ends
    assert 2 <= len(axis.ticks) <= 7
    for score, interval in scores:
        place = place_score(axis, score, interval)
        if score is None or interval is None:
            assert place == (None, None, None, None)
            continue
        assert place.value is not None
        assert place.low is not None
        assert place.high is not None
        assert 0 <= place.low <= place.value <= place.high <= 100


def test_a_mark_without_a_score_draws_nothing() -> None:
    assert place_score(WHOLE, None, None) == (None, None, None, None)
    assert place_score(WHOLE, 25.0, None, 50.0) == (25.0, None, None, 50.0)


def test_a_graph_stands_without_overlap_from_left_to_right(shared: RunMaker) -> None:
    graph = PromptGraph.from_rows(shared.benchmark.items["stanford_0"])
    places = cells(graph.questions)
    assert places.keys() == {1, 2, 3, 4, 5}
    for question in graph.questions:
        for parent in question.parents:
            assert places[parent][0] < places[question.qid][0]
    assert len(set(places.values())) == 5


def test_garbage_is_collected_again_afterwards(pair: list[RunDir], tmp_path: Path) -> None:
    assert gc.isenabled()
    build_report(pair, tmp_path / "out")
    assert gc.isenabled()
    with pytest.raises(UsageError):
        build_report([], tmp_path / "out")
    assert gc.isenabled()
