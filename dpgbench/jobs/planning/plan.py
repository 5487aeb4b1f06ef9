"""A run before it is started: what there is to do, and what it takes on a number of GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from dpgbench.backends.device import default_dtype, find_device
from dpgbench.backends.entries import JudgeEntry, ModelEntry, Role
from dpgbench.backends.generators.drawing_options import DrawingOptions
from dpgbench.backends.generators.plan import GeneratorRequest
from dpgbench.backends.generators.table import find_model
from dpgbench.backends.judges.request import check_request
from dpgbench.backends.protocols import JudgeRequest
from dpgbench.domain.rules import DEFAULT_RULES
from dpgbench.domain.score import Answer
from dpgbench.domain.spec import GenerationSpec
from dpgbench.errors import SetupError, UsageError
from dpgbench.jobs.find_target import ItemChoice
from dpgbench.jobs.planning.figures import CPU_ONLY, Figure, computed, unknown
from dpgbench.jobs.planning.trying import (
    TriedGenerator,
    TriedJudge,
    chosen_items,
    try_generator,
    try_judge,
)
from dpgbench.jobs.planning.units import Units, find_units, longest_shard, longest_share
from dpgbench.jobs.planning.weights import missing_command, weights_here, weights_memory
from dpgbench.store.files import json_line
from dpgbench.store.run.answers import answer_line

_PLANNED_DEVICE = "cuda"  # where rates are given, they are those of GPUs
_START_SECONDS = 60.0  # of a worker, where loading was not measured
_PNG_BYTES_A_PIXEL, _RAW_BYTES_A_PIXEL = 1.7, 3
_UNKNOWN_PX = 1024
_SCORE_BYTES, _ITEM_BYTES = 8_000, 90  # of a score file, and of a row of its table
_CHARACTERS_A_TOKEN = 4
_TOKENS_AN_ANSWER = 8
_ASKING_CHARACTERS = 130  # of the words around the questions of a request
_GIB, _HOUR = 2**30, 3600


@dataclass(frozen=True)
class PlanRequest:
    """What is to be planned.

    Attributes:
        bench: name or file of the benchmark.
        generator: what draws; None where images are there already.
        judge: what is asked; None where nothing is.
        choice: of items.
        gpus: that work at once, each with a worker of its own.
        tries: items that are drawn and judged to find a rate that is not given.
        seconds_per_image: on one GPU, where it is known.
        questions_per_second: on one GPU, or of a server, where it is known.
        start_seconds: from a worker's start to its first item, where it is known.
        price_per_gpu_hour: in dollars.
        tokens_per_image: that a server counts for a picture that it judges.
        price_image: in dollars, of a picture that a server draws.
    """

    bench: str | None = None
    generator: GeneratorRequest | None = None
    judge: JudgeRequest | None = None
    choice: ItemChoice = field(default_factory=ItemChoice)
    gpus: int = 1
    tries: int = 2
    seconds_per_image: float | None = None
    questions_per_second: float | None = None
    start_seconds: float | None = None
    price_per_gpu_hour: float | None = None
    tokens_per_image: int | None = None
    price_image: float | None = None

    def __post_init__(self) -> None:
        if self.generator is None and self.judge is None:
            raise UsageError("nothing to plan: name what draws (--model), what judges (--judge)")
        if self.gpus < 1:
            raise UsageError(f"--gpus {self.gpus}: at least 1 is needed")
        if self.tries < 1:
            raise UsageError(f"--try {self.tries}: at least 1 item is needed")
        for flag, value in (
            ("--seconds-per-image", self.seconds_per_image),
            ("--questions-per-second", self.questions_per_second),
        ):
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{flag} {value}: give a number above 0")
        for flag, value in (
            ("--start-seconds", self.start_seconds),
            ("--price-per-gpu-hour", self.price_per_gpu_hour),
            ("--tokens-per-image", self.tokens_per_image),
            ("--price-image", self.price_image),
        ):
            if value is not None and not 0 <= value < float("inf"):
                raise UsageError(f"{flag} {value}: give 0 or more")


@dataclass(frozen=True)
class Plan:
    """What a run takes; each section has figures by name, in the order in which they are shown.

    Attributes:
        units: items, images, questions, requests.
        memory: GiB of a worker.
        disk: bytes.
        rates: of one worker.
        hours: of each part and of all, alone and on all GPUs.
        cost: dollars.
        remarks: sentences that are about all of it.
    """

    units: Mapping[str, Figure]
    memory: Mapping[str, Figure]
    disk: Mapping[str, Figure]
    rates: Mapping[str, Figure]
    hours: Mapping[str, Figure]
    cost: Mapping[str, Figure]
    remarks: Sequence[str]

    @property
    def sections(self) -> dict[str, Mapping[str, Figure]]:
        """All figures."""
        return {
            "units": self.units,
            "memory_gib": self.memory,
            "disk_bytes": self.disk,
            "rates": self.rates,
            "hours": self.hours,
            "cost_dollars": self.cost,
        }

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        sections: dict[str, Any] = {
            name: {figure: value.to_json() for figure, value in section.items()}
            for name, section in self.sections.items()
        }
        return {**sections, "remarks": list(self.remarks)}


def plan_run(request: PlanRequest) -> Plan:
    """Return what a run takes; items are tried only where a rate is needed that is not given.

    Raises:
        UsageError: unknown model, judge, benchmark, item or setting.
        SetupError: a rate is needed and weights are missing: nothing is fetched.
    """
    entry = find_model(request.generator.model) if request.generator else None
    judge = check_request(request.judge) if request.judge else None
    settings = _settings(request, entry) if entry else {}
    num_images = int(settings.get("num_images", 4))
    bench = request.bench or (entry.benchmark if entry else "dpg")
    units = find_units(bench, request.choice, num_images)
    generated, judged = _try(request, entry, judge, units)
    rates = _rates(request, generated, judged, judge)
    starts = _starts(request, generated, judged)
    servers = _servers(entry, judge)
    hours = _hours(request, units, rates, starts, servers)
    return Plan(
        _units(request, units, judge),
        _memory(request, entry, judge, settings, generated, judged),
        _disk(request, units, settings, generated),
        {**rates, **starts},
        hours,
        _cost(request, units, hours, servers),
        _remarks(request, units, generated, judged),
    )


def _servers(entry: ModelEntry | None, judge: JudgeEntry | None) -> set[str]:
    """Return the parts of a run that a server does: more GPUs here do not change them."""
    parts = {"generate": entry, "judge": judge}
    return {name for name, part in parts.items() if part is not None and not part.on_device}


def _settings(request: PlanRequest, entry: ModelEntry) -> dict[str, Any]:
    """Return the settings as far as they are known without the weights.

    Raises:
        UsageError: no model can draw with them.
    """
    if request.generator is None:
        return {}
    settings = request.generator.settings
    chosen = {name: value for name, value in settings.items() if value is not None}
    tried = request.seconds_per_image is None
    dtype = default_dtype(find_device(request.generator.device) if tried else _PLANNED_DEVICE)
    settings = {"dtype": dtype, **entry.defaults, **chosen}
    named = {
        item.name: settings[item.name] for item in fields(GenerationSpec) if item.name in settings
    }
    size = {"width_px": _UNKNOWN_PX, "height_px": _UNKNOWN_PX}  # where only the weights tell it
    GenerationSpec(**{**size, "model": entry.name, **named})  # refuses what no model can draw
    return settings


def _try(
    request: PlanRequest, entry: ModelEntry | None, judge: JudgeEntry | None, units: Units
) -> tuple[TriedGenerator | None, TriedJudge | None]:
    """Return what trying a few items took; None where a rate is given, or cannot be tried."""
    rate = request.seconds_per_image
    draw = request.generator and rate is None and entry and entry.on_device
    ask = request.judge and request.questions_per_second is None and judge and judge.on_device
    if draw and entry and request.generator:
        _require_weights(entry.roles, request.generator.weights, entry.name, "--seconds-per-image")
    if ask and request.judge and judge:
        option = "--questions-per-second"
        choice = request.judge.options.get("weights_source")
        _require_weights(judge.roles, request.judge.weights, judge.name, option, choice)
    items = chosen_items(units.items, _tries(request))
    generated = judged = None
    if draw and request.generator:
        if units.loaded is None:
            raise SetupError(
                f"benchmark {units.benchmark} is not on this machine, so that no item can be "
                "tried; get it with 'dpgbench prompts pull', or give --seconds-per-image"
            )
        generated = try_generator(request.generator, units.loaded, items)
    if ask and request.judge:
        tiles = generated.tiles if generated else {}
        judged = try_judge(request.judge, units.loaded, items, tiles, units.num_images)
    return generated, judged


def _tries(request: PlanRequest, *, least_calls: int = 2, auto: int = 4) -> int:
    """Return how many items are tried: so many that calls of several are.

    Args:
        request: of the plan.
        least_calls: of a batch of items.
        auto: items of a call, where memory decides.
    """
    drawing = request.generator.drawing if request.generator else DrawingOptions()
    if drawing.batch_size == 1:
        return request.tries
    return max(request.tries, least_calls * (drawing.batch_size or auto))


def _require_weights(
    roles: Sequence[Role],
    paths: Mapping[str, str],
    name: str,
    option: str,
    choice: str | None = None,
) -> None:
    """Raise where weights are not on this machine: a plan fetches nothing.

    Raises:
        SetupError: names the command that fetches them, and the option that does without.
    """
    for role in roles:
        if weights_here(role, paths.get(role.name), choice) is None:
            raise SetupError(
                f"weights '{role.name}' of {name} are not on this machine, so that no item can be "
                f"tried; get them with '{missing_command(role, choice)}', give a copy with "
                f"--weights {role.name}=PATH, or give {option}"
            )


def _rates(
    request: PlanRequest,
    generated: TriedGenerator | None,
    judged: TriedJudge | None,
    judge: JudgeEntry | None,
) -> dict[str, Figure]:
    rates = {}
    if request.generator:
        rates["seconds_per_image"] = (
            _measured(
                generated.seconds_per_image,
                generated.device,
                len(generated.items),
                generated.items_in_call,
            )
            if generated
            else Figure(request.seconds_per_image, "given", "--seconds-per-image")
            if request.seconds_per_image is not None
            else _untried(request.generator.model, "--seconds-per-image")
        )
    if request.judge and judged:
        rates["questions_per_second"] = _measured(
            judged.questions_per_second, judged.device, request.tries
        )
    elif request.judge and request.questions_per_second is not None:
        rate = request.questions_per_second
        rates["questions_per_second"] = Figure(rate, "given", "--questions-per-second")
    elif request.judge and judge:
        rates["questions_per_second"] = _untried(request.judge.name, "--questions-per-second")
    return rates


def _untried(name: str, option: str) -> Figure:
    return unknown(f"{name} is not tried: requests cost money; give {option}")


def _measured(value: float, device: str, items: int, in_call: int = 1) -> Figure:
    note = f"on {device}, {items} items tried"
    if in_call > 1:
        note += f", {in_call} a call"
    if items > in_call:
        note += ", the first call left out" if in_call > 1 else ", the first left out"
    if device.startswith("cpu"):
        note += f"; {CPU_ONLY}"
    return Figure(value, "measured", note)


def _starts(
    request: PlanRequest, generated: TriedGenerator | None, judged: TriedJudge | None
) -> dict[str, Figure]:
    """Return the seconds until a worker's first item, of each part."""
    starts = {}
    parts = {"generate": (request.generator, generated), "judge": (request.judge, judged)}
    for name, (wanted, tried) in parts.items():
        if not wanted:
            continue
        if request.start_seconds is not None:
            figure = Figure(request.start_seconds, "given", "--start-seconds")
        elif tried:
            figure = Figure(tried.load_seconds, "measured", f"loading on {tried.device}")
        else:
            note = "of a worker, not measured; give --start-seconds"
            figure = Figure(_START_SECONDS, "assumed", note)
        starts[f"start_seconds_{name}"] = figure
    return starts


