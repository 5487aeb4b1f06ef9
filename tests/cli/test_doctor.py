"""`dpgbench doctor --judge`: is a judge sound, and is it the judge or the installation."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest

from dpgbench.backends.protocols import JudgeAnswer, TileQuestions
from dpgbench.jobs.doctor import judge as self_test
from dpgbench.jobs.doctor.exam import exams
from dpgbench.jobs.doctor.judge import examine_judge
from dpgbench.mplug import self_test as mplug_golden
from dpgbench.shapes import answer
from tests.cli.oracles import Oracle, examine
from tests.helpers import Run

GOLDEN = Path(__file__).parents[1] / "golden" / "mplug"


@pytest.fixture(autouse=True)
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """On a busy machine too all pictures are asked, and no network waits for a second thread."""
    import torch

    monkeypatch.setattr(self_test, "examine_judge", partial(examine_judge, seconds=600.0))
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class YesMan(Oracle):
    def say(self, number: int, truth: bool) -> JudgeAnswer:
        return JudgeAnswer("yes")


class Shouter(Oracle):
    """Says Yes: which is not yes."""

    def say(self, number: int, truth: bool) -> JudgeAnswer:
        return JudgeAnswer("Yes" if truth else "No")


class Mumbler(Oracle):
    def say(self, number: int, truth: bool) -> JudgeAnswer:
        return JudgeAnswer("well", invalid=True) if number % 4 < 1 else super().say(number, truth)


class Guesser(Oracle):
    def say(self, number: int, truth: bool) -> JudgeAnswer:
        return JudgeAnswer("yes" if number % 4 < 2 else "no")


class Slow(Oracle):
    num_images_at_once = 1


class Mute(Oracle):
    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        from dpgbench.errors import DataError

        raise DataError("the cat has it")


def test_the_exam_is_fair() -> None:
    counts: Counter[tuple[str, bool]] = Counter()
    for exam in exams():
        texts = [probe.text for probe in exam.probes]
        assert len(set(texts)) == len(texts)
        counts.update((probe.category, probe.truth) for probe in exam.probes)
    categories = {category for category, _ in counts}
    assert categories == {"entity", "attribute", "relation", "global", "other"}
    assert all(counts[name, True] == counts[name, False] >= 5 for name in categories)
    assert len(exams()) == 12
    assert {exam.scene.kind for exam in exams()} == {"few", "many", "nested"}


def test_a_question_alone_gives_nothing_away() -> None:
    """The first words of a question are as common among the true as among the false ones."""
    starts = {truth: Counter[str]() for truth in (True, False)}
    for exam in exams():
        for probe in exam.probes:
            starts[probe.truth][" ".join(probe.text.split()[:2])] += 1
    majority = sum(max(starts[True][start], starts[False][start]) for start in {*starts[True]})
    assert majority / starts[True].total() < 1.25


def test_true_answers_are_the_worlds() -> None:
    from dpgbench.shapes import questions

    exam = exams()[0]
    own = {question.text: question for question in questions(exam.scene)}
    for probe in exam.probes:
        assert probe.truth == (probe.text in own)
        if probe.truth:
            assert answer(own[probe.text], exam.scene) == "yes"


def test_a_sound_judge(run: Run) -> None:
    code, report, _ = examine(run, "Oracle")
    assert code == 0
    assert report["sound"] is True
    assert report["verdict"] == "sound"
    assert report["reasons"] == report["warnings"] == []
    assert report["pictures"]["accuracy"] == 1.0
    assert report["pictures"]["yes_rate"] == 0.5
    assert set(report["pictures"]["l1"]) == {"entity", "attribute", "relation", "global", "other"}
    assert report["network"] is None
    assert report["describe"] == {"model": "Oracle"}
    printed = run("doctor", "--judge", "tests.cli.test_doctor:Oracle", "--device", "cpu")
    assert printed.code == 0
    assert "right: 100% (100% to 100%)" in printed.out
    assert "verdict: sound" in printed.out


@pytest.mark.parametrize(
    ("name", "verdict", "reason"),
    [
        ("YesMan", "always yes", "it says yes to 100%; half are true"),
        ("Shouter", "never yes", "it says yes to 0%; half are true"),
        ("Guesser", "guessing", "guessing gives 50%"),
        ("Mumbler", "invalid answers", "answers are neither yes nor no"),
        ("Mute", "cannot run", "it answered no question: the cat has it"),
    ],
)
def test_judges_that_are_not_sound(run: Run, name: str, verdict: str, reason: str) -> None:
    code, report, err = examine(run, name)
    assert code == 4
    assert report["sound"] is False
    assert report["verdict"] == verdict
    assert reason in report["reasons"][0]
    assert reason in err


def test_a_slow_judge_is_asked_less(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "examine_judge", partial(examine_judge, seconds=-1.0))
    code, report, _ = examine(run, "Slow")
    assert report["pictures"]["pictures"] == 1
    assert "11 of 12 pictures not asked" in report["warnings"]
    assert code == 0


def test_mplug_without_weights_fetches_nothing(run: Run) -> None:
    code, report, err = examine(run, "mplug")
    assert code == 4
    assert report["verdict"] == "cannot run"
    assert report["network"]["sound"] is True  # known even so
    assert "judge mplug cannot be tested here: its weights are not on this machine" in err


def test_a_broken_installation_is_told_from_a_bad_judge(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    real = torch.nn.functional.gelu
    monkeypatch.setattr(
        torch.nn.functional, "gelu", lambda x, approximate="none": real(x, approximate="tanh") * 1.1
    )
    network = mplug_golden.check_golden()
    assert network.error is None
    assert not network.sound
    assert network.other_scores > 0
    assert network.other_tokens == 0
    code, report, _ = examine(run, "mplug")
    assert code == 4
    assert report["verdict"] == "broken installation"
    assert "computes something else here than its reference" in report["reasons"][0]


def test_a_network_that_cannot_be_run(monkeypatch: pytest.MonkeyPatch) -> None:
    import dpgbench.mplug

    def refuse(*_: object, **__: object) -> None:
        raise TypeError("unexpected\nargument")

    monkeypatch.setattr(dpgbench.mplug, "load_mplug", refuse)
    report = mplug_golden.check_golden()
    assert report.error == "TypeError: unexpected argument"
    assert not report.sound


@pytest.mark.parametrize("stride", [3, 6])
def test_the_packaged_golden_values_are_the_tests_own(stride: int) -> None:
    packaged = mplug_golden._record()
    golden = json.loads((GOLDEN / f"small_stride{stride}_v1_answers.json").read_text())
    assert golden["token_bias"] == {}
    (recorded,) = [entry for entry in packaged["sets"] if entry["stride_layer"] == stride]
    for row in golden["rows"]:
        question = packaged["questions"].index(row["question"])
        text, score = recorded["answers"][row["image"]][question]
        assert text == row["answer"]
        assert score == pytest.approx(row["score"], abs=1e-5)
        tokens = [number for number in row["input_ids"] if number]
        assert packaged["question_tokens"][question] == tokens
        assert packaged["image_sizes"][row["image"]] == row["size"]


def test_unknown_judges_and_weights(run: Run) -> None:
    assert run("doctor", "--judge", "mplugg").code == 2
    assert run("doctor", "--judge", "mplug", "--weights", "jugde=x").code == 2
    assert run("doctor", "--judge", "tests.cli.test_doctor:Nobody").code == 2
    ended = run("doctor", "--judge", "mplug", "--weights", "judge=nowhere", "--device", "cpu")
    assert ended.code == 4
    assert "nowhere lacks configuration.json" in ended.error


def test_the_machine_alone_as_before(run: Run) -> None:
    ended = run("doctor")
    assert ended.code == 0
    assert ended.out.startswith("dpgbench ")
    assert "state" in ended.out
    assert set(json.loads(run("doctor", "--json").out)) == {"machine", "devices", "weights"}
