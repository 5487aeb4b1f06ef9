"""Training runs of the tiny networks, and what their results are compared by."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from ella import TimestepAwareSemanticConnector, TrainConfig, tiny, train_connector
from tests.helpers import json_lines

QUICK = TrainConfig(steps=4, batch_size=2, learning_rate=1e-3, device="cpu", log_every=1)


RESUMED = replace(QUICK, steps=5, accumulation=2, batch_size=3, save_every=2, ema_decay=0.9)
"""Steps that checkpoints divide unevenly, with everything that a checkpoint holds."""
TEXTS = ("a red circle", "a blue square", "two dogs beside a tree", "a house")


class TinyPairs:
    """Pictures of coloured blocks in memory; `broken` names one that cannot be read."""

    def __init__(self, num_pairs: int = 4, broken: int | None = None) -> None:
        self.num_pairs, self.broken = num_pairs, broken
        self.num_read = 0

    def __len__(self) -> int:
        return self.num_pairs

    def text(self, index: int) -> str:
        return f"{TEXTS[index % 4]}{' again' * (index // 4)}"

    def image(self, index: int) -> Image.Image:
        self.num_read += 1
        if self.num_read == self.broken:
            raise OSError("the disk is gone")
        blocks = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        return Image.fromarray(blocks).resize((80, 64), Image.Resampling.NEAREST)

    def image_key(self, index: int) -> str:
        return str(index)


def run_tiny(out, config=QUICK, pairs=None, **others):
    """Train the tiny connector on the tiny model; the finished weights."""
    arguments = {"connector": tiny.tiny_connector(), "progress": False} | others
    base, encoder = tiny.tiny_pipeline(), tiny.tiny_text_encoder()
    return load_file(train_connector(base, encoder, pairs or TinyPairs(), out, config, **arguments))


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def far(one, other):
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@torch.no_grad()
def check_learnt_alike(one, other):
    """Tokens of two files are equal but for rounding, and far from those of the start.

    Not weights: keys' biases have no gradient but rounding, which Adam enlarges.
    """
    features = torch.stack(tiny.tiny_text_encoder().encode(TEXTS, "fixed"))
    connectors = (
        tiny.tiny_connector(),
        *(TimestepAwareSemanticConnector.from_safetensors(file) for file in (one, other)),
    )
    start, *ends = [network(features, torch.tensor([1, 300, 600, 999])) for network in connectors]
    learnt = float((ends[0] - start).abs().max())
    assert learnt > 0.005
    assert float((ends[0] - ends[1]).abs().max()) < 1e-3 * learnt


def metrics(out):
    return json_lines(out / "metrics.jsonl")


def write_folder(folder, num_pairs=4):
    """A folder as docs/train-ella.md describes it."""
    pairs = TinyPairs(num_pairs)
    (folder / "images").mkdir(parents=True)
    rows = []
    for n in range(num_pairs):
        pairs.image(n).save(folder / f"images/{n}.png")
        rows.append({"file": f"images/{n}.png", "text": pairs.text(n)})
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "captions.jsonl").write_text(lines)
    return folder


def fingerprint():
    """A hash of the tiny networks' weights."""
    networks = [tiny.tiny_pipeline().unet, tiny.tiny_text_encoder().model, tiny.tiny_connector()]
    digest = hashlib.sha256()
    for network in networks:
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
    return digest.hexdigest()
