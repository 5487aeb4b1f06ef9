"""BLIP-VQA with seeded weights: images a second against one pass a chunk, and peak memory.

    python -m benchmarks.blip_vqa                    # the real size (385 million weights)
    python -m benchmarks.blip_vqa --size small --out blip_vqa.json
    python -m benchmarks.blip_vqa --device cuda --dtype float16 --images 64 --batch 16

The original makes one pass for each image and each of its eight slots, empty ones too: 24,000 for
the 3,000 images of a category. A pass encodes the image, reads the question beside it, and takes
one step of the answer over the whole vocabulary. Three contestants, turn by turn, on the same
weights and in batches of the same number of images:

- `as the original`: one pass a slot, eight an image, by transformers' network as it stands;
- `one pass a chunk`: the same pass for the chunks alone that an image has;
- `ours`: as the judge does it, an image once for all of its chunks.

Images have as many chunks as T2I-CompBench's prompts have on average (2.4; 2, 3 and 4 of them).
Ratios count, of the wall clock and of processor time; seconds are this machine's.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering

from dpgbench.compbench.blip import BlipVqa
from dpgbench.compbench.blip_checkpoint import VOCAB_SIZE, build_network, published_config
from dpgbench.compbench.questions import SLOTS

CHUNKS = ("a green bench", "a blue bowl", "the red car", "an old man with a long black coat")
CHUNKS_OF_IMAGES = (2, 2, 3, 2, 4, 2, 2, 2)
WORDS = sorted({word for chunk in CHUNKS for word in chunk.split()} | {"?"})
PLACES = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "yes": 2748, "no": 2053}
DEC = 30522
Answers = list[list[float]]


class Taken(NamedTuple):
    """Seconds of one run: by the wall clock, and of processor time in all threads."""

    wall: float
    processor: float


def main(words: Sequence[str] | None = None) -> dict[str, Any]:
    options = parse_options(words)
    torch.set_num_threads(options.threads)
    figures = measure(
        device=options.device,
        dtype=options.dtype,
        size=options.size,
        images=options.images,
        batch=options.batch,
        repeat=options.repeat,
    )
    print(json.dumps(figures, indent=1))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1) + "\n")
    return figures


def parse_options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", choices=("full", "small"), default="full")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--batch", type=int, default=1, help="images that go together")
    parser.add_argument("--repeat", type=int, default=2, help="measure so often, take the best")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(words)


def measure(
    *, device: str, dtype: str, size: str, images: int, batch: int, repeat: int
) -> dict[str, Any]:
    """Return what the contestants take with weights seeded on `device`."""
    before = peak_gib(device)
    with torch.device(device):
        network = seeded_network(size).to(getattr(torch, dtype))
    figures = contest(network, images=images, batch=batch, repeat=repeat)
    return {"size": size, **figures, "peak_gib": {"before": before, **figures["peak_gib"]}}


def contest(
    network: BlipForQuestionAnswering, *, images: int, batch: int, repeat: int
) -> dict[str, Any]:
    """Return what the contestants take for `images` images, in batches of `batch`.

    Each has layers of its own over the tensors of `network`, which stays as it is.
    """
    device, kind = str(network.device), network.dtype
    state = dict(network.state_dict())
    ours, plain = (
        build_network(network.config, state, "seeded", device=device, dtype=kind) for _ in range(2)
    )
    vqa = BlipVqa(ours, tokenizer())
    loaded = peak_gib(device)
    pictures = [vqa.prepare(picture(number)) for number in range(images)]
    questions = [
        [f"{chunk}?" for chunk in CHUNKS[:number]]
        for number in islice(cycle(CHUNKS_OF_IMAGES), images)
    ]
    slots = [[*of_one, *[of_one[0]] * (SLOTS - len(of_one))] for of_one in questions]
    contestants: dict[str, Callable[[], Answers]] = {
        "ours": lambda: once_an_image(vqa, pictures, questions, batch),
        "one pass a chunk": lambda: once_a_question(vqa, plain, pictures, questions, batch),
        "as the original": lambda: once_a_question(vqa, plain, pictures, slots, batch),
    }
    once_an_image(vqa, pictures[:batch], questions[:batch], batch)  # weights come into memory
    peaks = {"loaded": loaded}
    taken: dict[str, list[Taken]] = {name: [] for name in contestants}
    outcomes: dict[str, Answers] = {}
    for _ in range(repeat):
        for name, run in contestants.items():
            forget_peak(device)
            outcomes[name], seconds = timed(run, device)
            taken[name].append(seconds)
            peaks.setdefault(name, peak_gib(device))
    wall = {name: min(one.wall for one in of_one) for name, of_one in taken.items()}
    processor = {name: min(one.processor for one in of_one) for name, of_one in taken.items()}
    return {
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else device,
        "dtype": str(kind).removeprefix("torch."),
        "float32_products": torch.get_float32_matmul_precision(),
        "threads": torch.get_num_threads(),
        "images": images,
        "images_together": batch,
        "chunks": sum(map(len, questions)),
        "slots": SLOTS,
        "images_a_second": {name: images / seconds for name, seconds in wall.items()},
        "against_the_original": wall["as the original"] / wall["ours"],
        "against_one_pass_a_chunk": wall["one pass a chunk"] / wall["ours"],
        "against_the_original_by_processor_time": processor["as the original"] / processor["ours"],
        "against_one_pass_a_chunk_by_processor_time": (
            processor["one pass a chunk"] / processor["ours"]
        ),
        "largest_difference_of_p": largest_difference(
            outcomes["ours"], outcomes["one pass a chunk"]
        ),
        "peak_gib": peaks,
    }


def timed(run: Callable[[], Answers], device: str) -> tuple[Answers, Taken]:
    wall, processor = time.perf_counter(), time.process_time()
    outcome = run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return outcome, Taken(time.perf_counter() - wall, time.process_time() - processor)


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


def once_an_image(
    vqa: BlipVqa, pictures: Sequence[Tensor], questions: Sequence[Sequence[str]], batch: int
) -> Answers:
    answers = [
        of_one
        for start in range(0, len(pictures), batch)
        for of_one in vqa.ask(pictures[start : start + batch], questions[start : start + batch])
    ]
    return [[answer.p_yes for answer in of_one] for of_one in answers]


def once_a_question(
    vqa: BlipVqa,
    network: BlipForQuestionAnswering,
    pictures: Sequence[Tensor],
    questions: Sequence[Sequence[str]],
    batch: int,
) -> Answers:
    """All images for one slot, then all for the next, as the original goes."""
    answers: Answers = [[] for _ in pictures]
    for slot in range(max(map(len, questions))):
        having = [number for number, of_one in enumerate(questions) if slot < len(of_one)]
        for start in range(0, len(having), batch):
            numbers = having[start : start + batch]
            asked = [vqa.token_ids(questions[number][slot])[0] for number in numbers]
            seen = torch.stack([pictures[number] for number in numbers])
            for number, p_yes in zip(numbers, one_pass(network, seen, asked), strict=True):
                answers[number].append(p_yes)
    return answers


@torch.inference_mode()
def one_pass(
    network: BlipForQuestionAnswering, pictures: Tensor, token_ids: Sequence[Sequence[int]]
) -> list[float]:
    """The probability of yes for an image and a question each, everything anew.

    The network's answer leaves padding unmasked, so that questions go by their length.
    """
    device, answers = network.device, [0.0] * len(token_ids)
    images = network.vision_model(pixel_values=pictures.to(device, network.dtype))
    for length in sorted(set(map(len, token_ids))):
        rows = [row for row, ids in enumerate(token_ids) if len(ids) == length]
        encoded = network.text_encoder(
            input_ids=torch.tensor([token_ids[row] for row in rows], device=device),
            encoder_hidden_states=images.last_hidden_state[rows],
        )
        step = network.text_decoder(
            input_ids=torch.full((len(rows), 1), DEC, device=device),
            encoder_hidden_states=encoded.last_hidden_state,
            use_cache=False,
        )
        p = torch.softmax(step.logits[:, 0].float(), dim=-1)
        shares = p[:, PLACES["yes"]] / (p[:, PLACES["yes"]] + p[:, PLACES["no"]])
        for row, share in zip(rows, shares.tolist(), strict=True):
            answers[row] = share
    return answers


def largest_difference(first: Answers, second: Answers) -> float:
    return max(
        abs(a - b)
        for one, other in zip(first, second, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def forget_peak(device: str) -> None:
    """Let the device's peak be that of what comes; a process's own grows only."""
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()


def peak_gib(device: str) -> float:
    """Peak memory in GiB: of the device where it has its own, else of this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    main()