def _hours(
    request: PlanRequest,
    units: Units,
    rates: Mapping[str, Figure],
    starts: Mapping[str, Figure],
    servers: set[str],
) -> dict[str, Figure]:
    """Return the hours of each part, alone and on all GPUs, and what share drawing has of all."""
    hours: dict[str, Figure] = {}
    ends = []
    if request.generator:
        images = [float(units.num_images)] * len(units.items)
        each = rates["seconds_per_image"]
        work = _Work("generate", images, each, starts["start_seconds_generate"], units.grids)
        workers = 1 if "generate" in servers else request.gpus  # a server has its own rate
        hours |= work.hours(workers)
        ends.append(hours[f"generate_on_{workers}"])
    if request.judge:
        questions = [units.num_images * number for number in units.questions_by_item]
        rate = rates["questions_per_second"]
        seconds = None if rate.value is None else 1 / rate.value
        each = Figure(seconds, rate.basis, rate.note)
        work = _Work("judge", questions, each, starts["start_seconds_judge"], units.questions)
        workers = 1 if "judge" in servers else request.gpus
        hours |= work.hours(workers)
        ends.append(hours[f"judge_on_{workers}"])
    total = sum(end.or_zero for end in ends)
    hours["all"] = computed(total, *ends, note="one part after the other" * (len(ends) > 1))
    if len(ends) > 1 and total:
        share = 100 * ends[0].or_zero / total
        hours["share_of_generate"] = computed(share, *ends, note="per cent of all hours")
    return hours


