"""What a judge of one's own returns is made sure of before anything is written."""

import re

import numpy as np
import pytest
from PIL import Image

import dpgbench
from dpgbench.backends import device as devices
from dpgbench.backends.judges import request as judges
from dpgbench.backends.protocols import JudgeAnswer, JudgeRequest
from dpgbench.errors import DataError, UsageError
from dpgbench.store.run.directory import RunDir
from tests.cli import wrong_judges
from tests.helpers import json_lines, row, write_csv

WRONG = ["Text", "Bool", "Nothing", "NotANumber", "TooSure", "WordOfProbability", "NoList"]
WRONG += ["TooFew", "TooFewTiles", "OneAnswer", "StreamOfText"]


@pytest.fixture
def ask(run, tmp_path):
    """Score four pictures with three questions each."""
    (tmp_path / "pictures").mkdir()
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / f"pictures/it{number}.png")
    write_csv(tmp_path / "b.csv", [row(f"it{n}", q) for n in range(4) for q in (1, 2, 3)])
    words = ("score", "pictures", "--bench", "b.csv", "--num-images", 1, "--rule", "corrected-v1")
    return lambda name: run(*words, "--out", "r", "--judge", name)


def own(name):
    return f"tests.cli.wrong_judges:{name}"


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_answer_is_refused_before_writing(ask, tmp_path, name):
    for _ in range(2):
        ended = ask(own(name))
        assert ended.code == 3
        assert own(name) in ended.error and re.search("Judge(Answer|Reply)", ended.error)
        assert " must " in ended.error and "Traceback" not in ended.err
        path = RunDir(tmp_path / "r").answers(own(name))
        assert not path.exists() or path.read_bytes() == b""


def test_an_ensemble_refuses_what_its_member_returns(ask):
    ended = ask(f"ensemble:{own('Plain')},{own('Bool')}")
    assert ended.code == 3
    assert f"{own('Bool')}.ask must return JudgeAnswer" in ended.error


def test_an_empty_answer_is_none(ask, tmp_path):
    ended = ask(own("Empty"))
    assert ended.code == 6
    assert "it0: tile 0: the judge gave 3 empty answers" in ended.error
    assert RunDir(tmp_path / "r").answers(own("Empty")).read_bytes() == b""


def test_half_of_a_surrogate_pair_is_written_as_a_question_mark(ask, tmp_path):
    assert ask(own("Surrogate")).code == 0
    path = RunDir(tmp_path / "r").answers(own("Surrogate"))
    assert {record["answer"] for record in json_lines(path)} == {"no ?"}


def test_out_of_memory_halves_the_batch_then_fails_the_item(ask):
    wrong_judges.Hungry.asked.clear()
    assert ask(own("Hungry")).code == 0
    assert wrong_judges.Hungry.asked == [4, 2, 1, 1, 2, 1, 1]
    ended = ask(own("Starving"))
    assert ended.code == 6
    assert "out of memory with a single image at once; take a device" in ended.error


@pytest.fixture
def built_on(monkeypatch, tmp_path):
    """The built_on on which judges are built on a machine whose device is another one."""
    built = []
    monkeypatch.setattr(judges, "find_device", lambda name: "gpu" if name == "auto" else name)
    monkeypatch.setattr(
        wrong_judges.Plain, "__init__", lambda self, request: built.append(request.device)
    )
    return built


def test_command_line_and_python_ask_on_the_same_device(ask, built_on, tmp_path):
    name = own("Plain")
    assert ask(name).code == 0
    dpgbench.load_judge(name)
    judges.load_judge(JudgeRequest(name))
    for number, judge in enumerate((name, JudgeRequest(name))):
        dpgbench.score(
            tmp_path / "pictures",
            bench=str(tmp_path / "b.csv"),
            num_images=1,
            judge=judge,
            out=tmp_path / f"out{number}",
        )
    assert built_on == ["gpu"] * 5
    dpgbench.load_judge(name, device="cpu")
    judges.load_judge(JudgeRequest(name, device="cpu"))
    assert built_on[5:] == ["cpu"] * 2


def test_what_only_the_class_has_is_there():
    judge = dpgbench.load_judge("tests.cli.own_judges:MeanColor", device="cpu")
    assert judge.request.device == "cpu"
    with pytest.raises(AttributeError, match="no_such"):
        _ = judge.no_such


def test_auto_is_what_the_machine_has(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.find_device("auto") == "cuda"


PICTURE = Image.new("RGB", (8, 8))


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ({"it00": [PICTURE]}, "unknown item 'it00'; did you mean it0"),
        ({}, "at least one item"),
        ({"it0": []}, "item it0 has no tiles"),
        ({"it0": [PICTURE], "it1": [PICTURE] * 2}, "item it0 has 1 tile and item it1 2"),
    ],
)
def test_images_in_memory_that_cannot_be_scored(ask, tmp_path, images, says):
    benchmark = dpgbench.load_benchmark(str(tmp_path / "b.csv"))
    with pytest.raises(UsageError, match=says):
        dpgbench.score_images(benchmark, images, wrong_judges.Plain(None))


def test_images_in_memory_are_asked_as_strictly(ask, tmp_path):
    benchmark = dpgbench.load_benchmark(str(tmp_path / "b.csv"))
    with pytest.raises(DataError, match="must return JudgeAnswer"):
        dpgbench.score_images(benchmark, {"it0": [PICTURE]}, wrong_judges.Bool(None))
    result = dpgbench.score_images(benchmark, {"it0": [PICTURE]}, wrong_judges.Starving(None))
    assert "out of memory" in result.failures["it0"]
    assert isinstance(wrong_judges.Plain.answer, JudgeAnswer)


CLASSES = {
    "CannotBeBuilt": "cannot be built: RuntimeError: no model",
    "NoDescription": "needs the methods describe\\(\\)",
    "DescriptionOfText": "describe must return a dict of plain data .* not 'me' of type str",
    "DescriptionOfObjects": "describe must return a dict .* not JSON serializable",
    "DescriptionNotANumber": "describe must return a dict .* not JSON compliant",
    "NumberInWords": "num_images_at_once must be a whole number from 1, not '4' of type str",
    "StreamOfNothing": "stream must yield JudgeReply.* not return None",
    "AnswersToOthers": "what it was asked, not to it0 tile 0 question 999",
}


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_that_is_no_judge_is_refused_in_one_line(ask, tmp_path, name):
    ended = ask(own(name))
    assert ended.code == 3
    assert name in ended.error and re.search(CLASSES[name], ended.error)
    assert "Traceback" not in ended.err
    path = RunDir(tmp_path / "r").answers(own(name))
    assert not path.exists() or path.read_bytes() == b""


def test_empty_answers_of_one_tile_are_told_once(ask):
    ended = ask(own("EmptyInParts"))
    assert ended.code == 6
    assert ended.err.count("it0 tile 0: the judge gave an empty answer; it is asked again") == 1
    assert "it0: tile 0: the judge gave 3 empty answers; they are asked again" in ended.error


@pytest.mark.parametrize("text", ["class Mine(:", "raise ValueError('no')", "Mine = unknown"])
def test_a_file_that_cannot_be_imported_is_told_in_one_line(ask, tmp_path, monkeypatch, text):
    (tmp_path / "broken_module.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    ended = ask("broken_module:Mine")
    assert ended.code == 2
    assert "importing broken_module failed: " in ended.error
