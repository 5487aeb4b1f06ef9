"""Any diffusers text-to-image pipeline, from the hub or a folder.

How it is run is read beforehand and written into the specification, so that nothing is taken
silently: from the table of published settings, else from the repository and its pipeline class.
What a class takes for what (guidance, tokens, size) is `hub_classes`'s.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.backends.device import default_dtype
from dpgbench.backends.entries import ModelEntry, argument_of
from dpgbench.backends.generators.compiling import compile_pipeline, compiling
from dpgbench.backends.generators.decoding import VaeWithinMemory
from dpgbench.backends.generators.diffusers_common import (
    build_scheduler,
    by_prompt,
    check_size,
    generators,
    loading_model,
    parameters_of,
)
from dpgbench.backends.generators.hub_classes import (
    drawn_area,
    file_variant,
    furthest_reader,
    guidance_argument,
    native_size,
    needs_negative_prompt,
    pipeline_class,
    prompts_in_a_call,
    read_config,
    settled_arguments,
    size_multiple,
    stored_dtype,
)
from dpgbench.backends.generators.image_checks import draw_checked
from dpgbench.backends.generators.named_generator import ModelDefaults, NamedGenerator
from dpgbench.backends.generators.published_models import PublishedModel, published_model
from dpgbench.backends.generators.repeated_texts import encode_repeated_texts_once
from dpgbench.backends.protocols import Truncation
from dpgbench.backends.weights.locate import Weights
from dpgbench.domain.spec import GenerationSpec
from dpgbench.errors import SetupError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_ASSUMED_PX = 1024  # of pipelines that name no size
_GUIDANCE = "guidance_argument"
_SUFFIX = "prompt_suffix"


class HubPipeline(NamedGenerator):
    """A pipeline that `DiffusionPipeline.from_pretrained` understands."""

    has_compile = True

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
                variant=file_variant(folder),
                use_safetensors=True,
                **_left_out(pipeline_class(entry.name, folder)),
                **_extra_parts(weights, getattr(torch, spec.dtype)),
            ).to(device)
            if spec.scheduler:
                self.pipeline.scheduler = build_scheduler(spec)
        self.pipeline.set_progress_bar_config(disable=True)
        self.vae = VaeWithinMemory(getattr(self.pipeline, "vae", None))
        encode_repeated_texts_once(self.pipeline)
        self.parameters = inspect.signature(self.pipeline.__call__).parameters

    @staticmethod
    def defaults(entry: ModelEntry, weights: Mapping[str, Weights]) -> ModelDefaults:
        """Return how the pipeline is run: size, steps, guidance, scheduler, precision.

        Raises:
            SetupError: the folder is not in diffusers' layout, or holds another kind of model.
            UsageError: its pipeline does not draw from text.
        """
        folder = weights["base"].path
        own = _own_settings(entry.name, folder)
        published = _published(entry.name)
        cls = pipeline_class(entry.name, folder)
        if published and not argument_of(entry.name):
            _refuse_other_class(entry.name, folder, cls.__name__, published.value("pipeline"))
        parameters = inspect.signature(cls.__call__).parameters
        arguments = {**own.options, **(published.call_arguments if published else {})}
        options = {
            name: value
            for name, value in arguments.items()
            if name in parameters or name == _GUIDANCE
        }
        settings = {**own.settings, **(published.settings if published else {})}
        if published and published.scheduler_arguments:
            settings |= _replaced_scheduler(published, settings["scheduler_config"])
        dtype = (published and published.value("dtype")) or own.accelerator_dtype
        return ModelDefaults(settings, options, dtype)

    @staticmethod
    def notes(
        entry: ModelEntry, weights: Mapping[str, Weights], chosen: frozenset[str], device: str
    ) -> list[str]:
        """Return what was taken from the repository or its class rather than from the table."""
        folder = weights["base"].path
        published = _published(entry.name)
        stated = _stated(published) if published else frozenset()
        parts = _assumed(entry.name, folder, {*stated, *chosen})
        if device != "cpu" and "dtype" not in {*stated, *chosen}:
            parts.append(_precision(stored_dtype(folder), device))
        notes = []
        if parts:
            table = "" if published else "; the table of published settings does not know it"
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
        folder = weights["base"].path
        cls = pipeline_class(spec.model, folder)
        check_size(spec, size_multiple(folder, cls))
        _refuse_other_area(spec, cls.__name__, drawn_area(folder, cls))
        parameters = inspect.signature(cls.__call__).parameters
        _refuse_without_effect(spec, cls.__name__, parameters)

    @staticmethod
    def takes_several_prompts(entry: ModelEntry, weights: Mapping[str, Weights]) -> bool:
        """Return whether the pipeline class draws several prompts in one call as it does one."""
        cls = pipeline_class(entry.name, weights["base"].path)
        return prompts_in_a_call(cls.__name__) != "one"

    @property
    def remark(self) -> str:
        """What must be said of the images that were drawn; "" for nothing."""
        return self.vae.remark

    def compile(self) -> None:
        """Have the denoiser and the VAE's decoder compiled when they are first called."""
        same_shapes = prompts_in_a_call(type(self.pipeline).__name__) != "one"
        compile_pipeline(self.pipeline, same_shapes=same_shapes)

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one image a seed."""
        if "num_images_per_prompt" in self.parameters:
            return self._draw([prompt], seeds)
        return [image for seed in seeds for image in self._draw([prompt], [seed])]

    def draw_together(
        self, prompts: Sequence[str], seeds: Sequence[Sequence[int]]
    ) -> list[list[Image]]:
        """Return for each prompt one image a seed, all from one call of the pipeline."""
        rows = list(prompts)
        if prompts_in_a_call(type(self.pipeline).__name__) == "repeated":
            rows = [prompt for prompt, own in zip(prompts, seeds, strict=True) for _ in own]
        return by_prompt(self._draw(rows, [seed for own in seeds for seed in own]), seeds)

    def _draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image]:
        arguments = self._arguments(seeds)
        texts = [prompt + self.spec.options.get(_SUFFIX, "") for prompt in prompts]
        if len(texts) > 1:
            arguments |= _for_several(arguments, len(texts), len(seeds))
        prompt = texts if len(texts) > 1 else texts[0]
        with compiling():
            return draw_checked(  # by name: the first argument of FLUX.2 is a picture
                self.pipeline, len(seeds), lambda: self.pipeline(prompt=prompt, **arguments)
            )

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
            **settled_arguments(type(self.pipeline)),
            **options,
        }
        if needs_negative_prompt(self.parameters):
            arguments["negative_prompt"] = spec.negative_prompt
        return {
            name: value
            for name, value in arguments.items()
            if name in self.parameters and value is not None
        }

    def num_parameters(self) -> Mapping[str, int]:
        """Return how many parameters each network of the pipeline has."""
        return parameters_of(self.pipeline.components)

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which prompts are cut by the encoder of the pipeline that reads furthest."""
        published = _published(self.spec.model)
        token_limit = published.value("token_limit") if published else None
        reader = furthest_reader(self.pipeline, self.spec.options, token_limit)
        suffix = self.spec.options.get(_SUFFIX, "")
        whole = [prompt + suffix for prompt in prompts]
        return Truncation(None) if reader is None else reader.cut(whole)


