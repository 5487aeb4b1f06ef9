"""Judging through the command line: runs, other people's images, resume, weights."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dpgbench.mplug import write_tiny_checkpoint
from dpgbench.store.run.directory import RunDir
from tests.cli.pictures import noise
from tests.helpers import Run, json_lines, row, write_csv

JUDGE = ("--judge", "tiny-mplug", "--device", "cpu")
GENERATE = ("generate", "--model", "tiny-sd15", "--steps", 2, "--bench")


@pytest.fixture
def bench(tmp_path: Path) -> Path:
    rows = [
        row(f"it{n}", q, "0" if q == 1 else "1", question_natural_language=f"Is {q} in {n}?")
        for n in range(5)
        for q in (1, 2, 3)
    ]
    return write_csv(tmp_path / "bench.csv", rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images = tmp_path / "pictures"
    images.mkdir()
    for n in range(5):
        noise(n).save(images / f"it{n}.png")
    return images


def answers(run_folder: Path, judge: str = "tiny-mplug") -> list[dict[str, object]]:
    return json_lines(RunDir(run_folder).answers(judge))


def test_other_peoples_images(run: Run, tmp_path: Path, bench: Path, folder: Path) -> None:
    words = ("score", folder, "--bench", bench, "--num-images", 4, "--tile-px", 32, *JUDGE)
    ended = run(*words, "--out", "r", "--json")
    assert ended.code == 0, ended.err
    results = json.loads(ended.out)["results"]
    assert [result["rule"] for result in results] == ["ella-reference", "corrected-v1"]
    assert results[1]["judge"] == "tiny-mplug"
    assert results[1]["model"] == "pictures"
    assert "taken for 4 tiles of 32x32, 2x2 (assumed" in results[1]["notes"][0]
    assert "tiny-mplug knows the world of shapes alone" in results[1]["notes"][1]
    stored = answers(tmp_path / "r")
    assert len(stored) == 5 * 4 * 3
    assert stored[0].keys() >= {"item_id", "tile", "qid", "answer", "p_yes"}
    assert {answer["tile"] for answer in stored} == {0, 1, 2, 3}
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert len(manifest["judges"]["tiny-mplug"]["weights"]["model.safetensors"]) == 64
    # again: nothing is asked twice, and the result is the same
    again = run(*words, "--out", "r", "--json")
    assert json.loads(again.out)["results"] == results
    assert answers(tmp_path / "r") == stored


def test_one_image_is_the_tile(run: Run, tmp_path: Path, bench: Path, folder: Path) -> None:
    words = ("score", folder, "--bench", bench, "--num-images", 1, *JUDGE, "--out", "r")
    assert run(*words).code == 0
    assert len(answers(tmp_path / "r")) == 5 * 3


def test_sizes_that_do_not_fit(run: Run, tmp_path: Path, bench: Path, folder: Path) -> None:
    words = ("score", folder, "--bench", bench, *JUDGE, "--out", "r")
    ended = run(*words, "--num-images", 4, "--tile-px", 512)
    assert ended.code == 3
    assert "it0.png is 64x64 px; expected 1024x1024 (4 tiles of 512x512, 2x2)" in ended.error
    noise(9, (65, 64)).save(folder / "it3.png")
    ended = run("score", folder, "--bench", bench, *JUDGE, "--out", "r2")
    assert ended.code == 6
    assert "it3.png is 65x64 px; expected 64x64 (4 tiles of 32x32, 2x2)" in ended.error
    assert len(answers(tmp_path / "r2")) == 4 * 3 * 4
    ended = run("score", folder, "--bench", bench, *JUDGE, "--out", "r2", "--partial", "--json")
    assert ended.code == 0, ended.err
    failures = json.loads(ended.out)["results"][1]["failures"]
    assert failures.keys() == {"it3"}
    assert "expected 64x64" in failures["it3"]


def test_missing_and_broken_images(run: Run, tmp_path: Path, bench: Path, folder: Path) -> None:
    (folder / "it1.png").unlink()
    data = (folder / "it2.png").read_bytes()
    (folder / "it2.png").write_bytes(data[: len(data) // 2])
    words = ("score", folder, "--bench", bench, *JUDGE, "--out", "r", "--json")
    ended = run(*words)
    assert ended.code == 6
    result = json.loads(ended.out)["results"][1]
    assert result["failed_items"] == ["it1", "it2"]
    assert result["failures"]["it1"] == "image it1.png is missing"
    assert "image it2.png cannot be read" in result["failures"]["it2"]
    assert result["items_scored"] == 3
    # mended: only what is missing is asked
    before = answers(tmp_path / "r")
    noise(1).save(folder / "it1.png")
    assert run(*words).code == 6
    after = answers(tmp_path / "r")  # in the benchmark's order, whatever was asked when
    assert [line for line in after if line["item_id"] != "it1"] == before
    assert len(after) == len(before) + 12


def test_an_image_that_changed_since(run: Run, tmp_path: Path, bench: Path, folder: Path) -> None:
    words = ("score", folder, "--bench", bench, *JUDGE, "--out", "r")
    run(*words)
    noise(77).save(folder / "it4.png")
    ended = run(*words)
    assert ended.code == 5
    assert "other images of it4" in ended.error


def test_no_images_at_all(run: Run, tmp_path: Path, bench: Path) -> None:
    (tmp_path / "empty").mkdir()
    ended = run("score", "empty", "--bench", bench, *JUDGE)
    assert ended.code == 3
    assert "no image named after an item of bench (such as it0.png; PNG, JPEG" in ended.error
    assert run("score", "nowhere", "--bench", bench, *JUDGE).code == 3
    ended = run("score", *JUDGE)
    assert ended.code == 2
    assert "no run under runs/" in ended.error


def test_newest_run_is_the_default(run: Run, tmp_path: Path, bench: Path) -> None:
    run(*GENERATE, bench, "--num-images", 1)
    ended = run("score", *JUDGE, "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["results"][0]["model"] == "tiny-sd15"


def test_a_limited_run_is_scored_for_what_it_set_out_to_do(
    run: Run, tmp_path: Path, bench: Path
) -> None:
    run(*GENERATE, bench, "--limit", 2, "--out", "r")
    ended = run("score", "r", *JUDGE, "--json")
    result = json.loads(ended.out)["results"][1]
    assert ended.code == 0
    assert (result["items_scored"], result["items_expected"]) == (2, 2)
    assert result["warnings"] == {"items_not_chosen": 3}
    (tmp_path / "r/images/it1.png").unlink()
    shutil.rmtree(tmp_path / "r/answers")
    ended = run("score", "r", *JUDGE)
    assert ended.code == 6
    assert "it1: image it1.png is missing" in ended.error


def test_prompts_without_graphs_cannot_be_scored(run: Run, tmp_path: Path, folder: Path) -> None:
    prompts = tmp_path / "bare" / "prompts"
    prompts.mkdir(parents=True)
    for n in range(5):
        (prompts / f"it{n}.txt").write_text("a prompt")
    ended = run(*GENERATE, "bare", "--limit", 1, "--out", "r")
    assert ended.code == 0, ended.err
    ended = run("score", folder, "--bench", tmp_path / "bare", *JUDGE)
    assert ended.code == 4
    assert "dpg_bench.csv is missing; get it with 'dpgbench prompts pull'" in ended.error


def test_mplug_from_a_folder_in_modelscopes_layout(
    run: Run, tmp_path: Path, bench: Path, folder: Path
) -> None:
    write_tiny_checkpoint(tmp_path / "judge")
    words = ("score", folder, "--bench", bench, "--judge", "mplug", "--device", "cpu")
    ended = run(*words, "--weights", "judge=judge", "--out", "r")
    assert ended.code == 0, ended.err
    run("score", folder, "--bench", bench, *JUDGE, "--weights", "judge=judge", "--out", "tiny")
    stored = answers(tmp_path / "r", "mplug")
    assert stored == answers(tmp_path / "tiny")
    # another judge of the same name may not add to these answers
    write_tiny_checkpoint(tmp_path / "judge2", seed=1)
    log = tmp_path / "r/answers/mplug.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:7]))
    ended = run(*words, "--weights", "judge=judge2", "--out", "r")
    assert ended.code == 5
    assert "weights.pytorch_model.bin" in ended.error
    log.unlink()  # without answers there is nothing to mix
    assert run(*words, "--weights", "judge=judge2", "--out", "r").code == 0
    ended = run(*words, "--weights", "judge=nowhere", "--out", "r3")
    assert ended.code == 4
    assert "modelscope download --model" in ended.error


def test_a_kill_while_judging_loses_nothing(run: Run, tmp_path: Path) -> None:
    rows = [row(f"it{n}", q) for n in range(8) for q in (1, 2, 3)]
    write_csv(tmp_path / "bench.csv", rows)
    (tmp_path / "pictures").mkdir()
    for n in range(8):
        noise(n).save(tmp_path / f"pictures/it{n}.png")
    words = ("score", "pictures", "--bench", "bench.csv", *JUDGE, "--batch-size", 1)
    assert run(*words, "--out", "whole").code == 0
    command = [sys.executable, "-m", "dpgbench", *map(str, words)]
    process = subprocess.Popen(
        [*command, "--out", "killed"], cwd=tmp_path, stderr=subprocess.DEVNULL, env=os.environ
    )
    log = tmp_path / "killed/answers/tiny-mplug.jsonl"
    deadline = time.monotonic() + 120
    while (not log.exists() or log.stat().st_size < 400) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(log.read_bytes().splitlines())
    assert 3 <= there < 96
    with log.open("ab") as file:
        file.write(b'{"item_id": "it')
    # whose answers these are was written before the first was asked: no other judge may go on
    manifest = json.loads((tmp_path / "killed/manifest.json").read_text())
    assert len(manifest["judges"]["tiny-mplug"]["weights"]["model.safetensors"]) == 64
    write_tiny_checkpoint(tmp_path / "other", seed=1)
    refused = run(*words, "--weights", "judge=other", "--out", "killed")
    assert refused.code == 5
    assert "answers of judge tiny-mplug" in refused.error
    assert run(*words, "--out", "killed").code == 0
    key = ("item_id", "tile", "qid")
    killed, whole = answers(tmp_path / "killed"), answers(tmp_path / "whole")
    assert len(killed) == len({tuple(a[k] for k in key) for a in killed}) == 96
    assert [a["answer"] for a in killed] == [a["answer"] for a in whole]


def test_first_token_and_precision_are_judges_of_their_own(
    run: Run, tmp_path: Path, bench: Path, folder: Path
) -> None:
    words = ("score", folder, "--bench", bench, "--num-images", 1, *JUDGE, "--out", "r", "--json")
    names = []
    for more in ((), ("--decode", "first-token"), ("--dtype", "bfloat16")):
        ended = run(*words, *more)
        assert ended.code == 0, ended.err
        names.append(json.loads(ended.out)["results"][0]["judge"])
    assert names == ["tiny-mplug", "tiny-mplug:first-token", "tiny-mplug:bfloat16"]
    first = answers(tmp_path / "r", "tiny-mplug:first-token")
    assert [a["p_yes"] for a in first] == [a["p_yes"] for a in answers(tmp_path / "r")]
    assert all((a["answer"] == "yes") == (a["p_yes"] > 0.5) for a in first)
    manifest = json.loads((tmp_path / "r/manifest.json").read_text())
    assert manifest["judges"]["tiny-mplug:first-token"]["decode"] == "first-token"
    assert run(*words, "--decode", "greedy").code == 2
    assert "--base-url is not for judge" in run(*words, "--base-url", "http://x").error


def test_batch_size_changes_no_answer(run: Run, tmp_path: Path, bench: Path, folder: Path) -> None:
    words = ("score", folder, "--bench", bench, *JUDGE)
    for size in (1, 3, 32):
        assert run(*words, "--batch-size", size, "--out", f"r{size}").code == 0
    notes = [
        {(a["item_id"], a["tile"], a["qid"]): a["answer"] for a in answers(tmp_path / f"r{size}")}
        for size in (1, 3, 32)
    ]
    assert notes[0] == notes[1] == notes[2]
