"""Grids a second of `dpgbench generate` against two loops, in turns, and where the time goes.

    python -m benchmarks.generate                                   # the embedded models, on a CPU
    python -m benchmarks.generate --size small --prompts 4
    python -m benchmarks.generate --size real --device cuda --dtype float16 --compile

All draw the same prompts with the same seeds, settings and networks, four images a prompt, and
write a PNG file of each grid:

(a)  the loop that people write: one call of diffusers' pipeline a prompt, then `image.save`;
(b)  ELLA's own way: at each step the connector is asked anew, for each image and for its negative
     prompt, on text features that were repeated for each image;
ours as `dpgbench generate --batch-size N` draws: with CLIP as (a), with ELLA as (b).

Each round measures all of them one after the other, so that other work on the machine meets all;
a ratio is the median over rounds of one's time to another's in the same round. Sizes: `embedded` is
the trained models that ship with the toolkit, `tiny` is for tests, `small` has Stable Diffusion
1.5's shape with a quarter of its widths at 128 px, `real` its size at 512 px; but for `embedded`
weights are seeded: they compute as real ones do and draw noise.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import islice, product
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from dpgbench.backends.device import single_thread
from dpgbench.backends.generators.compiling import compile_pipeline
from dpgbench.backends.generators.drawing_options import DrawingOptions
from dpgbench.backends.generators.plan import GeneratorRequest, make_plan
from dpgbench.backends.generators.stable_diffusion import EllaStableDiffusion, StableDiffusion
from dpgbench.backends.generators.within_memory import DrawnWithinMemory
from dpgbench.domain.spec import GenerationSpec, GridSpec
from dpgbench.engine.drawing import Drawer, Drawn, DrawUnit, NotDrawn, completed
from dpgbench.jobs.recording import Recorder
from dpgbench.store.images import write_image

IMAGES = 4
GUIDANCE = 7.5
TEXT = "a red circle left of a blue square, and under both of them a long green bench in the rain"
COLOURS = ("red", "blue", "green", "yellow", "purple")
SHAPES = ("circle", "square", "triangle", "star")
SIZES = ("embedded", "tiny", "small", "real")
PARTS = ("text", "connector", "denoiser", "VAE", "writing")
Contestant = Callable[[Sequence[str], Path], None]


@dataclass(frozen=True)
class Models:
    """One pipeline, drawn with by CLIP and by ELLA.

    Attributes:
        plain: what (a) calls: the pipeline as diffusers gives it.
        clip: ours, told by CLIP as (a) is.
        ella: ours, told by ELLA as (b) is.
    """

    plain: Any
    clip: StableDiffusion
    ella: EllaStableDiffusion
    device: str

    @property
    def spec(self) -> GenerationSpec:
        """Settings of all."""
        return self.clip.spec

    @property
    def grid(self) -> GridSpec:
        """How images lie in a grid."""
        return GridSpec(IMAGES, self.spec.width_px, self.spec.height_px)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print, and return the figures."""
    options = parse_options(arguments)
    models = make_models(options.size, options.device, options.dtype, options.steps)
    prompts = make_prompts(options.prompts)
    with threads(options):
        figures = {
            "size": options.size,
            "device": device_name(options.device),
            "dtype": models.spec.dtype,
            "px": models.spec.width_px,
            "steps": models.spec.steps,
            "prompts": len(prompts),
            "threads": torch.get_num_threads(),
            "rounds": measure(models, prompts, options.batch_sizes, options.rounds),
            "parts": measure_parts(models, prompts, max(options.batch_sizes)),
        }
        if options.compile:
            figures["compiled"] = measure_compiled(models, prompts, options)
    tell(figures)
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def make_prompts(number: int) -> list[str]:
    """Prompts that differ for every tokenizer, the embedded models' small ones too."""
    pairs = product(product(COLOURS, SHAPES), repeat=2)
    return [
        f"a {colour} {shape} left of a {other_colour} {other_shape}, {TEXT}"
        for (colour, shape), (other_colour, other_shape) in islice(pairs, number)
    ]


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="embedded")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, help="that a CPU computes with")
    parser.add_argument("--compile", action="store_true", help="also with compiled networks")
    parser.add_argument("--out", type=Path, help="a JSON file for the figures")
    return parser.parse_args(arguments)


