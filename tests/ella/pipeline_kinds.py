"""Pipelines of diffusers over tiny networks, and what a plain loop does in the place of each.

Pictures are given as latents where a class takes those, else as pixels that the VAE encodes.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import diffusers
import torch
from diffusers import ControlNetModel, ControlNetUnionModel, UNet2DConditionModel

from ella import tiny
from tests.ella.plain_loop import pure_noise, xl_of

STEPS = 3
FRAMES = 2
STRENGTH = 0.7  # leaves 2 of 3 steps
SIDE = tiny.IMAGE_PX // 8
ADDITIONS = ("nothing", "lora", "ip-adapter")


def _random(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


LATENTS = 2 * _random(1, 1, 4, SIDE, SIDE) - 1
MASKED = 2 * _random(2, 1, 4, SIDE, SIDE) - 1
PIXELS = _random(3, 1, 3, tiny.IMAGE_PX, tiny.IMAGE_PX)
CONTROL = _random(4, 1, 3, tiny.IMAGE_PX, tiny.IMAGE_PX)
DEPTH = _random(5, 1, SIDE, SIDE)
MASK = torch.zeros(1, 1, tiny.IMAGE_PX, tiny.IMAGE_PX)
MASK[..., : tiny.IMAGE_PX // 2] = 1
SMALL_MASK = MASK[..., ::8, ::8]


@dataclass(frozen=True)
class Kind:
    """A class of diffusers.

    Attributes:
        name: the class.
        parts: further parts of the pipeline, made for its U-Net.
        arguments: of its call for so many prompts.
        plain: what `draw` does otherwise than for text alone, given the pipeline.
        changes: of the U-Net's configuration.
        pixels: whether pictures are given as pixels, one for each prompt.
        xl: whether networks are of SDXL's shape.
        additions: what is tried with it.
    """

    name: str
    parts: Callable[[Any], dict[str, Any]] = lambda unet: {}
    arguments: Callable[[int], dict[str, Any]] = lambda rows: {}
    plain: Callable[[Any], dict[str, Any]] = lambda pipeline: {}
    changes: Mapping[str, int] = field(default_factory=dict)
    pixels: bool = False
    xl: bool = False
    additions: tuple[str, ...] = ADDITIONS

    @property
    def animated(self) -> bool:
        """Whether it draws videos."""
        return "Animate" in self.name


def randomized(network: Any) -> Any:
    """The network with other weights: many of a control network are zero at first."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.data.add_(0.05 * noise)
    return network.eval()