@dataclass(frozen=True)
class _Work:
    """A part of a run: its units, and how long each takes.

    Attributes:
        name: of the part.
        sizes: of each unit, in its own measure: images, questions.
        seconds: for one of that measure.
        start: seconds until a worker's first unit.
        amount: how sure the sizes are.
    """

    name: str
    sizes: Sequence[float]
    seconds: Figure
    start: Figure
    amount: Figure

    def hours(self, workers: int) -> dict[str, Figure]:
        """Return the hours on one worker; on several too, as they come and in fixed shards."""
        total = sum(self.sizes)
        hours = {f"{self.name}_on_1": self._for(total, "one worker")}
        if workers > 1:
            for end, longest, what in (
                ("", longest_share, "workers that take items as they come"),
                ("_in_shards", longest_shard, "shards fixed beforehand"),
            ):
                busiest = longest(self.sizes, workers)
                over = 100 * (busiest * workers / total - 1) if total else 0
                note = f"{what}; the busiest has {over:.1f}% more than an even share"
                hours[f"{self.name}_on_{workers}{end}"] = self._for(busiest, note)
        return hours

    def _for(self, size: float, note: str) -> Figure:
        spent = (self.start.or_zero + size * self.seconds.or_zero) / _HOUR
        return computed(spent, self.seconds, self.start, self.amount, note=note)


