"""Where pairs come from, and what is kept of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from ella import FolderPairs, TrainingDataError, TrainingError, tiny
from ella.data.pictures import Shape, cut
from ella.training.cache import TensorCache
from ella.training.data import to_pixels
from ella.training.features import Latents, TextFeatures, encoder_identity
from tests.ella.tiny_training import (
    QUICK,
    TEXTS,
    TinyPairs,
    check_learnt_alike,
    equal,
    run_tiny,
    write_folder,
)


def test_both_lists_say_the_same(tmp_path):
    jsonl = FolderPairs(write_folder(tmp_path))
    texts = ['a "red" circle, None', "two\nlines", "a blé square", "NA"]
    (tmp_path / "captions.jsonl").unlink()
    quoted = [text.replace('"', '""') for text in texts]
    rows = "".join(f'x,images/{n}.png,"{text}"\r\n' for n, text in enumerate(quoted))
    (tmp_path / "captions.csv").write_text(f"id,file,text\r\n{rows}", encoding="utf-8-sig")
    pairs = FolderPairs(str(tmp_path))
    assert [pairs.text(n) for n in range(len(pairs))] == texts
    assert len({pairs.image_key(n) for n in range(4)}) == 4
    assert pairs.image(2).tobytes() == jsonl.image(2).tobytes() == TinyPairs().image(2).tobytes()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.txt", "", "needs one of captions.csv and captions.jsonl, and has neither"),
        ("captions.csv", "", "has no column file and text"),
        ("captions.csv", "file,caption\na.png,x\n", "has no column text"),
        ("captions.csv", "file,text\n", "lists no picture"),
        ("captions.csv", "file,text\na.png,x\na.png\n", "row 3: needs a file and a text"),
        ("captions.csv", "file,text\na.png, \n", "row 2: needs a file and a text"),
        ("captions.csv", "file,text\nb.png,x\n", "row 2: .*b.png: No such file"),
        ("captions.csv", "file,text\n../a.png,x\n", "row 2: '../a.png' is not within"),
        ("captions.csv", 'file,text\na.png,"x\n', "is not csv in UTF-8"),
        ("captions.jsonl", "\n[1]\n", "row 2: is no JSON object"),
        ("captions.jsonl", '{"file": "a.png"', "row 1: is no JSON object"),
        ("captions.jsonl", '{"file": "/a.png", "text": "x"}', "row 1: '/a.png' is not within"),
        ("captions.jsonl", '{"file": "a.png", "text": 3}', "row 1: needs a file and a text"),
        ("captions.jsonl", "\xff".encode("latin-1"), "is not jsonl in UTF-8"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, name, content, says):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(TrainingDataError, match=says):
        FolderPairs(tmp_path)


def test_a_damaged_picture_is_named_and_can_be_replaced(tmp_path):
    folder = write_folder(tmp_path / "data")
    good = (folder / "images/2.png").read_bytes()
    (folder / "images/2.png").write_bytes(good[:60])
    with pytest.raises(TrainingDataError, match=r"images/2.png: no picture .* it resumes"):
        run_tiny(tmp_path / "out", replace(QUICK, save_every=1), FolderPairs(folder))
    (folder / "images/2.png").write_bytes(good)
    weights = run_tiny(tmp_path / "out", QUICK, FolderPairs(folder))
    assert equal(weights, run_tiny(tmp_path / "whole", QUICK, FolderPairs(folder)))


def test_pixels():
    image = Image.new("RGB", (8, 4), (255, 0, 0))
    image.paste((0, 0, 255), (2, 0, 6, 4))
    pixels = to_pixels(image, 4)
    assert pixels.shape == (3, 4, 4)
    blue = torch.tensor([-1.0, -1.0, 1.0]).view(3, 1, 1).expand(3, 4, 4)
    torch.testing.assert_close(pixels, blue)  # the sides are cut off
    assert to_pixels(Image.new("LA", (3, 9), 255), 8).shape == (3, 8, 8)


@pytest.mark.parametrize("cached", ["text_cache", "latent_cache"])
def test_cached_is_uncached(tmp_path, cached):
    run_tiny(tmp_path / "none", replace(QUICK, caption_dropout=0.5))
    config = replace(QUICK, caption_dropout=0.5, **{cached: "disk"})
    disk = run_tiny(tmp_path / "disk", config)
    check_learnt_alike(*tmp_path.glob("*/connector.safetensors"))
    shards = list((tmp_path / "disk/cache").glob("*/*.safetensors"))
    assert len(shards) == 1
    made = shards[0].stat().st_mtime_ns
    again = run_tiny(tmp_path / "again", config, cache_folder=tmp_path / "disk/cache")
    assert shards[0].stat().st_mtime_ns == made
    assert not (tmp_path / "again/cache").exists()
    assert equal(disk, again)
    assert equal(disk, run_tiny(tmp_path / "memory", replace(config, **{cached: "memory"})))


def test_features_are_the_encoders(tmp_path, text_encoder):
    name = encoder_identity(text_encoder)
    for keep in ("none", "memory", "disk"):
        features = TextFeatures(text_encoder, "flexible", keep, tmp_path, name)
        features.fill(TinyPairs())
        asked = ["", TEXTS[1], TEXTS[2], ""]
        for one, other in zip(features(asked), text_encoder.encode(asked, "flexible"), strict=True):
            torch.testing.assert_close(one, other)


def test_a_text_without_end_is_cut_and_that_is_said_once(tmp_path, text_encoder):
    """What a language model takes grows with the square of a text's tokens."""
    long = "a red circle " * 10_000
    features = TextFeatures(text_encoder, "flexible", "memory", tmp_path, "name", most_tokens=9)
    with pytest.warns(
        UserWarning, match=r"tokens is cut to 9, and so will others .*'a red"
    ) as said:
        one, other, short = features([long, f"{long} too", TEXTS[1]])
    assert (len(said), len(one), len(other)) == (1, 9, 9)
    ids = text_encoder.tokenizer(long[:400], truncation=True, max_length=9).input_ids
    expected = text_encoder.model(torch.tensor([ids])).last_hidden_state[0]
    torch.testing.assert_close(one, expected)
    torch.testing.assert_close(short, text_encoder.encode([TEXTS[1]], "flexible")[0])


