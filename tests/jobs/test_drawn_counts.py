"""What `generate` counts and writes of each outcome, function by function."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dpgbench.backends.failures import Failures
from dpgbench.backends.generators.drawing_options import DrawingOptions
from dpgbench.backends.generators.named_generator import NamedGenerator
from dpgbench.backends.generators.plan import GenerationPlan, GeneratorRequest
from dpgbench.backends.generators.table import find_model
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.protocols import DrawnItem, ItemToDraw, Truncation
from dpgbench.backends.weights.locate import Weights
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.shard import Shard
from dpgbench.domain.spec import GenerationSpec
from dpgbench.engine.drawing import Call, Drawer, Drawn, DrawUnit, Encoding, NotDrawn, Planned
from dpgbench.engine.options import EngineOptions
from dpgbench.engine.work import LocalWorkers, Lost, Workers
from dpgbench.errors import DataError, IncompleteError, ResumeMismatchError, UsageError
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
import json
from pathlib import Path
from PIL import Image
RUN = Path(__file__).parent / "r/manifest.json"
seen = []
class Model:
    width_px = height_px = 4
    def __init__(self, *args):
        seen.append(RUN.exists())
    def draw(self, prompt, seeds):
        seen.append(RUN.exists() and "truncation" in json.loads(RUN.read_text())["generation"])
        if prompt == "draw d" and len(seeds) > 1:
            raise MemoryError
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


@pytest.fixture
def request_of(
    tmp_path: Path, benchmark: Benchmark, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., GenerateRequest]:
    """Make requests to draw items into `r` with a class of the user's own."""
    (tmp_path / "counting_model.py").write_text(MODEL)
    (tmp_path / "odd_model.py").write_text(
        MODEL.replace("(4, 4)", "(5, 4)").replace('if "fail" in prompt', "if not prompt")
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    generator = GeneratorRequest("counting_model:Model", settings={"num_images": 2}, device="cpu")

    def make(*items: str, **more: Any) -> GenerateRequest:
        return GenerateRequest(generator, benchmark, items, **{"out": tmp_path / "r", **more})

    return make


def test_grids_drawn_now_kept_and_failed_are_counted(
    tmp_path: Path, request_of: Callable[..., GenerateRequest]
) -> None:
    def draw(*items: str) -> Generated:
        return generate(request_of(*items, events=EventLog(tmp_path / "events.jsonl")))

    done = draw("c")
    assert (done.drawn, done.kept, done.failures) == (1, 0, {})
    done = draw(*ITEMS)
    failures = {"b": "ValueError: cannot draw it"}
    assert (done.drawn, done.kept, done.failures) == (2, 1, failures)
    written = json.loads((tmp_path / "r/manifest.json").read_text())
    assert written["generation"]["failed"] == failures
    assert written["completed"]
    done = draw("a", "c")
    assert (done.drawn, done.kept, done.failures) == (0, 2, {})
    assert not (tmp_path / "r/samples").exists()
    progress = [e for e in json_lines(tmp_path / "events.jsonl") if e["event"] == "progress"]
    counts = [(e["done"], e["total"], e["items_done"], e["items"]) for e in progress]
    assert (counts[0], counts[-1]) == ((0, 1, 0, 1), (4, 4, 4, 4))
    assert (1, 4, 1, 4) in counts  # what was there before is counted too
    written = json.loads((tmp_path / "r/manifest.json").read_text())
    assert (written["commands"], written["items"]) == ([], [*ITEMS])
    generate(request_of("a", "c", single_images=True))
    singles = sorted(path.name for path in (tmp_path / "r/samples").iterdir())
    assert singles == ["a_0.png", "a_1.png", "c_0.png", "c_1.png"]
    logged = json_lines(tmp_path / "r/images.jsonl")
    assert [line["item_id"] for line in logged] == [*ITEMS]  # in their order, however drawn


def test_what_draws_and_how_stands_in_the_manifest(
    tmp_path: Path, request_of: Callable[..., GenerateRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    def recorded(*items: str, **drawing: Any) -> Mapping[str, Any]:
        request = request_of(*items)
        generator = replace(request.generator, drawing=DrawingOptions(**drawing))
        generate(replace(request, generator=generator))
        record: dict[str, Any] = json.loads((tmp_path / "r/manifest.json").read_text())
        return record

    plain = recorded("c")
    assert not {"parameters", "account", "batch"} & {*plain["generation"]}
    monkeypatch.setattr(Drawer, "num_parameters", lambda self: {"unet": 7})
    monkeypatch.setattr(Drawer, "account", lambda self: {"images": 2})
    generation = recorded("a", batch_size=2)["generation"]
    assert (generation["parameters"], generation["account"]) == ({"unet": 7}, {"images": 2})
    again = recorded("a", "c", batch_size=3)["generation"]
    assert again == generation  # nothing was drawn
    fitted = recorded("d")["generation"]["batch"]  # whose two images do not fit together
    assert (fitted["asked"], fitted["images_that_fit"]) == (1, 1)


def test_where_the_first_ten_items_fail_the_others_are_left(
    tmp_path: Path, request_of: Callable[..., GenerateRequest]
) -> None:
    names = [f"i{number:02}" for number in range(14)]
    path = write_csv(tmp_path / "bad.csv", [row(name, 1, text="fail") for name in names])
    request = replace(request_of(*names), benchmark=load_benchmark(path))
    with pytest.raises(IncompleteError, match="the first 10 items all failed"):
        generate(replace(request, generator=replace(request.generator, model="odd_model:Model")))
    assert len(json_lines(tmp_path / "r/images.jsonl")) == 10
    written = json.loads((tmp_path / "r/manifest.json").read_text())
    assert (written["completed"], len(written["generation"]["failed"])) == (None, 10)


def test_a_run_is_one_before_its_model_is_there(
    request_of: Callable[..., GenerateRequest],
) -> None:
    generate(request_of("a"))
    assert importlib.import_module("counting_model").seen == [True, True]


def test_a_run_has_a_place_of_its_own_and_takes_no_other_s(
    tmp_path: Path, request_of: Callable[..., GenerateRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = generate(request_of("a", out=None, command="dpgbench generate")).run
    identity = json.loads(run.manifest.read_text())["identity_hash"]
    assert run.path.parent == Path("runs")
    assert run.path.name.endswith(f"-{identity}")
    assert run.path.name.startswith("counting_model")
    assert json.loads(run.manifest.read_text())["commands"] == ["dpgbench generate"]
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("")
    with pytest.raises(UsageError, match="full is not empty and not a run"):
        generate(request_of("a", out=tmp_path / "full"))
    (tmp_path / "parts/shards/1-of-2").mkdir(parents=True)
    (tmp_path / "parts/shards/1-of-2/mine.txt").write_text("")
    with pytest.raises(UsageError, match="1-of-2 is not empty and not a run"):
        generate(request_of("a", out=tmp_path / "parts", shard=Shard(2, 1)))
    with pytest.raises(UsageError, match="parts has shards that are not merged"):
        generate(request_of("a", out=tmp_path / "parts"))
    rows = [row("a", 1, text="one"), row("a", 2, text="two"), row("A", 1), row("e", 1, text=" ")]
    bad = load_benchmark(write_csv(tmp_path / "bad.csv", rows))
    with pytest.raises(DataError, match="row 3: item a has another prompt than at row 2"):
        generate(replace(request_of("a"), benchmark=bad))
    with pytest.raises(DataError, match="item e has an empty prompt"):
        generate(replace(request_of("e"), benchmark=bad))
    good = load_benchmark(write_csv(tmp_path / "good.csv", [row("a", 1), row("A", 1)]))
    generate(replace(request_of("a"), benchmark=good))
    (tmp_path / "r/.LOCK").write_text("")  # as where the file system ignores capitals
    with pytest.raises(UsageError, match="items a and A would be one file"):
        generate(replace(request_of("a", "A"), benchmark=good))


def test_a_shard_draws_its_own_items_that_the_run_lacks(
    tmp_path: Path, request_of: Callable[..., GenerateRequest]
) -> None:
    for number in (1, 2):
        done = generate(request_of("d", "c", "a", shard=Shard(2, number)))
        own = Shard(2, number).items(("d", "c", "a"))
        assert (done.drawn, done.kept, done.run.path.name) == (len(own), 0, f"{number}-of-2")
        written = json.loads(done.run.manifest.read_text())
        assert sorted(written["items"]) == sorted(own)
        shard = {"number": number, "of": 2, "chosen": ["a", "c", "d"]}
        assert written["generation"]["shard"] == shard
        assert sorted(path.stem for path in done.run.images.iterdir()) == sorted(own)
    assert not (tmp_path / "r/manifest.json").exists()
    whole = generate(request_of("a", "c", out=tmp_path / "whole"))
    later = generate(request_of("a", "c", "d", out=tmp_path / "whole", shard=Shard(1, 1)))
    assert (whole.drawn, later.drawn, later.kept) == (2, 1, 2)
    assert [path.stem for path in later.run.images.iterdir()] == ["d"]
    another = replace(later_request := request_of("a", shard=Shard(3, 1)), out=tmp_path / "whole")
    settings = {"num_images": 2, "base_seed": 9}
    generator = replace(later_request.generator, settings=settings)
    with pytest.raises(ResumeMismatchError, match="base_seed"):
        generate(replace(another, generator=generator))


def test_a_plan_for_a_cluster_is_made_where_its_workers_are(
    request_of: Callable[..., GenerateRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real clusters are in `tests/engine/test_ray.py`; here it is this process."""
    kept: list[Any] = []

    def kept_here(*args: Any, **more: Any) -> contextlib.AbstractContextManager[None]:
        kept.append((args, more))
        return contextlib.nullcontext()

    monkeypatch.setattr(job, "check_engine", kept.append)
    monkeypatch.setattr(job, "kept_cluster", kept_here)
    monkeypatch.setattr(job, "call_as_worker", lambda engine, function, *args: function(*args))
    monkeypatch.setattr(
        job, "open_workers", lambda engine, factory, **more: LocalWorkers(factory())
    )
    engine = EngineOptions("ray", address="auto")
    done = generate(request_of("a", engine=engine))
    assert (done.drawn, done.run.image("a").exists()) == (1, True)
    assert kept == [engine, ((engine,), {"device": "cpu", "own_class": "counting_model:Model"})]


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
    commands = 0

    def draw_many(self, items: Iterator[ItemToDraw]) -> Iterator[DrawnItem]:
        raise AssertionError("nothing is drawn")

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image.Image]:
        raise AssertionError("nothing is drawn")

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        return Truncation(None)

    def account(self) -> Mapping[str, Any]:
        self.commands += 1
        return {"images": 3, "model": f"version {self.commands}"}


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
    assert manifest.generation == {"account": {"images": 6, "model": "version 2"}}
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
