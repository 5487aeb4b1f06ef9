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
