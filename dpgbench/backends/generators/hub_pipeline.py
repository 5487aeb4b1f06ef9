"""Any diffusers text-to-image pipeline, from the hub or a folder.

How it is run is read beforehand and written into the specification, so that nothing is taken
silently: from the table of published settings, else from the repository and its pipeline class.
What a class takes for what (guidance, tokens, size) is `hub_classes`'s.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.backends.device import default_dtype
from dpgbench.backends.entries import ModelEntry, argument_of
from dpgbench.backends.generators.diffusers_common import (
    build_scheduler,
    check_size,
    generators,
    loading_model,
)
from dpgbench.backends.generators.hub_classes import (
    furthest_reader,
    guidance_argument,
    native_size,
    needs_negative_prompt,
    pipeline_class,
    read_config,
    stored_dtype,
)
from dpgbench.backends.generators.hub_settings import PublishedSettings, published_settings
from dpgbench.backends.generators.image_checks import draw_checked
from dpgbench.backends.generators.named_generator import ModelDefaults, NamedGenerator
from dpgbench.backends.protocols import Truncation
from dpgbench.backends.weights.locate import Weights
from dpgbench.domain.spec import GenerationSpec
from dpgbench.errors import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_ASSUMED_PX = 1024  # of pipelines that name no size
_GUIDANCE = "guidance_argument"


class HubPipeline(NamedGenerator):
    """A pipeline that `DiffusionPipeline.from_pretrained` understands."""

    def __init__(
        self, entry: ModelEntry, spec: GenerationSpec, weights: Mapping[str, Weights], device: str
    ) -> None:
        import torch
        from diffusers import DiffusionPipeline

        from ella.strict_loading import strict_loading

        self.spec = spec
        folder = weights["base"].path
        with loading_model(entry), strict_loading(entry.name):
            self.pipeline: Any = DiffusionPipeline.from_pretrained(
                str(folder),
                dtype=getattr(torch, spec.dtype),
                use_safetensors=True,
                **_left_out(pipeline_class(entry.name, folder)),
            ).to(device)
            if spec.scheduler:
                self.pipeline.scheduler = build_scheduler(spec)
        self.pipeline.set_progress_bar_config(disable=True)
        self.parameters = inspect.signature(self.pipeline.__call__).parameters

    @staticmethod
    def defaults(entry: ModelEntry, weights: Mapping[str, Weights]) -> ModelDefaults:
        """Return how the pipeline is run: size, steps, guidance, scheduler, precision.

        Raises:
            SetupError: the folder is not in diffusers' layout.
            UsageError: its pipeline does not draw from text.
        """
        folder = weights["base"].path
        own = _own_settings(entry.name, folder)
        published = _published(entry.name)
        parameters = inspect.signature(pipeline_class(entry.name, folder).__call__).parameters
        arguments = {**own.options, **published.arguments}
        options = {
            name: value
            for name, value in arguments.items()
            if name in parameters or name == _GUIDANCE
        }
        dtype = published.dtype or own.accelerator_dtype
        return ModelDefaults({**own.settings, **published.settings}, options, dtype)

    @staticmethod
    def notes(
        entry: ModelEntry, weights: Mapping[str, Weights], chosen: frozenset[str], device: str
    ) -> list[str]:
        """Return what was taken from the repository or its class rather than from the table."""
        folder = weights["base"].path
        published = _published(entry.name)
        parts = _assumed(entry.name, folder, {*published.settings, *chosen})
        if device != "cpu" and "dtype" not in chosen and not published.dtype:
            parts.append(_precision(stored_dtype(folder), device))
        notes = []
        if parts:
            table = (
                "" if published.sources else "; the table of published settings does not know it"
            )
            notes.append(f"settings of {entry.name}: {'; '.join(parts)}{table}")
        checker = read_config(folder / "model_index.json").get("safety_checker")
        if isinstance(checker, list) and checker[0]:
            notes.append(f"the safety checker of {entry.name} is left out")
        return notes

    @staticmethod
    def check(spec: GenerationSpec, weights: Mapping[str, Weights]) -> None:
        """Raise where a setting cannot be right, or would have no effect.

        Raises:
            UsageError: names the setting.
        """
        check_size(spec, 8)
        cls = pipeline_class(spec.model, weights["base"].path)
        parameters = inspect.signature(cls.__call__).parameters
        _refuse_without_effect(spec, cls.__name__, parameters)

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one image a seed."""
        if "num_images_per_prompt" in self.parameters:
            return self._draw(prompt, seeds)
        return [image for seed in seeds for image in self._draw(prompt, [seed])]

    def _draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        arguments = self._arguments(seeds)
        return draw_checked(self.pipeline, len(seeds), lambda: self.pipeline(prompt, **arguments))

    def _arguments(self, seeds: Sequence[int]) -> dict[str, Any]:
        spec = self.spec
        options = {name: value for name, value in spec.options.items() if name != _GUIDANCE}
        arguments = {
            "num_images_per_prompt": len(seeds),
            "generator": generators(seeds),
            "num_inference_steps": spec.steps,
            spec.options.get(_GUIDANCE, "guidance_scale"): spec.guidance_scale,
            "negative_prompt": spec.negative_prompt or None,
            "width": spec.width_px,
            "height": spec.height_px,
            "output_type": "pil",
            **options,
        }
        if needs_negative_prompt(self.parameters):
            arguments["negative_prompt"] = spec.negative_prompt
        return {
            name: value
            for name, value in arguments.items()
            if name in self.parameters and value is not None
        }

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which prompts are cut by the encoder of the pipeline that reads furthest."""
        token_limit = _published(self.spec.model).token_limit
        reader = furthest_reader(self.pipeline, self.spec.options, token_limit)
        return Truncation(None) if reader is None else reader.cut(prompts)


def _published(name: str) -> PublishedSettings:
    return published_settings(argument_of(name)) or PublishedSettings()


def _own_settings(name: str, folder: Path) -> ModelDefaults:
    """Return what the repository and its class say, whatever the table does."""
    cls = pipeline_class(name, folder)
    parameters = inspect.signature(cls.__call__).parameters
    size = native_size(folder, cls) or (_ASSUMED_PX, _ASSUMED_PX)
    guidance = guidance_argument(parameters)
    scheduler = read_config(folder / "scheduler" / "scheduler_config.json")
    options = {"max_sequence_length": _default(parameters, "max_sequence_length")}
    if guidance not in (None, "guidance_scale"):
        options[_GUIDANCE] = guidance
    settings = {
        "width_px": size[0],
        "height_px": size[1],
        "steps": _default(parameters, "num_inference_steps"),
        "guidance_scale": _default(parameters, guidance or ""),
        "negative_prompt": " " if needs_negative_prompt(parameters) else "",
        "scheduler": scheduler.get("_class_name"),
        "scheduler_config": {k: v for k, v in scheduler.items() if not k.startswith("_")},
    }
    own_options = {key: value for key, value in options.items() if value is not None}
    return ModelDefaults(settings, own_options, stored_dtype(folder))


def _default(parameters: Mapping[str, inspect.Parameter], name: str) -> Any:
    parameter = parameters.get(name)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _assumed(name: str, folder: Path, settled: Collection[str]) -> list[str]:
    """Return the settings that are not `settled` by table or user, by where they come from."""
    cls = pipeline_class(name, folder)
    own = _own_settings(name, folder).settings
    by_class = _in_words(own, {"steps", "guidance_scale"} - {*settled})
    by_repository = _in_words(own, {"scheduler"} - {*settled})
    parts = [f"{', '.join(by_class)} by the defaults of {cls.__name__}"] if by_class else []
    if not {"width_px", "height_px"} & {*settled}:
        size = f"size {own['width_px']}x{own['height_px']} px"
        if native_size(folder, cls):
            by_repository.append(size)
        else:
            parts.append(f"{size} assumed, for it names none")
    return parts + ([f"{', '.join(by_repository)} by the repository"] if by_repository else [])


def _precision(stored: str | None, device: str) -> str:
    if stored:
        return f"precision {stored}, as the weights are stored"
    return f"precision {default_dtype(device)} assumed: the weights are not of 16 bit"


def _in_words(own: Mapping[str, Any], names: Collection[str]) -> list[str]:
    words = {"steps": "steps", "guidance_scale": "guidance", "scheduler": "scheduler"}
    return [
        f"{word} {own[name]}"
        for name, word in words.items()
        if name in names and own[name] is not None
    ]


def _left_out(cls: Any) -> dict[str, Any]:
    """Return arguments that leave out what alters finished pictures: checkers, watermarks."""
    taken = inspect.signature(cls.__init__).parameters
    left_out = {"safety_checker": None, "requires_safety_checker": False, "add_watermarker": False}
    return {name: value for name, value in left_out.items() if name in taken}


def _refuse_without_effect(
    spec: GenerationSpec, name: str, parameters: Mapping[str, inspect.Parameter]
) -> None:
    guidance = spec.options.get(_GUIDANCE, "guidance_scale")
    for option, value, argument in (
        ("--steps", spec.steps, "num_inference_steps"),
        ("--guidance", spec.guidance_scale, guidance),
        ("--negative-prompt", spec.negative_prompt or None, "negative_prompt"),
    ):
        if value is not None and argument not in parameters:
            raise UsageError(f"{option} {value}: {name} takes no {argument}; leave it out")
    if spec.negative_prompt and guidance == "guidance_scale" and "true_cfg_scale" in parameters:
        raise UsageError(
            f"--negative-prompt: the guidance of {name} is distilled, and a negative prompt has no "
            "effect; leave it out"
        )
