"""Train the connector of the embedded ELLA, with the toolkit's own trainer (`ella.train`).

    python -m scripts.embedded.connector.train_connector --work WORK [--fill]

U-Net, VAE and language model are frozen: only the connector learns, on whole captions. `--fill`
only fills the caches of text features and latents, so that it can run beside another training.
Writes `WORK/out/ella/connector.safetensors`: the running mean of the weights.
"""

from __future__ import annotations

import argparse
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionPipeline
from PIL import Image
from torch.nn.attention import SDPBackend, sdpa_kernel

from ella.connector import TimestepAwareSemanticConnector
from ella.text_encoder import T5TextEncoder
from ella.training.config import TrainConfig
from ella.training.run import build_trainer
from scripts.embedded.data.pool import Pool, read_pool

SIZES: dict[str, Any] = {
    "layers": 4,
    "heads": 4,
    "num_latents": 32,
    "time_channel": 64,
    "time_embed_dim": 128,
}


class PoolPairs:
    """Pictures of the pool, each with its dense captions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._each = len(pool.texts[0]) - 1  # the first one is short

    def __len__(self) -> int:
        return len(self._pool.texts) * self._each

    def text(self, index: int) -> str:
        """The caption."""
        return self._pool.texts[index // self._each][index % self._each + 1]

    def image(self, index: int) -> Image.Image:
        """The picture."""
        return Image.fromarray(self._pool.pictures[index // self._each])

    def image_key(self, index: int) -> str:
        """Its number in the pool."""
        return str(index // self._each)


def main() -> None:
    """Run from the command line."""
    flags = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--work", type=Path, required=True, help="folder of all training files")
    flags.add_argument("--shards", type=int, default=3, help="shards of the pool to train on")
    flags.add_argument("--steps", type=int, default=3200)
    flags.add_argument("--batch", type=int, default=64)
    flags.add_argument("--rate", type=float, default=5e-4, help="learning rate")
    flags.add_argument("--save-every", type=int, default=500)
    flags.add_argument("--init", type=Path, help="connector to begin with")
    flags.add_argument("--fill", action="store_true", help="only fill the caches")
    args = flags.parse_args()
    work: Path = args.work
    pairs = PoolPairs(read_pool(work / "pool", args.shards))
    pipeline = StableDiffusionPipeline.from_pretrained(work / "out" / "sd15", safety_checker=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # float16 features are for the released weights
        encoder = T5TextEncoder.from_pretrained(work / "out" / "ella" / "text_encoder")
    config = TrainConfig(
        steps=args.steps,
        batch_size=args.batch,
        learning_rate=args.rate,
        warmup_steps=200,
        ema_decay=0.998,
        mixed_precision="bf16",
        text_cache="disk",
        latent_cache="disk",
        save_every=args.save_every,
    )
    begin = TimestepAwareSemanticConnector.from_safetensors(args.init) if args.init else None
    trainer = build_trainer(
        pipeline, encoder, pairs, work / "connector", config, connector=begin, sizes=SIZES
    )
    with sdpa_kernel(SDPBackend.MATH):  # on a CPU faster for small heads
        trainer.prepare(work / "cache")
        if args.fill:
            trainer.fill()
            return
        trainer.run()
    target = work / "out" / "ella" / "connector.safetensors"
    shutil.copyfile(work / "connector" / "connector-ema.safetensors", target)
    lines = (work / "connector" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    figures = {
        "steps": args.steps,
        "batch": args.batch,
        "seconds": round(sum(json.loads(line)["seconds"] for line in lines) * config.log_every),
        "parameters": sum(p.numel() for p in trainer.connector.parameters()),
        "device": str(trainer.accelerator.device),
        "history": [json.loads(line) for line in lines[:: max(1, len(lines) // 20)]],
    }
    (work / "connector.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
