"""Pairs as the loop reads them: of an index, or of any object that fulfils `ImagePairs`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from ella.data.captions import CaptionColumns
from ella.data.conditions import parse_conditions
from ella.data.order import Order, PermutedOrder
from ella.data.pairs import IndexedPairs
from ella.data.pictures import Buckets, Shape, size_of
from ella.training.config import TrainConfig
from ella.training.data import ImagePairs, texts_digest
from ella.whole_files import bytes_hash, text_hash

if TYPE_CHECKING:
    from PIL import Image

_REPLACEMENT = 5  # as in ella.data.pairs
_ONLY_INDEXED = ("caption_column", "filter", "min_px")


class Loaded(NamedTuple):
    """A picture before it is decoded, where it comes from a file.

    Attributes:
        key: Changes whenever the picture does; empty where it was not asked for.
        size: Height and width, as it is seen; 0 where a file does not say them.
        content: The file; None where the picture is there already.
        image: The picture; None where it is still to be decoded.
    """

    key: str
    size: Shape
    content: bytes | None = None
    image: Image.Image | None = None


class PairSource(Protocol):
    """What the loop asks of a data set; an error of the class `TrainingDataError` is damage."""

    def __len__(self) -> int:
        """Pairs, whether usable or not."""
        ...

    @property
    def num_usable(self) -> int:
        """Pairs in an epoch."""
        ...

    def identity(self, *, listed: bool) -> dict[str, Any]:
        """What a resumed run must share of the data."""
        ...

    def order(self, seed: int, together: int, *, listed: bool) -> Order:
        """Which pair sample n is; `listed`: as before there were indexes."""
        ...

    def bucket(self, index: int) -> int:
        """The number of the shape that a picture is cut to."""
        ...

    def caption(self, index: int, seed: int, number: int) -> str:
        """The caption that sample `number` shows."""
        ...

    def load(self, index: int, *, keyed: bool) -> Loaded:
        """A picture; with its key where that is needed."""
        ...

    def decode(self, index: int, loaded: Loaded) -> Image.Image:
        """The picture in it."""
        ...

    def name(self, index: int) -> str:
        """Where the picture is."""
        ...

    def replacement(self, index: int, seed: int, number: int, attempt: int) -> int:
        """Another pair for sample `number`, whose own cannot be used."""
        ...


def as_source(pairs: ImagePairs | PairSource, config: TrainConfig, buckets: Buckets) -> PairSource:
    """Pairs of any kind for the loop.

    Raises:
        ValueError: If the settings ask what only indexed data can do.
        TrainingDataError: If a column is not there, or no picture is left.
    """
    if not isinstance(pairs, ImagePairs):
        return pairs
    if isinstance(pairs, IndexedPairs):
        return IndexedSource(pairs, config, buckets)
    for name in _ONLY_INDEXED:
        if getattr(config, name):
            raise ValueError(f"`{name}` needs indexed data (ella.data.pairs.IndexedPairs)")
    if len(buckets.shapes) > 1:
        raise ValueError("`largest_aspect` needs indexed data (ella.data.pairs.IndexedPairs)")
    return PlainSource(pairs)


class IndexedSource:
    """Pairs of an index."""

    def __init__(self, pairs: IndexedPairs, config: TrainConfig, buckets: Buckets) -> None:
        self._pairs = pairs
        self._buckets = buckets
        self._columns = CaptionColumns.parse(config.caption_column)
        for index in pairs.indexes:
            self._columns.check(pairs.text_columns, str(index.root))
        words = [config.filter, f"shorter>={config.min_px}" if config.min_px else ""]
        pairs.select(parse_conditions(",".join(filter(None, words))), buckets)

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def num_usable(self) -> int:
        """Pairs that the filters leave."""
        return self._pairs.num_selected

    def identity(self, *, listed: bool) -> dict[str, Any]:
        """Number of pairs, a hash of their captions, and the rule of their order."""
        if listed:
            return {"pairs": len(self._pairs), "captions": texts_digest(self._pairs)}
        return self._pairs.identity() | {"order": "windows"}

    def order(self, seed: int, together: int, *, listed: bool) -> Order:
        """Windows of blocks."""
        if listed:
            return self._pairs.listed_order(seed)
        return self._pairs.order(seed, together)

    def bucket(self, index: int) -> int:
        """By the picture's size."""
        if len(self._buckets.shapes) == 1:
            return 0
        size = self._pairs.size(index)
        return int(self._buckets.numbers([size.width], [size.height])[0])

    def caption(self, index: int, seed: int, number: int) -> str:
        """Of the columns that the settings name."""
        return self._pairs.caption(index, self._columns, seed, number)

    def load(self, index: int, *, keyed: bool) -> Loaded:
        """The file's bytes."""
        content = self._pairs.content(index)
        if not keyed:
            return Loaded("", Shape(0, 0), content)
        width, height = size_of(io.BytesIO(content))
        return Loaded(bytes_hash(content), Shape(height, width), content)

    def decode(self, index: int, loaded: Loaded) -> Image.Image:
        """The picture in them."""
        assert loaded.content is not None
        return self._pairs.decoded(index, loaded.content)

    def name(self, index: int) -> str:
        """Where the picture is."""
        return self._pairs.name(index)

    def replacement(self, index: int, seed: int, number: int, attempt: int) -> int:
        """A usable pair of the same source."""
        return self._pairs.replacement(index, seed, number, attempt)


