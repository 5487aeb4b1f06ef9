"""The golden values on an accelerator: `pytest -m gpu`. Without one they run on the CPU.

Float32 has the tolerances of the CPU tests, with TF32 off; the narrow types have bounds of their
own, stated here.
"""

import copy
import importlib.util
import json
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file

from dpgbench.mplug import MplugConfig, MplugProcessor, MplugVqa
from dpgbench.mplug.checkpoint import build_network
from dpgbench.mplug.names import is_needed
from ella import (
    ConnectorConfig,
    Ella,
    TimestepAwareSemanticConnector,
    TrainConfig,
    tiny,
    train_connector,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore:__array:DeprecationWarning"),  # of diffusers
]
GOLDEN = Path(__file__).parent.parent / "golden"
NARROW = {"float16": 0.01, "bfloat16": 0.08}
"""Largest difference of the connector's tokens from float32, as a share of their deviation."""


@pytest.fixture(scope="module")
def rule():
    """The module that makes the deterministic weights of the golden files."""
    spec = importlib.util.spec_from_file_location("golden_weights", GOLDEN / "weights.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(name):
    path = GOLDEN / name
    if path.suffix == ".json":
        return json.loads(path.read_text())
    with np.load(path) as arrays:
        return dict(arrays)


def pictures(recorded):
    rng = np.random.default_rng(recorded["image_seed"])
    sizes = {row["image"]: row["size"] for row in recorded["rows"]}
    images = [
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for _, (width, height) in sorted(sizes.items())
    ]
    side = recorded["image_res"]  # recorded with Pillow 13: see tests/mplug/conftest.py
    return [
        image.resize((image.width, side), Image.Resampling.BICUBIC)
        if image.height > image.width
        else image
        for image in images
    ]


def small_judge(rule, stride, token_bias, device):
    folder = GOLDEN / "mplug" / f"small_stride{stride}"
    config = MplugConfig.from_folder(folder)
    weights = {
        name: rule.tensor_for(name, shape, std=0.06)
        for name, (shape, dtype) in read("mplug/small_state_dict.json").items()
        if dtype.startswith("float") and is_needed(name, config)
    }
    for name, weight in weights.items():
        if name.endswith(("cls.predictions.bias", "cls.predictions.decoder.bias")):
            for token, value in token_bias.items():
                weight[int(token)] += value
    network = build_network(config, weights, "golden weights").to(device)
    return MplugVqa(network, MplugProcessor.from_folder(folder, config))


def assert_as_recorded(answers, rows):
    assert [list(answer.token_ids) for answer in answers] == [row["answer_ids"] for row in rows]
    scores = [answer.score for answer in answers]
    np.testing.assert_allclose(scores, [row["score"] for row in rows], atol=1e-3, rtol=0)


@pytest.mark.parametrize("stride", [3, 6])
@pytest.mark.parametrize("version", [1, 2, 3])
def test_small_judge_gives_the_reference_answers(rule, device, stride, version):
    recorded = read(f"mplug/small_stride{stride}_v{version}_answers.json")
    judge = small_judge(rule, stride, recorded["token_bias"], device)
    memory = judge.encode_images(pictures(recorded))
    rows = recorded["rows"]
    texts, places = [row["question"] for row in rows], [row["image"] for row in rows]
    assert_as_recorded(judge.answer(memory, texts, places), rows)


@pytest.mark.slow
def test_judge_of_the_real_size_gives_the_reference_answers(rule, device, tmp_path):
    recorded = read("mplug/full_stride6_answers.json")
    (tmp_path / "config.yaml").write_text(json.dumps(recorded["model_config"]))
    (tmp_path / "config_bert.json").write_text(json.dumps(recorded["config"]))
    words = (GOLDEN / "mplug" / "small_stride6" / "vocab.txt").read_text().splitlines()
    words += [f"w{i}" for i in range(29, recorded["config"]["vocab_size"] - 171)]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    config = MplugConfig.from_folder(tmp_path)
    weights = {
        name: rule.tensor_for(name, shape, std=recorded["weight_std"])
        for name, (shape, _) in read("mplug/full_state_dict.json").items()
        if is_needed(name, config)
    }
    network = build_network(config, weights, "golden weights").to(device)
    judge = MplugVqa(network, MplugProcessor.from_folder(tmp_path, config))
    rows = recorded["rows"]
    questions = [row["question"] for row in rows]
    assert_as_recorded(judge.ask(pictures(recorded), [questions])[0], rows)


@pytest.fixture(scope="module")
def released(rule):
    connector = TimestepAwareSemanticConnector()
    shapes = read("ella/ella_tsc_state_dict.json")
    connector.load_state_dict(rule.state_dict_for(shapes, std=0.02), strict=True)
    return connector.eval()


@torch.no_grad()
def test_connector_gives_the_reference_tokens(released, device):
    text = torch.from_numpy(np.random.default_rng(7).standard_normal((2, 20, 2048), np.float32))
    expected = read("ella/tsc_full.npz")
    connector = released.to(device)
    for timestep in (1, 250, 500, 981, 999):
        tokens = connector(text.to(device), timestep).cpu().numpy()
        np.testing.assert_allclose(tokens[:, :8, :16], expected[f"t{timestep}"], atol=1e-4)
        np.testing.assert_allclose(tokens.std((1, 2)), expected[f"t{timestep}_std"], atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", NARROW)
def test_connector_in_a_narrow_type_stays_within_its_bound(released, device, name):
    text = torch.from_numpy(np.random.default_rng(7).standard_normal((2, 20, 2048), np.float32))
    text = text.to(device)
    exact = released.to(device)(text, 500)
    dtype = getattr(torch, name)
    narrow = copy.deepcopy(released).to(device, dtype)(text.to(dtype), 500).float()
    share = float((narrow - exact).abs().max() / exact.std())
    print(f"\n{name}: largest difference {share:.4f} of the tokens' deviation")
    assert 0 < share < NARROW[name]


def golden_latents(rule, device, scheduler, length):
    spec, arrays = read("ella/ella_denoise.json"), read("ella/ella_denoise.npz")

    class GoldenTexts:
        feature_dim = spec["connector"]["input_dim"]

        def encode(self, texts, length):
            suffix = "_128" if length == "fixed" else ""
            names = ["prompt_features" if text else "empty_features" for text in texts]
            return [torch.from_numpy(arrays[name + suffix][0]).to(device) for name in names]

    def with_weights(network, shapes):
        network.load_state_dict(rule.state_dict_for(shapes, std=spec["weight_std"]))
        return network.eval().to(device)

    pipeline = StableDiffusionPipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 8),
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            norm_num_groups=4,
        ),
        text_encoder=None,
        tokenizer=None,
        unet=with_weights(UNet2DConditionModel(**spec["unet"]), spec["unet_shapes"]),
        scheduler=scheduler(**spec["scheduler"]),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).to(device)
    connector = TimestepAwareSemanticConnector(ConnectorConfig(**spec["connector"]))
    connector = with_weights(connector, spec["connector_shapes"])
    latents = Ella(connector, GoldenTexts()).generate(
        pipeline,
        ["the prompt"] * 2,
        length=length,
        num_inference_steps=spec["steps"],
        guidance_scale=spec["guidance_scale"],
        generator=[torch.Generator().manual_seed(seed) for seed in spec["seeds"]],
        height=spec["height_px"],
        width=spec["width_px"],
        output_type="latent",
    )
    return latents.images.cpu().numpy()


