"""The scripts for the figures of the embedded models, on small runs whose scores are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.image_log import read_image_log
from scripts.embedded.evaluate import figures, shuffle
from tests.helpers import Run

JUDGE = "tests.embedded.own_classes:Detector"
NUM_ITEMS = 22  # over 8 of them are cut, over 8 are not: fewer have no intervals
NUM_FEW = 10


@pytest.fixture
def drawn(run: Run) -> list[str]:
    """Two runs: one draws everything right, one but a part of what long prompts ask for."""
    names = ["oracle", "forgetful"]
    for name in names:
        model = f"tests.embedded.own_classes:{name.capitalize()}"
        words = ("--bench", "shapes", "--limit", NUM_ITEMS, "--num-images", 1, "--out", name)
        ended = run("generate", "--model", model, *words)
        assert ended.code == 0, ended.err
    return names


@pytest.fixture
def scored(run: Run, drawn: list[str]) -> list[str]:
    """The two runs and their controls, scored."""
    controls = [f"{name}_control" for name in drawn]
    for name, control in zip(drawn, controls, strict=True):
        assert shuffle.main([name, control]) == 0
    for name in drawn + controls:
        ended = run("score", name, "--judge", JUDGE)
        assert ended.code == 0, ended.err
    return drawn + controls


def options(runs: Sequence[str]) -> list[str]:
    roles = ("--ella", "--clip", "--ella-control", "--clip-control")
    return [word for pair in zip(roles, runs, strict=True) for word in pair]


def test_figures_are_those_of_the_runs(
    scored: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    for rule in ("ella-reference", "corrected-v1"):
        check_figures(scored, rule, capfd)


def check_figures(scored: list[str], rule: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = [*options(scored), "--judge", JUDGE, "--rule", rule, "--out", "made"]
    capfd.readouterr()
    assert figures.main(words) == 0
    text = Path("made/figures.md").read_text()
    assert capfd.readouterr().out == text
    numbers = json.loads(Path("made/figures.json").read_text())
    every, cut, whole = (numbers["parts"][name] for name in ("all", "cut", "whole"))
    for name, role in zip(scored, every["scores"], strict=True):
        stored = json.loads(RunDir(Path(name)).scores(JUDGE, rule).read_text())
        assert every["scores"][role]["score"] == pytest.approx(stored["overall"])
        assert every["scores"][role]["interval"] == pytest.approx(stored["interval"])
        assert f"{stored['overall']:.1f}" in text
    assert every["items"] == cut["items"] + whole["items"] == stored["items_scored"]
    assert every["scores"]["ella"]["score"] == whole["scores"]["clip"]["score"] == 100
    assert cut["scores"]["clip"]["score"] < 60
    assert every["scores"]["ella_control"]["score"] < 60
    assert whole["differences"]["ella - clip"]["points"] == 0
    assert cut["differences"]["ella - clip"]["told_apart"]
    gap = numbers["gap_cut_less_gap_whole"]
    assert gap["points"] == pytest.approx(cut["differences"]["ella - clip"]["points"])
    assert gap["told_apart"]
    assert f"{gap['points']:.1f}" in text
    assert (numbers["token_limit"], numbers["rule"], numbers["judge"]) == (77, rule, JUDGE)
    before = Path("made/figures.json").read_bytes()
    assert figures.main(words) == 0
    assert Path("made/figures.json").read_bytes() == before


def test_a_control_holds_the_pictures_of_other_prompts(run: Run, drawn: list[str]) -> None:
    assert shuffle.main(["forgetful", "control"]) == 0
    one, other = RunDir(Path("forgetful")), RunDir(Path("control"))
    givers = {
        item: record["drawn_for"] for item, record in read_image_log(other.images_log).items()
    }
    assert givers.keys() == set(givers.values()) == read_image_log(one.images_log).keys()
    for item, giver in givers.items():
        assert item != giver
        assert other.image(item).read_bytes() == one.image(giver).read_bytes()
        assert (
            read_image_log(other.images_log)[item]["sha256"]
            == read_image_log(one.images_log)[giver]["sha256"]
        )
    manifests = [json.loads(one_run.manifest.read_text()) for one_run in (one, other)]
    assert manifests[0]["identity_hash"] != manifests[1]["identity_hash"]
    assert manifests[1]["model"] == f"{manifests[0]['model']} (shuffled)"
    assert "for another prompt" in manifests[1]["notes"][-1]
    assert "truncation" in manifests[0]["generation"]
    assert "truncation" not in manifests[1]["generation"]
    assert not manifests[1]["judges"]
    again = run("generate", "--model", "tests.embedded.own_classes:Forgetful", "--out", "control")
    assert again.code != 0  # the pictures of a control are not drawn over
    assert shuffle.main(["forgetful", "same"]) == 0
    assert shuffle.main(["forgetful", "seed", "--seed", "1"]) == 0
    same, seed = (read_image_log(RunDir(Path(name)).images_log) for name in ("same", "seed"))
    assert same == read_image_log(other.images_log) != seed


def test_what_cannot_be_shuffled_is_refused(
    run: Run, drawn: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert shuffle.main(["oracle", "forgetful"]) == 2
    assert "exists" in capfd.readouterr().err
    assert shuffle.main(["nowhere", "new"]) == 3
    RunDir(Path("oracle")).image("few_003").write_bytes(b"torn")
    assert shuffle.main(["oracle", "new"]) == 3
    assert "few_003" in capfd.readouterr().err
    assert not Path("new").exists()


def test_figures_need_scores_the_same_items_and_a_limit_of_tokens(
    run: Run, scored: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*options(scored), "--judge", JUDGE]
    assert figures.main([*options(scored), "--judge", "tiny-mplug"]) == 3  # was not asked
    swapped = [scored[1], scored[0], *scored[2:]]
    capfd.readouterr()
    assert figures.main([*options(swapped), "--judge", JUDGE]) == 3
    assert "tells no limit of tokens" in capfd.readouterr().err
    assert run("score", scored[3], "--judge", JUDGE, "--limit", 9).code == 0
    assert figures.main(words) == 0  # a narrower score stands beside the wide one
    few = draw_few(run)
    capfd.readouterr()
    assert figures.main([*options([*scored[:3], few]), "--judge", JUDGE]) == 3
    assert "other items" in capfd.readouterr().err


def draw_few(run: Run) -> str:
    """A scored run of fewer items, its long prompts cut."""
    words = ("--bench", "shapes", "--limit", NUM_FEW, "--num-images", 1, "--out", "few")
    assert run("generate", "--model", "tests.embedded.own_classes:Forgetful", *words).code == 0
    assert run("score", "few", "--judge", JUDGE).code == 0
    return "few"


def test_parts_of_few_items_have_scores_and_no_intervals(run: Run) -> None:
    assert figures.main([*options([draw_few(run)] * 4), "--judge", JUDGE, "--out", "made"]) == 0
    numbers = json.loads(Path("made/figures.json").read_text())
    every, cut, whole = (numbers["parts"][name] for name in ("all", "cut", "whole"))
    assert every["scores"]["clip"]["interval"] is not None
    assert max(cut["items"], whole["items"]) < 8 < every["items"]
    for part in (cut, whole):
        assert part["scores"]["clip"]["interval"] is None
        assert part["differences"]["ella - clip"]["points"] == 0
    gap = numbers["gap_cut_less_gap_whole"]
    assert (gap["points"], gap["interval"], gap["told_apart"]) == (0, None, False)
    score = cut["scores"]["clip"]["score"]
    row = f"| more than 77 tokens | {cut['items']} |" + f" {score:.1f} |" * 4
    assert row in Path("made/figures.md").read_text()
