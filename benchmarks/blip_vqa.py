"""BLIP-VQA: images a second against one pass a chunk, and peak memory, with seeded weights.

    python -m benchmarks.blip_vqa                    # the real size (385 million weights)
    python -m benchmarks.blip_vqa --size small --out blip_vqa.json

The original runs image and question anew for each of eight slots, empty ones too. Both are run here
on the same network, turn by turn: once for each slot, once for each chunk that there is, and as the
judge does it: an image once for all of its chunks. Ratios count; seconds are this machine's.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering

from dpgbench.compbench.blip import BlipVqa
from dpgbench.compbench.blip_checkpoint import VOCAB_SIZE, published_config
from dpgbench.compbench.questions import SLOTS

CHUNKS = ("a green bench", "a blue bowl", "the red car", "an old man")
WORDS = sorted({word for chunk in CHUNKS for word in chunk.split()} | {"?"})
PLACES = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "yes": 2748, "no": 2053}


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse_options(words)
    torch.set_num_threads(options.threads)
    before = peak_gib()
    vqa = BlipVqa(seeded_network(options.size), tokenizer())
    loaded = peak_gib()
    pictures = [vqa.prepare(picture(number)) for number in range(options.images)]
    questions = [f"{chunk}?" for chunk in CHUNKS[: options.chunks]]
    ways: dict[str, Callable[[], list[list[float]]]] = {
        "once an image": lambda: once_an_image(vqa, pictures, questions),
        "once a chunk": lambda: once_a_slot(vqa, pictures, questions),
        "once a slot": lambda: once_a_slot(vqa, pictures, [*questions, *filled(questions)]),
    }
    once_an_image(vqa, pictures[:1], questions[:1])  # brings the weights into memory
    seconds = dict.fromkeys(ways, float("inf"))
    outcomes: dict[str, list[list[float]]] = {}
    for _ in range(options.repeat):
        for name, run in ways.items():
            start = time.perf_counter()
            outcomes[name] = run()
            seconds[name] = min(seconds[name], time.perf_counter() - start)
    apart = largest_difference(outcomes["once an image"], outcomes["once a chunk"])
    figures = {
        "size": options.size,
        "images": options.images,
        "chunks": options.chunks,
        "slots": SLOTS,
        "images_a_second": {name: options.images / taken for name, taken in seconds.items()},
        "against_once_a_slot": seconds["once a slot"] / seconds["once an image"],
        "against_once_a_chunk": seconds["once a chunk"] / seconds["once an image"],
        "largest_difference_of_p": apart,
        "peak_gib": {"before": before, "loaded": loaded, "at the end": peak_gib()},
    }
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def parse_options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--chunks", type=int, default=3, help="of each image, 1 to 4")
    parser.add_argument("--repeat", type=int, default=2, help="measure so often, take the best")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(words)


def seeded_network(size: str) -> BlipForQuestionAnswering:
    config = published_config() if size == "full" else small_config()
    torch.manual_seed(0)
    make: Any = BlipForQuestionAnswering
    network = make(config)
    return network.requires_grad_(False).eval()


def small_config() -> BlipConfig:
    size = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    return BlipConfig(
        vision_config={**size, "image_size": 96, "patch_size": 16, "layer_norm_eps": 1e-6},
        text_config={
            **size,
            "vocab_size": VOCAB_SIZE,
            "encoder_hidden_size": 64,
            "max_position_embeddings": 64,
        },
    )


def tokenizer() -> BertTokenizer:
    lines = [f"[unused{number}]" for number in range(VOCAB_SIZE - 2)]
    for word, place in PLACES.items():
        lines[place] = word
    for number, word in enumerate(WORDS):
        lines[3000 + number] = word
    vocabulary = {line: number for number, line in enumerate(lines)}
    return BertTokenizer(vocab=vocabulary, do_lower_case=True)


def picture(number: int) -> Image.Image:
    pixels = np.random.default_rng(number).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def filled(questions: Sequence[str]) -> list[str]:
    """The questions of empty slots, which the original runs too."""
    return [questions[0]] * (SLOTS - len(questions))


def once_an_image(
    vqa: BlipVqa, pictures: Sequence[Tensor], questions: Sequence[str]
) -> list[list[float]]:
    answers = vqa.ask(pictures, [questions] * len(pictures))
    return [[answer.p_yes for answer in of_one] for of_one in answers]


def once_a_slot(
    vqa: BlipVqa, pictures: Sequence[Tensor], questions: Sequence[str]
) -> list[list[float]]:
    """All pictures for one question, then all for the next, as the original goes."""
    by_question = [vqa.ask(pictures, [[question]] * len(pictures)) for question in questions]
    return [
        [answers[number][0].p_yes for answers in by_question] for number in range(len(pictures))
    ]


def largest_difference(
    first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]
) -> float:
    return max(
        abs(a - b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def peak_gib() -> float:
    """Peak memory of this process in GiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    main()
