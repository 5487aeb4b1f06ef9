"""Any diffusers text-to-image pipeline, from the hub or a folder.

What the repository and its pipeline class would use by default is read beforehand and written
into the specification, so that nothing is taken silently.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpgbench.backends.base import ModelEntry, Truncation
from dpgbench.backends.pictures import draw_checked
from dpgbench.backends.pipelines import build_scheduler, check_size, find_cut, generators, loading
from dpgbench.backends.weights import Weights
from dpgbench.domain.spec import GenerationSpec
from dpgbench.errors import SetupError, UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

_SIZE_PX = 1024  # of pipelines whose configuration names none; written into the manifest


class HubPipeline:
    """A pipeline that `DiffusionPipeline.from_pretrained` understands."""

    def __init__(
        self, entry: ModelEntry, spec: GenerationSpec, weights: Mapping[str, Weights], device: str
    ) -> None:
        import torch
        from diffusers import DiffusionPipeline

        from ella.strict import strict_loading

        self.spec = spec
        with loading(entry), strict_loading(entry.name):
            self.pipeline: Any = DiffusionPipeline.from_pretrained(
                str(weights["base"].path), dtype=getattr(torch, spec.dtype), use_safetensors=True
            ).to(device)
            if spec.scheduler:
                self.pipeline.scheduler = build_scheduler(spec)
        self.pipeline.set_progress_bar_config(disable=True)
        self.parameters = inspect.signature(self.pipeline.__call__).parameters

    @staticmethod
    def defaults(entry: ModelEntry, weights: Mapping[str, Weights]) -> dict[str, Any]:
        """Return the repository's own settings: size, steps, guidance, scheduler.

        Raises:
            SetupError: the folder is not in diffusers' layout.
            UsageError: its pipeline does not draw from text.
        """
        folder = weights["base"].path
        parameters = _call_parameters(entry, folder)
        size = _size_px(folder)
        scheduler = _config(folder / "scheduler" / "scheduler_config.json")
        return {
            "width_px": size,
            "height_px": size,
            "steps": _default(parameters, "num_inference_steps"),
            "guidance_scale": _default(parameters, "guidance_scale"),
            "scheduler": scheduler.get("_class_name"),
            "scheduler_config": {k: v for k, v in scheduler.items() if not k.startswith("_")},
        }

    @staticmethod
    def check(spec: GenerationSpec) -> None:
        """Raise where a setting cannot be right."""
        check_size(spec, 8)

    def draw(self, prompt: str, seeds: Sequence[int]) -> list[Image]:
        """Return one image a seed."""
        arguments = {
            "num_images_per_prompt": len(seeds),
            "generator": generators(seeds),
            "num_inference_steps": self.spec.steps,
            "guidance_scale": self.spec.guidance_scale,
            "negative_prompt": self.spec.negative_prompt or None,
            "width": self.spec.width_px,
            "height": self.spec.height_px,
            "output_type": "pil",
        }
        known = {
            name: value
            for name, value in arguments.items()
            if name in self.parameters and value is not None
        }
        return draw_checked(self.pipeline, len(seeds), lambda: self.pipeline(prompt, **known))

    def truncation(self, prompts: Sequence[str]) -> Truncation:
        """Return which prompts the shortest-sighted of the pipeline's tokenizers cuts."""
        found = [
            find_cut(tokenizer, tokenizer.model_max_length, prompts)
            for name in ("tokenizer", "tokenizer_2", "tokenizer_3")
            if (tokenizer := getattr(self.pipeline, name, None)) is not None
            and tokenizer.model_max_length < 100_000
        ]
        return min(found, key=lambda cut: cut.limit or 0, default=Truncation(None))


def _call_parameters(entry: ModelEntry, folder: Path) -> Mapping[str, inspect.Parameter]:
    import diffusers

    index = _config(folder / "model_index.json")
    name = index.get("_class_name")
    if not isinstance(name, str):
        raise SetupError(
            f"model {entry.name}: {folder} has no model_index.json of a diffusers pipeline"
        )
    pipeline = getattr(diffusers, name, None)
    if pipeline is None:
        raise SetupError(f"model {entry.name}: this diffusers has no {name}; upgrade diffusers")
    parameters = inspect.signature(pipeline.__call__).parameters
    if "prompt" not in parameters or "image" in parameters:
        raise UsageError(f"model {entry.name}: {name} does not draw from text alone")
    return parameters


def _default(parameters: Mapping[str, inspect.Parameter], name: str) -> Any:
    parameter = parameters.get(name)
    return None if parameter is None or parameter.default is parameter.empty else parameter.default


def _size_px(folder: Path) -> int:
    """Return the side of the images that the denoiser was made for."""
    for part in ("unet", "transformer"):
        config = _config(folder / part / "config.json")
        sample = config.get("sample_size")
        if isinstance(sample, int):
            blocks = _config(folder / "vae" / "config.json").get("block_out_channels", [0])
            return sample * 2 ** (len(blocks) - 1)
    return _SIZE_PX


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}
