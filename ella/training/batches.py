"""Batches for the loop: pictures read and noise drawn, ahead of time where workers do it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ella.data.captions import cut_at_sentence
from ella.data.order import Order
from ella.data.pictures import Buckets, Shape, corner_of, cut
from ella.errors import EllaError, TrainingDataError
from ella.training.cache import TensorCache
from ella.training.config import TrainConfig
from ella.training.data import ImagePairs
from ella.training.randomness import NoiseRule, draw_sample
from ella.training.sources import PairSource, as_source
from ella.whole_files import text_hash

_ATTEMPTS = 64  # pairs that are tried for a sample whose own is damaged


class Damaged(NamedTuple):
    """A pair that cannot be used.

    Attributes:
        pair: Its index.
        name: Where its picture is.
        reason: What is wrong, and what to do.
    """

    pair: int
    name: str
    reason: str


class Batch(NamedTuple):
    """Some samples, on the CPU.

    Attributes:
        pairs: Index of each pair.
        texts: Captions, the empty text where dropped.
        pixels: `[B, 3, height, width]`, 0 to 255; None where no picture had to be read, black
            where only this one's had not.
        timesteps: `[B]`.
        noise: `[B, C, h, w]`.
        latent_noise: `[B, C, h, w]`.
        sizes: `[B, 4]`: height and width of each picture as it was, top and left edge of what was
            cut out of it once it was scaled.
        keys: What tells each picture from others, and the shape it is cut to.
        moments: For each picture, what a cache on disk holds of it; None where it holds nothing.
        features: For each text, likewise.
        damaged: Pairs met that cannot be used; others stand in their place.
        is_last: Whether it is the last one of its step for this process.
    """

    pairs: list[int]
    texts: list[str]
    pixels: Tensor | None
    timesteps: Tensor
    noise: Tensor
    latent_noise: Tensor
    sizes: Tensor
    keys: list[str]
    moments: list[Tensor | None]
    features: list[Tensor | None]
    damaged: list[Damaged]
    is_last: bool = False


@dataclass(frozen=True)
class Caches:
    """What workers look up, so that a picture need not be decoded nor a text encoded.

    Attributes:
        latents: Moments by picture; None where none are kept on disk.
        texts: Features by text; likewise.
    """

    latents: TensorCache[Tensor] | None = None
    texts: TensorCache[str] | None = None


class SampleNumber(NamedTuple):
    """A sample that is to be read.

    Attributes:
        number: Of all samples.
        pair: Index of its pair.
        bucket: Number of the shape that its picture is cut to.
        is_last: Whether no other of its step follows in this process.
    """

    number: int
    pair: int
    bucket: int = 0
    is_last: bool = False


class _Taken(NamedTuple):
    """A pair that can be used; fields as in `Batch`."""

    pair: int
    text: str
    key: str
    pixels: Tensor | None
    moments: Tensor | None
    sizes: tuple[int, int, int, int]


@dataclass(frozen=True)
class Samples(Dataset[Batch]):
    """Sample n of a data set, as a batch of one.

    Attributes:
        pairs: The data set.
        config: Seed and caption dropout.
        latent_shape: Of the noise, for a square picture.
        num_timesteps: Of the noise's schedule.
        image_px: Side of the square.
        caches: Where pictures and texts need not be computed.
        count_tokens: Of a text, where long captions lose their last sentences.
    """

    pairs: ImagePairs | PairSource
    config: TrainConfig
    latent_shape: tuple[int, int, int]
    num_timesteps: int
    image_px: int
    caches: Caches = field(default=Caches())
    count_tokens: Callable[[str], int] | None = None

    @cached_property
    def buckets(self) -> Buckets:
        """The shapes that pictures are cut to."""
        return buckets_of(self.config, self.image_px)

    @cached_property
    def source(self) -> PairSource:
        """The data set as the loop reads it."""
        return as_source(self.pairs, self.config, self.buckets)

    def __getitem__(self, sample: tuple[int, int] | SampleNumber) -> Batch:
        number, pair, bucket, is_last = SampleNumber(*sample)
        shape = self.buckets.shapes[bucket]
        draw = draw_sample(
            self.config.seed,
            number,
            latent_shape=self._latent_shape(shape),
            num_timesteps=self.num_timesteps,
            dropout=self.config.caption_dropout,
            rule=NoiseRule.of(self.config),
        )
        damaged: list[Damaged] = []
        taken = self._usable(number, pair, shape, damaged)
        text = "" if draw.dropped else taken.text
        return Batch(
            pairs=[taken.pair],
            texts=[text],
            pixels=None if taken.pixels is None else taken.pixels[None],
            timesteps=torch.tensor([draw.timestep]),
            noise=draw.noise[None],
            latent_noise=draw.latent_noise[None],
            sizes=torch.tensor([taken.sizes]),
            keys=[taken.key],
            moments=[taken.moments],
            features=[
                None if self.caches.texts is None else self.caches.texts.seek(text_hash(text))
            ],
            damaged=damaged,
            is_last=is_last,
        )

    def _latent_shape(self, shape: Shape) -> tuple[int, int, int]:
        channels, side, _ = self.latent_shape
        scale = self.image_px // side
        return channels, shape.height // scale, shape.width // scale

    def _usable(self, number: int, pair: int, shape: Shape, damaged: list[Damaged]) -> _Taken:
        """The sample's own pair, or the first that can be used of those drawn in its place."""
        for attempt in range(_ATTEMPTS):
            try:
                return self._taken(number, pair, shape)
            except TrainingDataError as error:
                damaged.append(Damaged(pair, self.source.name(pair), str(error)))
                pair = self.source.replacement(pair, self.config.seed, number, attempt)
        raise TrainingDataError(damaged[0].reason)

    def _taken(self, number: int, pair: int, shape: Shape) -> _Taken:
        text = self.source.caption(pair, self.config.seed, number)
        if self.config.sentence_tokens and self.count_tokens:
            text = cut_at_sentence(text, self.config.sentence_tokens, self.count_tokens)
        keyed = self.config.latent_cache != "none"
        loaded = self.source.load(pair, keyed=keyed)
        key = text_hash(f"{loaded.key} {shape.height}x{shape.width}") if keyed else ""
        moments = None if self.caches.latents is None else self.caches.latents.seek(key)
        if moments is not None:
            corner = corner_of(loaded.size, shape)
            return _Taken(pair, text, key, None, moments, (*loaded.size, *corner))
        part = cut(self.source.decode(pair, loaded), shape)
        pixels = torch.from_numpy(part.pixels).permute(2, 0, 1).contiguous()
        # A cache may know less of a picture than who decodes it: both say the same.
        says_size = not keyed or all(loaded.size)
        sizes = (*part.original, *part.corner) if says_size else (0, 0, 0, 0)
        return _Taken(pair, text, key, pixels, None, sizes)


