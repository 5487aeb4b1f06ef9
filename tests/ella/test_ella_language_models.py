"""Language models of other kinds than T5: decoders, and the text side of vision-language models."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ella import (
    Connector,
    Ella,
    T5TextEncoder,
    TextEncoderError,
    TransformersTextEncoder,
    tiny,
    train,
)
from ella.text_encoder import load_text_encoder
from tests.ella.plain_loop import assert_near, draw
from tests.ella.tiny_language_models import BUILDERS, WIDTH, write_language_model
from tests.ella.tiny_training import equal, write_folder
from tests.helpers import row, write_csv

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # of diffusers

TEXTS = ["a red circle", "", "two dog left of a blue tree"]
load = TransformersTextEncoder.from_pretrained


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Folder and network of a kind, written once."""
    made = {}

    def write(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            made[kind] = (folder, write_language_model(kind, folder))
        return made[kind]

    return write


@torch.no_grad()
def states_of(network, tokenizer, text):
    """All hidden states of the text alone, from the whole network as it was built."""
    ids = tokenizer(text).input_ids or [tokenizer.eos_token_id]
    output = network(input_ids=torch.tensor([ids]), output_hidden_states=True, use_cache=False)
    return [state[0] for state in output.hidden_states]


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_kind_gives_the_features_of_its_own_network(written, kind):
    folder, network = written(kind)
    encoder = load(folder, fixed_length=6)
    assert encoder.feature_dim == WIDTH
    assert not any("vision" in name for name, _ in encoder.model.named_modules())
    flexible, fixed = encoder.encode(TEXTS, "flexible"), encoder.encode(TEXTS, "fixed")
    for text, own, padded in zip(TEXTS, flexible, fixed, strict=True):
        expected = states_of(network, encoder.tokenizer, text)[-1]
        torch.testing.assert_close(own, expected, atol=1e-4, rtol=1e-4)
        assert padded.shape == (6, WIDTH)
        torch.testing.assert_close(padded[: len(own)], own[:6], atol=1e-4, rtol=1e-4)
    assert encoder.count_tokens(TEXTS) == [len(own) for own in flexible]


@pytest.mark.parametrize("layer", [0, 1, 2, -2, -4, 3, -1])
@pytest.mark.parametrize("kind", ["llama", "qwen2_5_vl"])
def test_a_hidden_layer_can_be_chosen(written, kind, layer):
    folder, network = written(kind)
    encoder = load(folder, hidden_layer=layer, fixed_length=8)
    for length in ("flexible", "fixed"):
        (features,) = encoder.encode(TEXTS[:1], length)
        expected = states_of(network, encoder.tokenizer, TEXTS[0])[layer]
        torch.testing.assert_close(features[:3], expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layer", [4, -5])
def test_a_layer_that_is_not_there_is_named(written, layer):
    with pytest.raises(ValueError, match=rf"`hidden_layer` must be from -4 to 3.*got {layer}"):
        load(written("llama")[0], hidden_layer=layer)


def test_a_t5_loads_as_strictly_by_either_name(tmp_path):
    encoder = tiny.tiny_text_encoder()
    encoder.model.save_pretrained(tmp_path)
    encoder.tokenizer.save_pretrained(tmp_path)
    assert type(load(tmp_path)) is TransformersTextEncoder
    with pytest.warns(UserWarning, match="float32"):
        assert type(load_text_encoder(tmp_path)) is T5TextEncoder
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["encoder.extra"] = torch.zeros(1)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TextEncoderError, match=r"knows nothing of: encoder.extra"):
        load(tmp_path)


def no_tensor(folder):
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in sorted(tensors) if "up_proj" in name)
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def no_tokenizer(folder):
    (folder / "tokenizer.json").unlink()


def no_weights(folder):
    (folder / "model.safetensors").unlink()


