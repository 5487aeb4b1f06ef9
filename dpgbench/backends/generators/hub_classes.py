"""What a diffusers pipeline class takes for what: its guidance, its tokens, its size.

Read off signatures, configurations and the class itself; no weights are loaded for it.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dpgbench.backends.protocols import Truncation
from dpgbench.errors import SetupError, UsageError

Parameters = Mapping[str, inspect.Parameter]
_DTYPES = {"BF16": "bfloat16", "F16": "float16"}
_NO_LIMIT = 100_000  # tokenizers without a limit name a number of 31 digits
_LATENT_PX = 8  # of most VAEs, and what every pipeline's sides must be a multiple of
# Of classes whose checks ask for more than their parts show (diffusers 0.42.1).
_MULTIPLES = {"CogView4Pipeline": 16, "HunyuanDiTPipeline": 16}
_NUM_ENCODERS = 4
PromptsInACall = Literal["several", "repeated", "one"]
# How classes draw several prompts in one call as they draw each alone, counted in diffusers 0.42.1;
# others are given one prompt a call: in one of CogView4's or OmniGen's the longest prompt changes
# the others' pictures. "repeated": these repeat a prompt's tokens and its mask in different orders,
# so that prompts are repeated for them and each has one image.
_PROMPTS_IN_A_CALL: Mapping[str, PromptsInACall] = {
    "StableDiffusionPipeline": "several",
    "StableDiffusionXLPipeline": "several",
    "StableDiffusion3Pipeline": "several",
    "PixArtAlphaPipeline": "several",
    "PixArtSigmaPipeline": "several",
    "FluxPipeline": "several",
    "Flux2Pipeline": "several",
    "KolorsPipeline": "several",
    "ZImagePipeline": "several",
    "HiDreamImagePipeline": "several",
    "SanaPipeline": "repeated",
    "HunyuanDiTPipeline": "repeated",
    "LuminaPipeline": "repeated",
    "Lumina2Pipeline": "repeated",
}
# diffusion_pytorch_model.fp16.safetensors, diffusion_pytorch_model.fp16-00001-of-00002.safetensors
_VARIANT = re.compile(r"[^.]+\.(?P<variant>[a-z0-9_]+)(-\d+-of-\d+)?\.safetensors")


def pipeline_class(name: str, folder: Path) -> Any:
    """Return the pipeline class of a folder in diffusers' layout.

    Args:
        name: the model's, for messages.
        folder: with model_index.json.

    Raises:
        SetupError: it is not in diffusers' layout, or of a class that this diffusers has not.
        UsageError: the class does not draw from text alone.
    """
    import diffusers

    class_name = read_config(folder / "model_index.json").get("_class_name")
    if not isinstance(class_name, str):
        raise SetupError(f"model {name}: {folder} has no model_index.json of a diffusers pipeline")
    cls = getattr(diffusers, class_name, None)
    if cls is None:
        raise SetupError(f"model {name}: this diffusers has no {class_name}; upgrade diffusers")
    if not draws_from_text(cls):
        raise UsageError(f"model {name}: {class_name} does not draw from text alone")
    return cls


def draws_from_text(cls: Any) -> bool:
    """Return whether a pipeline class needs nothing but a prompt."""
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING

    parameters = inspect.signature(cls.__call__).parameters
    if "prompt" not in parameters:
        return False
    optional = cls in AUTO_TEXT2IMAGE_PIPELINES_MAPPING.values() and "Control" not in cls.__name__
    return optional or "image" not in parameters


def read_config(path: Path) -> Mapping[str, Any]:
    """Return a JSON object; empty where there is none."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def guidance_argument(parameters: Parameters) -> str | None:
    """Return the argument that sets classifier-free or distilled guidance; None without one.

    Qwen-Image has both ``guidance_scale`` (None: for distilled variants) and ``true_cfg_scale``
    (4.0: what guides it); FLUX has ``guidance_scale`` (3.5, distilled) and ``true_cfg_scale`` (1.0:
    off).
    """
    scale, true_scale = parameters.get("guidance_scale"), parameters.get("true_cfg_scale")
    if scale is not None and (true_scale is None or scale.default is not None):
        return "guidance_scale"
    return None if true_scale is None else "true_cfg_scale"


def needs_negative_prompt(parameters: Parameters) -> bool:
    """Return whether guidance is off unless a negative prompt is given, if only an empty one."""
    return guidance_argument(parameters) == "true_cfg_scale" and "negative_prompt" in parameters


def prompts_in_a_call(class_name: str) -> PromptsInACall:
    """Return how several prompts go into one call of a class without a change of any picture."""
    return _PROMPTS_IN_A_CALL.get(class_name, "one")


