"""Time and memory of the native judge, with seeded weights in the published layout.

    python -m benchmarks.judge                      # the real size; writes 3 GB, deleted afterwards
    python -m benchmarks.judge --size small
    python -m benchmarks.judge --folder WEIGHTS     # real weights, or to keep the seeded ones

The seeded network answers yes or no and then ends, as the real one nearly always does. Memory is
the whole process's peak, loading and (on first use) converting the weights included.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from dpgbench.mplug import Mplug, MplugConfig, MplugVqa, load_mplug
from dpgbench.mplug.names import published_name

GIB = 2**30
NUM_QUESTIONS = 13
WORDS = ["yes", "no", "is", "the", "there", "a", "dog", "red", "left", "of", "in", "picture", "?"]
SIZES: dict[str, dict[str, Any]] = {
    "full": {
        "task": {"image_res": 504},
        "bert": {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
            "text_encoder_layers": 6,
            "fusion_layers": 6,
            "text_decode_layers": 12,
            "vocab_size": 30522,
        },
    },
    "small": {
        "task": {"image_res": 56, "clip_vision_layers": 2, "clip_vision_width": 128},
        "bert": {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_attention_heads": 4,
            "num_hidden_layers": 4,
            "text_encoder_layers": 2,
            "fusion_layers": 2,
            "text_decode_layers": 2,
            "vocab_size": 200,
        },
    },
}
COMMON_TASK = {"clip_name": "ViT-L-14", "beam_size": 5, "max_length": 10, "min_length": 1}
COMMON_BERT = {"max_position_embeddings": 512, "type_vocab_size": 2, "stride_layer": 6}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def main() -> None:
    options = parse_options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        if not (folder / "config.yaml").exists():
            write_in_child(folder, options.size)
        print_memory("before loading")
        seconds, judge = timed(
            lambda: load_mplug(
                folder,
                cache_dir=folder if options.convert else None,
                device=options.device,
                dtype=DTYPES[options.dtype],
            )
        )
        print(f"load                         {seconds:6.2f} s")
        print_memory("after loading")
        measure(judge, options.repeat)
        print_memory("peak")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--repeat", type=int, default=3, help="measure so often, report the best")
    parser.add_argument("--folder", type=Path, help="weights to use; made there if there are none")
    parser.add_argument("--convert", action="store_true", help="keep a safetensors copy in FOLDER")
    return parser.parse_args()


def measure(judge: MplugVqa, repeat: int) -> None:
    image = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    )
    questions = [f"is the {word} dog left of the red picture?" for word in WORDS]
    ask(judge, image, questions[:1])  # reads the weights from disk

    memory = judge.encode_images([image])
    encode, rest, one, many = best_of(
        repeat,
        lambda: judge.encode_images([image]),
        lambda: judge.answer(memory, questions, [0] * NUM_QUESTIONS),
        lambda: ask(judge, image, questions[:1]),
        lambda: ask(judge, image, questions),
    )
    print(f"image encoded                {encode:6.2f} s")
    print(f"1 question                   {one:6.2f} s")
    print(f"{NUM_QUESTIONS} questions                 {many:6.2f} s")
    print(f"{NUM_QUESTIONS} questions : 1 question    {many / one:6.2f}")
    print(f"{NUM_QUESTIONS} questions, image known    {rest:6.2f} s")
    answers = ask(judge, image, questions)[0]
    print(f"answers: {' '.join(answer.text for answer in answers)}")


def ask(judge: MplugVqa, image: Image.Image, questions: list[str]) -> Any:
    return judge.ask([image], [questions])


def best_of(repeat: int, *calls: Callable[[], Any]) -> list[float]:
    """The least seconds of each call, in turns: other work on the machine can only add to them."""
    rounds = [[timed(call)[0] for call in calls] for _ in range(repeat)]
    return [min(seconds) for seconds in zip(*rounds, strict=True)]


def timed(call: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = call()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start, result


def print_memory(when: str) -> None:
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    device = f", on the GPU {torch.cuda.max_memory_allocated() / GIB:.2f} GiB" * (
        torch.cuda.is_available()
    )
    print(f"peak memory, {when:14s}  {peak / GIB:6.2f} GiB{device}")


def write_in_child(folder: Path, size: str) -> None:
    """Makes the weights in a process of their own, whose memory is not this one's."""
    child = multiprocessing.get_context("spawn").Process(target=write_folder, args=(folder, size))
    child.start()
    child.join()
    if child.exitcode:
        raise SystemExit("the seeded weights could not be written")


def write_folder(folder: Path, size: str) -> None:
    words = write_layout(folder, size)
    weights = seeded_weights(MplugConfig.from_folder(folder))
    bias = weights["text_decoder.cls.predictions.decoder.bias"]
    bias[words.index("yes")] = bias[words.index("no")] = 12.0
    bias[words.index("[SEP]")] = 24.0
    torch.save({"model": weights}, folder / "pytorch_model.bin")


def write_layout(folder: Path, size: str) -> list[str]:
    """Write all but the weights; returns the vocabulary."""
    folder.mkdir(parents=True, exist_ok=True)
    bert = {**COMMON_BERT, **SIZES[size]["bert"]}
    special = ["[PAD]", *(f"[unused{i}]" for i in range(99)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *WORDS]
    words += [f"w{i}" for i in range(bert["vocab_size"] - len(words))]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (folder / "config_bert.json").write_text(json.dumps(bert))
    task = {**COMMON_TASK, **SIZES[size]["task"]}
    (folder / "config.yaml").write_text(json.dumps(task))  # JSON is YAML
    (folder / "configuration.json").write_text(json.dumps({"model": {"type": "mplug"}}))
    return words


def seeded_weights(config: MplugConfig) -> dict[str, torch.Tensor]:
    """Small random numbers for what the judge needs, and some of what a real file has besides."""
    with torch.device("meta"):
        network = Mplug(config)
    generator = torch.Generator().manual_seed(0)
    shapes = {published_name(n, config): p.shape for n, p in network.named_parameters()}
    shapes["visual_encoder.token_embedding.weight"] = torch.Size([49408, 768])
    shapes["text_encoder_m.embeddings.word_embeddings.weight"] = torch.Size([30522, 768])
    return {
        name: torch.ones(shape)
        if len(shape) == 1 and name.endswith("weight")
        else torch.randn(shape, generator=generator).mul_(0.02)
        for name, shape in shapes.items()
    }


if __name__ == "__main__":
    main()