@pytest.mark.filterwarnings(r"ignore:(?s).*clip_sample:FutureWarning")
@pytest.mark.parametrize("length", ["fixed", "flexible"])
@pytest.mark.parametrize(
    ("name", "scheduler"),
    [("dpm", diffusers.DPMSolverMultistepScheduler), ("ddim", diffusers.DDIMScheduler)],
)
def test_denoising_gives_the_reference_latents(rule, device, name, scheduler, length):
    expected = read("ella/ella_denoise.npz")[f"{name}_{length}"]
    latents = golden_latents(rule, device, scheduler, length)
    np.testing.assert_allclose(latents, expected, rtol=0, atol=1e-3)


def drawn(pipeline, ella, seed=0):
    return ella.generate(
        pipeline,
        ["a red circle left of a blue square"],
        num_inference_steps=4,
        generator=[torch.Generator().manual_seed(seed)],
        height=tiny.IMAGE_PX,
        width=tiny.IMAGE_PX,
        output_type="np",
    ).images


def tiny_ella(device):
    encoder = tiny.tiny_text_encoder()
    encoder.model.to(device)
    return Ella(tiny.tiny_connector().to(device), encoder)


def test_pictures_are_those_of_the_cpu(device):
    on_cpu = drawn(tiny.tiny_pipeline(), tiny_ella("cpu"))
    np.testing.assert_allclose(
        drawn(tiny.tiny_pipeline().to(device), tiny_ella(device)), on_cpu, atol=1 / 255, rtol=0
    )


