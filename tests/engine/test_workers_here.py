"""A worker that draws and one that asks: how far ahead, with what, and what they say of it."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from dpgbench.backends.generators.drawing_options import DrawingOptions
from dpgbench.backends.generators.plan import GeneratorRequest
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.backends.protocols import (
    DrawnItem,
    ItemToDraw,
    JudgeAnswer,
    JudgeReply,
    JudgeRequest,
    TileQuestions,
    Truncation,
)
from dpgbench.domain.rows import QuestionRow
from dpgbench.domain.spec import GridSpec
from dpgbench.engine import drawing
from dpgbench.engine.asking import (
    Asker,
    AskerFactory,
    Opened,
    OpenGrid,
    Spent,
    refuse_budget_of_many,
)
from dpgbench.engine.drawing import (
    Call,
    Drawer,
    DrawerFactory,
    Drawn,
    DrawUnit,
    Encoding,
    NotDrawn,
    Planned,
    completed,
    plan_here,
)
from dpgbench.engine.options import EngineOptions
from dpgbench.errors import DataError, SetupError, UsageError
from dpgbench.store.benchmarks import load_benchmark
from dpgbench.store.image_files import EncodedFile
from tests.helpers import row, write_csv

GRID = GridSpec(2, 4, 4)


def picture(shade: int) -> Image.Image:
    image = Image.new("RGB", (4, 4), (shade, 0, 0))
    image.putpixel((1, 1), (255, 255, 255))
    return image


class Draws:
    """A class of the user's own, of which nothing is known but its pictures."""

    remark = "in tiles"

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image.Image]:
        if prompt == "fail":
            raise ValueError("cannot draw")
        if prompt == "flat":
            return [picture(1), Image.new("RGB", (4, 4))]
        return [picture(seed) for seed in seeds]

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        return Truncation(3, tuple(n for n, prompt in enumerate(prompts) if len(prompt) > 3))


class Serves(Draws):
    """A server, which has counted what it drew."""

    takes_seeds = False

    def draw_many(self, items: Iterator[ItemToDraw]) -> Iterator[DrawnItem]:
        for item in items:
            yield DrawnItem(item, self.draw(item.prompt, item.seeds), 1.23456)

    def account(self) -> Mapping[str, Any]:
        return {"images": 6}


class Together(Draws):
    """Can draw several prompts in a call."""

    def draw_together(
        self, prompts: Sequence[str], seeds: Sequence[Sequence[int]]
    ) -> list[list[Image.Image]]:
        return [self.draw(*one) for one in zip(prompts, seeds, strict=True)]


def units(*prompts: str, path: Path | None = None) -> list[DrawUnit]:
    return [DrawUnit(f"i{n}", prompt, (n, n + 1), path) for n, prompt in enumerate(prompts)]


def test_a_worker_says_what_its_generator_is(monkeypatch: pytest.MonkeyPatch) -> None:
    one, many = Drawer(DrawnWithinMemory(Draws()), GRID), Drawer(DrawnWithinMemory(Serves()), GRID)
    assert (one.units_at_once(), many.units_at_once()) == (1, 1)
    three = DrawnWithinMemory(Together(), DrawingOptions(3))
    assert Drawer(three, GRID).units_at_once() == 3
    assert (one.account(), many.account()) == (None, {"images": 6})
    assert (one.num_parameters(), one.decides()) == ({}, {})
    assert one.truncation(["one", "three"]) == Truncation(3, (1,))
    # a clock that stands: what the server took is all the time there was
    monkeypatch.setattr(drawing, "time", SimpleNamespace(perf_counter=lambda: 5.0))
    (served,) = map(completed, many.work(units("x")))
    (drawn,) = map(completed, one.work(units("x")))
    assert isinstance(served, Drawn)
    assert isinstance(drawn, Drawn)
    assert (served.seconds, served.seeded, served.call) == (
        1.235,
        False,
        Call(None, None, "in tiles"),
    )
    assert (drawn.seeded, drawn.call) == (True, Call(2, None, "in tiles"))
    assert served.png is not None
    assert served.sha256 == hashlib.sha256(served.png).hexdigest() == drawn.sha256


