"""A generator with everything decided that decides its pictures: settings, weights, device."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict, cast

from dpgbench.backends.device import default_dtype, find_device
from dpgbench.backends.entries import ModelEntry
from dpgbench.backends.generators.compiling import check_compiler
from dpgbench.backends.generators.diffusers_common import full_scheduler_config
from dpgbench.backends.generators.drawing_options import DrawingOptions
from dpgbench.backends.generators.images_api.options import ServerOptions
from dpgbench.backends.generators.named_generator import NamedGenerator
from dpgbench.backends.generators.table import find_model
from dpgbench.backends.import_class import import_target
from dpgbench.backends.protocols import Generator
from dpgbench.backends.weights.locate import Weights, locate_weights
from dpgbench.domain.benchmark import Benchmark
from dpgbench.domain.spec import GenerationSpec, SeedRule
from dpgbench.errors import SetupError, UsageError
from dpgbench.store.run.manifest import GenerationIdentity, Identity

log = logging.getLogger(__name__)


class GeneratorSettings(TypedDict, total=False):
    """Fields of `GenerationSpec` that a user sets; None, or none, leaves it to the model."""

    num_images: int
    base_seed: int
    seed_rule: SeedRule
    steps: int | None
    guidance_scale: float | None
    negative_prompt: str | None
    width_px: int | None
    height_px: int | None
    dtype: str | None
    options: Mapping[str, str | bool | int | float]


@dataclass(frozen=True)
class GeneratorRequest:
    """What a generator is built from.

    Attributes:
        model: name as in `dpgbench models`.
        weights: path by role; roles left out are fetched.
        settings: as in `GeneratorSettings`; from Python any field of `GenerationSpec`.
        device: ``auto`` is CUDA, then MPS, then the CPU.
        revisions: of what is fetched, by role; roles left out take the entry's own.
        server: how a server is asked, of models that one draws.
        drawing: how many items share a call, and whether networks are compiled.
    """

    model: str
    weights: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    revisions: Mapping[str, str] = field(default_factory=dict)
    server: ServerOptions = field(default_factory=ServerOptions)
    drawing: DrawingOptions = field(default_factory=DrawingOptions)


@dataclass(frozen=True)
class GenerationPlan:
    """What will draw; `generator` is the class, built by `load`; `notes` say what was assumed."""

    entry: ModelEntry
    generator: type[NamedGenerator]
    spec: GenerationSpec
    weights: Mapping[str, Weights]
    device: str
    notes: Sequence[str] = ()
    server: ServerOptions = field(default_factory=ServerOptions)
    drawing: DrawingOptions = field(default_factory=DrawingOptions)

    def identity(self, benchmark: Benchmark) -> Identity:
        """Return what decides a run's pictures, as plain data."""
        return {
            "generation": cast("GenerationIdentity", self.spec.to_json()),
            "weights": {role: weights.sha256 for role, weights in self.weights.items()},
            "benchmark": {
                "name": benchmark.name,
                "prompts_sha256": benchmark.prompts_sha256,
            },
        }

    def load(self) -> Generator:
        """Return the generator with its networks on the device.

        Raises:
            SetupError: weights are not what they must be.
        """
        parts = (self.entry, self.spec, self.weights, self.device)
        if not self.entry.on_device:
            return self._served(*parts)
        generator = self.generator(*parts)
        if self.drawing.compile:
            check_compiler(self.device)
            generator.compile()
        return generator

    def _served(self, *parts: Any) -> Generator:
        served: Any = self.generator
        generator: Generator = served(*parts, server=self.server)
        return generator


def make_plan(request: GeneratorRequest) -> GenerationPlan:
    """Return the plan for a request: the model's own settings, replaced by those that are not None.

    Raises:
        UsageError: unknown model, device or setting.
        SetupError: weights or packages are missing.
    """
    entry = find_model(request.model)
    _check_packages(entry)
    _check_server(entry, request.server)
    _check_drawing(entry, request.drawing)
    device = find_device(request.device if entry.on_device else "cpu")
    if request.drawing.compile:
        check_compiler(device)
    located = locate_weights(entry, request.weights, request.revisions)
    generator: type[NamedGenerator] = import_target(entry.target, "model")
    defaults = generator.defaults(entry, located)
    chosen = {name: value for name, value in request.settings.items() if value is not None}
    chosen_options = {**entry.variant_options, **chosen.pop("options", {})}
    settings = {"dtype": default_dtype(device), **entry.defaults, **defaults.settings}
    if defaults.accelerator_dtype and device != "cpu":
        settings["dtype"] = defaults.accelerator_dtype
    settings |= chosen
    own_options = {**entry.options, **defaults.options}
    _check_names("setting", settings, [item.name for item in fields(GenerationSpec)])
    _check_names("option", chosen_options, {**entry.all_options, **own_options})
    if settings.get("scheduler"):
        settings["scheduler_config"] = full_scheduler_config(
            settings["scheduler"], settings.get("scheduler_config", {})
        )
    options = _without_rare({**own_options, **chosen_options}, entry.rare_options)
    spec = GenerationSpec(model=entry.name, options=options, **settings)
    generator.check(spec, located)
    notes = generator.notes(entry, located, frozenset({*chosen, *chosen_options}), device)
    drawing = _possible(request.drawing, generator, entry, located)
    return GenerationPlan(entry, generator, spec, located, device, notes, request.server, drawing)


def _possible(
    drawing: DrawingOptions,
    generator: type[NamedGenerator],
    entry: ModelEntry,
    weights: Mapping[str, Weights],
) -> DrawingOptions:
    """Return the options of drawing that a model can be drawn with; warn where that is less.

    Raises:
        UsageError: there is nothing to compile.
    """
    if drawing.compile and not generator.has_compile:
        raise UsageError(
            f"--compile: {entry.name} has no networks that could be compiled here; leave it out"
        )
    if drawing.batch_size == 1 or generator.takes_several_prompts(entry, weights):
        return drawing
    log.warning(
        "--batch-size %s: %s takes one prompt a call, so that is how it is drawn",
        drawing.asked,
        entry.name,
    )
    return replace(drawing, batch_size=1)


def _without_rare(options: Mapping[str, Any], rare: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without the rare ones that are as by default."""
    return {
        name: value for name, value in options.items() if not (name in rare and rare[name] == value)
    }


def _check_packages(entry: ModelEntry) -> None:
    """Raise before anything is fetched where a package is missing."""
    missing = [name for name in entry.packages if importlib.util.find_spec(name) is None]
    if missing:
        names = " ".join(missing)
        raise SetupError(
            f"model {entry.name} needs {names}, which is not installed: pip install {names} "
            "(the build that belongs to the installed torch)"
        )


def _check_server(entry: ModelEntry, server: ServerOptions) -> None:
    if entry.on_device and server != ServerOptions():
        raise UsageError(
            "--concurrency, --max-requests and prices are for servers (--model images-api:MODEL); "
            f"{entry.name} is drawn here: leave them out"
        )


def _check_drawing(entry: ModelEntry, drawing: DrawingOptions) -> None:
    if not entry.on_device and drawing != DrawingOptions():
        raise UsageError(
            f"--batch-size and --compile are for models that are drawn here; {entry.name} is drawn "
            "by a server, which has --concurrency"
        )


def _check_names(what: str, names: Iterable[str], possible: Collection[str]) -> None:
    for name in names:
        if name not in possible:
            raise UsageError(
                f"unknown {what} '{name}'; known: {', '.join(sorted(possible)) or '(none)'}"
            )
