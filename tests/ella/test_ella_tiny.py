import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer, T5EncoderModel

from ella import T5TextEncoder, tiny
from tests.ella.tiny_training import fingerprint
from tests.helpers import REPOSITORY

ODD_TEXTS = ["", " ", "a red circle", "Zürich, 日本 🙂 \x00\n\t", "<|endoftext|> </s>", "x" * 5000]


def test_the_classes_are_the_real_ones():
    pipeline = tiny.tiny_pipeline()
    assert type(pipeline) is StableDiffusionPipeline
    assert type(pipeline.unet) is UNet2DConditionModel
    assert type(pipeline.vae) is AutoencoderKL
    assert type(pipeline.text_encoder) is CLIPTextModel
    assert type(pipeline.tokenizer) is CLIPTokenizer
    assert pipeline.safety_checker is None
    assert pipeline.feature_extractor is None
    assert type(tiny.tiny_text_encoder()) is T5TextEncoder
    assert type(tiny.tiny_text_encoder().model) is T5EncoderModel


def test_building_leaves_the_global_generators_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1]
    fingerprint()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_weights_are_the_same_in_another_process_with_other_threads():
    code = (
        "import torch; torch.set_num_threads(3);"
        "from tests.ella.tiny_training import fingerprint; print(fingerprint())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert run.stdout.split()[-1] == fingerprint()


def test_another_seed_gives_other_weights():
    one, other = (tiny.tiny_connector(seed).connector.latents for seed in (0, 1))
    assert not torch.allclose(one, other)


@pytest.mark.parametrize("text", ODD_TEXTS)
def test_any_text_has_tokens(text):
    pipeline, encoder = tiny.tiny_pipeline(), tiny.tiny_text_encoder()
    assert encoder.count_tokens([text])[0] >= 1
    assert pipeline.encode_prompt(text, "cpu", 1, False)[0].shape == (1, 77, tiny.WIDTH)
    assert len(encoder.encode([text], "fixed")[0]) == 128


def test_words_of_the_vocabulary_are_one_token():
    assert len(tiny.tiny_pipeline().tokenizer("a red circle").input_ids) == 3 + 2
    assert tiny.tiny_text_encoder().count_tokens(["red circle"]) == [3]


def test_the_prompt_the_seed_and_the_negative_prompt_each_change_the_image(ella, pipeline, seeded):
    def draw(prompt="a red circle", seed=0, **arguments):
        image = ella.generate(
            pipeline, prompt, generator=seeded(seed), num_inference_steps=2, **arguments
        ).images[0]
        assert image.size == (tiny.IMAGE_PX, tiny.IMAGE_PX)
        return np.asarray(image, dtype=float)

    first = draw()
    assert first.std() > 10  # no flat picture
    for other in (draw("a blue square"), draw(seed=1), draw(negative_prompt="a blue dog")):
        assert np.abs(first - other).mean() > 5


def test_building_is_quick():
    began = time.perf_counter()
    tiny.tiny_pipeline(), tiny.tiny_text_encoder(), tiny.tiny_connector()
    assert time.perf_counter() - began < 5  # about 0.05 s; the limit is for busy machines