def _for_several(arguments: Mapping[str, Any], num_prompts: int, num_images: int) -> dict[str, Any]:
    """Return the arguments of a call that are others where it has several prompts."""
    changed: dict[str, Any] = {"num_images_per_prompt": num_images // num_prompts}
    if "negative_prompt" in arguments:  # one for each: not every pipeline spreads one over all
        changed["negative_prompt"] = [arguments["negative_prompt"]] * num_prompts
    return changed


def _published(name: str) -> PublishedModel | None:
    return published_model(argument_of(name) or name)


def _stated(published: PublishedModel) -> frozenset[str]:
    """Return the settings that the table states."""
    scheduler = {"scheduler"} if published.scheduler_arguments else set()
    return frozenset({*published.settings, *scheduler, *({"dtype"} & {*published.facts})})


def _refuse_other_class(name: str, folder: Path, held: str, meant: str) -> None:
    if held != meant:
        raise SetupError(
            f"--weights base={folder}: it holds a {held}, but {name} is a {meant}; give a copy of "
            f"{name}, or draw it as --model hf:{folder}"
        )


def _replaced_scheduler(
    published: PublishedModel, repository_config: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the scheduler that replaces the repository's, with what of its arguments it takes."""
    import diffusers

    name = published.value("scheduler")
    taken = inspect.signature(getattr(diffusers, name).__init__).parameters
    config = {key: value for key, value in repository_config.items() if key in taken}
    changes = {key: fact.value for key, fact in published.scheduler_arguments.items()}
    return {"scheduler": name, "scheduler_config": {**config, **changes}}


def _extra_parts(weights: Mapping[str, Weights], dtype: Any) -> dict[str, Any]:
    """Return the parts of a pipeline that another repository has: HiDream-I1's Llama."""
    if "llama" not in weights:
        return {}
    from transformers import AutoTokenizer, LlamaForCausalLM

    path = str(weights["llama"].path)
    return {
        "text_encoder_4": LlamaForCausalLM.from_pretrained(
            path, dtype=dtype, use_safetensors=True, local_files_only=True
        ),
        "tokenizer_4": AutoTokenizer.from_pretrained(path, local_files_only=True),
    }


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


def _refuse_other_area(spec: GenerationSpec, name: str, area: int | None) -> None:
    if area is not None and spec.width_px * spec.height_px != area:
        side = math.isqrt(area)
        raise UsageError(
            f"--width {spec.width_px} --height {spec.height_px}: {name} scales every size to the "
            f"area of {side}x{side} px; choose sides whose product is {area}"
        )


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
