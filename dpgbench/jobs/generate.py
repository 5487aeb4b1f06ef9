"""Prompts to grids: what is done, what is left, one item after the other."""

from __future__ import annotations

import logging
import platform
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dpgbench.backends.entries import foreign_notes
from dpgbench.backends.failures import Failures
from dpgbench.backends.generators.plan import GenerationPlan, GeneratorRequest, make_plan
from dpgbench.backends.generators.table import model_facts
from dpgbench.backends.import_class import is_own_class
from dpgbench.backends.protocols import Truncation
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.shard import Shard
from dpgbench.domain.spec import GenerationSpec, identity_hash, seed_for
from dpgbench.engine.drawing import (
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
from dpgbench.engine.open import call_as_worker, check_engine, kept_cluster, open_workers
from dpgbench.engine.options import EngineOptions
from dpgbench.engine.work import Lost, Workers
from dpgbench.errors import DataError, IncompleteError, UsageError, counted
from dpgbench.interrupts import finishing_batches, stop_requested
from dpgbench.jobs.batch_log import BatchLog
from dpgbench.jobs.events import EventLog
from dpgbench.jobs.progress import Progress
from dpgbench.jobs.recording import Recorder
from dpgbench.jobs.single_images import write_single_images
from dpgbench.store.hashes import sha256_file
from dpgbench.store.images import (
    is_whole,
    open_tiles,
    single_colour_tiles,
    write_image,
)
from dpgbench.store.run.batches import record_batches
from dpgbench.store.run.directory import (
    RunDir,
    default_run,
    is_run,
    refuse_foreign_folder,
    refuse_unmerged,
)
from dpgbench.store.run.image_log import ImageLine, image_line, read_image_log
from dpgbench.store.run.manifest import (
    BatchRecord,
    Identity,
    Manifest,
    add_accounts,
    check_same,
    describe_benchmark,
    environment,
    now,
    open_manifest,
    read_manifest,
)
from dpgbench.store.run.order import order_image_log

log = logging.getLogger(__name__)
Outcome = Drawn | NotDrawn | Encoding
DrawWorkers = Workers[DrawUnit, Outcome]


@dataclass(frozen=True)
class GenerateRequest:
    """What to draw.

    Attributes:
        generator: what draws.
        benchmark: whose prompts.
        items: ids to draw, in order.
        out: run directory; None is `runs/<model>-<identity>`.
        shard: which part of the items to draw, into a folder of its own in the run's; None is all.
        engine: who draws, and where.
        command: the command line, for the manifest.
        events: gets what happens.
        single_images: write each image as a file of its own too.
    """

    generator: GeneratorRequest
    benchmark: Benchmark
    items: Sequence[str]
    out: Path | None = None
    shard: Shard | None = None
    engine: EngineOptions = field(default_factory=EngineOptions)
    command: str = ""
    events: EventLog = field(default_factory=EventLog)
    single_images: bool = False


@dataclass(frozen=True)
class Generated:
    """What a run of `generate` did: grids drawn now, grids there before, failures by item.

    `notes` are what every report says of the run, `batch` how many images shared a call, where that
    was not an item's own in each.
    """

    run: RunDir
    drawn: int
    kept: int
    failures: Mapping[str, str]
    notes: Sequence[str] = ()
    batch: BatchRecord | None = None


def generate(request: GenerateRequest) -> Generated:
    """Draw the grids that are not there yet, and return what was done.

    Raises:
        UsageError: unknown model or setting.
        SetupError: weights are missing or wrong.
        ResumeMismatchError: the run directory holds other work.
        StorageError: the disk is full.
        IncompleteError: the first ten items all fail for one reason; the others are not tried.
    """
    check_engine(request.engine)
    _check_prompts(request)
    if request.engine.address is None:
        planned = Planned(make_plan(request.generator), platform.node())
        return _generate(request, planned)
    model = request.generator.model
    own_class = model if is_own_class(model) else None
    with kept_cluster(request.engine, device=request.generator.device, own_class=own_class):
        return _generate(request, call_as_worker(request.engine, plan_here, request.generator))


def _generate(request: GenerateRequest, planned: Planned) -> Generated:
    plan = planned.plan
    identity = plan.identity(request.benchmark)
    run = (
        RunDir(request.out)
        if request.out
        else default_run(request.generator.model, identity_hash(identity))
    )
    refuse_foreign_folder(run)
    drawn_before: Collection[str] = ()
    chosen = request.items
    if shard := request.shard:
        drawn_before = _drawn_in(run, request.items, plan, identity)
        request = replace(request, items=shard.items(chosen))
        run = run.shard(shard)
        refuse_foreign_folder(run)
    else:
        refuse_unmerged(run.path)
    with run.locked():
        manifest = open_manifest(run.manifest, _fresh_manifest(request, plan, identity))
        manifest.add_items(request.items, request.benchmark.prompts)
        run.refuse_shared_names(manifest.items)
        if shard:
            manifest.record_shard(shard, chosen, request.benchmark.prompts)
        manifest.commands += [request.command] if request.command else []
        manifest.completed = None
        manifest.write(run.manifest)
        todo = [item for item in _missing(run, request.items, plan) if item not in drawn_before]
        try:
            failures = _draw_all(run, manifest, request, planned, todo) if todo else {}
            order_image_log(run, request.benchmark.prompts)
            if request.single_images:
                write_single_images(run, request.benchmark, request.items, plan.spec.grid)
            manifest.completed = now()
        finally:
            _count_trouble(run, manifest, plan)
            manifest.write(run.manifest)
    drawn = len(todo) - len(failures)
    kept = len(request.items) - len(todo)
    batch = manifest.generation.get("batch")
    return Generated(run, drawn, kept, failures, manifest.notes, batch)


def _drawn_in(
    run: RunDir, items: Sequence[str], plan: GenerationPlan, identity: Identity
) -> set[str]:
    """Return the items whose grids the run has that a shard is to be a part of.

    Raises:
        ResumeMismatchError: it holds other work.
    """
    if not is_run(run.path):
        return set()
    manifest = read_manifest(run.manifest)
    check_same(
        run.path,
        {"kind": manifest.kind, **manifest.identity},
        {"kind": "generated", **identity},
    )
    return {item_id for item_id in items if is_whole(run.image(item_id), plan.spec.grid)}


def _check_prompts(request: GenerateRequest) -> None:
    for item_id in request.items:
        rows = request.benchmark.items.get(item_id, ())
        differing = [row.row for row in rows if row.text.strip() != rows[0].text.strip()]
        if differing:
            raise DataError(
                f"{request.benchmark.path} row {differing[0]}: item {item_id} has another prompt "
                f"than at row {rows[0].row}; ids must be unique"
            )
        if not request.benchmark.prompts[item_id]:
            raise DataError(f"{request.benchmark.path}: item {item_id} has an empty prompt")


def _fresh_manifest(request: GenerateRequest, plan: GenerationPlan, identity: Identity) -> Manifest:
    manifest = Manifest(
        kind="generated",
        model=request.generator.model,
        identity=identity,
        items=[],
        benchmark=describe_benchmark(request.benchmark),
        num_images=plan.spec.num_images,
        generation={
            "device": plan.device,
            "weights": {role: weights.to_json() for role, weights in plan.weights.items()},
        },
        environment=environment(),
    )
    facts = model_facts(request.generator.model)
    licence = facts.facts.get("licence") if facts else None
    if licence is not None:
        manifest.generation["licence"] = licence.value
    world = plan.entry.world
    manifest.note(*foreign_notes("model", request.generator.model, world, request.benchmark.name))
    manifest.note(*plan.notes)
    return manifest


def _missing(run: RunDir, items: Sequence[str], plan: GenerationPlan) -> list[str]:
    """Return the items without an intact grid; log grids that a kill left without a record."""
    missing, unlogged = [], []
    logged = read_image_log(run.images_log)
    for item_id in items:
        if not is_whole(run.image(item_id), plan.spec.grid):
            missing.append(item_id)
        elif item_id not in logged or logged[item_id].get("error", "none") is not None:
            unlogged.append(item_id)
    with run.append_to(run.images_log) as lines:
        for item_id in unlogged:
            digest = sha256_file(run.image(item_id))
            line = image_line(item_id, sha256=digest, seeds=_seeds(item_id, plan.spec))
            tiles = open_tiles(run.image(item_id), plan.spec.grid)
            lines.append(_with_alike(line, single_colour_tiles(tiles)))
    return missing


def _seeds(item_id: str, spec: GenerationSpec) -> list[int]:
    return [
        seed_for(spec.seed_rule, spec.base_seed, item_id, tile) for tile in range(spec.num_images)
    ]


def _draw_all(
    run: RunDir,
    manifest: Manifest,
    request: GenerateRequest,
    planned: Planned,
    todo: Sequence[str],
) -> dict[str, str]:
    plan = planned.plan
    prompts = request.benchmark.prompts
    failures = Failures()
    done = len(request.items) - len(todo)
    batch = BatchLog(manifest, plan)
    with _workers(request, planned, batch.images_at_once) as workers:
        truncation = workers.call(Drawer.truncation, [prompts[item] for item in manifest.items])
        _note_truncation(truncation, manifest)
        parameters = workers.call(Drawer.num_parameters)
        if parameters:
            manifest.generation["parameters"] = dict(parameters)
        manifest.write(run.manifest)
        with (
            finishing_batches(),
            run.append_to(run.images_log) as lines,
            Progress(
                run.path,
                "generate",
                request.generator.model,
                "grid",
                dict.fromkeys(todo, 1),
                failures.reasons,
                items_before=done,
                units_before=done,
                events=request.events,
            ) as progress,
        ):

            def record(outcome: Outcome | Lost[DrawUnit]) -> None:
                done = outcome if isinstance(outcome, Lost) else completed(outcome)
                batch.take(done)
                line = _line_of(run, done, plan, failures)
                lines.append(line)
                progress.update(line["item_id"])
                _stop_where_hopeless(failures)

            recorder = Recorder(record, is_failure=_is_failure, most_open=_items_in_call(workers))
            try:
                with recorder as put:
                    for outcome in workers.run(_units(run, request, plan, todo), len(todo)):
                        put(outcome)
            finally:
                _keep_account(workers, manifest)
                batch.keep()
    return failures.reasons


def _is_failure(outcome: Outcome | Lost[DrawUnit]) -> bool:
    return isinstance(outcome, NotDrawn | Lost)


def _items_in_call(workers: DrawWorkers) -> int:
    """Return how many outcomes come at a time: of a call here, or each from another process."""
    return max((worker.units_at_once() for worker in workers.here), default=1)


def _stop_where_hopeless(failures: Failures) -> None:
    reason = failures.hopeless()
    if reason:
        raise IncompleteError(
            f"the first {counted(len(failures.reasons), 'item')} all failed, so the others were "
            f"not tried: {reason}"
        )


def _keep_account(workers: DrawWorkers, manifest: Manifest) -> None:
    """Put into the manifest what a server's images have cost, over all commands."""
    for worker in workers.here:
        account = worker.account() if isinstance(worker, Drawer) else None
        if account is not None:
            before = manifest.generation.get("account", {})
            manifest.generation["account"] = add_accounts(before, account)


def _workers(request: GenerateRequest, planned: Planned, images_at_once: int | None) -> DrawWorkers:
    model = request.generator.model
    if request.engine.is_ray and not planned.plan.entry.on_device:
        raise UsageError(
            f"--engine ray: {model} is drawn by a server, which has many requests at a time as it "
            "is; leave it out, and give --concurrency"
        )
    return open_workers(
        request.engine,
        DrawerFactory(planned, request.generator, request.engine.is_ray, images_at_once),
        device=planned.plan.device,
        own_class=model if is_own_class(model) else None,
    )


def _units(
    run: RunDir, request: GenerateRequest, plan: GenerationPlan, todo: Iterable[str]
) -> Iterator[DrawUnit]:
    """Yield what there is to draw, each item when a worker gets to it."""
    for item_id in todo:
        if stop_requested():
            return
        path = run.image(item_id).absolute() if request.engine.shared_storage else None
        prompt = request.benchmark.prompts[item_id]
        yield DrawUnit(item_id, prompt, tuple(_seeds(item_id, plan.spec)), path)


def _line_of(
    run: RunDir,
    outcome: Drawn | NotDrawn | Lost[DrawUnit],
    plan: GenerationPlan,
    failures: Failures,
) -> ImageLine:
    """Write a grid, and return its line in the log; a failure is recorded, not raised."""
    match outcome:
        case Lost():
            item_id, error = outcome.unit.item_id, DataError(outcome.reason)
            return _failed(item_id, error, plan, failures)
        case NotDrawn():
            return _failed(outcome.item_id, outcome.error, plan, failures)
    if outcome.png is not None:
        write_image(run.image(outcome.item_id), outcome.png)
    failures.success()
    line = image_line(
        outcome.item_id,
        sha256=outcome.sha256,
        seeds=_seeds(outcome.item_id, plan.spec) if outcome.seeded else None,
        seconds=outcome.seconds,
    )
    if outcome.call.images not in (None, plan.spec.num_images):
        line = {**line, "images_in_call": outcome.call.images}
    return _with_alike(line, outcome.single_colour)


def _failed(item_id: str, error: Exception, plan: GenerationPlan, failures: Failures) -> ImageLine:
    reason = failures.record(item_id, error)
    return image_line(item_id, seeds=_seeds(item_id, plan.spec), error=reason)


def _with_alike(line: ImageLine, alike: Sequence[int]) -> ImageLine:
    """Return a line that says which tiles are of one single colour, if any are."""
    return {**line, "single_colour": list(alike)} if alike else line


def _count_trouble(run: RunDir, manifest: Manifest, plan: GenerationPlan) -> None:
    """Put into the manifest what failed and which tiles are of one colour; warn of the latter."""
    logged = read_image_log(run.images_log)
    failed: dict[str, str] = {}
    alike: dict[str, list[int]] = {}
    record_batches(manifest, logged)
    for item_id in manifest.items:
        line = logged.get(item_id)
        if line is None:
            continue
        error = line.get("error")
        if error and not is_whole(run.image(item_id), plan.spec.grid):
            failed[item_id] = error
        if tiles := line.get("single_colour"):
            alike[item_id] = tiles
    manifest.generation["failed"] = failed
    manifest.record_single_colour(alike)
    if alike:
        num_alike = sum(map(len, alike.values()))
        first, tiles = next(iter(alike.items()))
        log.warning(
            "%s of %s %s of one single colour (first: tile %d of %s): look at them before they "
            "are judged; all are listed in %s under generation.single_colour",
            counted(num_alike, "tile"),
            counted(len(alike), "item"),
            "is" if num_alike == 1 else "are",
            tiles[0],
            first,
            run.manifest,
        )


def _note_truncation(truncation: Truncation, manifest: Manifest) -> None:
    """Put into the manifest which of its items' prompts are cut; warn of them."""
    cut = [manifest.items[position] for position in truncation.cut]
    manifest.generation["truncation"] = {
        "limit": truncation.limit,
        "truncated": len(cut),
        "prompts": len(manifest.items),
        "items": cut,
    }
    if cut:
        log.warning(
            "%d of %d prompts are longer than the text encoder's %s tokens and are cut; "
            "the model never sees their ends",
            len(cut),
            len(manifest.items),
            truncation.limit,
        )