def test_what_came_of_each_item(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    drawer = Drawer(DrawnWithinMemory(Draws()), GRID)
    good, failed, flat = drawer.work([*units("x", "fail"), DrawUnit("f", "flat", (0, 1), path)])
    assert isinstance(good, Encoding)  # on its way
    assert isinstance(failed, NotDrawn)
    assert (failed.item_id, str(failed.error)) == ("i1", "cannot draw")
    sent = pickle.loads(pickle.dumps(failed))
    assert (sent.item_id, str(sent.error)) == ("i1", "cannot draw")
    assert type(sent.error).__name__ == "ValueError"
    written = completed(flat)
    assert isinstance(written, Drawn)
    assert (written.item_id, written.png, written.single_colour) == ("f", None, (1,))
    assert written.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    of_another_size = Drawer(DrawnWithinMemory(Draws()), GridSpec(2, 5, 4))
    (lost,) = map(completed, of_another_size.work(units("x")))
    assert isinstance(lost, NotDrawn)


@pytest.mark.parametrize(("more", "taken"), [({}, 5), ({"num_threads": 2}, 3)])
def test_what_goes_to_another_process_is_complete_and_not_far_ahead(
    more: Mapping[str, int], taken: int
) -> None:
    asked: list[str] = []

    def noted() -> Iterator[DrawUnit]:
        for unit in units(*"abcdefgh"):
            asked.append(unit.item_id)
            yield unit

    outcomes = Drawer(DrawnWithinMemory(Draws()), GRID, sends=True, **more).work(noted())
    first = next(outcomes)
    assert isinstance(first, Drawn)
    assert len(asked) == taken  # as many as threads encode, and one that is drawn meanwhile
    rest = list(outcomes)
    assert [outcome.item_id for outcome in (first, *rest)] == [f"i{n}" for n in range(8)]
    here = Drawer(DrawnWithinMemory(Draws()), GRID, **more).work(noted())
    asked.clear()
    assert isinstance(next(here), Encoding)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("engine", "options", "refused"),
    [
        (EngineOptions(), {"max_requests": 3}, False),
        (EngineOptions("ray"), {"max_requests": 3}, True),
        (EngineOptions("ray"), {"max_requests": None}, False),
        (EngineOptions("ray"), {}, False),
    ],
)
def test_a_budget_of_requests_is_of_one_process(
    engine: EngineOptions, options: Mapping[str, Any], refused: bool
) -> None:
    judge = JudgeRequest("openai:m", options=options)
    if refused:
        with pytest.raises(UsageError, match="judge openai:m gains nothing"):
            refuse_budget_of_many(judge, engine)
    else:
        refuse_budget_of_many(judge, engine)


@pytest.fixture
def rows(tmp_path: Path) -> Sequence[QuestionRow]:
    path = write_csv(tmp_path / "b.csv", [row("a", 1), row("a", 2)])
    return load_benchmark(path).items["a"]


