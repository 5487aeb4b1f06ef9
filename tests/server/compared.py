"""What the command line makes of some grids, and clients that ask a server the same."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image

from dpgbench.domain.spec import GridSpec
from dpgbench.shapes.benchmark import benchmark_items
from dpgbench.shapes.render import render
from dpgbench.store.files import json_line
from dpgbench.store.images import join_tiles, png_bytes
from tests.server.running import Server, form, in_base64

RULES = ("ella-reference", "corrected-v1", "dsg")
GRID = GridSpec(4, 64, 64)


def grids(number: int) -> dict[str, Image.Image]:
    """Grids in which the first tile is of the item, the others of items after it."""
    items = benchmark_items()
    tiles = [render(items[place].scene) for place in range(number + 3)]
    return {
        items[place].item_id: join_tiles(tiles[place : place + 4], GRID) for place in range(number)
    }


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


def four_clients(server: Server, drawn: Mapping[str, Image.Image]) -> list[Any]:
    """Return what four clients at once get for the same grids, each in a form of its own.

    Each asks for them in another order, and gets them in that one.
    """
    webp = {name: webp_bytes(grid) for name, grid in drawn.items()}

    def whole_grids(names: list[str]) -> Any:
        items = [
            {"item_id": name, "images": [in_base64(png_bytes(drawn[name]))], "layout": "2x2"}
            for name in names
        ]
        return server.score({"items": items, "rules": RULES})

    def single_tiles(names: list[str]) -> Any:
        items = [
            {
                "item_id": name,
                "images": [in_base64(png_bytes(drawn[name].crop(box))) for box in GRID.boxes()],
            }
            for name in names
        ]
        return server.score({"items": items, "rules": RULES})

    def form_by_item(names: list[str]) -> Any:
        parts = [(name, f"{name}.png", png_bytes(drawn[name])) for name in names]
        fields = [("rules", None, ",".join(RULES).encode()), ("layout", None, b"2x2")]
        body, kind = form(*fields, *parts)
        return server.send("POST", "/v1/score", body, content_type=kind)

    def form_with_request(names: list[str]) -> Any:
        items = [{"item_id": n, "images": [f"of {n}"], "layout": "2x2"} for n in names]
        request = json.dumps({"items": items, "rules": RULES}).encode()
        parts = [(f"of {name}", "any.bin", webp[name]) for name in names]
        body, kind = form(("request", None, request), *parts)
        return server.send("POST", "/v1/score", body, content_type=kind)

    names = list(drawn)
    clients = [whole_grids, single_tiles, form_by_item, form_with_request]
    orders = [names, names[::-1], names[2:] + names[:2], names]
    with ThreadPoolExecutor(4) as pool:
        replies = list(pool.map(lambda call, order: call(order), clients, orders))
    for reply, order in zip(replies, orders, strict=True):
        assert reply.status == 200, reply
        assert [got["item_id"] for got in reply.body["items"]] == order
    return [reply.body for reply in replies]


def webp_bytes(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()
