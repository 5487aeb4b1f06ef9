"""A step of the trainer against the bare loop that people write, interleaved in one process.

    python -m benchmarks.train --steps 60
    python -m benchmarks.train --size tiny --steps 20

Both encode text and picture anew at each step, draw noise, ask the same frozen networks, clip, and
step AdamW; neither keeps a mean of the weights. The bare loop knows nothing of resuming, processes,
epochs or metrics. One step of each in turns, so that a busy machine disturbs both alike; the ratio
of the medians is what to look at. `--size embedded` takes the toolkit's own small models.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ella import TrainConfig, new_connector, tiny
from ella.connector_base import Connector
from ella.text_encoder import T5TextEncoder, TextEncoder
from ella.training.data import ImagePairs, to_pixels
from ella.training.objectives import Objective
from ella.training.run import build_trainer
from ella.training.trainer import Trainer

PIXELS = 64


class BlockPairs:
    """Pictures of coloured blocks in memory, of another size than is trained on."""

    def __len__(self) -> int:
        return 64

    def text(self, index: int) -> str:
        """The caption."""
        return f"{index} red circles left of a blue square on a white ground, and a green tree"

    def image(self, index: int) -> Image.Image:
        """The picture."""
        blocks = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        return Image.fromarray(blocks).resize((80, 64), Image.Resampling.NEAREST)

    def image_key(self, index: int) -> str:
        """What its latents are kept under."""
        return str(index)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print one JSON object, and return it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("embedded", "tiny"), default="embedded")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="file for the JSON object")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options.size, options.batch, options.steps, Path(folder))
    print(json.dumps(figures))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return figures


def measure(size: str, batch: int, steps: int, folder: Path) -> dict[str, Any]:
    """Milliseconds a step of each, and their ratio."""
    pairs = BlockPairs()
    trainer = make_trainer(size, batch, pairs, folder)
    batches = trainer._steps()
    loops: dict[str, Callable[[], object]] = {
        "ours": lambda: trainer._train_step(next(batches)),
        "bare": bare_loop(size, batch, pairs),
    }
    for loop in loops.values():  # warm
        for _ in range(3):
            loop()
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for step in range(steps):
        for name in list(loops) if step % 2 else list(loops)[::-1]:
            start = time.perf_counter()
            loops[name]()
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(some) for name, some in seconds.items()}
    return {
        "size": size,
        "batch": batch,
        "steps": steps,
        "bare loop, ms a step": 1000 * median["bare"],
        "trainer, ms a step": 1000 * median["ours"],
        "trainer / bare loop": median["ours"] / median["bare"],
    }


def make_trainer(size: str, batch: int, pairs: ImagePairs, folder: Path) -> Trainer:
    """The toolkit's own, ready to step."""
    pipeline, encoder, connector = networks(size)
    config = TrainConfig(batch_size=batch, ema_decay=0.0, caption_dropout=0.0, device="cpu")
    trainer = build_trainer(
        pipeline, encoder, pairs, folder, config, connector=connector, progress=False
    )
    trainer.prepare(folder / "cache")
    return trainer


def bare_loop(size: str, batch: int, pairs: ImagePairs) -> Callable[[], Tensor]:
    """One step of a loop without anything that a run needs beyond it."""
    pipeline, encoder, connector = networks(size)
    step = bare_step(pipeline, encoder, connector, "cpu", torch.float32)
    generator = torch.Generator().manual_seed(0)

    def loop() -> Tensor:
        chosen = torch.randint(len(pairs), (batch,), generator=generator).tolist()
        pixels = torch.stack([to_pixels(pairs.image(index), PIXELS) for index in chosen])
        return step(pixels, [pairs.text(index) for index in chosen])

    return loop


def bare_step(
    pipeline: Any, encoder: TextEncoder, connector: Connector, device: str, dtype: torch.dtype
) -> Callable[[Tensor, list[str]], Tensor]:
    """A step on a batch's pixels and captions; returns its loss.

    Args:
        pipeline: its networks are on the device, in `dtype`.
        encoder: on the device.
        connector: learns, in float32; computes in `dtype`.
    """
    unet, vae = (net.requires_grad_(False).eval() for net in (pipeline.unet, pipeline.vae))
    connector = connector.float().requires_grad_(True).train()
    optimizer = torch.optim.AdamW(connector.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    objective = Objective(pipeline.scheduler).to(torch.device(device))
    generator = torch.Generator(device).manual_seed(0)
    narrow = dtype != torch.float32
    kind = torch.device(device).type

    def step(pixels: Tensor, texts: list[str]) -> Tensor:
        batch = len(texts)
        with torch.no_grad():
            features = torch.stack(encoder.encode(texts, "fixed"))
            encoded = vae.encode(pixels.to(device, dtype, non_blocking=True)).latent_dist
            latents = encoded.sample(generator) * vae.config.scaling_factor
        noise = torch.randn(latents.shape, generator=generator, device=device)
        timesteps = torch.randint(
            objective.num_timesteps, (batch,), generator=generator, device=device
        )
        noisy = objective.noisy(latents.float(), noise, timesteps).to(dtype)
        with torch.autocast(kind, dtype, enabled=narrow):
            tokens = connector(features, timesteps).to(dtype)
        answer = unet(noisy, timesteps, encoder_hidden_states=tokens).sample
        target = objective.target(latents.float(), noise, timesteps)
        loss = torch.nn.functional.mse_loss(answer.float(), target)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(connector.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


def networks(size: str) -> tuple[Any, T5TextEncoder, Connector]:
    """Pipeline, text encoder and a new connector."""
    if size == "tiny":
        return tiny.tiny_pipeline(), tiny.tiny_text_encoder(), tiny.tiny_connector()
    from diffusers import StableDiffusionPipeline

    from dpgbench.embedded import embedded_path

    pipeline = StableDiffusionPipeline.from_pretrained(
        embedded_path("sd15"), safety_checker=None, dtype=torch.float32
    )
    file = embedded_path("ella/connector.safetensors")
    connector = Connector.from_safetensors(file)
    encoder = T5TextEncoder.from_pretrained(embedded_path("ella/text_encoder"), dtype=torch.float32)
    return pipeline, encoder, new_connector(connector.config)


if __name__ == "__main__":
    main()