def test_an_image_goes_to_another_process_as_it_can_be_read_there(
    tmp_path: Path, rows: Sequence[QuestionRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture(1).save("x.png")
    grid = OpenGrid("a", Path("x.png"), {0: rows})
    assert (grid.num_questions, grid.forms) == (2, False)
    there = grid.for_another_process(shared_storage=True)
    assert there == grid._replace(image=tmp_path / "x.png")
    content = EncodedFile("x.png", (tmp_path / "x.png").read_bytes())
    assert grid.for_another_process(shared_storage=False) == grid._replace(image=content)
    missing = grid._replace(image=Path("y.png"))
    assert missing.for_another_process(shared_storage=False) == missing


class Listens:
    """Answers all questions of a tile, or none; notes what it is told and shown."""

    num_images_at_once = 1
    has_answers: bool | None = None

    def __init__(self, answers: Sequence[bool], taken: list[str]) -> None:
        self.answers, self.taken = iter(answers), taken
        self.ahead: list[int] = []
        self.heard: list[bool | None] = []

    def describe(self) -> Mapping[str, Any]:
        return {"version": 1}

    def origin(self) -> Mapping[str, Any]:
        return {"from": "here"}

    def stream(self, tiles: Iterator[TileQuestions]) -> Iterator[JudgeReply]:
        self.heard.append(self.has_answers)
        for tile in tiles:
            self.ahead.append(len(self.taken))
            yes = {qid: JudgeAnswer("yes") for qid in tile.qids} if next(self.answers, True) else {}
            yield JudgeReply(tile.item_id, tile.tile, yes)


def test_images_are_opened_some_ahead_and_what_was_seen_comes_before_answers(
    tmp_path: Path, rows: Sequence[QuestionRow]
) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.png")
    taken: list[str] = []

    def grids(*names: str) -> Iterator[OpenGrid]:
        for name in names:
            taken.append(name)
            image = tmp_path / ("none.png" if name == "none" else "x.png")
            yield OpenGrid(name, image, {0: rows})

    judge = Listens([False, True, False], taken)
    asker = Asker(judge, None)
    facts = asker.facts()
    assert (facts.description, facts.origin) == ({"version": 1}, {"from": "here"})
    assert facts.class_name.endswith(":Listens")
    outcomes = list(asker.work(grids("a")))
    assert outcomes[:2] == [Opened("a", (0,)), JudgeReply("a", 0, {})]
    assert outcomes[0].num_left == 0  # type: ignore[union-attr]
    assert outcomes[2:] == [Spent(asker.name, None)]
    list(asker.work(grids("b", "c")))
    list(asker.work(grids("d")))
    assert judge.heard == [False, False, True]
    judge.ahead.clear()
    taken.clear()
    numbers = [f"n{number:02}" for number in range(20)]
    list(asker.work(grids(*numbers)))
    assert judge.ahead == [*range(9, 20), *[20] * 9]
    outcomes = list(asker.work(grids("none", "e")))
    (failed,) = [o for o in outcomes if isinstance(o, Opened) and o.error is not None]
    assert isinstance(failed.error, DataError)
    assert (failed.item_id, failed.num_left, failed.single_colour) == ("none", 2, ())


PARTS = """
from PIL import Image
class Model:
    width_px = height_px = 4
    def draw(self, prompt, seeds):
        return [Image.new("RGB", (4, 4)) for seed in seeds]
class Judge:
    num_images_at_once = 1
    def __init__(self, request): pass
    def describe(self): return {}
    def ask(self, tiles): return []
"""


@pytest.fixture
def request_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GeneratorRequest:
    (tmp_path / "built_here.py").write_text(PARTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return GeneratorRequest("built_here:Model", settings={"num_images": 2}, device="cpu")


def test_workers_are_of_this_process_and_new_unless_it_is_said(
    request_here: GeneratorRequest,
) -> None:
    planned = plan_here(request_here)
    drawer = DrawerFactory(planned, request_here)()
    assert isinstance(next(drawer.work(units("x"))), Encoding)
    assert (drawer.generator.images_at_once, drawer.grid) == (None, GRID)
    far = DrawerFactory(planned, request_here, sends=True, images_at_once=1)()
    (drawn,) = far.work(units("x"))
    assert isinstance(drawn, Drawn)
    assert drawn.call.images_that_fit == 1
    judge = JudgeRequest("built_here:Judge", device="cpu")
    assert AskerFactory(judge, GRID)().judge.has_answers is False
    assert AskerFactory(judge, GRID, has_answers=True)().judge.has_answers is True


def test_another_machine_s_plan_is_drawn_only_where_it_draws_the_same(
    request_here: GeneratorRequest,
) -> None:
    plan = plan_here(request_here).plan
    elsewhere = Planned(plan, "elsewhere")
    assert DrawerFactory(elsewhere, request_here)().grid == GRID
    other = elsewhere._replace(plan=replace(plan, spec=replace(plan.spec, base_seed=7)))
    with pytest.raises(SetupError, match="than elsewhere for the same command: base_seed: 7 -> 0;"):
        DrawerFactory(other, request_here)()