@functools.cache
def native_size(folder: Path, cls: Any) -> tuple[int, int] | None:
    """Return (width, height) in pixels that the pipeline draws unless a size is asked for.

    The pipeline itself is asked: it is built from the folder's configurations, without weights.
    None where it names no size.
    """
    parameters = inspect.signature(cls.__call__).parameters
    named = [parameters[side].default for side in ("width", "height") if side in parameters]
    # Sana's arguments say 1024 for all of its sizes; its configuration says which one it is.
    if [type(side) for side in named] == [int, int] and not cls.__name__.startswith("Sana"):
        return named[0], named[1]
    denoiser = read_config(folder / "transformer/config.json") or read_config(
        folder / "unet/config.json"
    )
    skeleton = _skeleton(folder, cls)
    sample = getattr(skeleton, "default_sample_size", None) or denoiser.get("sample_size")
    factor = getattr(skeleton, "vae_scale_factor", None) or _vae_factor(folder)
    if isinstance(sample, int) and isinstance(factor, int):
        return sample * factor, sample * factor
    if isinstance(sample, (list, tuple)) and len(sample) == 2:
        return sample[1] * factor, sample[0] * factor
    return None


def settled_arguments(cls: Any) -> dict[str, bool]:
    """Return what each call is told so that pictures follow from settings and prompt alone.

    Hunyuan-DiT would draw the nearest of its sizes instead of the one that is asked for. Captions
    are cleaned by PixArt and Lumina-Next only where beautifulsoup4 and ftfy are installed.
    """
    settled = {"use_resolution_binning": False} if cls.__name__ == "HunyuanDiTPipeline" else {}
    if "clean_caption" in inspect.signature(cls.__call__).parameters:
        settled["clean_caption"] = False
    return settled


def size_multiple(folder: Path, cls: Any) -> int:
    """Return what width and height must be multiples of, or other sizes than asked would come."""
    skeleton = _skeleton(folder, cls)
    processor = getattr(getattr(skeleton, "image_processor", None), "config", {})
    patches = getattr(skeleton, "patch_size", None)
    factor = getattr(skeleton, "vae_scale_factor", 1) if isinstance(patches, int) else 1
    return math.lcm(
        _LATENT_PX,
        int(processor.get("vae_scale_factor", 1)),
        factor * (patches if isinstance(patches, int) else 1),
        _MULTIPLES.get(cls.__name__, 1),
    )


def drawn_area(folder: Path, cls: Any) -> int | None:
    """Return the pixels of every image that a class draws; None where it draws what is asked.

    HiDream-I1 scales the size that is asked to the area that it was trained at.
    """
    if not cls.__name__.startswith("HiDreamImage"):
        return None
    size = native_size(folder, cls)
    return None if size is None else size[0] * size[1]


def file_variant(folder: Path) -> str | None:
    """Return the variant that a folder's denoiser is there in alone, such as ``fp16``."""
    for part in ("transformer", "unet"):
        names = [file.name for file in (folder / part).glob("*.safetensors")]
        matches = map(_VARIANT.fullmatch, names)
        variants = {match["variant"] if match else None for match in matches}
        if variants:
            return variants.pop() if len(variants) == 1 else None
    return None


@functools.cache
def _skeleton(folder: Path, cls: Any) -> Any:
    """Return the pipeline with its configurations alone; None where that cannot be built."""
    index = read_config(folder / "model_index.json")
    parameters = inspect.signature(cls.__init__).parameters
    try:
        parts = {
            name: _part(folder / name, index.get(name))
            for name, parameter in parameters.items()
            if name != "self" and (name in index or parameter.default is parameter.empty)
        }
        if "requires_safety_checker" in parameters:
            parts["requires_safety_checker"] = False
        return cls(**parts)
    except Exception:  # noqa: BLE001 - what a class wants of the parts that are left out is its own affair
        return None


def _part(folder: Path, value: Any) -> Any:
    """Return one part of a skeleton: a setting, a network without weights, or None."""
    import diffusers
    import torch

    if not isinstance(value, list):
        return value
    cls = getattr(diffusers, str(value[-1]), None)
    if folder.name == "scheduler":
        return cls.from_pretrained(folder, local_files_only=True) if cls else None
    if cls is None or not hasattr(cls, "from_config"):
        return None
    with torch.device("meta"):
        return cls.from_config(cls.load_config(folder))


def _vae_factor(folder: Path) -> int:
    """Return by how much the VAE reduces a side."""
    config = read_config(folder / "vae/config.json")
    for name in ("block_out_channels", "encoder_block_out_channels"):
        if isinstance(config.get(name), list):
            return int(2 ** (len(config[name]) - 1))
    return 8 if config else 1


def stored_dtype(folder: Path) -> str | None:
    """Return the 16-bit precision that the denoiser's weights are stored in; None for others."""
    for part in ("transformer", "unet"):
        for file in sorted((folder / part).glob("*.safetensors"))[:1]:
            kinds = Counter(
                str(entry.get("dtype"))
                for name, entry in _header(file).items()
                if name != "__metadata__" and isinstance(entry, dict)
            )
            return _DTYPES.get(kinds.most_common(1)[0][0]) if kinds else None
    return None


