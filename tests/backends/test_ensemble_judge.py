"""Several judges as one: votes, ties, agreement, members of both kinds, failures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.backends.device import single_thread
from dpgbench.backends.judges import ensemble as ensemble_judge
from dpgbench.backends.judges.ensemble import EnsembleJudge, majority, member_names
from dpgbench.backends.judges.own_class import as_judge
from dpgbench.backends.protocols import JudgeAnswer, JudgeReply, JudgeRequest, TileQuestions
from dpgbench.errors import DataError, IncompleteError, SetupError, UsageError
from tests.backends.tiny_vlms import write_idefics3, write_llava
from tests.helpers import Run, row, write_csv

YES, NO = JudgeAnswer("yes", 0.9), JudgeAnswer("no", 0.2)
NEITHER = JudgeAnswer("a dog", 0.4, invalid=True)


@pytest.mark.parametrize(
    ("votes", "text", "p_yes"),
    [
        ([YES, YES, NO], "yes", 2 / 3),
        ([NO, YES, NO], "no", 1 / 3),
        ([YES, NO], "no", 0.5),
        ([YES, YES, NO, NO], "no", 0.5),
        ([YES, NEITHER, NEITHER], "yes", 1.0),
        ([YES, NO, NEITHER], "no", 0.5),
        ([YES, JudgeAnswer("Yes")], "yes", 1.0),
        ([YES, JudgeAnswer("a dog")], "no", 0.5),
        ([YES, JudgeAnswer("")], "yes", 1.0),
    ],
)
def test_the_majority_of_valid_votes(votes: list[JudgeAnswer], text: str, p_yes: float) -> None:
    assert majority(votes) == JudgeAnswer(text, pytest.approx(p_yes))


def test_without_a_valid_vote_the_answer_is_invalid() -> None:
    assert majority([NEITHER, NEITHER]) == JudgeAnswer("a dog | a dog", invalid=True)
    assert majority([YES, NO._replace(truncated=True)]).truncated


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ensemble:tiny-mplug", "two or more"),
        ("ensemble:tiny-mplug,", "two or more"),
        ("ensemble:a,ensemble:b,c", "cannot hold an ensemble"),
        ("ensemble:tiny-mplug,hf:x,tiny-mplug", "tiny-mplug is listed twice"),
        ("ensemble:tiny-mplug,tiny-mplugg", "did you mean tiny-mplug"),
    ],
)
def test_names(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        member_names(name)
    assert member_names("ensemble: tiny-mplug, hf:a/b") == ["tiny-mplug", "hf:a/b"]
    with pytest.raises(UsageError, match="several models"):
        EnsembleJudge(JudgeRequest("ensemble:tiny-mplug,mplug", revision="v1"))


@dataclass
class Fake:
    """Answers each question with the next of `says`; fails on the items of `fails`."""

    says: Sequence[JudgeAnswer]
    fails: dict[str, Exception] = field(default_factory=dict)
    num_images_at_once: int = 1
    asked: list[str] = field(default_factory=list)

    def describe(self) -> dict[str, Any]:
        return {"model": "fake", "says": [answer.text for answer in self.says]}

    def ask(self, tiles: Sequence[TileQuestions]) -> list[list[JudgeAnswer]]:
        for tile in tiles:
            if tile.item_id in self.fails:
                raise self.fails[tile.item_id]
        self.asked += [tile.item_id for tile in tiles]
        return [[self.says[qid - 1] for qid in tile.qids] for tile in tiles]


class Streaming(Fake):
    """As `Fake`, but out of order, question by question; what it fails on has no answers."""

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        for tile in reversed(list(tiles)):
            if tile.item_id in self.fails:
                yield JudgeReply(tile.item_id, tile.tile, {}, str(self.fails[tile.item_id]))
                continue
            for qid in tile.qids:
                yield JudgeReply(tile.item_id, tile.tile, {qid: self.says[qid - 1]})


def tiles(count: int, num_questions: int = 3) -> Iterator[TileQuestions]:
    qids = tuple(range(1, num_questions + 1))
    image = Image.new("RGB", (4, 4))
    for n in range(count):
        yield TileQuestions(f"it{n}", 0, image, qids, ("Is it?",) * num_questions)


def ensemble(monkeypatch: pytest.MonkeyPatch, **members: Fake) -> EnsembleJudge:
    by_name = {f"hf:{name}": fake for name, fake in members.items()}
    monkeypatch.setattr(
        ensemble_judge, "load_judge", lambda request: as_judge(by_name[request.name])
    )
    return EnsembleJudge(JudgeRequest("ensemble:" + ",".join(by_name)))


def test_members_of_both_kinds_and_their_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    judge = ensemble(
        monkeypatch,
        a=Fake([YES, NO, YES]),
        b=Streaming([YES, YES, NEITHER]),
        c=Fake([YES, NO, NO], num_images_at_once=3),
    )
    replies = list(judge.stream(tiles(6)))
    assert [reply.item_id for reply in replies] == [f"it{n}" for n in range(6)]
    for reply in replies:
        assert [reply.answers[qid].text for qid in (1, 2, 3)] == ["yes", "no", "no"]
    assert judge.account() == {
        "questions": 18,
        "unanimous": 6,
        "invalid hf:a": 0,
        "invalid hf:b": 6,
        "invalid hf:c": 0,
        "voted hf:a & hf:b": 12,
        "agreed hf:a & hf:b": 6,
        "voted hf:a & hf:c": 18,
        "agreed hf:a & hf:c": 12,
        "voted hf:b & hf:c": 12,
        "agreed hf:b & hf:c": 6,
    }
    assert [member["judge"] for member in judge.describe()["members"]] == ["hf:a", "hf:b", "hf:c"]


def test_what_a_member_fails_on_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Fake([YES])
    judge = ensemble(
        monkeypatch,
        a=other,
        b=Fake([YES], {"it1": DataError("it1.png is odd")}, num_images_at_once=4),
        c=Streaming([NO], {"it3": ValueError("no reply")}),
    )
    replies = list(judge.stream(tiles(5, 1)))
    assert [len(reply.answers) for reply in replies] == [1, 0, 1, 0, 1]
    assert replies[1].error == "hf:b: it1.png is odd"
    assert replies[3].error == "hf:c: no reply"
    assert other.asked == [f"it{n}" for n in range(5)]  # each once


def test_a_member_that_fails_again_and_again_stops_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fails: dict[str, Exception] = {f"it{n}": ValueError("down") for n in range(2, 9)}
    judge = ensemble(monkeypatch, a=Fake([YES]), b=Streaming([NO], fails))
    done: list[JudgeReply] = []
    with pytest.raises(IncompleteError, match="hf:b of the ensemble failed on 3 images in a row"):
        for reply in judge.stream(tiles(9, 1)):
            done += [reply]
    assert [len(reply.answers) for reply in done] == [1, 1, 0, 0]
    judge = ensemble(monkeypatch, a=Fake([YES]), b=Fake([NO], {"it0": SetupError("no key")}))
    with pytest.raises(SetupError, match="no key"):
        list(judge.stream(tiles(1, 1)))


def test_through_the_command_line(run: Run, tmp_path: Path) -> None:
    questions = ["Is it red?", "Is there a large dog?", "Is it a tree?"]
    rows = [
        row(f"it{n}", q + 1, question_natural_language=text)
        for n in range(3)
        for q, text in enumerate(questions)
    ]
    write_csv(tmp_path / "b.csv", rows)
    (tmp_path / "pictures").mkdir()
    for n in range(3):
        Image.new("RGB", (40, 40), (80 * n, 40, 200)).save(tmp_path / f"pictures/it{n}.png")
    members = ("tiny-mplug", "hf:llava", "hf:idefics3")
    with single_thread():
        write_llava(tmp_path / "llava")
        write_idefics3(tmp_path / "idefics3")
        texts = {}
        for number, name in enumerate((*members, f"ensemble:{','.join(members)}")):
            out = f"r{number}"
            words = ("score", "pictures", "--bench", "b.csv", "--num-images", 1, "--out", out)
            ended = run(*words, "--judge", name, "--device", "cpu", "--json")
            (answers,) = (tmp_path / out / "answers").glob("*.jsonl")
            texts[name] = [json.loads(line) for line in answers.read_text().splitlines()]
            invalid = sum("invalid" in answer for answer in texts[name])
            assert ended.code == (6 if invalid > len(texts[name]) / 5 else 0), ended.err
    together = texts.pop(f"ensemble:{','.join(members)}")
    for asked, by_member in enumerate(zip(*texts.values(), strict=True)):
        votes = [answer["answer"] == "yes" for answer in by_member if "invalid" not in answer]
        assert (together[asked]["answer"] == "yes") == (sum(votes) > len(votes) / 2)
    manifest = json.loads((tmp_path / "r3/manifest.json").read_text())
    (record,) = manifest["judges"].values()
    assert [member["judge"] for member in record["members"]] == list(members)
    assert record["rule"] == "majority of valid votes; a tie is no"
    assert all("prompt" in member for member in record["members"][1:])
    assert record["account"]["questions"] == 9
    shutil.rmtree(tmp_path / "llava")
    (tmp_path / "r3/answers").rename(tmp_path / "r3/gone")
    ended = run(*words, "--judge", name, "--device", "cpu")
    assert ended.code == 2
    assert "hf:llava: there is no folder llava" in ended.error
