"""Each kind of denoiser learns four pictures, and what it learnt draws from the exported file."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from PIL import Image

from ella import Connector, Ella, UnsupportedPipelineError, new_connector, tiny
from ella.training.denoisers import Condition, Sizes, denoiser_of, sizes_of
from ella.training.looks import Looks, held_out_loss
from ella.training.run import build_trainer, train_connector
from tests.ella.tiny_training import QUICK, TinyPairs

WIDE = 2 * tiny.WIDTH
KINDS = {
    "sd": (tiny.tiny_pipeline, {"width": tiny.WIDTH}),
    "sdxl": (tiny.tiny_sdxl_pipeline, {"width": WIDE, "pooled_width": tiny.WIDTH}),
    "pixart": (tiny.tiny_pixart_pipeline, {"width": WIDE}),
    "sd3": (tiny.tiny_sd3_pipeline, {"width": WIDE, "pooled_width": tiny.WIDTH}),
}
CALL = {"num_inference_steps": 2, "output_type": "latent"}


def more(kind):
    return {"use_resolution_binning": False} if kind == "pixart" else {"width": 64, "height": 64}


def draw(kind, pipeline, connector, prompt="a red circle", **changes):
    generator = torch.Generator().manual_seed(0)
    arguments = {**CALL, **more(kind), "generator": generator, **changes}
    return Ella(connector, tiny.tiny_text_encoder()).generate(pipeline, prompt, **arguments).images


@pytest.mark.parametrize("kind", ["sdxl", "pixart", "sd3"])
def test_four_pictures_are_learnt_and_drawn_from_the_file(tmp_path, kind):
    make, widths = KINDS[kind]
    config = replace(
        QUICK, steps=60, batch_size=4, learning_rate=2e-3, ema_decay=0.5, log_every=20,
        caption_dropout=0.0, latent_cache="memory", text_cache="memory", look_every=1000,
        look_pairs=0,
    )  # fmt: skip
    trainer = build_trainer(
        make(), tiny.tiny_text_encoder(), TinyPairs(), tmp_path, config,
        connector=tiny.tiny_connector(**widths), progress=False, looks=Looks(TinyPairs(40)),
    )  # fmt: skip
    trainer.prepare(tmp_path)
    start = dict(trainer.connector.state_dict())
    before = held_out_loss(trainer, TinyPairs(40), {n: t.clone() for n, t in start.items()})
    file = trainer.run()
    look = json.loads((tmp_path / "looks/step-00000060/look.json").read_text())
    assert look["held_out_loss"] < before["held_out_loss"] - 0.2
    assert len(look["held_out_loss_by_timestep"]) == 10
    learnt = Connector.from_safetensors(file)
    assert learnt.config.pooled_width == widths.get("pooled_width", 0)
    drawn = draw(kind, make(), learnt)
    assert bool(drawn.isfinite().all())
    assert not torch.equal(drawn, draw(kind, make(), tiny.tiny_connector(**widths)))


@pytest.mark.parametrize("kind", ["sdxl", "pixart", "sd3"])
def test_the_network_is_shown_what_the_connector_gives_at_each_step(kind, watch_network):
    make, widths = KINDS[kind]
    pipeline, connector = make(), tiny.tiny_connector(**widths)
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    seen = watch_network(network)
    encoder = tiny.tiny_text_encoder()
    draw(kind, pipeline, connector, ["a red circle", "two dogs"], negative_prompt="rain",
         num_images_per_prompt=2, guidance_scale=5.0, num_inference_steps=3)  # fmt: skip
    assert len(seen) == 3
    texts = ["rain", "rain", "a red circle", "two dogs"]
    features = torch.stack(encoder.encode(texts, "fixed"))
    for timestep, tokens, pooled in seen:
        with torch.no_grad():
            expected = connector(features, timestep).repeat_interleave(2, dim=0)
            torch.testing.assert_close(tokens, expected, rtol=1e-4, atol=1e-5)
            if widths.get("pooled_width"):
                own = connector.pool_projected(connector.project_text(features))
                expected = own.repeat_interleave(2, dim=0)
                torch.testing.assert_close(pooled, expected, rtol=1e-4, atol=1e-5)
    assert len({timestep for timestep, *_ in seen}) == 3


@pytest.fixture
def watch_network():
    handles = []

    def start(network):
        seen = []

        def record(_module, args, named):
            timestep = named["timestep"] if "timestep" in named else args[1]
            added = named.get("added_cond_kwargs") or {}
            pooled = named.get("pooled_projections", added.get("text_embeds"))
            tokens = named["encoder_hidden_states"].clone()
            seen.append((float(timestep.flatten()[0]), tokens, pooled))

        handles.append(network.register_forward_pre_hook(record, with_kwargs=True))
        return seen

    yield start
    for handle in handles:
        handle.remove()


def test_without_guidance_and_as_pictures():
    connector = tiny.tiny_connector(width=WIDE)
    drawn = draw("pixart", tiny.tiny_pixart_pipeline(), connector, guidance_scale=1.0)
    assert drawn.shape == (1, 4, 8, 8)
    (picture,) = draw("pixart", tiny.tiny_pixart_pipeline(), connector, output_type="pil")
    assert isinstance(picture, Image.Image)


def test_networks_are_told_sizes_as_their_pipelines_tell_them(watch_network):
    condition = Condition(torch.zeros(2, 8, WIDE), torch.zeros(2, tiny.WIDTH))
    latents, steps = torch.zeros(2, 4, 8, 8), torch.tensor([1, 2])
    sizes = sizes_of(latents, 8)
    assert sizes.original.tolist() == sizes.target.tolist() == [[64, 64]] * 2
    told = []
    unet = tiny.tiny_sdxl_pipeline()
    unet.unet.register_forward_pre_hook(
        lambda _m, _a, named: told.append(named["added_cond_kwargs"]["time_ids"]), with_kwargs=True
    )
    other = Sizes(sizes.original * 2, sizes.crop + 3, sizes.target)
    with torch.no_grad():
        denoiser_of(unet).predict(latents, steps, condition, other)
    assert told[0].tolist() == [[128, 128, 3, 3, 64, 64]] * 2
    pixart = tiny.tiny_pixart_pipeline()
    transformer = type(pixart.transformer).from_config(
        pixart.transformer.config, use_additional_conditions=True
    )
    transformer.adaln_single.emb.register_forward_pre_hook(
        lambda _m, args, named: told.append((args, named)), with_kwargs=True
    )
    pixart.transformer = transformer
    wide = torch.zeros(2, 4, 8, 8)
    with torch.no_grad():
        answer = denoiser_of(pixart).predict(wide, steps, condition, sizes_of(wide, 8))
    assert answer.shape == wide.shape  # without the variance
    args, named = told[1]
    values = [one for one in (*args, *named.values()) if isinstance(one, torch.Tensor)]
    assert any(one.tolist() == [[64, 64]] * 2 for one in values if one.shape == (2, 2))
    assert any(one.tolist() == [[1], [1]] for one in values if one.shape == (2, 1))


class WidePairs(TinyPairs):
    """Pictures twice as wide as high, larger than is trained on."""

    def image(self, index):
        return super().image(index).resize((256, 128))


@pytest.mark.parametrize("latent_cache", ["none", "memory", "disk"])
def test_sdxl_is_told_how_large_pictures_were_and_where_they_were_cut(tmp_path, latent_cache):
    told = []
    pipeline = tiny.tiny_sdxl_pipeline()
    pipeline.unet.register_forward_pre_hook(
        lambda _m, _a, named: told.extend(named["added_cond_kwargs"]["time_ids"].tolist()),
        with_kwargs=True,
    )
    train_connector(
        pipeline,
        tiny.tiny_text_encoder(),
        WidePairs(),
        tmp_path,
        replace(QUICK, steps=6, latent_cache=latent_cache),
        connector=tiny.tiny_connector(**KINDS["sdxl"][1]),
        progress=False,
    )
    px = tiny.IMAGE_PX
    assert {tuple(row) for row in told} == {(128, 256, 0, px / 2, px, px)}


def test_a_connector_that_does_not_fit_is_refused(tmp_path):
    encoder = tiny.tiny_text_encoder()
    for kind, (make, widths) in KINDS.items():
        wrong = {**widths, "pooled_width": 5}
        with pytest.raises(ValueError, match="gives a pooled embedding of width 5"):
            build_trainer(
                make(),
                encoder,
                TinyPairs(),
                tmp_path,
                QUICK,
                connector=tiny.tiny_connector(**wrong),
            )
        with pytest.raises(UnsupportedPipelineError, match=r"takes a pooled|tokens of width"):
            Ella(tiny.tiny_connector(**wrong), encoder).check_pipeline(make())
        if kind in {"sdxl", "sd3"}:
            with pytest.raises(ValueError, match="pooled embedding of width 0"):
                build_trainer(
                    make(), encoder, TinyPairs(), tmp_path, QUICK,
                    connector=tiny.tiny_connector(width=WIDE),
                )  # fmt: skip
    with pytest.raises(UnsupportedPipelineError, match="pooled embedding of width 32"):
        Ella(tiny.tiny_connector(width=WIDE), encoder).check_pipeline(tiny.tiny_sd3_pipeline())


def test_a_new_connector_takes_its_widths_from_the_denoiser(tmp_path):
    for make, widths in KINDS.values():
        trainer = build_trainer(
            make(), tiny.tiny_text_encoder(), TinyPairs(), tmp_path, QUICK, progress=False,
            sizes={"layers": 1, "heads": 4},
        )  # fmt: skip
        config = trainer.connector.config
        assert (config.width, config.pooled_width) == (
            widths["width"],
            widths.get("pooled_width", 0),
        )


def test_what_is_pooled_is_in_the_file_and_in_no_other(tmp_path):
    config = replace(tiny.tiny_connector().config, pooled_width=7)
    connector = new_connector(config)
    connector.save_safetensors(tmp_path / "a")
    again = Connector.from_safetensors(tmp_path / "a")
    assert again.config == config
    features = torch.randn(2, 5, tiny.WIDTH)
    with torch.no_grad():
        pooled = [one.pool_projected(one.project_text(features)) for one in (connector, again)]
    assert torch.equal(*pooled)
    assert pooled[0].shape == (2, 7)
    with pytest.raises(ValueError, match="`pooled_width` of this connector is 0"):
        tiny.tiny_connector().pool_projected(torch.zeros(1, 1, tiny.WIDTH))


def test_other_networks_are_refused():
    class Other:
        unet = None
        transformer = torch.nn.Linear(1, 1)

    with pytest.raises(ValueError, match="a denoiser of the class Linear"):
        denoiser_of(Other())
