"""What a sample becomes for the networks: text features and latents, computed or from a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ella.config import Length
from ella.files import NUM_HASH_CHARACTERS, module_hash, text_hash
from ella.text_encoder import TextEncoder, TransformersTextEncoder
from ella.training.batches import Batch
from ella.training.cache import TensorCache
from ella.training.config import Keep
from ella.training.data import ImagePairs

TEXTS_AT_ONCE = 16
PICTURES_AT_ONCE = 8


def encoder_identity(encoder: TextEncoder) -> str:
    """What tells a text encoder from others: a hash of its weights, vocabulary and settings.

    Of an encoder of one's own: its attribute `identity`.

    Raises:
        ValueError: If it is of another class and has no such attribute.
    """
    if not isinstance(encoder, TransformersTextEncoder):
        identity = getattr(encoder, "identity", None)
        if not isinstance(identity, str):
            raise ValueError(
                "`text_encoder` needs an attribute `identity`, a text that changes whenever its"
                f" features do; {type(encoder).__name__} has none"
            )
        return text_hash(identity)
    tokenizer = encoder.tokenizer
    parts = [
        module_hash(encoder.model),
        type(encoder.model).__name__,
        type(tokenizer).__name__,
        str(sorted(tokenizer.get_vocab().items())),
        str(tokenizer("A first text, to see how it is cut into tokens.").input_ids),
        str((encoder.fixed_length, encoder.mask_padding, tokenizer.padding_side)),
    ]
    if encoder.hidden_layer is not None:
        parts.append(f"hidden layer {encoder.hidden_layer}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:NUM_HASH_CHARACTERS]


class TextFeatures:
    """Features of captions.

    Args:
        encoder: The frozen text encoder.
        length: Of the features.
        keep: Where they stay.
        folder: Of all caches.
        identity: The encoder's.
        at_once: Texts encoded together; 1 where what is kept must not depend on the others.
        most_tokens: Of a text, also under flexible length: longer ones are cut, with a warning.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        length: Length,
        keep: Keep,
        folder: Path,
        identity: str,
        *,
        at_once: int = TEXTS_AT_ONCE,
        most_tokens: int = 4096,
    ) -> None:
        if isinstance(encoder, TransformersTextEncoder):
            encoder = encoder.cutting_beyond(most_tokens)
        self._encoder = encoder
        self._length = length
        self.cache: TensorCache[str] | None = None
        if keep != "none":
            shards = folder / f"text-{identity}-{length}" if keep == "disk" else None
            self.cache = TensorCache(self._encode, folder=shards, at_once=at_once)

    def fill(self, pairs: ImagePairs, share: tuple[int, int] = (0, 1), label: str = "") -> None:
        """Fill the cache with all captions and the empty text, ahead of time."""
        if self.cache is not None:
            texts = {"", *(pairs.text(index) for index in range(len(pairs)))}
            self.cache.fill({text_hash(text): text for text in texts}, share=share, label=label)

    def __call__(
        self, texts: Sequence[str], there: Sequence[Tensor | None] | None = None
    ) -> list[Tensor]:
        """For each text `[tokens, feature_dim]`.

        Args:
            texts: Of a batch.
            there: Those that were read ahead of time.
        """
        if self.cache is None:
            return self.compute(texts)
        there = there or [None] * len(texts)
        missing = {text_hash(t): t for t, one in zip(texts, there, strict=True) if one is None}
        made = self.cache.gather(missing)
        return [
            made[text_hash(text)] if one is None else one
            for text, one in zip(texts, there, strict=True)
        ]

    @torch.no_grad()
    def compute(self, texts: Sequence[str]) -> list[Tensor]:
        """Features as `__call__` gives them, of texts that may not be in the cache.

        They are not checked to be finite, which waits for the device: those that are not make a
        loss that is not, and that is seen.
        """
        distinct = list(dict.fromkeys(texts))
        encode = getattr(self._encoder, "encode_unchecked", self._encoder.encode)
        features = dict(zip(distinct, encode(distinct, self._length), strict=True))
        return [features[text] for text in texts]

    @torch.no_grad()
    def _encode(self, texts: Sequence[str]) -> list[Tensor]:
        return self._encoder.encode(texts, self._length)


class Latents:
    """Latents of pictures, drawn anew at every look from the distribution that the VAE gives.

    Args:
        vae: A frozen `AutoencoderKL`.
        image_px: Side of square pictures.
        keep: Where the distributions' means and deviations stay.
        folder: Of all caches.
        at_once: Pictures encoded together for a cache; 1 where what is kept must not depend on the
            others.
    """

    def __init__(
        self,
        vae: Any,
        image_px: int,
        keep: Keep,
        folder: Path,
        *,
        at_once: int = PICTURES_AT_ONCE,
    ) -> None:
        self._vae = vae
        first = next(vae.parameters())  # the VAE's own `dtype` goes through all of it each time
        self._device, self._dtype = first.device, first.dtype
        side = image_px // downscale(vae)
        self.shape: tuple[int, int, int] = (vae.config.latent_channels, side, side)
        self.cache: TensorCache[Tensor] | None = None
        if keep != "none":
            name = f"latents-{module_hash(vae)}-{image_px}-by-content"
            shards = folder / name if keep == "disk" else None
            self.cache = TensorCache(self._encode_each, folder=shards, at_once=at_once)

    def __call__(
        self,
        pixels: Tensor | None,
        noise: Tensor,
        keys: Sequence[str] = (),
        there: Sequence[Tensor | None] | None = None,
    ) -> Tensor:
        """Latents `[B, C, h, w]` in float32, scaled for the U-Net, on the VAE's device.

        Args:
            pixels: `[B, 3, height, width]`, 0 to 255; None where all of `there` is.
            noise: `[B, C, h, w]`, standard normal: which latents of the distribution.
            keys: Of the pictures, for the cache; empty: it has no part.
            there: What was read of them ahead of time.
        """
        if self.cache is None or not keys:
            assert pixels is not None
            moments = self._encode(pixels)
        else:
            moments = torch.stack(self._kept(pixels, keys, there or [None] * len(keys)))
        mean, deviation = moments.to(self._device, torch.float32).unbind(1)
        config = self._vae.config
        latents = mean + deviation * noise.to(mean)
        return (latents - (config.get("shift_factor") or 0.0)) * config.scaling_factor

    def _kept(
        self, pixels: Tensor | None, keys: Sequence[str], there: Sequence[Tensor | None]
    ) -> list[Tensor]:
        assert self.cache is not None
        missing = {}
        for place, (key, one) in enumerate(zip(keys, there, strict=True)):
            if one is None:
                assert pixels is not None
                missing[key] = pixels[place]
        made = self.cache.gather(missing)
        return [made[key] if one is None else one for key, one in zip(keys, there, strict=True)]

    def fill(self, batch: Batch) -> None:
        """Keep the latents of a batch, where they are not kept yet."""
        if self.cache is not None:
            self._kept(batch.pixels, batch.keys, batch.moments)

    def _encode_each(self, pictures: Sequence[Tensor]) -> list[Tensor]:
        return list(self._encode(torch.stack(list(pictures))))

    @torch.no_grad()
    def _encode(self, pixels: Tensor) -> Tensor:
        """Mean and deviation of each picture's latents: `[B, 2, C, h, w]`."""
        scaled = pixels.to(self._device, non_blocking=True).float() / 127.5 - 1.0
        drawn = self._vae.encode(scaled.to(self._dtype)).latent_dist
        return torch.stack([drawn.mean, drawn.std], dim=1)


def downscale(vae: Any) -> int:
    """Pixels to a latent, along a side."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))