def code_of_its_own(folder):
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "mine", "auto_map": {"AutoConfig": "code.C", "AutoModel": "code.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('its code was run')")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_tensor, r"lack 1 of its tensors.*up_proj"),
        (no_tokenizer, "no language model with its tokenizer"),
        (no_weights, "no language model with its tokenizer"),
        (code_of_its_own, "no language model with its tokenizer"),
    ],
)
def test_what_cannot_be_loaded_is_one_line(tmp_path, spoil, message):
    write_language_model("llama", tmp_path)
    spoil(tmp_path)
    with pytest.raises(TextEncoderError, match=message) as caught:
        load(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_features_that_are_no_numbers_are_refused(written):
    encoder = load(written("qwen2")[0])
    encoder.model.embed_tokens.weight.data.fill_(float("inf"))
    with pytest.raises(TextEncoderError, match=r"no finite numbers in torch.float32.*bfloat16"):
        encoder.encode(["a dog"], "flexible")


@pytest.mark.parametrize("length", ["fixed", "flexible"])
def test_a_decoders_pictures_are_those_of_a_plain_loop(written, pipeline, seeded, length):
    ella = Ella(tiny.tiny_connector(), load(written("qwen3")[0], hidden_layer=-2, fixed_length=6))
    drawn = ella.generate(
        pipeline,
        TEXTS[0],
        length=length,
        generator=seeded(1),
        num_inference_steps=3,
        output_type="latent",
    ).images
    assert_near(drawn, draw(ella, pipeline, TEXTS[0], 1, length=length))


def test_a_connector_of_another_language_model_warns(written):
    from ella import TrainedText

    connector = tiny.tiny_connector()
    connector.trained_text = TrainedText("flexible", language_model="qwen2")
    with pytest.warns(UserWarning, match=r"of the kind 'qwen2', but .* of the kind 'llama'"):
        Ella(connector, load(written("llama")[0]))
    Ella(connector, load(written("qwen2")[0]))


def test_a_connector_of_another_layer_than_its_text_encoders_warns(written):
    from ella import TrainedText

    connector = tiny.tiny_connector()
    connector.trained_text = TrainedText("flexible", hidden_layer=-2)
    with pytest.warns(UserWarning, match=r"trained with hidden layer -2.*gives None"):
        Ella(connector, load(written("llama")[0]))
    Ella(connector, load(written("llama")[0], hidden_layer=-2))


@pytest.mark.parametrize(
    ("kind", "layers", "model"),
    [
        ("adaln", 2, "llama"),
        ("adaln-zero", 2, "gemma3"),
        ("resampler", 6, "qwen2_5_vl"),
        ("resampler", 1, "t5"),
        ("mlp", 2, "mistral"),
    ],
)
@pytest.mark.filterwarnings("ignore:the text encoder runs in torch.float32")  # T5 on a CPU
def test_each_connector_is_trained_resumed_and_drawn_with(
    written, run, tmp_path, pipeline, seeded, kind, layers, model
):
    """Pictures, `python -m ella.train` twice, its file, the library, `dpgbench generate`."""
    folder = written(model)[0] if model != "t5" else write_t5(tmp_path / "t5")
    tiny.tiny_pipeline().save_pretrained(tmp_path / "base")
    write_folder(tmp_path / "data", num_pairs=2)
    words = ["--base=base", f"--text-encoder={folder}", "--data=data", "--device=cpu"]
    words += ["--batch-size=2", "--ema-decay=0", "--save-every=1", "--text-layer=-2"]
    words += [f"--connector-kind={kind}", f"--connector-layers={layers}", "--text-tokens=12"]
    words += ["--connector-heads=4", "--connector-num-latents=8", "--learning-rate=0.01"]
    bench = write_csv(tmp_path / "bench.csv", [row("x", 1)])  # `run` works in tmp_path
    weights = ["base=base", "connector=whole/connector.safetensors", f"text_encoder={folder}"]
    drawing = ["generate", "--model", "ella-sd15", "--device", "cpu", "--steps", "1", "--width"]
    drawing += ["64", "--height", "64", "--num-images", "1", "--bench", bench, "--out", "drawn"]
    drawing += [word for one in weights for word in ("--weights", one)]

    assert train.main([*words, "--out=whole", "--steps=2"]) == 0
    assert train.main([*words, "--out=stopped", "--steps=1"]) == 0
    one_step = load_file(tmp_path / "stopped/connector.safetensors")
    assert train.main([*words, "--out=stopped", "--steps=2"]) == 0
    resumed = load_file(tmp_path / "stopped/connector.safetensors")
    assert equal(resumed, load_file(tmp_path / "whole/connector.safetensors"))
    assert not equal(resumed, one_step)

    connector = Connector.from_safetensors(tmp_path / "whole/connector.safetensors")
    config, text = connector.config, connector.trained_text
    assert (config.kind, config.input_dim, config.layers) == (kind, WIDTH, layers)
    assert (text.length, text.tokens, text.hidden_layer) == ("fixed", 12, -2)
    assert model == "t5" or text.language_model.startswith(model)
    ella = Ella(connector, load(folder, hidden_layer=-2))  # its 12 tokens are taken
    how = {"num_inference_steps": 2, "output_type": "latent", "generator": seeded(1)}
    drawn = ella.generate(pipeline, TEXTS[0], **how).images
    assert_near(drawn, draw(ella, pipeline, TEXTS[0], 1, steps=2))

    ended = run(*drawing)
    assert ended.code == 0, ended.err
    identity = json.loads((tmp_path / "drawn/manifest.json").read_text())["identity"]
    options = identity["generation"]["options"]
    assert options == {
        "text_length": "fixed", "text_tokens": 12, "text_layer": -2, "with_clip": False,
    }  # fmt: skip
    assert (tmp_path / "drawn/images/x.png").is_file()
    assert "does not say that it was trained with such a one" not in ended.err


def write_t5(folder):
    encoder = tiny.tiny_text_encoder()
    encoder.model.save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)
    return folder


def test_a_connector_without_latents_that_says_nothing_draws_at_fixed_length(run, tmp_path):
    mlp = tiny.tiny_connector(kind="mlp", input_dim=128, width=128)  # as the embedded one's
    mlp.save_safetensors(tmp_path / "mlp.safetensors")
    bench = write_csv(tmp_path / "bench.csv", [row("x", 1)])
    words = ["generate", "--model", "tiny-ella-sd15", "--device", "cpu", "--steps", "1"]
    words += ["--weights", "connector=mlp.safetensors", "--bench", bench]
    assert run(*words, "--out", "fixed").code == 0
    ended = run(*words, "--out", "flexible", "--option", "text_length=flexible")
    assert ended.code == 0, ended.err
    for name in ("fixed", "flexible"):
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert manifest["identity"]["generation"]["options"]["text_length"] == name


def test_a_language_model_that_the_connectors_file_does_not_speak_of_is_noted(run, tmp_path):
    write_language_model("llama", tmp_path / "llama")
    tiny.tiny_pipeline().save_pretrained(tmp_path / "base")
    tiny.tiny_connector().save_safetensors(tmp_path / "silent.safetensors")
    bench = write_csv(tmp_path / "bench.csv", [row("x", 1)])
    words = ["generate", "--model", "tiny-ella-sd15", "--device", "cpu", "--steps", "1"]
    words += ["--weights", "connector=silent.safetensors", "--weights", "base=base"]
    ended = run(*words, "--weights", "text_encoder=llama", "--bench", bench, "--out", "r")
    assert ended.code == 0, ended.err
    assert "of the kind 'llama', but the connector's file does not say" in ended.err
    assert "LOAD REPORT" not in ended.err