@contextmanager
def threads(options: argparse.Namespace) -> Iterator[None]:
    """All contestants compute with the same number of threads: embedded models with one."""
    if options.size == "embedded" and options.threads is None:
        with single_thread():
            yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(options.threads or before)
    yield
    torch.set_num_threads(before)


def measure(
    models: Models, prompts: Sequence[str], batch_sizes: Sequence[int], rounds: int
) -> dict[str, dict[str, Any]]:
    """Seconds a grid of each contestant in each round, and ratios of rounds to (a) and (b)."""
    return compare(contestants(models, batch_sizes), prompts, rounds)


def contestants(models: Models, batch_sizes: Sequence[int]) -> dict[str, Contestant]:
    return {
        "(a) diffusers, a prompt a call": plain_loop(models),
        **{f"ours with CLIP, {n} a call": ours(models.clip, models, n) for n in batch_sizes},
        "(b) ELLA's own way": as_ella_does(models),
        **{f"ours with ELLA, {n} a call": ours(models.ella, models, n) for n in batch_sizes},
    }


def compare(
    drawing: dict[str, Contestant], prompts: Sequence[str], rounds: int
) -> dict[str, dict[str, Any]]:
    seconds: dict[str, list[float]] = {name: [] for name in drawing}
    for draw in drawing.values():
        run(draw, prompts[: max(2, len(prompts) // 4)])  # warm
    for number in range(rounds):
        names = list(drawing)
        for name in names[number % len(names) :] + names[: number % len(names)]:
            seconds[name].append(run(drawing[name], prompts))
    first = next(iter(drawing))
    against = {"times as fast as (a)": first}
    if "(b) ELLA's own way" in drawing:
        against["times as fast as (b)"] = "(b) ELLA's own way"
    return {
        name: {
            "seconds a grid": statistics.median(own) / len(prompts),
            "images a second": IMAGES * len(prompts) / statistics.median(own),
            "seconds of rounds": own,
            **{key: median_ratio(seconds[other], own) for key, other in against.items()},
        }
        for name, own in seconds.items()
    }


def median_ratio(theirs: Sequence[float], own: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(theirs, own, strict=True))


def run(draw: Contestant, prompts: Sequence[str]) -> float:
    """Seconds that a contestant takes for all prompts; its files are counted."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "images"
        folder.mkdir()
        synchronize()
        start = time.perf_counter()
        draw(prompts, folder)
        synchronize()
        seconds = time.perf_counter() - start
        assert len(list(folder.iterdir())) == len(prompts)
    return seconds


def plain_loop(models: Models) -> Contestant:
    """(a): a call of the pipeline a prompt, the grid pasted together, `image.save`."""
    pipeline, spec = models.plain, models.spec

    def draw(prompts: Sequence[str], folder: Path) -> None:
        for number, prompt in enumerate(prompts):
            images = pipeline(
                prompt,
                num_images_per_prompt=IMAGES,
                generator=[torch.Generator("cpu").manual_seed(seed) for seed in range(IMAGES)],
                num_inference_steps=spec.steps,
                guidance_scale=spec.guidance_scale,
                width=spec.width_px,
                height=spec.height_px,
            ).images
            save_grid(images, models.grid, folder / f"{number}.png")

    return draw


def save_grid(images: Sequence[Image.Image], grid: GridSpec, path: Path) -> None:
    whole = Image.new("RGB", grid.size)
    for image, box in zip(images, grid.boxes(), strict=True):
        whole.paste(image, box[:2])
    whole.save(path)


def as_ella_does(models: Models) -> Contestant:
    """(b): text features repeated for each image, the connector at each step for each of them."""
    pipeline, spec, ella = models.ella.pipeline, models.spec, models.ella.ella
    length = models.ella.spec.options["text_length"]

    @torch.no_grad()
    def draw(prompts: Sequence[str], folder: Path) -> None:
        for number, prompt in enumerate(prompts):
            features = ella.text_encoder.encode(["", prompt], length)
            pipeline.scheduler.set_timesteps(spec.steps, device=models.device)
            size = (spec.height_px // pipeline.vae_scale_factor,) * 2
            channels = pipeline.unet.config.in_channels
            noise = [
                torch.randn(channels, *size, generator=torch.Generator("cpu").manual_seed(seed))
                for seed in range(IMAGES)
            ]
            latents = torch.stack(noise).to(models.device, pipeline.unet.dtype)
            latents *= pipeline.scheduler.init_noise_sigma
            for timestep in pipeline.scheduler.timesteps:
                tokens = torch.cat(
                    [ella.connector(f[None].repeat(IMAGES, 1, 1), timestep) for f in features]
                )
                doubled = pipeline.scheduler.scale_model_input(latents.repeat(2, 1, 1, 1), timestep)
                predicted = pipeline.unet(doubled, timestep, encoder_hidden_states=tokens).sample
                without, with_text = predicted.chunk(2)
                predicted = without + (spec.guidance_scale or 0) * (with_text - without)
                latents = pipeline.scheduler.step(predicted, timestep, latents).prev_sample
            decoded = pipeline.vae.decode(latents / pipeline.vae.config.scaling_factor).sample
            images = pipeline.image_processor.postprocess(decoded)
            save_grid(images, models.grid, folder / f"{number}.png")

    return draw


def ours(generator: StableDiffusion, models: Models, batch_size: int) -> Contestant:
    """As `dpgbench generate`: items together, grids encoded and written by threads."""
    return drawn_by(DrawnWithinMemory(generator, DrawingOptions(batch_size)), models)


def drawn_by(within: DrawnWithinMemory, models: Models) -> Contestant:
    """`ours`, for a batch size and a memory that are given."""
    drawer = Drawer(within, models.grid)

    def draw(prompts: Sequence[str], folder: Path) -> None:
        def record(outcome: Any) -> None:
            done = completed(outcome)
            assert isinstance(done, Drawn)
            assert done.png is not None
            write_image(folder / f"{done.item_id}.png", done.png)

        units = (
            DrawUnit(str(number), prompt, tuple(range(IMAGES)))
            for number, prompt in enumerate(prompts)
        )
        with Recorder(record, lambda outcome: isinstance(outcome, NotDrawn)) as put:
            for outcome in drawer.work(units):
                put(outcome)

    return draw


@dataclass
class Clock:
    """Seconds by part; a part inside another is the outer one's, in each thread."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PARTS, 0.0))
    inside: bool = False

    def watched(self, part: str, call: Callable[..., Any], *, apart: bool = False) -> Any:
        """The same callable, timed; `apart` is for what runs in threads beside the rest."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self.inside and not apart:
                return call(*args, **kwargs)
            if not apart:
                synchronize()
                self.inside = True
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                if not apart:
                    synchronize()
                    self.inside = False
                self.seconds[part] += time.perf_counter() - start

        return timed


@contextmanager
def watching(models: Models, clock: Clock) -> Iterator[None]:
    """Have the networks, and what writes grids, timed."""
    from dpgbench.engine import drawing

    here = sys.modules[__name__]

    pipeline, ella = models.ella.pipeline, models.ella.ella
    places: list[tuple[str, Any, str]] = [
        ("text", models.plain.text_encoder, "forward"),
        ("text", models.clip.pipeline.text_encoder, "forward"),
        ("text", ella.text_encoder, "encode"),
        ("connector", ella.connector, "project_text"),
        *(("connector", owner, name) for owner, name in connector_calls(ella)),
        ("denoiser", models.clip.pipeline.unet, called(models.clip.pipeline.unet)),
        ("VAE", models.plain.vae, "decode"),
        ("VAE", models.clip.pipeline.vae, "decode"),
    ]
    if pipeline is not models.clip.pipeline:
        places += [("VAE", pipeline.vae, "decode")]
        places += [("denoiser", pipeline.unet, called(pipeline.unet))]
    functions = [(here, "save_grid"), (here, "write_image")]
    functions += [(drawing, "join_tiles"), (drawing, "png_bytes")]
    with ExitStack() as stack:
        for part, owner, name in places:
            stack.enter_context(replaced(owner, name, clock.watched(part, getattr(owner, name))))
        for module, name in functions:
            watched = clock.watched("writing", getattr(module, name), apart=True)
            stack.enter_context(replaced(module, name, watched))
        yield


def called(network: torch.nn.Module) -> str:
    """The attribute that a call of a network goes through: a compiled one must not see a clock."""
    return "forward" if network._compiled_call_impl is None else "_compiled_call_impl"


def connector_calls(ella: Any) -> list[tuple[Any, str]]:
    if ella._forward is not None:  # compiled
        return [(ella, "_forward")]
    return [(ella.connector, "forward"), (ella.connector, "forward_projected")]


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    before = vars(owner).get(name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is None:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


def measure_parts(
    models: Models, prompts: Sequence[str], batch_size: int
) -> dict[str, dict[str, float]]:
    """Milliseconds a grid of each part, with a wait for the device around each.

    Ours writes in threads beside the rest, so that its parts may be more than the whole.
    """
    return parts_of(models, contestants(models, sorted({1, batch_size})), prompts)


def parts_of(
    models: Models, drawing: dict[str, Contestant], prompts: Sequence[str]
) -> dict[str, dict[str, float]]:
    """`measure_parts`, for contestants that are given."""
    parts: dict[str, dict[str, float]] = {}
    for name, draw in drawing.items():
        clock = Clock()
        with watching(models, clock):
            seconds = run(draw, prompts)
        parts[name] = {part: 1000 * own / len(prompts) for part, own in clock.seconds.items()}
        parts[name]["whole"] = 1000 * seconds / len(prompts)
    return parts


def measure_compiled(
    models: Models, prompts: Sequence[str], options: argparse.Namespace
) -> dict[str, Any]:
    """The same with compiled networks, ours and (a), beside (a) as it was; it stays compiled."""
    plain = plain_loop(models)
    before = [run(plain, prompts) for _ in range(options.rounds)]
    start = time.perf_counter()
    models.ella.compile()
    if models.clip.pipeline is not models.ella.pipeline:
        compile_pipeline(models.clip.pipeline, same_shapes=True)
    size = max(options.batch_sizes)
    drawing: dict[str, Contestant] = {"(a) compiled too": plain}
    drawing |= {
        f"ours with CLIP compiled, {n} a call": ours(models.clip, models, n) for n in (1, size)
    }
    drawing |= {
        f"ours with ELLA compiled, {n} a call": ours(models.ella, models, n) for n in (1, size)
    }
    for draw in drawing.values():
        run(draw, prompts)
    compiled = time.perf_counter() - start
    figures: dict[str, Any] = dict(compare(drawing, prompts, options.rounds))
    for own in figures.values():
        own["times as fast as (a)"] = statistics.median(before) / (
            own["seconds a grid"] * len(prompts)
        )
    return {**figures, "seconds to compile": compiled}


def make_models(size: str, device: str, dtype: str, steps: int) -> Models:
    if size == "embedded":
        loaded = [
            make_plan(
                GeneratorRequest(name, settings={"steps": steps, "dtype": dtype}, device=device)
            ).load()
            for name in ("tiny-sd15", "tiny-ella-sd15")
        ]
        clip, with_ella = loaded
        assert isinstance(clip, StableDiffusion)
        assert isinstance(with_ella, EllaStableDiffusion)
        return Models(as_diffusers_gives_it(clip.pipeline), clip, with_ella, device)
    pipeline, ella, px = seeded(size, device, getattr(torch, dtype))
    spec = GenerationSpec(
        "sd15",
        px,
        px,
        steps=steps,
        guidance_scale=GUIDANCE,
        dtype=dtype,
        options={"text_length": "fixed", "with_clip": False},
    )
    return Models(
        as_diffusers_gives_it(pipeline),
        StableDiffusion.of(spec, pipeline),
        EllaStableDiffusion.with_ella(spec, pipeline, ella),
        device,
    )


def as_diffusers_gives_it(pipeline: Any) -> Any:
    """A pipeline on the same networks, without what ours puts in place of their methods."""
    plain = copy.copy(pipeline)
    for part, method in (("text_encoder", "forward"), ("vae", "decode")):
        network = copy.copy(getattr(pipeline, part))
        vars(network).pop(method, None)
        vars(plain)[part] = network
    return plain


def seeded(size: str, device: str, dtype: torch.dtype) -> tuple[Any, Any, int]:
    """A pipeline and an `Ella` with seeded weights, and the side of their pictures."""
    from ella import Ella, tiny

    if size == "tiny":
        pipeline, encoder = tiny.tiny_pipeline().to(device), tiny.tiny_text_encoder()
        encoder.model.to(device)
        return pipeline, Ella(tiny.tiny_connector().to(device), encoder), tiny.IMAGE_PX
    return _of_sd15_shape(real=size == "real", device=device, dtype=dtype)


def _of_sd15_shape(*, real: bool, device: str, dtype: torch.dtype) -> tuple[Any, Any, int]:
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, StableDiffusionPipeline
    from diffusers import UNet2DConditionModel as UNet
    from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

    from ella import ConnectorConfig, Ella, T5TextEncoder, new_connector, tiny
    from ella.tiny_tokenizers import tiny_clip_tokenizer, tiny_t5_tokenizer

    part = 1 if real else 4  # of the widths
    torch.manual_seed(0)
    with torch.device(device):
        clip = CLIPTextModel(CLIPTextConfig(**clip_config(part))).to(dtype).eval()
        vae = AutoencoderKL(**vae_config(part)).to(dtype).eval()
        unet = (
            UNet(
                block_out_channels=tuple(width // part for width in (320, 640, 1280, 1280)),
                cross_attention_dim=768 // part,
                attention_head_dim=8,
                norm_num_groups=32 if real else 16,
                sample_size=64 // part,
            )
            .to(dtype)
            .eval()
        )
        text_model = T5EncoderModel(T5Config(**t5_config(part))).to(dtype).eval()
        config = ConnectorConfig(input_dim=2048 // part, width=768 // part)
        connector = new_connector(config).to(dtype).eval()
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=clip,
        tokenizer=tiny_clip_tokenizer(),
        unet=unet,
        scheduler=DPMSolverMultistepScheduler.from_config(tiny.tiny_scheduler().config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    encoder = T5TextEncoder(text_model, tiny_t5_tokenizer())
    return pipeline, Ella(connector, encoder), 512 // part


def clip_config(part: int) -> dict[str, Any]:
    return {
        "hidden_size": 768 // part,
        "intermediate_size": 3072 // part,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768 // part,
    }


def vae_config(part: int) -> dict[str, Any]:
    return {
        "block_out_channels": tuple(width // part for width in (128, 256, 512, 512)),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
        "sample_size": 512 // part,
    }


def t5_config(part: int) -> dict[str, Any]:
    return {
        "vocab_size": 32128,
        "d_model": 2048 // part,
        "d_kv": 64,
        "d_ff": 5120 // part,
        "num_layers": 24,
        "num_heads": 32 // part,
        "feed_forward_proj": "gated-gelu",
    }


def device_name(device: str) -> str:
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def tell(figures: dict[str, Any]) -> None:
    """Print the figures as tables."""
    heading = ("size", "device", "dtype", "px", "steps", "prompts", "threads")
    print(", ".join(f"{name} {figures[name]}" for name in heading))
    for name, own in figures["rounds"].items():
        print(
            f"{name:38} {1000 * own['seconds a grid']:9.1f} ms a grid"
            f"  {own['times as fast as (a)']:5.2f} x (a)  {own['times as fast as (b)']:5.2f} x (b)"
        )
    print(f"{'milliseconds a grid':38} " + " ".join(f"{part:>9}" for part in (*PARTS, "whole")))
    for name, own in figures["parts"].items():
        print(f"{name:38} " + " ".join(f"{own[part]:9.1f}" for part in (*PARTS, "whole")))
    for name, own in figures.get("compiled", {}).items():
        if isinstance(own, dict):
            print(
                f"{name:38} {own['images a second']:9.2f} images a second"
                f"  {own['times as fast as (a)']:5.2f} x (a) uncompiled"
            )


if __name__ == "__main__":
    main()
