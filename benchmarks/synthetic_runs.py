"""Made-up runs of the real benchmark's size, for `report.py`, the browser tests and screenshots."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dpgbench.domain.benchmark import COLUMNS, Benchmark
from dpgbench.domain.result import Origin
from dpgbench.domain.rules import find_rule
from dpgbench.domain.score import score_benchmark
from dpgbench.store.benchmarks import load_csv
from dpgbench.store.files import write_atomic
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.manifest import Manifest
from dpgbench.store.run.scores import write_result

NUM_ITEMS, NUM_IMAGES, NUM_QUESTIONS = 1065, 4, 13
JUDGE = "mplug"
RULES = ("ella-reference", "corrected-v1")
MODELS: Mapping[str, float] = {
    "sdxl": 0.88,
    "pixart-alpha": 0.86,
    "ella-sd15": 0.87,
    "sd21": 0.82,
    "sd15": 0.78,
}
TWELVE_MODELS: Mapping[str, float] = {
    "sd3.5-large": 0.915,
    "hidream-i1-full": 0.913,
    "qwen-image": 0.91,
    "sana-1.6b": 0.9,
    **MODELS,
    "hunyuan-dit": 0.85,
    "playground-v2.5": 0.845,
    "lumina-next-t2i-with-a-name-of-some-length": 0.83,
}
CUT_MODELS = ("sdxl", "sd21", "sd15")
SOURCES = {
    "stanford_paragraph": 361,
    "COCOval": 200,
    "posescript": 100,
    "localized": 100,
    "DB": 99,
    "vrd": 80,
    "countbench": 65,
    "whoops": 60,
}
THINGS = "cat dog table lamp bicycle window bridge river teapot violin lantern castle robot tree"
COLOURS = "red blue green golden black white purple orange silver turquoise"
KINDS = "wooden shiny tiny enormous striped rusty transparent ornate"
PLACES = "beside under behind above near facing"
LOOKS = ("color", "texture", "size")
FILLER = (
    "with soft light falling across the whole scene while long shadows stretch over the ground and "
    "a faint haze hangs between the distant hills that frame this quiet corner of the picture"
)


def item_ids(number: int = NUM_ITEMS) -> Iterator[str]:
    """Yield ids in the proportions of the real benchmark's sources."""
    ids = [f"{name}_{place}" for name, size in SOURCES.items() for place in range(size)]
    yield from ids[:: max(1, len(ids) // number)][:number]


def write_benchmark(path: Path, number: int = NUM_ITEMS) -> Benchmark:
    """Write a made-up benchmark and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for item_id in item_ids(number):
            prompt, questions = _item(rng)
            for qid, (parents, broad, fine, words, question) in enumerate(questions, 1):
                row = (words, qid, parents, broad, fine, f"{broad} - {fine} ({words})", question)
                writer.writerow([item_id, prompt, *row])
    return load_csv(path, "dpg")


def _item(rng: random.Random) -> tuple[str, list[tuple[str, str, str, str, str]]]:
    """Return a prompt and 13 questions: 5 things, 5 attributes of them, 2 relations, a style."""
    things = rng.sample(THINGS.split(), 5)
    colours = [rng.choice(COLOURS.split()) for _ in things]
    kinds = [rng.choice(KINDS.split()) for _ in things]
    relations = [rng.choice(PLACES.split()) for _ in range(2)]
    filler = FILLER.split()
    parts = []
    for colour, kind, thing in zip(colours, kinds, things, strict=True):
        more = " ".join(filler[: rng.randrange(2, len(filler))])
        parts.append(f"A {colour}, {kind} {thing} {more}.")
    first, second = relations
    scene = f"The {things[0]} is {first} the {things[1]}, which is {second} the {things[2]}."
    questions = [("0", "entity", "whole", thing, f"Is there a {thing}?") for thing in things] + [
        (str(n), "attribute", LOOKS[n % 3], f"{thing}, {look}", f"Is the {thing} {look}?")
        for n, (thing, look) in enumerate(zip(things, colours, strict=True), 1)
    ]
    for n in (1, 2):
        pair = f"{things[n - 1]}, {things[n]}, {relations[n - 1]}"
        asked = f"Is the {things[n - 1]} {relations[n - 1]} the {things[n]}?"
        questions.append((f"{n},{n + 1}", "relation", "spatial", pair, asked))
    questions.append(("0", "global", "", "photograph", "Is it a photograph?"))
    return f"A photograph. {' '.join(parts)} {scene}", questions


def make_runs(
    folder: Path, number: int = NUM_ITEMS, models: Mapping[str, float] = MODELS
) -> list[RunDir]:
    """Return scored runs on a made-up benchmark, written under `folder`."""
    benchmark = write_benchmark(folder / "dpg.csv", number)
    hard = {item: random.Random(f"hard {item}").gauss(0, 0.09) for item in benchmark.items}
    return [
        _make_run(folder / "runs" / name, name, benchmark, skill, hard)
        for name, skill in models.items()
    ]


def _make_run(
    path: Path, model: str, benchmark: Benchmark, skill: float, hard: Mapping[str, float]
) -> RunDir:
    run = RunDir(path)
    rng = random.Random(f"answers {model}")
    answers: dict[tuple[str, int], dict[int, str]] = {}
    lines = []
    for item, rows in benchmark.items.items():
        for tile in range(NUM_IMAGES):
            chance = min(0.99, max(0.05, skill + hard[item] + rng.gauss(0, 0.05)))
            texts = {row.qid: _answer(rng, chance) for row in rows}
            answers[item, tile] = texts
            for qid, text in texts.items():
                lines.append(
                    json.dumps({"item_id": item, "tile": tile, "qid": qid, "answer": text})
                )
    write_atomic(run.answers(JUDGE), "\n".join(lines) + "\n")
    _manifest(model, benchmark).write(run.manifest)
    for rule in RULES:
        origin = Origin(judge=JUDGE, model=model)
        result = score_benchmark(
            benchmark, answers, find_rule(rule), num_images=NUM_IMAGES, origin=origin
        )
        write_result(run, result)
    return run


def _answer(rng: random.Random, chance: float) -> str:
    drawn = rng.random()
    if drawn < chance:
        return "yes"
    return "no" if drawn < 0.998 else "it is hard to tell"


def _manifest(model: str, benchmark: Benchmark) -> Manifest:
    long = [item for item, text in benchmark.prompts.items() if len(text.split()) > 110]
    cut = long if model in CUT_MODELS else []
    limit = 77 if model in CUT_MODELS else None
    return Manifest(
        kind="generated",
        model=model,
        identity={
            "generation": {
                "seed_rule": "per-tile",
                "base_seed": 0,
                "width_px": 512,
                "height_px": 512,
                "steps": 50,
                "guidance_scale": 7.5,
                "scheduler": "DDIMScheduler",
                "dtype": "float16",
            },
            "weights": {"base": model.encode().hex().ljust(64, "0")[:64]},
        },
        items=list(benchmark.items),
        benchmark={
            "name": benchmark.name,
            "path": str(benchmark.path),
            "items": len(benchmark.items),
            "questions": benchmark.num_questions,
            "prompts_sha256": benchmark.prompts_sha256,
            "questions_sha256": benchmark.questions_sha256,
        },
        num_images=NUM_IMAGES,
        generation={
            "device": "cuda",
            "truncation": {
                "limit": limit,
                "truncated": len(cut),
                "prompts": len(benchmark.items),
                "items": cut,
            },
        },
        judges={JUDGE: {"weights": {"judge": {"sha256": "a" * 64}}, "decode": "beam 2"}},
        commands=[f"dpgbench generate --model {model}", "dpgbench score"],
        created="2026-01-02T03:04:05+00:00",
        completed="2026-01-02T09:04:05+00:00",
    )


def draw_images(runs: Sequence[RunDir], items: Sequence[str], tile_px: int = 96) -> None:
    """Give the runs pictures of some items: four coloured tiles each, to look at layouts."""
    from PIL import Image, ImageDraw

    for run in runs:
        for item in items:
            rng = random.Random(f"{run.name} {item}")
            picture = Image.new("RGB", (2 * tile_px, 2 * tile_px))
            draw = ImageDraw.Draw(picture)
            for left in (0, tile_px):
                for top in (0, tile_px):
                    colour = tuple(rng.randrange(60, 230) for _ in range(3))
                    draw.rectangle((left, top, left + tile_px, top + tile_px), fill=colour)
                    middle = tuple(255 - part for part in colour)
                    spot = (left + 20, top + 20, left + tile_px - 20, top + tile_px - 20)
                    draw.ellipse(spot, fill=middle)
            run.images.mkdir(parents=True, exist_ok=True)
            picture.save(run.image(item))