def _header(file: Path) -> dict[str, Any]:
    """Return the header of a safetensors file; empty where it is damaged: loading says so."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(min(length, 100_000_000)))
    except (OSError, ValueError):
        return {}
    return header if isinstance(header, dict) else {}


@dataclass(frozen=True)
class Reader:
    """A text encoder and how many tokens it reads of what a prompt becomes.

    Attributes:
        tokenizer: the encoder's.
        limit: tokens that it reads, special ones included.
        sent: what is sent to it for a prompt.
        free: tokens of what is sent that do not count towards the limit.
    """

    tokenizer: Any
    limit: int
    sent: Callable[[str], str] = str
    free: int = 0

    def cut(self, prompts: Sequence[str]) -> Truncation:
        """Return which prompts have more tokens than are read."""
        texts = [self.sent(prompt) for prompt in prompts]
        lengths = [len(ids) - self.free for ids in self.tokenizer(texts, verbose=False).input_ids]
        return Truncation(
            self.limit, tuple(n for n, length in enumerate(lengths) if length > self.limit)
        )


def furthest_reader(
    pipeline: Any, options: Mapping[str, Any], known_limit: int | None = None
) -> Reader | None:
    """Return the reader that sees the most of a prompt; None where no limit is known.

    Pipelines with several encoders lose of a prompt only what none of them reads.

    Args:
        pipeline: loaded.
        options: arguments of its call; ``max_sequence_length`` is that of all encoders but CLIP.
        known_limit: of the last encoder, where no argument says it.
    """
    tokenizers = list(_tokenizers(pipeline))
    if known_limit is not None and tokenizers:
        return _with_preamble(pipeline, tokenizers[-1], known_limit)
    readers = [_reader(pipeline, tokenizer, options) for tokenizer in tokenizers]
    if None in readers:
        return None
    return max(filter(None, readers), key=lambda reader: reader.limit, default=None)


def _tokenizers(pipeline: Any) -> Iterator[Any]:
    """Yield the tokenizers of the text encoders that a pipeline has."""
    from transformers import ProcessorMixin

    for number in range(1, _NUM_ENCODERS + 1):
        suffix = "" if number == 1 else f"_{number}"
        tokenizer = getattr(pipeline, f"tokenizer{suffix}", None)
        if (
            tokenizer is not None
            and getattr(pipeline, f"text_encoder{suffix}", pipeline) is not None
        ):
            yield tokenizer.tokenizer if isinstance(tokenizer, ProcessorMixin) else tokenizer


def _reader(pipeline: Any, tokenizer: Any, options: Mapping[str, Any]) -> Reader | None:
    own: int = tokenizer.model_max_length
    if type(tokenizer).__name__.startswith("CLIP"):
        if type(pipeline).__name__.startswith("HiDream"):  # it cuts where its argument says
            own = min(own, options.get("max_sequence_length", own))
        return Reader(tokenizer, own)
    length = options.get("max_sequence_length") or getattr(pipeline, "max_sequence_length", None)
    if isinstance(length, int):
        return _with_preamble(pipeline, tokenizer, length)
    return Reader(tokenizer, own) if own < _NO_LIMIT else None


def _with_preamble(pipeline: Any, tokenizer: Any, limit: int) -> Reader:
    """Return the reader of a pipeline that may put words of its own before each prompt."""
    name = type(pipeline).__name__
    if name.startswith("Lumina2"):
        preamble = f"{pipeline.system_prompt} <Prompt Start> "
        return Reader(tokenizer, limit, lambda prompt: preamble + prompt)
    if name.startswith("Sana"):
        default = inspect.signature(pipeline.__call__).parameters.get("complex_human_instruction")
        instruction = "\n".join((default.default if default is not None else None) or [])
        if instruction:
            more = len(tokenizer.encode(instruction)) - 2
            return Reader(tokenizer, limit, lambda prompt: instruction + prompt, free=more)
    if name == "Flux2Pipeline":
        return Reader(tokenizer, limit, lambda prompt: _after_system(pipeline, prompt))
    if name.startswith("ZImage"):
        return Reader(tokenizer, limit, lambda prompt: _as_chat(tokenizer, prompt))
    return Reader(tokenizer, limit)


def _after_system(pipeline: Any, prompt: str) -> str:
    """Return what FLUX.2 makes of a prompt: a chat that begins with its system message."""
    from diffusers.pipelines.flux2.pipeline_flux2 import format_input

    chat = format_input([prompt.replace("[IMG]", "")], system_message=pipeline.system_message)
    text: str = pipeline.tokenizer.apply_chat_template(
        chat[0], tokenize=False, add_generation_prompt=False
    )
    return text


def _as_chat(tokenizer: Any, prompt: str) -> str:
    text: str = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=True,
    )
    return text
