"""Tensors that are computed once: in memory, or in safetensors shards in a folder.

Shards are found by what they hold, not by a list: a folder may grow with the data, be filled by
several processes at once, and be cut off at any time. What a group of tensors is computed with
does not depend on what was there before, so a cut-off cache fills up with the same bits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from safetensors import SafetensorError, safe_open
from torch import Tensor
from tqdm import tqdm

from ella.errors import TrainingError, one_line
from ella.files import text_hash, write_tensors
from ella.whole_files import sweep

Item = TypeVar("Item")
Compute = Callable[[Sequence[Item]], Sequence[Tensor]]


class TensorCache(Generic[Item]):
    """One tensor a name.

    Args:
        compute: Tensors for some items, `at_once` of them or fewer.
        folder: Where the shards are; None keeps the tensors in memory.
        at_once: Items per call of `compute`.
        num_in_shard: Tensors in one file of `folder`.
        num_open: Files that stay open.
    """

    def __init__(
        self,
        compute: Compute[Item],
        *,
        folder: Path | None = None,
        at_once: int = 16,
        num_in_shard: int = 256,
        num_open: int = 64,
    ) -> None:
        self._compute = compute
        self._folder = folder
        self._at_once = at_once
        self._num_in_shard = num_in_shard
        self._num_open = num_open
        self._memory: dict[str, Tensor] = {}
        self._shard_of: dict[str, Path] = {}
        self._looked_at: set[str] = set()
        self._changed = -1
        self._open: OrderedDict[Path, Any] = OrderedDict()
        if folder is not None:
            sweep(folder)
        self.find()

    def __getstate__(self) -> dict[str, Any]:
        """For a process that looks things up in the folder, and computes nothing."""
        return self.__dict__ | {"_open": OrderedDict(), "_compute": None}

    def find(self) -> None:
        """Look through the folder for tensors, also those that other processes have put there.

        Raises:
            TrainingError: If a shard cannot be read.
        """
        if self._folder is None or not self._folder.is_dir():
            return
        self._changed = self._folder.stat().st_mtime_ns
        for path in sorted(self._folder.glob("*.safetensors")):
            if path.name not in self._looked_at:
                self._shard_of.update(dict.fromkeys(_names_in(path), path))
                self._looked_at.add(path.name)

    def seek(self, name: str) -> Tensor | None:
        """The tensor, on the CPU; None if it was not computed, by this process or another.

        Raises:
            TrainingError: If a shard cannot be read.
        """
        if name not in self and self._folder is not None:
            try:
                changed = self._folder.stat().st_mtime_ns
            except FileNotFoundError:
                return None
            if changed != self._changed:
                self.find()
        return self[name] if name in self else None  # noqa: SIM401 - it is no dict

    def fill(
        self, items: Mapping[str, Item], *, share: tuple[int, int] = (0, 1), label: str = ""
    ) -> None:
        """Compute what is not there yet; a tensor is safe once its shard is written.

        Args:
            items: What each name stands for.
            share: (i, n): on disk, only every n-th group from the i-th on; others do the rest.
            label: Of the progress bar; none without.

        Raises:
            OSError: If a shard cannot be written.
        """
        groups = list(_batched(sorted(items), self._num_in_shard))
        if self._folder is not None:
            groups = groups[share[0] :: share[1]]
        groups = [[name for name in group if name not in self] for group in groups]
        groups = [group for group in groups if group]
        for group in tqdm(groups, label, unit="shard", disable=not label or not groups):
            tensors: dict[str, Tensor] = {}
            for names in _batched(group, self._at_once):
                made = self._compute([items[name] for name in names])
                tensors.update(zip(names, (one.detach().cpu() for one in made), strict=True))
            self._keep(tensors)

    def gather(self, items: Mapping[str, Item]) -> dict[str, Tensor]:
        """Tensors of `items`; those that are not there are computed now, and kept.

        On disk they are safe after `flush`, or once there are enough for a shard.

        Raises:
            OSError: If a shard cannot be written.
        """
        tensors = {name: self.seek(name) for name in items}
        missing = [name for name, tensor in tensors.items() if tensor is None]
        for names in _batched(missing, self._at_once):
            made = self._compute([items[name] for name in names])
            self.put(dict(zip(names, (one.detach().cpu() for one in made), strict=True)))
        return {name: self[name] if tensor is None else tensor for name, tensor in tensors.items()}

    def put(self, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors that were computed elsewhere.

        Raises:
            OSError: If a shard cannot be written.
        """
        self._memory.update((name, tensor.clone()) for name, tensor in tensors.items())
        if self._folder is not None and len(self._memory) >= self._num_in_shard:
            self.flush()

    def flush(self) -> None:
        """Write what is not on disk yet, where the cache is on disk.

        Raises:
            OSError: If a shard cannot be written.
        """
        if self._folder is not None and self._memory:
            self._keep(self._memory)
            self._memory = {}

    def _keep(self, tensors: dict[str, Tensor]) -> None:
        if self._folder is None:
            self._memory.update((name, one.clone()) for name, one in tensors.items())
            return
        path = self._folder / f"{text_hash(' '.join(sorted(tensors)))}.safetensors"
        write_tensors(path, tensors, {"tensors": len(tensors)})
        self._looked_at.add(path.name)
        self._shard_of.update(dict.fromkeys(tensors, path))

    def __contains__(self, name: str) -> bool:
        return name in self._memory or name in self._shard_of

    def __getitem__(self, name: str) -> Tensor:
        """The tensor, on the CPU.

        Raises:
            KeyError: If it was not computed.
        """
        if name in self._memory:
            return self._memory[name]
        # Copied: a tensor within the mapped file is unaligned, which can change a product's bits.
        tensor: Tensor = self._opened(self._shard_of[name]).get_tensor(name).clone()
        return tensor

    def _opened(self, path: Path) -> Any:
        """The shard, opened; of several only the last ones used stay so."""
        if path not in self._open:
            self._open[path] = safe_open(path, framework="pt")
            if len(self._open) > self._num_open:
                self._open.popitem(last=False)
        self._open.move_to_end(path)
        return self._open[path]


def _names_in(path: Path) -> list[str]:
    try:
        with safe_open(path, framework="pt") as shard:
            return list(shard.keys())
    except (SafetensorError, OSError) as error:
        raise TrainingError(
            f"{path}: damaged ({one_line(error)}); delete it, it is made anew"
        ) from error


def _batched(names: Sequence[str], size: int) -> list[list[str]]:
    return [list(names[start : start + size]) for start in range(0, len(names), size)]
