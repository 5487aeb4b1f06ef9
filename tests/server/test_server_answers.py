"""What the server answers is what the command line gives for the same pictures."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

import dpgbench
from dpgbench.store.images import png_bytes
from tests.server.compared import check, four_clients
from tests.server.impatient import make_service
from tests.server.running import (
    Server,
    in_base64,
    item,
    picture,
    running,
    running_here,
    serve_words,
)


def test_four_clients_at_once_get_what_the_command_line_gives(
    mplug_server: Server, drawn: dict[str, Image.Image], by_command: tuple[Any, Any]
) -> None:
    for body in four_clients(mplug_server, drawn):
        check(body, by_command)


def test_what_batches_hold_changes_no_answer(
    drawn: dict[str, Image.Image], by_command: tuple[Any, Any]
) -> None:
    lines, figures = by_command
    words = serve_words(
        "--judge", "tiny-mplug", "--bench", "shapes", "--device", "cpu", "--batch-size", 5
    )
    with running([*words, "--rule", "corrected-v1"]) as server, ThreadPoolExecutor(8) as pool:
        bodies = [
            {"items": [item(png_bytes(grid), item_id=name, layout="2x2")]}
            for name, grid in drawn.items()
        ]
        replies = list(pool.map(server.score, bodies))
        text = server.send("GET", "/metrics").body.decode()
    for reply in replies:
        (got,) = reply.body["items"]
        expected = sorted(map(json.loads, lines[got["item_id"]]), key=key_of)
        for ours, theirs in zip(sorted(got["answers"], key=key_of), expected, strict=True):
            assert ours["p_yes"] == pytest.approx(theirs["p_yes"], abs=1e-5)
            assert {**ours, "p_yes": 0} == {**theirs, "p_yes": 0}
        score = got["scores"]["corrected-v1"]["score"]
        assert score == figures["corrected-v1"][got["item_id"]].score
    counts = dict(line.rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
    assert float(counts["dpgbench_tiles_total"]) == 20
    assert float(counts["dpgbench_batch_tiles_count"]) < 15  # 20 without batches


def key_of(line: dict[str, Any]) -> tuple[int, int]:
    return line["tile"], line["qid"]


def test_questions_of_the_caller_are_asked_like_the_benchmarks(
    mplug_server: Server, drawn: dict[str, Image.Image]
) -> None:
    benchmark = dpgbench.load_benchmark("shapes")
    name, grid = next(iter(drawn.items()))
    questions = [
        {"qid": row.qid, "question": row.question, "parents": list(row.parents.numbers)}
        for row in benchmark.items[name]
    ]
    both = [
        item(png_bytes(grid), item_id=name, layout="2x2"),
        item(
            png_bytes(grid),
            item_id="mine",
            layout="2x2",
            prompt=benchmark.prompts[name],
            questions=questions,
        ),
    ]
    reply = mplug_server.score({"items": both, "rules": ["corrected-v1", "dsg"]})
    theirs, ours = reply.body["items"]
    assert ours["scores"] == theirs["scores"]
    assert [{**line, "item_id": name} for line in ours["answers"]] == theirs["answers"]
    # Without numbers and parents: each counts alone, numbered as it stands.
    plain = [{"question": question["question"]} for question in questions]
    body = {"items": [{"images": both[0]["images"], "layout": "2x2", "questions": plain}]}
    (got,) = mplug_server.score(body).body["items"]
    assert got["item_id"] == "item-0"
    assert [(a["answer"], a["p_yes"]) for a in got["answers"]] == [
        (a["answer"], a["p_yes"]) for a in theirs["answers"]
    ]
    assert got["scores"]["corrected-v1"]["score"] >= theirs["scores"]["corrected-v1"]["score"]
    # Where no is right, what was no holds and what was yes does not.
    turned = [{**question, "answer": "no"} for question in plain]
    body = {"items": [{"images": both[0]["images"], "layout": "2x2", "questions": turned}]}
    (other,) = mplug_server.score(body).body["items"]
    scores = [one["scores"]["corrected-v1"]["score"] for one in (got, other)]
    assert sum(scores) == pytest.approx(100)


def test_the_server_says_what_it_is(mplug_server: Server) -> None:
    assert mplug_server.send("GET", "/health").body == {"status": "ready"}
    info = mplug_server.send("GET", "/v1/info").body
    assert info == mplug_server.send("GET", "/").body
    assert info["judge"] == "tiny-mplug"
    judge = dpgbench.load_judge("tiny-mplug", device="cpu")
    assert info["describes"] == judge.describe()
    assert info["benchmark"]["name"] == "shapes"
    assert info["rules"] == ["ella-reference", "corrected-v1"]
    openapi = mplug_server.send("GET", "/openapi.json").body
    assert set(openapi["paths"]) == {"/health", "/metrics", "/v1/info", "/v1/score"}
    assert "http" not in json.dumps(openapi["paths"])  # nothing is loaded from elsewhere
    assert mplug_server.send("GET", "/docs").status == 404


@pytest.mark.parametrize("judge", ["ByColour", "Backwards"])
def test_one_item_that_fails_costs_no_other(judge: str) -> None:
    red, dark = picture((255, 0, 0)), picture((0, 100, 0))
    items = [item(), item(red), item(dark), item(), item(red, images=[in_base64(picture())] * 3)]
    items[4]["images"][1] = in_base64(red)
    with running_here(make_service(judge)) as server:
        replies = [server.score({"items": items}) for _ in range(2)]
    assert replies[0].body == replies[1].body
    body = replies[0].body
    scores = [got["scores"]["corrected-v1"]["score"] for got in body["items"]]
    assert scores == [100.0, None, 0.0, 100.0, None]
    assert body["items"][3]["answers"] == body["items"][0]["answers"]
    assert set(body["failures"]) == {"1", "4"}
    assert body["failures"]["4"] == "tile 1: ValueError: no red pictures, please"
    assert {line["tile"] for line in body["items"][4]["answers"]} == {0, 2}