def controlnet_of(unet: Any, kind: Any = ControlNetModel, **more: Any) -> Any:
    """A control network for a U-Net."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        more.setdefault("conditioning_embedding_out_channels", (4, 4, 8, 8))
        return randomized(kind.from_unet(unet, **more))


# ------------------------------------------------------------------- what a loop begins with


def from_latents(generator: Any, scheduler: Any, shape: Any, timesteps: Any) -> Any:
    """Begin with a picture under noise."""
    noise = torch.randn(shape, generator=generator)
    return scheduler.add_noise(LATENTS, noise, timesteps[:1]), lambda latents, _: latents


def from_pixels(vae: Any, generator: Any, scheduler: Any, shape: Any, timesteps: Any) -> Any:
    """Begin with an encoded picture under noise."""
    picture = encoded(vae, generator)
    noise = torch.randn(shape, generator=generator)
    return scheduler.add_noise(picture, noise, timesteps[:1]), lambda latents, _: latents


def inpainting(strength: float, vae: Any = None) -> Callable[..., Any]:
    """Begin with a picture under noise, and put what lies outside the mask back at each step.

    With a `vae` the picture is `PIXELS`, else `LATENTS`.
    """

    def start(generator: Any, scheduler: Any, shape: Any, timesteps: Any) -> Any:
        picture = LATENTS if vae is None else encoded(vae, generator)
        noise = torch.randn(shape, generator=generator)
        latents = noise * scheduler.init_noise_sigma
        if strength < 1:
            latents = scheduler.add_noise(picture, noise, timesteps[:1])

        def after(latents: torch.Tensor, step: int) -> torch.Tensor:
            outside = picture
            if step + 1 < len(timesteps):
                outside = scheduler.add_noise(outside, noise, timesteps[step + 1][None])
            return (1 - SMALL_MASK) * outside + SMALL_MASK * latents

        if vae is not None:
            encoded(vae, generator, 1 - MASK)  # not shown to this U-Net, but numbers are drawn
        return latents, after

    return start


def encoded(vae: Any, generator: Any, share: Any = 1) -> torch.Tensor:
    """Latents of `PIXELS`, or of their part that is not masked."""
    latents: torch.Tensor = vae.encode((2 * PIXELS - 1) * share).latent_dist.sample(generator)
    return latents * vae.config.scaling_factor


def widened(*more: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """Channels after those of the latents."""
    return lambda shown: torch.cat([shown, *more], dim=1)


# ---------------------------------------------------------------- what is added at each call


def added(pipeline: Any, text: str) -> dict[str, Any]:
    """What SDXL's networks want beside the tokens."""
    side = float(tiny.IMAGE_PX)
    sizes = torch.tensor([[side, side, 0, 0, side, side]])
    return {"added_cond_kwargs": {"text_embeds": xl_of(pipeline, text)[1], "time_ids": sizes}}


def controlled(pipeline: Any, *, xl: bool = False, **named: Any) -> Callable[..., Any]:
    """Residuals of the pipeline's control networks."""
    nets = getattr(pipeline.controlnet, "nets", [pipeline.controlnet])

    def more(text: str, shown: Any, timestep: Any, hidden: Any) -> dict[str, Any]:
        own = added(pipeline, text) if xl else {}
        sums: Any = None
        for net in nets:
            extra = {"controlnet_cond": CONTROL, **named, **own, "return_dict": False}
            down, middle = net(shown, timestep, hidden, **extra)
            parts = [*down, middle]
            sums = parts if sums is None else [a + b for a, b in zip(sums, parts, strict=True)]
        return {
            **own,
            "down_block_additional_residuals": sums[:-1],
            "mid_block_additional_residual": sums[-1],
        }

    return more


def of_xl(pipeline: Any) -> dict[str, Any]:
    """What SDXL's shape changes."""
    return {
        "more": lambda text, *_: added(pipeline, text),
        "clip": lambda text: xl_of(pipeline, text)[0],
    }


def repeated(picture: torch.Tensor, rows: int) -> torch.Tensor:
    return picture.repeat(rows, *[1] * (picture.ndim - 1))


# ------------------------------------------------------------------------------- the kinds


def _img2img(rows: int, image: torch.Tensor = LATENTS) -> dict[str, Any]:
    return {"image": repeated(image, rows), "strength": STRENGTH}


def _inpaint(rows: int, image: torch.Tensor = LATENTS, strength: float = 1.0) -> dict[str, Any]:
    return {"image": image, "mask_image": MASK, "strength": strength} | (
        {"masked_image_latents": MASKED} if image is LATENTS else {}
    )


def _controlled_img2img(rows: int) -> dict[str, Any]:
    control = {"control_image": repeated(CONTROL, rows), "controlnet_conditioning_scale": 1.0}
    return {**_img2img(rows), **control}


def _controlled_inpaint(rows: int) -> dict[str, Any]:
    pictures = {"image": repeated(PIXELS, rows), "mask_image": repeated(MASK, rows)}
    control = {"control_image": repeated(CONTROL, rows), "controlnet_conditioning_scale": 1.0}
    return {**pictures, **control, "strength": STRENGTH}


def _motion() -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return randomized(
            diffusers.MotionAdapter(
                block_out_channels=(16, 32),
                motion_layers_per_block=1,
                motion_norm_num_groups=8,
                motion_num_attention_heads=2,
            )
        )


