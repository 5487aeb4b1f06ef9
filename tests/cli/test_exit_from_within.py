"""A class of the user's own that calls exit() ends nothing in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import Run


@pytest.mark.parametrize(("call", "code"), [("exit(0)", 1), ("exit()", 1), ("exit(7)", 7)])
def test_exit_in_a_class_of_ones_own_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    name = f"leaving_{call.strip('()').replace('(', '_')}"
    (tmp_path / f"{name}.py").write_text(
        f"import sys\nclass Leaving:\n    def draw(self, prompt, seeds):\n        sys.{call}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    ended = run("generate", "--model", f"{name}:Leaving", "--bench", "shapes", "--limit", 1)
    assert ended.code == code
    assert "ended the command before its work was done" in ended.error
