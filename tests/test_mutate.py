"""`scripts/mutate.py` looks at files that are there; none of its exceptions is out of date."""

from __future__ import annotations

import pytest

from scripts import mutate
from tests.helpers import REPOSITORY


@pytest.mark.parametrize("target", mutate.TARGETS)
def test_each_target_is_there(target: str) -> None:
    assert (REPOSITORY / target).is_file()


@pytest.mark.parametrize("survivor", mutate.named_survivors(), ids=" ".join)
def test_each_change_that_cannot_matter_can_be_made(survivor: tuple[str, str, str]) -> None:
    file, line, change = survivor
    assert file in mutate.TARGETS
    mutants = mutate.all_mutants(REPOSITORY, [file])
    assert (line, change) in {(mutant.text, mutant.change) for mutant in mutants}


def test_a_target_that_moved_is_an_error() -> None:
    with pytest.raises(SystemExit, match=r"no such file: dpgbench/gone.py; name its new place"):
        mutate.all_mutants(REPOSITORY, ["dpgbench/domain/rules.py", "dpgbench/gone.py"])


def test_tests_of_what_a_file_defines_at_import_are_those_of_the_lines_that_use_it() -> None:
    source = (
        "_SHARE = 0.2\n"
        "class Limits:\n"
        "    most: int = 3\n"
        "    def allows(self, number: int, more: int = 1) -> bool:\n"
        "        return number <= self.most + more\n"
        "def cut(value: float) -> float:\n"
        "    return value * _SHARE\n"
        "print()\n"
    )
    assert mutate.lines_using(source, 1) == {7}
    assert mutate.lines_using(source, 3) == {5}
    assert mutate.lines_using(source, 4) == {5}
    assert mutate.lines_using(source, 8) == set()


def test_each_file_of_tests_has_a_turn_before_any_has_a_second_one() -> None:
    seconds = {"tests/store/test_a.py::one": 1.0, "tests/store/test_a.py::two": 2.0,
               "tests/cli/test_b.py::one": 0.5, "tests/domain/test_c.py::one": 0.1}  # fmt: skip
    mutant = mutate.Mutant("dpgbench/store/files.py", 3, 3, 0, 1, "a", "b", "a")
    seen = mutate.SeenBy({mutant.file: {3: list(seconds)}}, seconds)
    assert set(seen.tests(mutant, budget=1.6)) == {
        "tests/store/test_a.py::one", "tests/cli/test_b.py::one", "tests/domain/test_c.py::one",
    }  # fmt: skip