def _deep_vae() -> Any:
    """A VAE of pictures with their depth: six channels."""
    config = tiny.tiny_pipeline().vae.config
    channels = {"in_channels": 6, "out_channels": 6, "_use_default_values": []}
    return diffusers.AutoencoderKL.from_config({**config, **channels}).eval()


def _xs(unet: Any) -> dict[str, Any]:
    adapter = controlnet_of(unet, diffusers.ControlNetXSAdapter, size_ratio=0.5)
    return {"controlnet": adapter}


def _union(unet: Any) -> dict[str, Any]:
    names = ("down_block_types", "block_out_channels", "layers_per_block", "norm_num_groups")
    names += ("cross_attention_dim", "attention_head_dim", "use_linear_projection")
    names += ("addition_embed_type", "addition_time_embed_dim")
    names += ("projection_class_embeddings_input_dim",)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ControlNetUnionModel(
            **{name: unet.config[name] for name in names},
            conditioning_embedding_out_channels=(4, 4, 8, 8),
            num_trans_channel=16,
            num_proj_channel=16,
            num_trans_head=2,
        )
    return {"controlnet": randomized(net)}


def _sparse(unet: Any) -> dict[str, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = diffusers.SparseControlNetModel(
            down_block_types=("DownBlockMotion", "CrossAttnDownBlockMotion"),
            block_out_channels=(16, 32),
            layers_per_block=1,
            norm_num_groups=8,
            cross_attention_dim=tiny.WIDTH,
            attention_head_dim=4,
            conditioning_embedding_out_channels=(4, 4, 8, 8),
            conditioning_channels=3,
            motion_num_attention_heads=2,
            use_simplified_condition_embedding=False,
        )
    return {"motion_adapter": _motion(), "controlnet": randomized(net)}


def _frames_controlled(pipeline: Any) -> dict[str, Any]:
    """A control network sees each frame as a picture."""

    def more(_text: str, shown: Any, timestep: Any, hidden: Any) -> dict[str, Any]:
        frames = shown[0].transpose(0, 1)
        down, middle = pipeline.controlnet(
            frames, timestep, hidden, repeated(CONTROL, FRAMES), return_dict=False
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    return {"more": more, "frames": FRAMES}


def _sparsely_controlled(pipeline: Any) -> dict[str, Any]:
    """A control network sees the video, with a picture for its first frame alone."""
    picture = torch.zeros(1, 3, FRAMES, tiny.IMAGE_PX, tiny.IMAGE_PX)
    there = torch.zeros(1, 1, FRAMES, tiny.IMAGE_PX, tiny.IMAGE_PX)
    picture[:, :, 0], there[:, :, 0] = CONTROL, 1

    def more(_text: str, shown: Any, timestep: Any, hidden: Any) -> dict[str, Any]:
        down, middle = pipeline.controlnet(
            shown, timestep, hidden, picture, conditioning_mask=there, return_dict=False
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}

    return {"more": more, "frames": FRAMES}


def _one(unet: Any) -> dict[str, Any]:
    return {"controlnet": controlnet_of(unet)}


def _xl_controlled(pipeline: Any) -> dict[str, Any]:
    return {**of_xl(pipeline), "more": controlled(pipeline, xl=True)}


def _xl_united(pipeline: Any) -> dict[str, Any]:
    types = torch.zeros(1, pipeline.controlnet.config.num_control_type)
    types[0, 0] = 1
    named = {"controlnet_cond": [CONTROL], "control_type": types, "control_type_idx": [0]}
    named["conditioning_scale"] = [1.0]
    return {**of_xl(pipeline), "more": controlled(pipeline, xl=True, **named)}


_DEPTH = 2 * (DEPTH - DEPTH.min()) / (DEPTH.max() - DEPTH.min()) - 1
_FROM = {"start": from_latents, "strength": STRENGTH}
_SD, _XL = "StableDiffusion", "StableDiffusionXL"


def _inpainted(strength: float, *, pixels: bool = False) -> Callable[[Any], dict[str, Any]]:
    return lambda pipeline: {
        "start": inpainting(strength, pipeline.vae if pixels else None),
        "strength": strength,
    }


def _both(*plain: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    return lambda pipeline: {key: value for one in plain for key, value in one(pipeline).items()}


KINDS: dict[str, Kind] = {
    "text": Kind(f"{_SD}Pipeline"),
    "img2img": Kind(f"{_SD}Img2ImgPipeline", arguments=_img2img, plain=lambda _: _FROM),
    "inpaint": Kind(f"{_SD}InpaintPipeline", arguments=_inpaint, plain=_inpainted(1.0)),
    "inpaint-strength": Kind(
        f"{_SD}InpaintPipeline",
        arguments=functools.partial(_inpaint, strength=STRENGTH),
        plain=_inpainted(STRENGTH),
    ),
    "inpaint-9": Kind(
        f"{_SD}InpaintPipeline",
        arguments=_inpaint,
        plain=lambda _: {"widen": widened(SMALL_MASK, MASKED)},
        changes={"in_channels": 9},
    ),
    "depth": Kind(
        f"{_SD}Depth2ImgPipeline",
        parts=lambda _: {"depth_estimator": None, "feature_extractor": None},
        arguments=lambda rows: {
            "image": repeated(PIXELS, rows),
            "depth_map": repeated(DEPTH, rows),
            "strength": STRENGTH,
        },
        plain=lambda pipeline: {
            "start": functools.partial(from_pixels, pipeline.vae),
            "strength": STRENGTH,
            "widen": widened(_DEPTH[None]),
        },
        changes={"in_channels": 5},
        pixels=True,
        additions=("nothing", "lora"),
    ),
    "ldm3d": Kind(
        f"{_SD}LDM3DPipeline",
        parts=lambda _: {"vae": _deep_vae()},
        arguments=lambda rows: {"output_type": "np"},  # it gives no latents
        additions=("nothing", "lora"),
    ),
    "controlnet": Kind(
        f"{_SD}ControlNetPipeline",
        parts=_one,
        arguments=lambda rows: {"image": repeated(CONTROL, rows)},
        plain=lambda pipeline: {"more": controlled(pipeline)},
    ),
    "two-controlnets": Kind(
        f"{_SD}ControlNetPipeline",
        parts=lambda unet: {"controlnet": [controlnet_of(unet), controlnet_of(unet)]},
        arguments=lambda rows: {"image": [repeated(CONTROL, rows)] * 2},
        plain=lambda pipeline: {"more": controlled(pipeline)},
    ),
    "controlnet-img2img": Kind(
        f"{_SD}ControlNetImg2ImgPipeline",
        parts=_one,
        arguments=_controlled_img2img,
        plain=lambda pipeline: {**_FROM, "more": controlled(pipeline)},
    ),
    "controlnet-inpaint": Kind(
        f"{_SD}ControlNetInpaintPipeline",
        pixels=True,
        parts=_one,
        arguments=_controlled_inpaint,
        plain=_both(
            _inpainted(STRENGTH, pixels=True), lambda pipeline: {"more": controlled(pipeline)}
        ),
    ),
    "controlnet-xs": Kind(
        f"{_SD}ControlNetXSPipeline",
        parts=_xs,
        arguments=lambda rows: {"image": repeated(CONTROL, rows)},
        plain=lambda _: {"more": lambda *_: {"controlnet_cond": CONTROL}},
        changes={"layers_per_block": 2},
        additions=("nothing",),
    ),
    "animate": Kind(
        "AnimateDiffPipeline",
        parts=lambda _: {"motion_adapter": _motion()},
        arguments=lambda rows: {"num_frames": FRAMES},
        plain=lambda _: {"frames": FRAMES},
        additions=("nothing",),
    ),
    "animate-controlnet": Kind(
        "AnimateDiffControlNetPipeline",
        parts=lambda unet: {"motion_adapter": _motion(), **_one(unet)},
        arguments=lambda rows: {
            "num_frames": FRAMES,
            "conditioning_frames": [CONTROL[0]] * FRAMES,
        },
        plain=_frames_controlled,
        additions=("nothing",),
    ),
    "animate-sparse": Kind(
        "AnimateDiffSparseControlNetPipeline",
        parts=_sparse,
        arguments=lambda rows: {
            "num_frames": FRAMES,
            "conditioning_frames": CONTROL,
            "controlnet_frame_indices": [0],
        },
        plain=_sparsely_controlled,
        additions=("nothing",),
    ),
    "xl": Kind(f"{_XL}Pipeline", plain=of_xl, xl=True),
    "xl-img2img": Kind(
        f"{_XL}Img2ImgPipeline",
        arguments=_img2img,
        plain=_both(of_xl, lambda _: _FROM),
        xl=True,
    ),
    "xl-inpaint": Kind(
        f"{_XL}InpaintPipeline",
        arguments=functools.partial(_inpaint, strength=STRENGTH),
        plain=_both(of_xl, _inpainted(STRENGTH)),
        xl=True,
    ),
    "xl-controlnet": Kind(
        f"{_XL}ControlNetPipeline",
        parts=_one,
        arguments=lambda rows: {"image": repeated(CONTROL, rows)},
        plain=_xl_controlled,
        xl=True,
    ),
    "xl-controlnet-img2img": Kind(
        f"{_XL}ControlNetImg2ImgPipeline",
        parts=_one,
        arguments=_controlled_img2img,
        plain=_both(_xl_controlled, lambda _: _FROM),
        xl=True,
    ),
    "xl-controlnet-inpaint": Kind(
        f"{_XL}ControlNetInpaintPipeline",
        pixels=True,
        parts=_one,
        arguments=_controlled_inpaint,
        plain=_both(_xl_controlled, _inpainted(STRENGTH, pixels=True)),
        xl=True,
    ),
    "xl-union": Kind(
        f"{_XL}ControlNetUnionPipeline",
        parts=_union,
        arguments=lambda rows: {"control_image": [repeated(CONTROL, rows)], "control_mode": [0]},
        plain=_xl_united,
        xl=True,
    ),
    "xl-union-img2img": Kind(
        f"{_XL}ControlNetUnionImg2ImgPipeline",
        parts=_union,
        arguments=lambda rows: {
            **_controlled_img2img(rows),
            "control_image": [repeated(CONTROL, rows)],
            "control_mode": [0],
        },
        plain=_both(_xl_united, lambda _: _FROM),
        xl=True,
    ),
    "xl-union-inpaint": Kind(
        f"{_XL}ControlNetUnionInpaintPipeline",
        pixels=True,
        parts=_union,
        arguments=lambda rows: {
            **_controlled_inpaint(rows),
            "control_image": [repeated(CONTROL, rows)],
            "control_mode": [0],
        },
        plain=_both(_xl_united, _inpainted(STRENGTH, pixels=True)),
        xl=True,
    ),
    "xl-controlnet-xs": Kind(
        f"{_XL}ControlNetXSPipeline",
        parts=_xs,
        arguments=lambda rows: {"image": repeated(CONTROL, rows)},
        plain=lambda pipeline: {
            **of_xl(pipeline),
            "more": lambda text, *_: {"controlnet_cond": CONTROL, **added(pipeline, text)},
        },
        changes={"layers_per_block": 2},
        xl=True,
        additions=("nothing",),
    ),
}


# ------------------------------------------------------------------------------- built ones


@functools.cache
def built(name: str, addition: str = "nothing") -> tuple[Any, dict[str, Any], Any]:
    """A pipeline with an addition, what the addition gives to its call, and to a plain loop's.

    Made once: a test sets its scheduler, and nothing else.
    """
    kind = KINDS[name]
    base = tiny.tiny_sdxl_pipeline() if kind.xl else tiny.tiny_pipeline()
    if kind.changes:
        base.unet = _changed(base.unet, kind.changes)
    more = kind.parts(base.unet)
    if addition == "lora":
        base.load_lora_weights(lora_of(base.unet))
    cls = getattr(diffusers, kind.name)
    taken = cls.__init__.__annotations__.keys()
    parts = {key: part for key, part in base.components.items() if key in taken}
    if "add_watermarker" in taken:
        parts["add_watermarker"] = False
    if "requires_safety_checker" in taken:
        parts["requires_safety_checker"] = False
    pipeline = cls(**{**parts, **more})
    pipeline.set_progress_bar_config(disable=True)
    if addition != "ip-adapter":
        return pipeline, {}, None
    picture = with_ip_adapter(pipeline)
    embeds = [torch.cat([torch.zeros_like(picture), picture])]
    return pipeline, {"ip_adapter_image_embeds": embeds}, picture


def _changed(unet: Any, changes: Mapping[str, int]) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = {**unet.config, **changes, "_use_default_values": []}
        return UNet2DConditionModel.from_config(config).eval()


def lora_of(unet: Any, rank: int = 2) -> dict[str, torch.Tensor]:
    """Weights that change the text's keys."""
    weights = {}
    for name, module in unet.named_modules():
        if name.endswith("attn2.to_k"):
            weights[f"unet.{name}.lora_A.weight"] = 0.2 * torch.ones(rank, module.in_features)
            weights[f"unet.{name}.lora_B.weight"] = 0.2 * torch.ones(module.out_features, rank)
    return weights


def with_ip_adapter(pipeline: Any, num_tokens: int = 4) -> torch.Tensor:
    """Give the pipeline's U-Net an IP-Adapter of random weights; an embedded picture."""
    generator = torch.Generator().manual_seed(5)
    width = pipeline.unet.config.cross_attention_dim

    def noise(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(*shape, generator=generator)

    weights = {}
    cross = [name for name in pipeline.unet.attn_processors if "attn2" in name]
    for n, name in enumerate(cross):
        size = pipeline.unet.get_submodule(name.removesuffix(".processor")).to_k.out_features
        weights[f"{2 * n + 1}.to_k_ip.weight"] = noise(size, width)
        weights[f"{2 * n + 1}.to_v_ip.weight"] = noise(size, width)
    project = {
        "proj.weight": noise(num_tokens * width, tiny.WIDTH),
        "proj.bias": noise(num_tokens * width),
        "norm.weight": torch.ones(width),
        "norm.bias": torch.zeros(width),
    }
    pipeline.unet._load_ip_adapter_weights(
        [{"image_proj": project, "ip_adapter": weights}], low_cpu_mem_usage=False
    )
    return noise(1, 1, tiny.WIDTH)


def plain_of(name: str, pipeline: Any, picture: Any, negatives: Any) -> dict[str, Any]:
    """Arguments of `draw` for a kind and what was added to it.

    Args:
        name: of the kind.
        pipeline: built.
        picture: that an IP-Adapter is shown with the prompts; None where there is none.
        negatives: texts that it is not shown with.
    """
    plain = {"start": pure_noise, **KINDS[name].plain(pipeline)}
    if picture is None:
        return plain
    own = plain.get("more", lambda *_: {})

    def more(text: str, *call: Any) -> dict[str, Any]:
        extra = dict(own(text, *call))
        shown = torch.zeros_like(picture) if text in negatives else picture
        conditions = {**extra.get("added_cond_kwargs", {}), "image_embeds": [shown]}
        return {**extra, "added_cond_kwargs": conditions}

    return {**plain, "more": more}
