"""What `generate` counts and writes of each outcome, function by function."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.backends.failures import Failures
from dpgbench.backends.generators.named_generator import NamedGenerator
from dpgbench.backends.generators.plan import GenerationPlan, GeneratorRequest
from dpgbench.backends.generators.table import find_model
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.protocols import DrawnItem, ItemToDraw, Truncation
from dpgbench.backends.weights.locate import Weights
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.spec import GenerationSpec
from dpgbench.engine.drawing import Call, Drawer, Drawn, DrawUnit, Encoding, NotDrawn, Planned
from dpgbench.engine.options import EngineOptions
from dpgbench.engine.work import LocalWorkers, Lost, Workers
from dpgbench.errors import DataError, IncompleteError, UsageError
from dpgbench.jobs import generate as job
from dpgbench.jobs.events import EventLog
from dpgbench.jobs.generate import Generated, GenerateRequest, generate
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.images import png_bytes
from dpgbench.store.run.directory import RunDir
from dpgbench.store.run.image_log import image_line
from dpgbench.store.run.manifest import Manifest, describe_benchmark
from tests.helpers import json_lines, row, write_csv

MODEL = """
from PIL import Image
class Model:
    width_px = height_px = 4
    def draw(self, prompt, seeds):
        if "fail" in prompt:
            raise ValueError("cannot draw it")
        images = [Image.new("RGB", (4, 4), (seed, 0, 0)) for seed in seeds]
        for image in images:
            image.putpixel((1, 1), (255, 255, 255))
        return images