def test_parts_that_wait_in_main_memory_draw_the_same(device):
    if device == "cpu":
        pytest.skip("nothing to move: no accelerator")
    pipeline = tiny.tiny_pipeline()
    pipeline.enable_model_cpu_offload(device=device)
    ella = tiny_ella("cpu")
    moved = drawn(pipeline, ella)
    assert ella.connector.device.type == ella.text_encoder.model.device.type == "cpu"
    still = drawn(tiny.tiny_pipeline().to(device), ella)  # encoder and connector go along
    assert ella.connector.device.type == ella.text_encoder.model.device.type != "cpu"
    np.testing.assert_allclose(moved, still, atol=1 / 255, rtol=0)


class Pairs:
    def __len__(self):
        return 8

    def text(self, index):
        return f"a red circle {index}"

    def image(self, index):
        pixels = np.random.default_rng(index).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        return Image.fromarray(pixels)

    def image_key(self, index):
        return str(index)


def trained(where, folder, **settings):
    """Loss of the first step, and what the connector became by it."""
    AcceleratorState._reset_state(reset_partial_state=True)
    config = TrainConfig(
        steps=1,
        batch_size=4,
        ema_decay=0.0,
        log_every=1,
        learning_rate=1e-3,
        device="cpu" if where == "cpu" else "auto",
        **settings,
    )
    file = train_connector(
        tiny.tiny_pipeline(),
        tiny.tiny_text_encoder(),
        Pairs(),
        folder,
        config,
        connector=tiny.tiny_connector(),
        progress=False,
    )
    AcceleratorState._reset_state(reset_partial_state=True)
    line = json.loads((folder / "metrics.jsonl").read_text().splitlines()[0])
    return line["loss"], load_file(file)


@pytest.mark.parametrize(
    "compiled",
    [False, pytest.param(True, marks=[pytest.mark.slow, pytest.mark.filterwarnings("ignore")])],
)
def test_a_step_of_training_is_that_of_the_cpu(device, tmp_path, compiled):
    loss, weights = trained(device, tmp_path / "device", compile=compiled, tf32=False)
    expected_loss, expected = trained("cpu", tmp_path / "cpu")
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    start = tiny.tiny_connector().state_dict()
    assert any(not torch.equal(start[name], expected[name]) for name in start)
    for name, tensor in expected.items():  # AdamW's first step is the learning rate at most
        change, wanted = weights[name] - start[name], tensor - start[name]
        assert float((change - wanted).abs().mean()) < 0.05 * 1e-3, name


def test_a_step_of_training_in_tf32_is_near_that_of_the_cpu(device, tmp_path):
    before = torch.get_float32_matmul_precision()
    loss, _ = trained(device, tmp_path / "device")
    assert torch.get_float32_matmul_precision() == before
    assert loss == pytest.approx(trained("cpu", tmp_path / "cpu")[0], rel=1e-3)
