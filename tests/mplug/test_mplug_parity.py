"""The network against what the reference implementation gave for the same weights."""

import json

import numpy as np
import pytest
import torch

from dpgbench.mplug import MplugConfig, MplugProcessor, MplugVqa
from dpgbench.mplug.checkpoint import build_network
from dpgbench.mplug.names import is_needed
from tests.golden.weights import tensor_for

CASES = [(stride, version) for stride in (3, 6) for version in (1, 2, 3)]
FEATURE_TOLERANCE = 1e-4
SCORE_TOLERANCE = 1e-3


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "stride{}-v{}".format(*case))
def case(request, golden, small_judge):
    stride, version = request.param
    recorded = golden(f"small_stride{stride}_v{version}_answers.json")
    features = golden(f"small_stride{stride}_v{version}_features.npz")
    return small_judge(stride, recorded["token_bias"]), recorded, features


def test_questions_become_the_reference_token_numbers(case):
    judge, recorded, _ = case
    rows = recorded["rows"]
    token_ids, truncated = judge.processor.questions([row["question"] for row in rows])
    assert token_ids.tolist() == [row["input_ids"] for row in rows]
    assert truncated == tuple(row["input_ids"][-1] != judge.network.config.pad_id for row in rows)


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_answers_are_the_reference_answers_in_batches_of_mixed_images(
    case, drawn_images, batch_size
):
    judge, recorded, _ = case
    memory = judge.encode_images(drawn_images(recorded))
    order = np.random.default_rng(batch_size).permutation(len(recorded["rows"]))
    rows = [recorded["rows"][i] for i in order]
    answers = []
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        images = [row["image"] for row in part]
        answers += judge.answer(memory, [row["question"] for row in part], images)
    assert_as_recorded(answers, rows)


def test_ask_gives_the_reference_answers_image_by_image(case, drawn_images):
    judge, recorded, _ = case
    images, rows = drawn_images(recorded), recorded["rows"]
    questions = [[row["question"] for row in rows if row["image"] == k] for k in range(len(images))]
    for batch_size in (1, 3):
        answers = judge.ask(images, questions, batch_size=batch_size)
        assert_as_recorded([answer for texts in answers for answer in texts], rows)


def test_features_are_the_reference_features(case, drawn_images):
    judge, recorded, features = case
    for k, image in enumerate(drawn_images(recorded)):
        question = next(row["question"] for row in recorded["rows"] if row["image"] == k)
        for name, ours in features_of(judge, image, question).items():
            np.testing.assert_allclose(
                ours, features[f"{name}_{k}"], atol=FEATURE_TOLERANCE, rtol=0, err_msg=name
            )


@pytest.mark.slow
def test_the_real_size_gives_the_reference_answers(golden, drawn_images, tmp_path):
    torch.set_num_threads(2)
    recorded = golden("full_stride6_answers.json")
    config = write_configs(tmp_path, recorded, golden("small_stride6") / "vocab.txt")
    weights = {
        name: tensor_for(name, shape, std=recorded["weight_std"])
        for name, (shape, _) in golden("full_state_dict.json").items()
        if is_needed(name, config)
    }
    network = build_network(config, weights, "golden weights")
    judge = MplugVqa(network, MplugProcessor.from_folder(tmp_path, config))
    (image,) = drawn_images(recorded)
    rows = recorded["rows"]
    assert_as_recorded(judge.ask([image], [[row["question"] for row in rows]])[0], rows)
    features = golden("full_stride6_features.npz")
    for name, ours in features_of(judge, image, rows[0]["question"]).items():
        np.testing.assert_allclose(ours, features[f"{name}_0"], atol=FEATURE_TOLERANCE, rtol=0)


def assert_as_recorded(answers, rows):
    assert [list(answer.token_ids) for answer in answers] == [row["answer_ids"] for row in rows]
    assert [answer.text for answer in answers] == [row["answer"] for row in rows]
    scores = [answer.score for answer in answers]
    np.testing.assert_allclose(scores, [row["score"] for row in rows], atol=SCORE_TOLERANCE, rtol=0)


@torch.inference_mode()
def features_of(judge, image, question):
    network, processor = judge.network, judge.processor
    token_ids = processor.questions([question]).token_ST
    memory = judge.encode_images([image])
    fused = network.fuse(token_ids, torch.tensor([0]), memory)
    text = network.text_encoder(token_ids, token_ids != network.config.pad_id)
    states = {
        "image": memory.x_IPD,
        "text": text,
        "fused_image": fused.image.x_IPD,
        "fused_text": fused.text_STD,
    }
    shown = {name: state[0, :6, :16].numpy() for name, state in states.items()}
    return shown | {"pixels": processor.pixels(image)[:, :4, :4].numpy()}


def write_configs(folder, recorded, small_vocabulary):
    (folder / "config.yaml").write_text(json.dumps(recorded["model_config"]))
    (folder / "config_bert.json").write_text(json.dumps(recorded["config"]))
    words = small_vocabulary.read_text().splitlines()
    words += [f"w{i}" for i in range(29, recorded["config"]["vocab_size"] - 171)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return MplugConfig.from_folder(folder)