"""
ITEMS = ("a", "b", "c", "d")
SPEC = GenerationSpec("counting_model:Model", 4, 4, "float32", num_images=2)


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    rows = [row(item, 1, text="fail" if item == "b" else f"draw {item}") for item in ITEMS]
    return load_benchmark(write_csv(tmp_path / "b.csv", rows))


@pytest.fixture
def plan() -> GenerationPlan:
    weights = {"unet": Weights(Path("w"), {"w": "f" * 64})}
    return GenerationPlan(find_model("sdxl"), NamedGenerator, SPEC, weights, "cuda:7", ["assumed"])


@pytest.fixture
def manifest(benchmark: Benchmark) -> Manifest:
    return Manifest("generated", "m", {}, [*ITEMS], describe_benchmark(benchmark), 2)


def test_grids_drawn_now_kept_and_failed_are_counted(
    tmp_path: Path, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "counting_model.py").write_text(MODEL)
    monkeypatch.syspath_prepend(str(tmp_path))
    generator = GeneratorRequest("counting_model:Model", settings={"num_images": 2}, device="cpu")

    def draw(*items: str) -> Generated:
        events = EventLog(tmp_path / "events.jsonl")
        out = tmp_path / "r"
        return generate(GenerateRequest(generator, benchmark, items, out, events=events))

    done = draw("c")
    assert (done.drawn, done.kept, done.failures) == (1, 0, {})
    done = draw(*ITEMS)
    assert (done.drawn, done.kept, done.failures) == (2, 1, {"b": "ValueError: cannot draw it"})
    done = draw("a", "c")
    assert (done.drawn, done.kept, done.failures) == (0, 2, {})
    assert not (tmp_path / "r/samples").exists()
    progress = [e for e in json_lines(tmp_path / "events.jsonl") if e["event"] == "progress"]
    counts = [(e["done"], e["total"], e["items_done"], e["items"]) for e in progress]
    assert (counts[0], counts[-1]) == ((0, 1, 0, 1), (4, 4, 4, 4))
    assert (1, 4, 1, 4) in counts  # what was there before is counted too
    written = json.loads((tmp_path / "r/manifest.json").read_text())
    assert written["commands"] == []


def test_the_manifest_says_what_draws(benchmark: Benchmark, plan: GenerationPlan) -> None:
    fresh: dict[str, Manifest] = {}
    for model in ("sdxl", "tiny-sd15", "my_module:Model"):
        request = GenerateRequest(GeneratorRequest(model), benchmark, ITEMS)
        fresh[model] = job._fresh_manifest(request, plan, plan.identity(benchmark))
    of_sdxl = fresh["sdxl"].generation
    assert of_sdxl["device"] == "cuda:7"
    assert of_sdxl["weights"]["unet"]["files"] == {"w": "f" * 64}
    assert of_sdxl["licence"] == "openrail++"
    assert "licence" not in fresh["my_module:Model"].generation
    assert (fresh["sdxl"].notes, fresh["sdxl"].items) == (["assumed"], [])


def test_a_model_of_one_world_is_said_to_be_no_use_in_others(
    benchmark: Benchmark, plan: GenerationPlan
) -> None:
    plan = replace(plan, entry=find_model("tiny-sd15"))
    request = GenerateRequest(GeneratorRequest("tiny-sd15"), benchmark, ITEMS)
    notes = job._fresh_manifest(request, plan, {}).notes
    assert notes == [
        "model tiny-sd15 knows the world of shapes alone: here scores mean nothing",
        "assumed",
    ]


DRAWN = Drawn("a", png_bytes(Image.new("RGB", (8, 4))), "0" * 64, 1.5)


@pytest.mark.parametrize(
    ("outcome", "more"),
    [
        (DRAWN, {"seeds": [0, 1]}),
        (DRAWN._replace(seeded=False), {"seeds": None}),
        (DRAWN._replace(single_colour=(1,)), {"seeds": [0, 1], "single_colour": [1]}),
        (DRAWN._replace(call=Call(2)), {"seeds": [0, 1]}),
        (DRAWN._replace(call=Call(6)), {"seeds": [0, 1], "images_in_call": 6}),
    ],
)
def test_the_line_of_a_grid(
    tmp_path: Path, plan: GenerationPlan, outcome: Drawn, more: Mapping[str, Any]
) -> None:
    run, failures = RunDir(tmp_path / "r"), Failures()
    run.images.mkdir(parents=True)
    line = job._line_of(run, outcome, plan, failures)
    assert line == {**image_line("a", sha256="0" * 64, seconds=1.5), **more}
    assert run.image("a").read_bytes() == outcome.png
    for number in range(12):
        job._line_of(run, NotDrawn(f"x{number}", DataError("bad")), plan, failures)
    job._stop_where_hopeless(failures)  # something went well


def test_the_line_of_a_failure_and_where_they_end_the_work(
    tmp_path: Path, plan: GenerationPlan
) -> None:
    run, failures = RunDir(tmp_path / "r"), Failures()
    written = DRAWN._replace(png=None)  # by the worker
    assert job._line_of(run, written, plan, Failures())["sha256"] == "0" * 64
    assert not run.path.exists()
    unit = DrawUnit("lost", "x", (0, 1))
    lost = job._line_of(run, Lost(unit, "out of luck"), plan, failures)
    assert lost == image_line("lost", seeds=[0, 1], error="out of luck")
    failed = job._line_of(run, NotDrawn("f", ValueError("bad  luck")), plan, Failures())
    assert failed == image_line("f", seeds=[0, 1], error="ValueError: bad luck")
    assert job._is_failure(Lost(unit, "x"))
    assert job._is_failure(NotDrawn("f", ValueError()))
    assert not job._is_failure(DRAWN)
    for number in range(8):
        job._line_of(run, NotDrawn(f"x{number}", DataError("out of luck")), plan, failures)
    job._stop_where_hopeless(failures)
    job._line_of(run, NotDrawn("tenth", DataError("out of luck")), plan, failures)
    with pytest.raises(IncompleteError, match=r"the first 10 items all failed.*: out of luck"):
        job._stop_where_hopeless(failures)


class Serves:
    """A server, which has counted what it drew."""

    takes_seeds = False

    def draw_many(self, items: Iterator[ItemToDraw]) -> Iterator[DrawnItem]:
        raise AssertionError("nothing is drawn")

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image.Image]:
        raise AssertionError("nothing is drawn")

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        return Truncation(None)

    def account(self) -> Mapping[str, Any]:
        return {"images": 3}


class Elsewhere(Workers[DrawUnit, Drawn | NotDrawn | Encoding]):
    """Workers of other processes."""

    def call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("nothing is called")

    def run(self, units: Iterable[DrawUnit], number: int) -> Iterator[Any]:
        raise AssertionError("nothing is drawn")


def test_what_a_server_s_images_cost_adds_up(manifest: Manifest) -> None:
    drawer = Drawer(DrawnWithinMemory(Serves()), SPEC.grid)
    for _ in range(2):
        job._keep_account(LocalWorkers(drawer), manifest)
        job._keep_account(Elsewhere(), manifest)
    assert manifest.generation == {"account": {"images": 6}}
    assert (job._items_in_call(LocalWorkers(drawer)), job._items_in_call(Elsewhere())) == (1, 1)


def test_a_server_is_for_no_ray(
    benchmark: Benchmark, plan: GenerationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = GenerateRequest(GeneratorRequest("images-api:m"), benchmark, ITEMS)
    served = replace(plan, entry=find_model("images-api:m"), device="cpu")
    with_ray = replace(request, engine=EngineOptions("ray"))
    with pytest.raises(UsageError, match="images-api:m is drawn by a server"):
        job._workers(with_ray, Planned(served, "m"), None)
    opened: list[object] = []
    monkeypatch.setattr(job, "open_workers", lambda *args, **more: opened.append((args, more)))
    job._workers(request, Planned(served, "m"), 5)
    own = replace(with_ray, generator=GeneratorRequest("my_module:Model"))
    job._workers(own, Planned(plan, "m"), None)
    (one, one_more), (other, other_more) = opened
    assert (one[1].sends, one[1].images_at_once, one_more["own_class"]) == (False, 5, None)
    assert (other[1].sends, other_more["own_class"]) == (True, "my_module:Model")


def test_a_unit_has_its_seeds_and_a_place_where_workers_see_the_files(
    tmp_path: Path, benchmark: Benchmark, plan: GenerationPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    request = GenerateRequest(GeneratorRequest("m"), benchmark, ITEMS)
    units = list(job._units(RunDir(Path("r")), request, plan, ["a", "c"]))
    assert units == [DrawUnit("a", "draw a", (0, 1), None), DrawUnit("c", "draw c", (0, 1), None)]
    shared = replace(request, engine=EngineOptions("ray", shared_storage=True))
    (unit,) = job._units(RunDir(Path("r")), shared, plan, ["c"])
    assert unit.path == tmp_path / "r/images/c.png"


def test_what_was_in_trouble_is_counted_by_the_log(
    tmp_path: Path, manifest: Manifest, plan: GenerationPlan, caplog: pytest.LogCaptureFixture
) -> None:
    run = RunDir(tmp_path / "r")
    run.images.mkdir(parents=True)
    for item in ("c", "d"):
        run.image(item).write_bytes(png_bytes(Image.new("RGB", SPEC.grid.size)))
    lines = [
        image_line("b", error="no luck"),
        image_line("c", error="no luck at first"),
        {**image_line("d", sha256="0" * 64), "single_colour": [0, 1]},
        image_line("x", error="of another benchmark"),
    ]
    run.images_log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    job._count_trouble(run, manifest, plan)
    assert manifest.generation["failed"] == {"b": "no luck"}
    assert manifest.single_colour == {"d": [0, 1]}
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("2 tiles of 1 item are of one single colour (first: tile 0 of d)")


def test_prompts_that_are_cut_are_recorded_by_item(
    manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    job._note_truncation(Truncation(None), manifest)
    nothing = {"limit": None, "truncated": 0, "prompts": 4, "items": []}
    assert (manifest.generation["truncation"], caplog.records) == (nothing, [])
    job._note_truncation(Truncation(77, (1, 3)), manifest)
    cut = {"limit": 77, "truncated": 2, "prompts": 4, "items": ["b", "d"]}
    assert manifest.generation["truncation"] == cut
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith("2 of 4 prompts are longer than the text encoder's 77 tokens")
