"""Models behind a server of images: concurrent, resumed, counted; against one that misbehaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.backends.generators.images_api.client import TakenParameters
from dpgbench.backends.generators.images_api.generator import ImagesApi
from dpgbench.backends.rate_limit import RetryPolicy
from tests.backends.fake_images import FakeImages, picture
from tests.backends.fake_openai import HONEST, Act
from tests.helpers import Ended, Run, row, write_csv

QUICK = RetryPolicy(
    tries=3, first_seconds=0.01, longest_seconds=0.05, refusing_seconds=1.0, timeout_seconds=5.0
)
KEY = "sk-test-0123456789-secret"
Generate = Callable[..., Ended]


@pytest.fixture
def server() -> Iterator[FakeImages]:
    with FakeImages() as fake:
        yield fake


@pytest.fixture
def generate(
    run: Run, server: FakeImages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Generate:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    original = ImagesApi.__init__

    def impatient(self: ImagesApi, *parts: Any, **named: Any) -> None:
        original(self, *parts, **{"policy": QUICK, **named})

    monkeypatch.setattr(ImagesApi, "__init__", impatient)
    rows = [row(f"i{n}", 1, text=f"prompt {n}") for n in range(6)]
    bench = write_csv(tmp_path / "bench.csv", rows)

    def call(*words: object, model: str = "images-api:m") -> Ended:
        return run(
            "generate", "--model", model, "--bench", bench, "--base-url", server.url,
            "--width", 16, "--height", 16, "--out", "r", *words,
        )  # fmt: skip

    return call


def lines(folder: Path) -> dict[str, dict[str, Any]]:
    text = (folder / "r/images.jsonl").read_text()
    return {line["item_id"]: line for line in map(json.loads, text.splitlines())}


def manifest(folder: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((folder / "r/manifest.json").read_text())
    return value


def grid_is_right(folder: Path, item: int, seeds: list[int | None]) -> bool:
    with Image.open(folder / f"r/images/i{item}.png") as file:
        grid = file.convert("RGB")
    tiles = [grid.crop(box) for box in ((0, 0, 16, 16), (16, 0, 32, 16), (0, 16, 16, 32),
                                        (16, 16, 32, 32))]  # fmt: skip
    wanted = [picture(f"prompt {item}", seed, (16, 16)) for seed in seeds]
    return all(a.tobytes() == b.tobytes() for a, b in zip(tiles, wanted, strict=True))


def test_every_tile_has_its_prompt_and_seed_and_the_cost_is_counted(
    generate: Generate, server: FakeImages, tmp_path: Path
) -> None:
    server.rule = lambda request: Act(seconds=0.02)
    ended = generate("--concurrency", 8, "--price-in", 5, "--price-out", 40, "--price-image", 0.01)
    assert ended.code == 0, ended.err
    assert all(grid_is_right(tmp_path, item, [0, 1, 2, 3]) for item in range(6))
    assert 4 < server.most_in_flight <= 8, "several items at a time"
    assert lines(tmp_path)["i0"]["seeds"] == [0, 1, 2, 3]
    account = manifest(tmp_path)["generation"]["account"]
    assert (account["requests"], account["images"], account["retries"]) == (24, 24, 0)
    assert account["cost_usd"] == pytest.approx(24 * (10 * 5 + 1000 * 40) / 1e6 + 0.24)
    assert account["parameters"] == {"response_format": True, "seed": True}
    request = server.asked[0]
    assert request["path"] == "/v1/images/generations"
    assert (request["model"], request["n"], request["size"]) == ("m", 1, "16x16")
    assert request["key"] == f"Bearer {KEY}"
    assert not {"num_inference_steps", "guidance_scale", "negative_prompt", "quality"} & {*request}
    assert KEY not in (tmp_path / "r/manifest.json").read_text() + ended.err


def test_the_same_command_resumes_and_costs_add_up(
    generate: Generate, server: FakeImages, tmp_path: Path
) -> None:
    assert generate("--limit", 2).code == 0
    assert generate().code == 0
    assert len(server.asked) == 24
    assert generate().code == 0
    assert len(server.asked) == 24
    account = manifest(tmp_path)["generation"]["account"]
    assert (account["requests"], account["images"]) == (24, 24)
    assert account["cost_usd"] is None
    assert generate("--concurrency", 2).code == 0, "decides no picture"
    assert generate("--option", "quality=high").code == 5, "decides pictures"


def test_settings_that_the_user_names_are_sent(generate: Generate, server: FakeImages) -> None:
    words = ("--steps", 9, "--guidance", 0, "--negative-prompt", "ugly", "--option", "quality=high")
    assert generate("--limit", 1, "--num-images", 1, *words).code == 0
    (request,) = server.asked
    assert (request["num_inference_steps"], request["guidance_scale"]) == (9, 0.0)
    assert (request["negative_prompt"], request["quality"]) == ("ugly", "high")


def test_a_server_without_seeds_is_said_to_have_none(
    generate: Generate, server: FakeImages, tmp_path: Path
) -> None:
    server.refuses = ("response_format", "seed")  # as GPT-Image
    ended = generate()
    assert ended.code == 0, ended.err
    assert "the server takes no seed" in ended.err
    assert {line["seeds"] for line in lines(tmp_path).values()} == {None}
    assert all(grid_is_right(tmp_path, item, [None] * 4) for item in range(6))
    taken = manifest(tmp_path)["generation"]["account"]["parameters"]
    assert taken == {"response_format": False, "seed": False}
    assert "whether it uses the seeds that it takes cannot be known" in ended.err


def test_prompts_that_the_server_rewrites_are_counted_and_said(
    generate: Generate, server: FakeImages, tmp_path: Path
) -> None:
    assert generate("--limit", 1).code == 0
    assert manifest(tmp_path)["generation"]["account"]["rewritten_prompts"] == 0
    server.rewrites = True
    ended = generate()
    assert ended.code == 0
    assert ended.err.count("in words of its own ('a photograph of prompt 1' for 'prompt 1')") == 1
    assert manifest(tmp_path)["generation"]["account"]["rewritten_prompts"] == 20


def test_words_of_a_prompt_are_not_taken_for_a_parameter() -> None:
    both = TakenParameters()
    assert both.without_named("Unknown parameter: 'seed'.") == (True, False)
    assert both.without_named("response_format is not supported") == (False, True)
    assert both.without_named("your prompt about seed was rejected by moderation") is None
    assert both.without_named("Unknown parameter: 'seeds_of_time'") is None


def test_a_filtered_prompt_fails_alone(
    generate: Generate, server: FakeImages, tmp_path: Path
) -> None:
    refused = Act(400, "Your request was rejected by the safety system.", "moderation_blocked")
    empty = Act(body=b'{"data": [{"b64_json": null}]}')
    acts = {"prompt 1": refused, "prompt 3": empty}
    server.rule = lambda request: acts.get(request["prompt"], HONEST)
    ended = generate()
    assert ended.code == 6
    failed = manifest(tmp_path)["generation"]["failed"]
    assert failed.keys() == {"i1", "i3"}
    assert "safety system" in failed["i1"]
    assert "content filter" in failed["i3"]
    assert len([path for path in (tmp_path / "r/images").iterdir() if path.suffix == ".png"]) == 4
    server.rule = lambda request: HONEST
    assert generate().code == 0


@pytest.mark.parametrize(
    "act",
    [
        Act(500, "overloaded"),
        Act(503, "busy", headers=(("retry-after-ms", "5"),)),
        Act(429, "slow down", headers=(("retry-after-ms", "5"),)),
        Act(hang_up="at once"),
        Act(hang_up="half"),
        Act(body=b"<html>"),
        Act(body=b'{"data": [{"b64_json": "%%%"}]}'),
    ],
    ids=["500", "503", "429", "hang-up", "half", "html", "no base64"],
)
def test_passing_trouble_is_tried_again(
    generate: Generate, server: FakeImages, tmp_path: Path, act: Act
) -> None:
    tried: set[tuple[str, int]] = set()

    def once(request: dict[str, Any]) -> Act:
        key = request["prompt"], request["seed"]
        first = key not in tried
        tried.add(key)
        return act if first else HONEST

    server.rule = once
    ended = generate()
    assert ended.code == 0, ended.err
    assert all(grid_is_right(tmp_path, item, [0, 1, 2, 3]) for item in range(6))
    account = manifest(tmp_path)["generation"]["account"]
    assert (account["images"], account["retries"]) == (24, 24)


def test_a_picture_of_another_size_fails_its_item(generate: Generate, server: FakeImages) -> None:
    server.drawn_px = 8
    ended = generate()
    assert ended.code == 6
    assert "drew 8x8 px instead of 16x16" in ended.err
    server.drawn_px, server.as_address = 0, True
    assert "address of a picture" in generate().err


@pytest.mark.parametrize(
    ("act", "code", "words"),
    [
        (Act(401, f"wrong key {KEY}"), 4, "set OPENAI_API_KEY"),
        (Act(402, "no money"), 4, "no money or quota left"),
        (Act(404, "no such model"), 4, "check the model's name (m)"),
        (Act(body=b"\n<!DOCTYPE html><title>Log in</title>"), 4, "answers with HTML, a page for"),
        (Act(429, "later", headers=(("retry-after", "7200"),)), 6, "asks for a pause of 7200 s"),
    ],
)
def test_what_no_request_can_pass_ends_the_command(
    generate: Generate, server: FakeImages, act: Act, code: int, words: str
) -> None:
    server.rule = lambda request: act
    ended = generate()
    assert ended.code == code
    assert words in ended.error
    assert KEY not in ended.err
    assert len(server.asked) <= 24


def test_a_server_that_fails_item_after_item_ends_the_command(
    generate: Generate, server: FakeImages, tmp_path: Path
) -> None:
    assert generate("--limit", 1).code == 0
    server.rule = lambda request: Act(500, "dead")
    ended = generate()
    assert ended.code == 6
    assert "dead" in ended.err
    assert len(lines(tmp_path)) >= 2


def test_the_cap_on_requests(generate: Generate, server: FakeImages, tmp_path: Path) -> None:
    ended = generate("--max-requests", 9, "--concurrency", 1)
    assert ended.code == 6
    assert "--max-requests 9" in ended.error
    assert len(server.asked) == 9
    assert manifest(tmp_path)["generation"]["account"]["requests"] == 9
    assert generate().code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--base-url", "http://me:secret@host/v1"), "--base-url holds a user"),
        (("--base-url", "nowhere"), "--base-url is not an address"),
        (("--concurrency", 0), "--concurrency 0"),
        (("--price-image", -1), "--price-image -1"),
        (("--dtype", "float16"), "is drawn by a server"),
        (("--engine", "ray"), "--engine ray"),
    ],
)
def test_what_cannot_be_right_is_refused(
    generate: Generate, server: FakeImages, words: tuple[object, ...], message: str
) -> None:
    ended = generate(*words)
    assert ended.code in (2, 4)
    assert message in ended.error
    assert not server.asked


def test_options_of_servers_are_refused_for_models_that_are_drawn_here(
    run: Run, tmp_path: Path
) -> None:
    bench = write_csv(tmp_path / "bench.csv", [row("a", 1)])
    words = ("generate", "--model", "tiny-sd15", "--bench", bench)
    assert run(*words, "--concurrency", 3).code == 2
    assert run(*words, "--base-url", "http://localhost/v1").code == 2
    assert run("generate", "--model", "images-api:", "--bench", bench).code == 2


def test_from_python(server: FakeImages) -> None:
    import dpgbench

    generator = dpgbench.load_generator(
        "images-api:m",
        server=dpgbench.ServerOptions(concurrency=1),
        options={"base_url": server.url},
        width_px=16,
        height_px=16,
    )
    images = generator.draw("prompt 0", [5, 6])
    assert [image.tobytes() for image in images] == [
        picture("prompt 0", seed, (16, 16)).tobytes() for seed in (5, 6)
    ]
    assert server.most_in_flight == 1


def test_a_server_that_draws_one_picture_for_all_seeds_is_said_to(
    generate: Generate, server: FakeImages, tmp_path: Path
) -> None:
    assert generate("--limit", 1).code == 0
    assert manifest(tmp_path)["generation"]["account"]["repeated_images"] == 0
    server.ignores_seeds = True
    ended = generate("--limit", 3)
    assert ended.code == 0
    assert ended.err.count("3 of 4 images of item i") == 1
    assert manifest(tmp_path)["generation"]["account"]["repeated_images"] == 6


def test_base64_in_lines_is_a_picture_too(
    generate: Generate, server: FakeImages, tmp_path: Path
) -> None:
    server.in_lines = True
    assert generate("--limit", 1).code == 0
    assert grid_is_right(tmp_path, 0, [0, 1, 2, 3])
