"""Which pair sample n is, from (seed, epoch) and the data alone.

Nothing is remembered: any process can ask for any sample number, so a run resumes anywhere and
processes only share numbers out. An epoch shows every pair once. Rows of an index are shuffled
without leaving their neighbourhood for long: blocks of neighbouring rows are permuted, then a
window of some blocks is shuffled row by row, so that a shard is read once an epoch, together
with the shards of its window.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

_ORDER, _MIXTURE = 1, 4  # kinds of randomness; ella.training.randomness has the others
CYCLE = 10_000  # samples in which a mixture keeps its shares exactly

Rows = NDArray[np.int64]
Keys = NDArray[np.uint64]


class Block(NamedTuple):
    """Neighbouring rows that training may use.

    Attributes:
        rows: `[n]` their numbers.
        keys: `[n]` what tells their captions from others, wherever the rows are.
        buckets: `[n]` the shape that each picture is cut to, as a number.
    """

    rows: Rows
    keys: Keys
    buckets: NDArray[np.int64]


class Blocks(Protocol):
    """Rows that can be asked for block by block."""

    window_blocks: int

    def num_rows(self) -> NDArray[np.int64]:
        """Usable rows of each block."""
        ...

    def block(self, number: int) -> Block:
        """A block's usable rows."""
        ...


class Order(Protocol):
    """Which pair sample n is."""

    def pair_of(self, number: int) -> int:
        """The pair's index."""
        ...


class PermutedOrder:
    """Every pair once an epoch: one permutation of all of them.

    Args:
        seed: The order's.
        num_pairs: Pairs in all.
    """

    def __init__(self, seed: int, num_pairs: int) -> None:
        self.seed = seed
        self.num_pairs = num_pairs
        self._epoch = -1
        self._order = np.empty(0, dtype=np.int64)

    def pair_of(self, number: int) -> int:
        """The pair's index."""
        epoch, place = divmod(number, self.num_pairs)
        if epoch != self._epoch:
            generator = np.random.default_rng([_ORDER, self.seed, epoch])
            self._order, self._epoch = generator.permutation(self.num_pairs), epoch
        return int(self._order[place])


class WindowedOrder:
    """Every usable row once an epoch: blocks permuted, then shuffled within a window.

    Within a window the order follows from the captions, not from where their rows are: the same
    pairs in other files come in the same order as long as they fit into one window.

    Args:
        seed: The order's.
        blocks: The rows.
        together: So many samples in a row, from a multiple of it on, have pictures of one shape
            wherever there are enough: the pairs of an optimizer step.
        num_open: Windows that are kept.
    """

    def __init__(self, seed: int, blocks: Blocks, together: int = 1, num_open: int = 3) -> None:
        self.seed = seed
        self._blocks = blocks
        self._together = together
        self._num_open = num_open
        self._counts = blocks.num_rows()
        self.num_pairs = int(self._counts.sum())
        self._epoch = -1
        self._permuted: Rows = np.empty(0, dtype=np.int64)
        self._starts: Rows = np.empty(0, dtype=np.int64)
        self._windows: OrderedDict[tuple[int, int], Rows] = OrderedDict()

    def pair_of(self, number: int) -> int:
        """The pair's row."""
        epoch, place = divmod(number, self.num_pairs)
        if epoch != self._epoch:
            self._begin(epoch)
        window = int(np.searchsorted(self._starts, place, side="right")) - 1
        if (epoch, window) not in self._windows:
            self._windows[epoch, window] = self._shuffled(epoch, window)
            if len(self._windows) > self._num_open:
                self._windows.popitem(last=False)
        return int(self._windows[epoch, window][place - self._starts[window]])

    def _begin(self, epoch: int) -> None:
        generator = np.random.default_rng([_ORDER, self.seed, epoch])
        permuted = generator.permutation(len(self._counts))
        ends = np.cumsum(self._counts[permuted])
        starts = np.concatenate([[0], ends[:-1]])[:: self._blocks.window_blocks]
        self._epoch, self._permuted, self._starts = epoch, permuted, starts

    def _shuffled(self, epoch: int, window: int) -> Rows:
        size = self._blocks.window_blocks
        chosen = self._permuted[window * size : (window + 1) * size]
        blocks = [self._blocks.block(int(number)) for number in sorted(chosen)]
        rows = np.concatenate([block.rows for block in blocks])
        keys = np.concatenate([block.keys for block in blocks])
        buckets = np.concatenate([block.buckets for block in blocks])
        order = _shuffle(keys, self.seed, epoch)
        if self._together > 1 and buckets.any():
            first_number = epoch * self.num_pairs + int(self._starts[window])
            generator = np.random.default_rng([_ORDER, self.seed, epoch, window + 1])
            order = order[_by_shape(buckets[order], self._together, first_number, generator)]
        return rows[order]


