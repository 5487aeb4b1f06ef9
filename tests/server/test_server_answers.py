"""What the server answers is what the command line gives for the same pictures."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from PIL import Image

import dpgbench
from dpgbench.domain.spec import GridSpec
from dpgbench.shapes.benchmark import benchmark_items
from dpgbench.shapes.render import render
from dpgbench.store.files import json_line
from dpgbench.store.images import join_tiles, png_bytes
from tests.helpers import json_lines, run_process
from tests.server.impatient import make_service
from tests.server.running import (
    ENVIRONMENT,
    Server,
    folder_of_grids,
    form,
    in_base64,
    item,
    picture,
    running,
    running_here,
    serve_words,
)

RULES = ("ella-reference", "corrected-v1", "dsg")
GRID = GridSpec(4, 64, 64)


def grids(number: int) -> dict[str, Image.Image]:
    """Grids in which the first tile is of the item, the others of items after it."""
    items = benchmark_items()
    tiles = [render(items[place].scene) for place in range(number + 3)]
    return {
        items[place].item_id: join_tiles(tiles[place : place + 4], GRID) for place in range(number)
    }


@pytest.fixture(scope="module")
def drawn() -> dict[str, Image.Image]:
    return grids(5)


@pytest.fixture(scope="module")
def by_command(
    drawn: dict[str, Image.Image], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Any]:
    """The lines of answers by item, and each rule's result, as `dpgbench score` writes them."""
    here = tmp_path_factory.mktemp("command")
    folder_of_grids(here / "grids", drawn)
    words = ["--judge", "tiny-mplug", "--bench", "shapes", "--device", "cpu", "--out", "run"]
    rules = [word for rule in RULES for word in ("--rule", rule)]
    done = run_process(
        "score", "grids", *words, *rules, "--items", ",".join(drawn), cwd=here, env=ENVIRONMENT
    )
    assert done.returncode == 0, done.stderr
    lines: dict[str, list[str]] = {}
    for line in json_lines(here / "run" / "answers" / "tiny-mplug.jsonl"):
        lines.setdefault(line["item_id"], []).append(json_line(line))
    scored = dpgbench.score(here / "run", judge="tiny-mplug", rules=RULES)
    return lines, {result.rule: result.item_figures for result in scored.results}


def check(reply: dict[str, Any], by_command: tuple[Any, Any]) -> None:
    """Each item of a reply has the answers' bytes and the numbers of the command line."""
    lines, figures = by_command
    assert reply["failures"] == {}
    for got in reply["items"]:
        item_id = got["item_id"]
        assert sorted(map(json_line, got["answers"])) == sorted(lines[item_id])
        assert list(got["scores"]) == list(RULES)
        for rule, score in got["scores"].items():
            expected = figures[rule][item_id]
            assert score["score"] == expected.score
            assert score["tile_scores"] == list(expected.tile_scores)
            assert score["failure"] == (expected.failure or None)


def test_four_clients_at_once_get_what_the_command_line_gives(
    mplug_server: Server, drawn: dict[str, Image.Image], by_command: tuple[Any, Any]
) -> None:
    webp = {name: webp_bytes(grid) for name, grid in drawn.items()}

    def whole_grids(names: list[str]) -> Any:
        items = [
            {"item_id": name, "images": [in_base64(png_bytes(drawn[name]))], "layout": "2x2"}
            for name in names
        ]
        return mplug_server.score({"items": items, "rules": RULES})

    def single_tiles(names: list[str]) -> Any:
        items = [
            {
                "item_id": name,
                "images": [in_base64(png_bytes(drawn[name].crop(box))) for box in GRID.boxes()],
            }
            for name in names
        ]
        return mplug_server.score({"items": items, "rules": RULES})

    def form_by_item(names: list[str]) -> Any:
        parts = [(name, f"{name}.png", png_bytes(drawn[name])) for name in names]
        fields = [("rules", None, ",".join(RULES).encode()), ("layout", None, b"2x2")]
        body, kind = form(*fields, *parts)
        return mplug_server.send("POST", "/v1/score", body, content_type=kind)

    def form_with_request(names: list[str]) -> Any:
        items = [{"item_id": n, "images": [f"of {n}"], "layout": "2x2"} for n in names]
        request = json.dumps({"items": items, "rules": RULES}).encode()
        parts = [(f"of {name}", "any.bin", webp[name]) for name in names]
        body, kind = form(("request", None, request), *parts)
        return mplug_server.send("POST", "/v1/score", body, content_type=kind)

    names = list(drawn)
    clients = [whole_grids, single_tiles, form_by_item, form_with_request]
    orders = [names, names[::-1], names[2:] + names[:2], names]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda call, order: call(order), clients, orders))
    for reply, order in zip(replies, orders, strict=True):
        assert reply.status == 200, reply
        assert [got["item_id"] for got in reply.body["items"]] == order
        check(reply.body, by_command)


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


def webp_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


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
