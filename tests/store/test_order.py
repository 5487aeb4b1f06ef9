"""Files of lines in canonical order: the same bytes in whatever order they were written."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dpgbench.domain.benchmark import Benchmark
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.run.answers import read_answer_file
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.order import order_answers, order_image_log
from tests.helpers import row, write_csv

QIDS = {"z1": (3, 1, 2), "a1": (2, 1), "m1": (1,)}  # neither items nor questions by their names
TILES = 2
CANONICAL = [(item, tile, qid) for item in QIDS for tile in range(TILES) for qid in QIDS[item]]
STRAYS = [("other", 0, 1), ("a1", TILES, 1), ("a1", 0, 9), ("a1", -1, 1)]


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Benchmark:
    rows = [row(item, qid) for item, qids in QIDS.items() for qid in qids]
    return load_benchmark(str(write_csv(tmp_path_factory.mktemp("b") / "b.csv", rows)))


def line(question: tuple[str, int, int], **more: Any) -> str:
    record = {"item_id": question[0], "tile": question[1], "qid": question[2], "answer": "no"}
    return json.dumps({**record, **more}, ensure_ascii=False) + "\n"


def written(folder: Path, lines: list[str]) -> tuple[RunDir, Path]:
    run = RunDir(folder)
    path = run.answers("j")
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(lines), encoding="utf-8")
    return run, path


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_of_any_lines_ends_in_the_same_bytes(
    data: st.DataObject, benchmark: Benchmark, tmp_path: Path
) -> None:
    chosen = data.draw(st.lists(st.sampled_from(CANONICAL), unique=True, min_size=1))
    strays = data.draw(st.lists(st.sampled_from(STRAYS), unique=True))
    random_ = random.Random(data.draw(st.integers(0, 99)))
    mixed = [line(question, p_yes=0.5, new="é\u2028") for question in [*chosen, *strays]]
    random_.shuffle(mixed)
    run, path = written(tmp_path, mixed)
    order_answers(run, "j", benchmark, TILES)
    wanted = [line(q, p_yes=0.5, new="é\u2028") for q in sorted(chosen, key=CANONICAL.index)]
    left = [text for text in mixed if text not in wanted]  # as they came, and last
    assert path.read_text(encoding="utf-8") == "".join([*wanted, *left])
    assert not order_answers(run, "j", benchmark, TILES)


def test_a_file_in_order_is_not_touched_and_one_that_is_not_keeps_every_byte(
    benchmark: Benchmark, tmp_path: Path
) -> None:
    run, path = written(tmp_path, [line(question) for question in CANONICAL])
    before = path.stat()
    assert not order_answers(run, "j", benchmark, TILES)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    odd = '{"qid":1,  "tile":0,"item_id":"a1","answer":"\\u0079es","later":[1.50]}\n'
    run, path = written(tmp_path, [line(("m1", 0, 1)), odd, line(("z1", 0, 2))])
    assert order_answers(run, "j", benchmark, TILES)
    assert path.read_text() == "".join([line(("z1", 0, 2)), odd, line(("m1", 0, 1))])
    assert [answer.answer for answer in read_answer_file(path)] == ["no", "yes", "no"]
    assert not list(tmp_path.rglob(".part-*"))


def test_a_torn_last_line_is_no_line(benchmark: Benchmark, tmp_path: Path) -> None:
    run, path = written(tmp_path, [line(("m1", 0, 1)), line(("z1", 0, 3)), '{"item_id": "a1", "ti'])
    assert order_answers(run, "j", benchmark, TILES)
    assert path.read_text() == line(("z1", 0, 3)) + line(("m1", 0, 1))


def test_the_last_of_several_lines_about_an_image_stays_the_last(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    lines = [
        json.dumps({"item_id": item, "error": error}) + "\n"
        for item, error in (("b", None), ("x", None), ("a", "first"), ("b", "then"), ("a", None))
    ]
    run.images_log.write_text("".join(lines))
    assert order_image_log(run, ["a", "b"])
    assert run.images_log.read_text() == "".join(lines[i] for i in (2, 4, 0, 3, 1))
    assert not order_image_log(run, ["a", "b"])


def test_without_files_there_is_nothing_to_order(benchmark: Benchmark, tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert not order_answers(run, "j", benchmark, TILES)
    assert not order_image_log(run, ["a"])
    assert not list(tmp_path.iterdir())
