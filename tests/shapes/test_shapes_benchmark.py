"""The benchmark `shapes`: the committed file, and what it promises."""

import csv
import io
import re
from collections import Counter

import pytest

from dpgbench.shapes import benchmark_items, sample_scenes, split, to_csv
from scripts.embedded.data import make_shapes
from tests.helpers import REPOSITORY

COMMITTED = REPOSITORY / "prompts" / "shapes.csv"


@pytest.fixture(scope="module")
def items():
    return benchmark_items()


def test_the_committed_file_is_what_the_script_makes(tmp_path):
    assert make_shapes.main(["--check"]) == 0
    assert make_shapes.main(["--out", str(tmp_path / "shapes.csv")]) == 0
    assert (tmp_path / "shapes.csv").read_bytes() == COMMITTED.read_bytes()


@pytest.mark.parametrize("change", [lambda data: data + b"x", lambda data: data[:-1]])
def test_check_notices_a_changed_or_missing_file(tmp_path, capsys, change):
    copy = tmp_path / "shapes.csv"
    assert make_shapes.main(["--check", "--out", str(copy)]) == 1
    copy.write_bytes(change(COMMITTED.read_bytes()))
    assert make_shapes.main(["--check", "--out", str(copy)]) == 1
    assert "run it without --check" in capsys.readouterr().err


def test_the_file_has_unix_line_ends_and_reads_back(items):
    text = COMMITTED.read_bytes().decode()
    assert "\r" not in text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows == [row for item in items for row in item.rows()]
    assert to_csv(items) == text


def test_items_are_sorted_and_grouped_by_difficulty(items):
    ids = [item.item_id for item in items]
    assert ids == sorted(set(ids))
    assert Counter(re.match(r"[a-z]+", item_id)[0] for item_id in ids) == {
        "few": 70,
        "many": 70,
        "nested": 60,
    }
    assert all(item.item_id.startswith(f"{item.scene.kind}_") for item in items)


def test_no_scene_of_the_benchmark_can_be_trained_on(items):
    assert len({item.scene for item in items}) == len(items) == 200
    assert {split(item.scene) for item in items} == {"bench"}
    training = sample_scenes("train", seed=0)
    assert not {next(training) for _ in range(500)} & {item.scene for item in items}


def test_all_categories_occur(items):
    broad = Counter(row["category_broad"] for item in items for row in item.rows())
    assert set(broad) == {"entity", "attribute", "relation", "global", "other"}
    assert min(broad.values()) >= 100


def test_prompts_are_of_all_lengths(items):
    """CLIP reads 77 tokens: about one a word or mark, and one at each end."""
    tokens = [len(re.findall(r"\w+|[^\w\s]", item.prompt)) + 2 for item in items]
    assert len(items) / 3 <= sum(number > 77 for number in tokens) <= len(items) * 3 / 4
    assert len({item.prompt for item in items}) == len(items)