def buckets_of(config: TrainConfig, image_px: int) -> Buckets:
    """The shapes that the settings name."""
    return Buckets(image_px, config.largest_aspect, config.bucket_px)


def join_samples(batches: Sequence[Batch]) -> Batch:
    """Samples with pictures of one shape as one batch, in their order."""

    def joined(name: str) -> list[Any]:
        return [one for batch in batches for one in getattr(batch, name)]

    read = [batch.pixels for batch in batches if batch.pixels is not None]
    pixels = None
    if read:
        pixels = torch.cat(
            [torch.zeros_like(read[0]) if b.pixels is None else b.pixels for b in batches]
        )
    return Batch(
        pairs=joined("pairs"),
        texts=joined("texts"),
        pixels=pixels,
        timesteps=torch.cat([batch.timesteps for batch in batches]),
        noise=torch.cat([batch.noise for batch in batches]),
        latent_noise=torch.cat([batch.latent_noise for batch in batches]),
        sizes=torch.cat([batch.sizes for batch in batches]),
        keys=joined("keys"),
        moments=joined("moments"),
        features=joined("features"),
        damaged=joined("damaged"),
        is_last=batches[-1].is_last,
    )


@dataclass(frozen=True)
class StepPlan:
    """Which samples a process reads, micro-batch by micro-batch, from a step on.

    Sample n belongs to step n // `global_batch`, on any number of processes. A micro-batch has
    pictures of one shape.

    Attributes:
        order: Which pair sample n is.
        source: The pairs.
        global_batch: Samples of a step, over all processes.
        at_once: Samples of a micro-batch, at most.
        first_step: The next step.
        last_step: The step after the last.
        process: This process.
        num_processes: Of all.
    """

    order: Order
    source: PairSource
    global_batch: int
    at_once: int
    first_step: int
    last_step: int
    process: int = 0
    num_processes: int = 1

    def steps(self) -> Iterator[list[list[SampleNumber]]]:
        """For each step its micro-batches."""
        for step in range(self.first_step, self.last_step):
            yield self.micro_batches(step)

    def micro_batches(self, step: int) -> list[list[SampleNumber]]:
        """A step's samples of this process, those of one shape together."""
        start = step * self.global_batch
        first = start + self.process * self.global_batch // self.num_processes
        last = start + (self.process + 1) * self.global_batch // self.num_processes
        by_shape: dict[int, list[SampleNumber]] = {}
        for number in range(first, last):
            pair = self.order.pair_of(number)
            bucket = self.source.bucket(pair)
            by_shape.setdefault(bucket, []).append(SampleNumber(number, pair, bucket))
        batches = [
            samples[place : place + self.at_once]
            for samples in by_shape.values()
            for place in range(0, len(samples), self.at_once)
        ]
        batches[-1][-1] = batches[-1][-1]._replace(is_last=True)
        return batches

    def __iter__(self) -> Iterator[list[SampleNumber]]:
        """Every micro-batch, as `DataLoader` wants them."""
        for micro_batches in self.steps():
            yield from micro_batches