class PlainSource:
    """Pairs of an object of any kind, each by its index."""

    def __init__(self, pairs: ImagePairs) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    @property
    def num_usable(self) -> int:
        """All of them."""
        return len(self._pairs)

    def identity(self, *, listed: bool) -> dict[str, Any]:
        """Number of pairs and a hash of their captions."""
        del listed
        return {"pairs": len(self._pairs), "captions": texts_digest(self._pairs)}

    def order(self, seed: int, together: int, *, listed: bool) -> Order:
        """A permutation of all of them, each epoch."""
        del together, listed
        return PermutedOrder(seed, len(self._pairs))

    def bucket(self, index: int) -> int:
        """Squares alone."""
        del index
        return 0

    def caption(self, index: int, seed: int, number: int) -> str:
        """The only one."""
        del seed, number
        return self._pairs.text(index)

    def load(self, index: int, *, keyed: bool) -> Loaded:
        """The picture; its key holds its pixels, for keys of two data sets may be equal."""
        image = self._pairs.image(index)
        if not keyed:
            return Loaded("", Shape(image.height, image.width), image=image)
        words = f"{self._pairs.image_key(index)} {image.mode} {image.size}"
        key = text_hash(f"{words} {bytes_hash(image.tobytes())}")
        return Loaded(key, Shape(image.height, image.width), image=image)

    def decode(self, index: int, loaded: Loaded) -> Image.Image:
        """As it is."""
        del index
        assert loaded.image is not None
        return loaded.image

    def name(self, index: int) -> str:
        """Its own name, or its number."""
        name = getattr(self._pairs, "name", None)
        return str(name(index)) if name else f"pair {index}"

    def replacement(self, index: int, seed: int, number: int, attempt: int) -> int:
        """Any other pair."""
        del index
        generator = np.random.default_rng([_REPLACEMENT, seed, number, attempt])
        return int(generator.integers(len(self._pairs)))


class TokenCount:
    """Tokens of a text, as its encoder's tokenizer cuts it.

    Args:
        encoder: With a `tokenizer`.

    Raises:
        ValueError: If it has none.
    """

    def __init__(self, encoder: Any) -> None:
        self._tokenizer: Any = getattr(encoder, "tokenizer", None)
        if self._tokenizer is None:
            raise ValueError(
                "`sentence_tokens` needs a text encoder with a tokenizer, and"
                f" {type(encoder).__name__} has none"
            )

    def __call__(self, text: str) -> int:
        """How many; those that mark its begin and end count too."""
        return len(self._tokenizer(text, verbose=False).input_ids)