def _units(request: PlanRequest, units: Units, judge: JudgeEntry | None) -> dict[str, Figure]:
    figures = {"grids": units.grids, "images": units.images}
    if request.judge:
        figures["questions"] = units.questions
    if request.judge and judge and not judge.on_device:
        per_request = int(request.judge.options.get("questions_per_request") or 1)
        figures["requests"] = units.requests(per_request)
    return figures


def _memory(
    request: PlanRequest,
    entry: ModelEntry | None,
    judge: JudgeEntry | None,
    settings: Mapping[str, Any],
    generated: TriedGenerator | None,
    judged: TriedJudge | None,
) -> dict[str, Figure]:
    """Return the GiB of weights, and the peak where it was measured."""
    figures = {}
    if request.generator and entry and entry.on_device:
        name = entry.variant_of or entry.name
        figures["weights_generate"] = weights_memory(
            name, entry.roles, request.generator.weights, str(settings["dtype"])
        )
    if request.judge and judge and judge.on_device:
        figures["weights_judge"] = weights_memory(
            judge.name, judge.roles, request.judge.weights, request.judge.dtype
        )
    for name, tried in (("generate", generated), ("judge", judged)):
        if tried and tried.peak_gib is not None:
            figures[f"peak_{name}"] = Figure(tried.peak_gib, "measured", f"on {tried.device}")
    return figures


def _disk(
    request: PlanRequest,
    units: Units,
    settings: Mapping[str, Any],
    generated: TriedGenerator | None,
) -> dict[str, Figure]:
    figures = {}
    if request.generator:
        figures["images"] = _image_bytes(units, settings, generated)
    if request.judge:
        item_id = max(units.items, key=len, default="")
        line = json_line(answer_line(Answer(item_id, 0, 10, "yes", 0.123456)))
        note = f"{len(line)} a line, as for the longest id"
        number = units.questions.or_zero * len(line)
        figures["answers"] = computed(number, units.questions, note=note)
        scores = len(DEFAULT_RULES) * (_SCORE_BYTES + _ITEM_BYTES * len(units.items))
        figures["scores"] = Figure(scores, "estimated", f"{len(DEFAULT_RULES)} rules")
    parts = list(figures.values())
    figures["all"] = computed(sum(part.or_zero for part in parts), *parts)
    return figures


