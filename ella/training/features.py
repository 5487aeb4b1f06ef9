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
from ella.training.cache import TensorCache
from ella.training.config import Keep
from ella.training.data import ImagePairs, to_pixels

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
    """

    def __init__(
        self, encoder: TextEncoder, length: Length, keep: Keep, folder: Path, identity: str
    ) -> None:
        self._encoder = encoder
        self._length = length
        self.cache: TensorCache[str] | None = None
        if keep != "none":
            shards = folder / f"text-{identity}-{length}" if keep == "disk" else None
            self.cache = TensorCache(self._encode, folder=shards, at_once=TEXTS_AT_ONCE)

    def prepare(self, pairs: ImagePairs, share: tuple[int, int], label: str) -> None:
        """Fill the cache with all captions and the empty text."""
        if self.cache is not None:
            texts = {"", *(pairs.text(index) for index in range(len(pairs)))}
            self.cache.fill({text_hash(text): text for text in texts}, share=share, label=label)

    def __call__(self, texts: Sequence[str]) -> list[Tensor]:
        """For each text `[tokens, feature_dim]`."""
        if self.cache is not None:
            return [self.cache[text_hash(text)] for text in texts]
        return self.compute(texts)

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
        image_px: Side of the pictures.
        keep: Where the distributions' means and deviations stay.
        folder: Of all caches.
    """

    def __init__(self, vae: Any, image_px: int, keep: Keep, folder: Path) -> None:
        self._vae = vae
        first = next(vae.parameters())  # the VAE's own `dtype` goes through all of it each time
        self._device, self._dtype = first.device, first.dtype
        self._image_px = image_px
        self._pairs: ImagePairs | None = None
        self.cache: TensorCache[int] | None = None
        side = image_px // downscale(vae)
        self.shape: tuple[int, int, int] = (vae.config.latent_channels, side, side)
        if keep != "none":
            name = f"latents-{module_hash(vae)}-{image_px}"
            shards = folder / name if keep == "disk" else None
            self.cache = TensorCache(self._encode_pairs, folder=shards, at_once=PICTURES_AT_ONCE)

    def prepare(self, pairs: ImagePairs, share: tuple[int, int], label: str) -> None:
        """Fill the cache with all pictures."""
        self._pairs = pairs
        if self.cache is not None:
            names = {text_hash(pairs.image_key(index)): index for index in range(len(pairs))}
            self.cache.fill(names, share=share, label=label)

    def __call__(self, pairs: Sequence[int], pixels: Tensor | None, noise: Tensor) -> Tensor:
        """Latents `[B, C, h, w]` in float32, scaled for the U-Net, on the VAE's device.

        Args:
            pairs: Indices, for the cache.
            pixels: `[B, 3, image_px, image_px]`; None where there is a cache.
            noise: `[B, C, h, w]`, standard normal: which latents of the distribution.
        """
        if pixels is None:
            assert self.cache is not None and self._pairs is not None
            names = [text_hash(self._pairs.image_key(index)) for index in pairs]
            moments = torch.stack([self.cache[name] for name in names])
        else:
            moments = self._encode(pixels)
        mean, deviation = moments.to(self._device, torch.float32).unbind(1)
        config = self._vae.config
        latents = mean + deviation * noise.to(mean)
        return (latents - (config.get("shift_factor") or 0.0)) * config.scaling_factor

    def _encode_pairs(self, indices: Sequence[int]) -> list[Tensor]:
        assert self._pairs is not None
        images = [self._pairs.image(index) for index in indices]
        pixels = torch.stack([to_pixels(image, self._image_px) for image in images])
        return list(self._encode(pixels))

    @torch.no_grad()
    def _encode(self, pixels: Tensor) -> Tensor:
        """Mean and deviation of each picture's latents: `[B, 2, C, h, w]`."""
        drawn = self._vae.encode(pixels.to(self._device, self._dtype)).latent_dist
        return torch.stack([drawn.mean, drawn.std], dim=1)


def downscale(vae: Any) -> int:
    """Pixels to a latent, along a side."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))
