"""The checksum for published tables: which values can be k/n of a benchmark's counts."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpgbench.domain.count_check import PUBLISHED_L2, check_counts, parse_printed, with_l1
from dpgbench.errors import UsageError
from tests.helpers import Run, row, write_csv

COUNTS = with_l1(PUBLISHED_L2)


def possible(text: str) -> dict[str, bool]:
    return {c.score.name: c.possible for c in check_counts(parse_printed(text, COUNTS), COUNTS)}


def test_the_published_counts_add_up() -> None:
    assert sum(PUBLISHED_L2.values()) == 14_333
    assert COUNTS["entity"] == 6178
    assert COUNTS["global"] == 326


def test_the_two_public_tables_that_fail() -> None:
    assert possible("other-count=1083/1223, global=1514/1665") == {
        "other-count": False, "global": False,
    }  # fmt: skip
    assert possible("other-count=88.55, global=90.93") == {"other-count": False, "global": False}


@given(
    st.sampled_from([name for name, number in COUNTS.items() if number < 2500]),
    st.sampled_from([1, 4]),
    st.floats(0, 1),
    st.integers(1, 4),
    st.sampled_from([ROUND_HALF_UP, ROUND_HALF_EVEN]),
)
def test_what_one_process_prints_always_fits(
    name: str, images: int, share: float, digits: int, rounding: str
) -> None:
    answers = COUNTS[name] * images
    exact = Decimal(100 * round(share * answers)) / Decimal(answers)
    text = str(exact.quantize(Decimal(1).scaleb(-digits), rounding=rounding))
    assert possible(f"{name}={text}") == {name: True}


@given(st.integers(0, 10_000))
def test_a_value_fits_exactly_where_a_fraction_rounds_to_it(hundredths: int) -> None:
    text = f"{hundredths / 100:.2f}"
    by_trying = any(
        abs(100 * k * 100 - hundredths * answers) * 2 <= answers
        for answers in (326, 4 * 326)
        for k in range(answers + 1)
    )
    assert possible(f"global={text}") == {"global": by_trying}


def test_names_match_whatever_their_dash_and_case() -> None:
    scores = parse_printed("OTHER – Count = 50.00%; relation-non-spatial=50", COUNTS)
    assert [score.category for score in scores] == ["other - count", "relation - non-spatial"]


@pytest.mark.parametrize(
    "text",
    ["global", "global=", "global=x", "global=101", "g=3", "", "global=3/0", "global=5/3"],
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_printed(text, COUNTS)


def test_the_command_says_which_value_cannot_be(run: Run) -> None:
    ended = run("prompts", "counts", "--check", "global=86.27, other - count=88.55")
    assert ended.code == 3
    assert "1 value cannot be k/n" in ended.error
    assert "other - count" in ended.error
    assert "not checked against the question file" in ended.err
    assert "1125/1304" in ended.out
    assert run("prompts", "counts", "--check", "global=86.27").code == 0


def test_counts_of_a_file_leave_its_first_row_out(run: Run, tmp_path: Path) -> None:
    path = write_csv(tmp_path / "b.csv", [row("a1", n) for n in (1, 2, 3)] + [row("b1", 1)])
    assert '"entity - whole": 3' in run("prompts", "counts", path, "--json").out
    assert run("prompts", "counts", path, "--check", "entity=66.67").code == 0
    assert run("prompts", "counts", path, "--check", "entity=75.00").code == 0  # of 4 images
    assert run("prompts", "counts", path, "--check", "entity=70.00").code == 3
