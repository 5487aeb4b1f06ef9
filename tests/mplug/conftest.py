import json

import numpy as np
import pytest
import torch
from PIL import Image

from dpgbench.mplug import MplugConfig, MplugProcessor, MplugVqa, write_tiny_checkpoint
from dpgbench.mplug.checkpoint import build_network
from tests.golden.weights import tensor_for
from tests.helpers import GOLDEN

BIASES = (
    "text_decoder.cls.predictions.bias",
    "text_decoder.cls.predictions.decoder.bias",
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Tiny networks gain nothing from a second thread, and lose much where it must wait."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def golden():
    """Golden files by name: JSON as it is, arrays as a dict, a folder as its path."""

    def read(name):
        path = GOLDEN / "mplug" / name
        if path.suffix == ".json":
            return json.loads(path.read_text())
        if path.suffix == ".npz":
            with np.load(path) as arrays:
                return dict(arrays)
        return path

    return read


@pytest.fixture(scope="session")
def drawn_images():
    """The pictures that a golden file's answers are about, in order."""

    def draw(recorded):
        rng = np.random.default_rng(recorded["image_seed"])
        sizes = {row["image"]: row["size"] for row in recorded["rows"]}
        images = [
            Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
            for _, (width, height) in sorted(sizes.items())
        ]
        # Recorded with Pillow 13, which takes a tall picture's height first; the judge, as every
        # release before, takes the width first. So that pass is made here.
        side = recorded["image_res"]
        return [
            image.resize((image.width, side), Image.Resampling.BICUBIC)
            if image.height > image.width
            else image
            for image in images
        ]

    return draw


@pytest.fixture(scope="session")
def small_weights(golden):
    """Weights of the small golden network, without CLIP's text tower."""
    return {
        name: tensor_for(name, shape, std=0.06)
        for name, (shape, dtype) in golden("small_state_dict.json").items()
        if dtype.startswith("float") and not is_clip_text(name)
    }


@pytest.fixture(scope="session")
def small_judge(golden, small_weights):
    """The small golden network of a given stride, its output biased as a golden file says."""

    def build(stride, token_bias):
        folder = golden(f"small_stride{stride}")
        config = MplugConfig.from_folder(folder)
        weights = dict(small_weights)
        for name in BIASES:
            weights[name] = biased(weights[name], token_bias)
        processor = MplugProcessor.from_folder(folder, config)
        return MplugVqa(build_network(config, weights, "golden weights"), processor)

    return build


@pytest.fixture
def tiny_folder(tmp_path):
    write_tiny_checkpoint(tmp_path / "tiny")
    return tmp_path / "tiny"


def is_clip_text(name):
    return name.startswith("visual_encoder.") and not name.startswith("visual_encoder.visual.")


def biased(bias, token_bias):
    bias = bias.clone()
    for token, value in token_bias.items():
        bias[int(token)] += value
    return bias
