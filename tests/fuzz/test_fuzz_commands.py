"""Commands on damaged runs and with mistyped options: one line on stderr and a known exit code."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.commands import COMMANDS

EXAMPLES = {"commands on damaged runs": 40, "mistyped options": 40}


@pytest.mark.parametrize("name", COMMANDS)
def test_commands_end_in_one_line(name: str) -> None:
    make, look = COMMANDS[name]

    @settings(max_examples=EXAMPLES[name], suppress_health_check=list(HealthCheck), database=None)
    @given(one=make())
    def examine(one: Any) -> None:
        look(one)

    examine()