def test_an_encoder_is_named_by_all_that_counts(text_encoder):
    encoder = tiny.tiny_text_encoder()
    same = encoder_identity(encoder)
    assert same == encoder_identity(text_encoder)
    encoder.encode(TEXTS, "fixed")
    assert same == encoder_identity(encoder)
    encoder.mask_padding = False
    assert same != encoder_identity(encoder)
    assert same != encoder_identity(tiny.tiny_text_encoder(seed=1))

    class Own:
        feature_dim = tiny.WIDTH

        def encode(self, texts, length):
            return [torch.full((3, tiny.WIDTH), float(len(text))) for text in texts]

    with pytest.raises(ValueError, match=r"`text_encoder` needs an attribute `identity`.*Own"):
        encoder_identity(Own())
    own = Own()
    own.identity = "lengths, version 1"
    assert encoder_identity(own) != same


def test_latents_have_the_vaes_distribution(pipeline, tmp_path):
    latents = Latents(pipeline.vae, 64, "none", tmp_path)
    assert latents.shape == (4, 8, 8)
    square = Shape(64, 64)
    pixels = torch.stack(
        [
            torch.from_numpy(cut(TinyPairs().image(n), square).pixels).permute(2, 0, 1)
            for n in (0, 1)
        ]
    )
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        scaled = torch.stack([to_pixels(TinyPairs().image(n), 64) for n in (0, 1)])
        drawn = pipeline.vae.encode(scaled).latent_dist
    expected = (drawn.mean + drawn.std * noise) * pipeline.vae.config.scaling_factor
    torch.testing.assert_close(latents(pixels, noise), expected)
    kept = Latents(pipeline.vae, 64, "disk", tmp_path)
    torch.testing.assert_close(kept(pixels, noise, ["a", "b"]), expected)
    there = [kept.cache.seek("a"), kept.cache.seek("b")]
    torch.testing.assert_close(kept(None, noise, ["a", "b"], there), expected)


class Counted:
    """Computes a tensor a text, and counts."""

    def __init__(self, until=10**9):
        self.asked = []
        self.until = until

    def __call__(self, texts):
        self.asked += texts
        if len(self.asked) > self.until:
            raise KeyboardInterrupt
        return [torch.tensor([float(text)]) for text in texts]


def test_a_cache_grows_is_shared_and_survives(tmp_path):
    items = {f"{n:04d}": str(n) for n in range(600)}
    broken = TensorCache(Counted(until=300), folder=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        broken.fill(items)
    assert len(list(tmp_path.iterdir())) == 1
    rest = Counted()
    caches = [TensorCache(rest, folder=tmp_path) for _ in range(2)]
    for i, cache in enumerate(caches):
        cache.fill(items, share=(i, 2))
    assert len(rest.asked) == 600 - 256
    caches[0].find()
    assert all(float(caches[0][name]) == float(text) for name, text in items.items())
    grown = Counted()
    TensorCache(grown, folder=tmp_path).fill(items | {"9999": "7"})
    assert grown.asked == ["7"]
    shard = min(tmp_path.iterdir())
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(TrainingError, match=f"{shard.name}: damaged .* delete it"):
        TensorCache(Counted(), folder=tmp_path)


def test_pictures_are_seen_as_they_are_meant(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 4), (9, 8, 7)).save(tmp_path / "turned.png", exif=exif)
    Image.new("RGBA", (4, 4), (9, 8, 7, 0)).save(tmp_path / "clear.png")
    Image.fromarray(np.full((4, 4), 100 * 257, np.uint16)).save(tmp_path / "deep.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "gif.png", "GIF")
    rows = "".join(f"{name}.png,a caption\n" for name in ("turned", "clear", "deep", "gif"))
    (tmp_path / "captions.csv").write_text("file,text\n" + rows)
    pairs = FolderPairs(tmp_path)
    assert pairs.image(0).size == (4, 8)
    assert pairs.image(1).getpixel((0, 0)) == (255, 255, 255)
    assert pairs.image(2).getpixel((0, 0)) == (100, 100, 100)
    with pytest.raises(TrainingDataError, match=r"gif\.png: no picture that can be read"):
        pairs.image(3)