def _image_bytes(
    units: Units, settings: Mapping[str, Any], generated: TriedGenerator | None
) -> Figure:
    if generated:
        number = generated.bytes_per_grid * len(units.items)
        note = f"{generated.bytes_per_grid / 1e6:.2f} MB a grid, of those that were tried"
        return Figure(number, "measured", note)
    sides = settings.get("width_px"), settings.get("height_px")
    width, height = (int(side or _UNKNOWN_PX) for side in sides)
    assumed = "" if all(sides) else f" (size unknown: {_UNKNOWN_PX} px assumed)"
    pixels = width * height * units.num_images * len(units.items)
    most = pixels * _RAW_BYTES_A_PIXEL / 1e9
    note = f"PNG of {width}x{height} px{assumed}, {_PNG_BYTES_A_PIXEL} bytes a pixel; at most "
    basis: Any = "assumed" if assumed else "estimated"
    return Figure(pixels * _PNG_BYTES_A_PIXEL, basis, f"{note}{most:.1f} GB")


def _cost(
    request: PlanRequest, units: Units, hours: Mapping[str, Figure], servers: set[str]
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    price = request.price_per_gpu_hour
    names = [name for name in ("generate", "judge") if name not in servers]
    parts = [h for name in names if (h := hours.get(f"{name}_on_{request.gpus}"))]
    if price is not None and parts:
        spent = sum(part.or_zero for part in parts) * request.gpus * price
        note = f"{request.gpus} GPUs at {price:g} an hour, until the busiest is done"
        figures["gpus"] = computed(spent, *parts, note=note)
    if "generate" in servers and request.price_image is None:
        figures["images_of_the_server"] = unknown("give --price-image")
    elif "generate" in servers and request.price_image is not None:
        spent = units.images.or_zero * request.price_image
        note = f"{request.price_image:g} an image; images drawn again are not counted"
        price_image = Figure(request.price_image, "given")
        figures["images_of_the_server"] = computed(spent, price_image, units.images, note=note)
    if "judge" in servers and request.judge:
        figures |= _server_cost(request, request.judge, units)
    return figures


def _server_cost(request: PlanRequest, judge: JudgeRequest, units: Units) -> dict[str, Figure]:
    """Return tokens (not dollars, but what dollars are made of) and what a server asks for them."""
    options = judge.options
    requests = units.requests(int(options.get("questions_per_request") or 1))
    rows = units.loaded.rows if units.loaded else ()
    chosen = set(units.items)
    lengths = [len(row.question) for row in rows if row.item_id in chosen]
    characters = sum(lengths) / len(lengths) if lengths else 40.0
    text = requests.or_zero * _ASKING_CHARACTERS + units.questions.or_zero * characters
    tokens = text / _CHARACTERS_A_TOKEN + requests.or_zero * (request.tokens_per_image or 0)
    without = (
        ""
        if request.tokens_per_image is not None
        else (
            "; pictures are left out, for servers count them differently: give --tokens-per-image"
        )
    )
    note = f"{_CHARACTERS_A_TOKEN} characters a token, replies asked again not counted{without}"
    figures = {"prompt_tokens": Figure(round(tokens), "estimated", note)}
    answered = units.questions.or_zero * _TOKENS_AN_ANSWER
    figures["answered_tokens"] = Figure(
        round(answered), "estimated", f"{_TOKENS_AN_ANSWER} an answer"
    )
    price_in, price_out = options.get("price_in"), options.get("price_out")
    if price_in is None or price_out is None:
        figures["server"] = unknown("give --price-in and --price-out")
    else:
        dollars = (tokens * price_in + answered * price_out) / 1e6
        least = "at least" if without else ""
        figures["server"] = Figure(dollars, "estimated", f"{least}{without}".strip("; "))
    return figures


def _remarks(
    request: PlanRequest,
    units: Units,
    generated: TriedGenerator | None,
    judged: TriedJudge | None,
) -> list[str]:
    remarks = []
    devices = {tried.device for tried in (generated, judged) if tried}
    for device in sorted(devices):
        if device.startswith("cpu"):
            remarks.append(
                f"rates were measured on {device}: the hours are those of {request.gpus} such "
                "machines, not of GPUs; on a GPU run this command there, or give its rates"
            )
        elif request.gpus > 1:
            remarks.append(f"each of the {request.gpus} GPUs is taken to be {device}")
    if units.loaded is not None and not units.loaded.has_graphs and request.judge:
        remarks.append(f"{units.benchmark} has no questions here: it can be drawn, not yet scored")
    if request.gpus > 1:
        remarks.append(
            f"{request.gpus} workers are assumed to do {request.gpus} times the work of one; "
            "failures, restarts and waiting for machines are not in it"
        )
    else:
        remarks.append("failures, restarts and waiting for machines are not in it")
    return remarks
