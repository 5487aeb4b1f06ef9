"""`dpgbench doctor --judge` for a judge of the embedded world, trained or not."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from dpgbench.backends.judges.own_class import as_judge
from dpgbench.backends.protocols import JudgeAnswer, TileQuestions
from dpgbench.jobs.doctor import judge as self_test
from dpgbench.jobs.doctor.judge import examine_judge
from dpgbench.mplug import write_tiny_checkpoint
from tests.cli.oracles import Oracle, examine
from tests.helpers import Run


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine too all pictures are asked."""
    monkeypatch.setattr(self_test, "examine_judge", partial(examine_judge, seconds=600.0))


def test_an_untrained_judge_is_found_out(run: Run, tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path / "judge")
    code, report, err = examine(run, "tiny-mplug", "--weights", f"judge={tmp_path / 'judge'}")
    assert code == 4
    assert report["verdict"] in ("guessing", "always yes", "never yes")
    assert "judge tiny-mplug is not sound: " in err
    assert report["network"]["sound"] is True
    assert report["network"]["questions"] == 48
    assert report["pictures"]["pictures"] == 12


@pytest.mark.parametrize(("name", "size_px"), [("tiny-mplug", 64), ("mplug", 512)])
def test_pictures_have_the_size_that_a_judge_knows(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, size_px: int
) -> None:
    sizes = set()

    class Measuring(Oracle):
        def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
            sizes.update(tile.image.size for tile in tiles)
            return super().ask(tiles)

    monkeypatch.setattr(self_test, "load_judge", lambda request: as_judge(Measuring(request)))
    monkeypatch.setattr(self_test, "_refuse_to_fetch", lambda *_: None)
    assert examine(run, name)[1]["verdict"] == "sound"
    assert sizes == {(size_px, size_px)}