class _Failed(NamedTuple):
    """What a worker could not read, to be raised where the loop is."""

    error: Exception


class _Readable(Dataset[Batch | _Failed]):
    """Samples whose errors are values: a worker would wrap them in a traceback."""

    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __getitem__(self, sample: SampleNumber) -> Batch | _Failed:
        try:
            return self._samples[sample]
        except (EllaError, OSError) as error:
            error.__traceback__ = error.__cause__ = error.__context__ = None
            return _Failed(error)


def _join_or_fail(samples: Sequence[Batch | _Failed]) -> Batch | _Failed:
    failed = [one for one in samples if isinstance(one, _Failed)]
    return failed[0] if failed else join_samples([one for one in samples if isinstance(one, Batch)])


def read_steps(
    samples: Samples, plan: StepPlan, workers: int, *, pinned: bool
) -> Iterator[list[Batch]]:
    """The batches of each step of a plan, read ahead of time where workers do it.

    Args:
        samples: What is read.
        plan: In which order.
        workers: Processes that read; 0: this one, in between.
        pinned: Whether batches lie in memory that a GPU can copy from by itself.

    Raises:
        TrainingDataError: If no pair can be found in the place of a damaged one.
        OSError: If the disk refuses.
    """
    if workers:  # tokenizers warn of threads in processes that are forked
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    loader = DataLoader(
        _Readable(samples),
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=_join_or_fail,
        pin_memory=pinned,
        generator=torch.Generator(),  # its own: the global one is the caller's
    )
    step: list[Batch] = []
    for batch in loader:
        if isinstance(batch, _Failed):
            raise batch.error
        step.append(batch)
        if batch.is_last:
            yield step
            step = []