def _shuffle(keys: Keys, seed: int, epoch: int) -> Rows:
    """A permutation that follows from the keys; rows of one key keep their order as a row."""
    by_key = np.argsort(keys, kind="stable").astype(np.int64)
    ordered = keys[by_key]
    new = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    first = np.flatnonzero(new)[np.cumsum(new) - 1]
    repeat = np.arange(len(keys)) - first  # equal captions are spread, not side by side
    salt = np.random.default_rng([_ORDER, seed, epoch, 0]).integers(2**63, dtype=np.uint64)
    drawn = _mixed(_mixed(ordered + salt) + _mixed(repeat.astype(np.uint64)))
    return by_key[np.argsort(drawn, kind="stable")]


def _mixed(numbers: Keys) -> Keys:
    """Each number scattered over all 64 bits (the finalizer of SplitMix64)."""
    with np.errstate(over="ignore"):
        z = numbers + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def _by_shape(
    buckets: NDArray[np.int64], together: int, first_number: int, generator: np.random.Generator
) -> Rows:
    """The places of a window so that those of one shape stand together.

    Runs of `together` begin at sample numbers that are multiples of it; what is left over of all
    shapes stands before the first and after the last.
    """
    runs: list[Rows] = []
    rest: list[Rows] = []
    for bucket in np.unique(buckets):
        places = np.flatnonzero(buckets == bucket)
        whole = len(places) // together * together
        runs += np.split(places[:whole], whole // together) if whole else []
        rest.append(places[whole:])
    left = np.concatenate(rest)
    runs = [runs[i] for i in generator.permutation(len(runs))]
    lead = -first_number % together
    while len(left) < lead and runs:
        left = np.concatenate([left, runs.pop()])
    return np.concatenate([left[:lead], *runs, left[lead:]])


class MixedOrder:
    """Several orders, each with its share of the samples.

    In every `CYCLE` samples each source has its share exactly, in an order from (seed, cycle);
    each goes through its own epochs.

    Args:
        seed: The mixture's.
        orders: Of the sources.
        first_pairs: The index of each source's first pair.
        weights: Shares before they are scaled to a sum of 1; each above 0.

    Raises:
        ValueError: If a share is less than one sample in `CYCLE`.
    """

    def __init__(
        self,
        seed: int,
        orders: Sequence[Order],
        first_pairs: Sequence[int],
        weights: Sequence[float],
    ) -> None:
        self.seed = seed
        self._orders = list(orders)
        self._first_pairs = list(first_pairs)
        self.quotas = _quotas(weights)
        self._cycle = -1
        self._source = np.empty(0, dtype=np.int64)
        self._before = np.empty(0, dtype=np.int64)

    def pair_of(self, number: int) -> int:
        """The pair's index over all sources."""
        cycle, place = divmod(number, CYCLE)
        if cycle != self._cycle:
            self._begin(cycle)
        source = int(self._source[place])
        within = cycle * self.quotas[source] + int(self._before[place])
        return self._first_pairs[source] + self._orders[source].pair_of(within)

    def _begin(self, cycle: int) -> None:
        generator = np.random.default_rng([_MIXTURE, self.seed, cycle])
        sources = np.repeat(np.arange(len(self.quotas)), self.quotas)
        self._source = generator.permutation(sources)
        self._before = np.empty(CYCLE, dtype=np.int64)
        for source, quota in enumerate(self.quotas):
            self._before[self._source == source] = np.arange(quota)
        self._cycle = cycle


def check_weights(weights: Sequence[float]) -> None:
    """Raise unless each source has a sample in every `CYCLE`.

    Raises:
        ValueError: Naming the weights.
    """
    if weights:
        _quotas(weights)


def _quotas(weights: Sequence[float]) -> list[int]:
    """Samples of each source in a cycle; the largest remainders are rounded up."""
    exact = np.asarray(weights, dtype=np.float64) / sum(weights) * CYCLE
    quotas = np.floor(exact).astype(np.int64)
    most = np.argsort(quotas - exact, kind="stable")
    quotas[most[: CYCLE - int(quotas.sum())]] += 1
    if (quotas == 0).any():
        raise ValueError(
            f"weights of data must each be at least 1/{CYCLE} of their sum, got {list(weights)}"
        )
    return [int(quota) for quota in quotas]
