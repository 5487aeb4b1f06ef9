"""What a run is asked to do: generation settings, grid, seeds, and the identity they make.

Two runs with the same identity draw the same images; a change of anything in it is another run.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from dpgbench.errors import UsageError

SeedRule = Literal["per-tile", "per-item", "t2i-compbench"]
SEED_RULES: tuple[SeedRule, ...] = ("per-tile", "per-item", "t2i-compbench")
TILE_COUNTS = tuple(range(1, 11))
COMPBENCH_SEED = 42
"""Of the first image of every prompt, by T2I-CompBench's own script; the next have the next."""


class Layout(NamedTuple):
    """How many tiles lie below and beside one another in an image; tiles count row by row."""

    rows: int
    columns: int

    @property
    def num_images(self) -> int:
        """How many tiles there are."""
        return self.rows * self.columns

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}"


_UNSAID = Layout(0, 0)
LAYOUTS = (Layout(2, 2), Layout(1, 4), Layout(4, 1), Layout(1, 2), Layout(2, 1), Layout(1, 1))
"""The usual ones, which messages offer; `find_layout` takes any of 1 to 10 tiles."""


def default_layout(num_images: int) -> Layout:
    """Return how `num_images` tiles lie where nothing says otherwise: 4 as 2x2, 10 as 2x5.

    That is, as near to a square as goes, wider than high; a prime number side by side.

    Raises:
        UsageError: it is not 1 to 10.
    """
    number = check_num_images(num_images)
    rows = max(rows for rows in range(1, math.isqrt(number) + 1) if not number % rows)
    return Layout(rows, number // rows)


def find_layout(text: str) -> Layout:
    """Return the layout that `text` names as ROWSxCOLUMNS, for example ``1x4``.

    Raises:
        UsageError: there is no such layout.
    """
    plain = text.strip().lower().replace("\N{MULTIPLICATION SIGN}", "x")
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", plain, re.ASCII)
    layout = Layout(int(match[1]), int(match[2])) if match else _UNSAID
    if layout.num_images in TILE_COUNTS:
        return layout
    names = ", ".join(str(layout) for layout in LAYOUTS)
    raise UsageError(
        f"--layout {text}: choose ROWSxCOLUMNS from {names}, or others of at most "
        f"{TILE_COUNTS[-1]} tiles"
    )


@dataclass(frozen=True)
class GridSpec:
    """How tiles lie in an image: row-major.

    Attributes:
        num_images: tiles in the grid: 1 to 10.
        tile_width_px: width of one tile.
        tile_height_px: height of one tile.
        layout: rows and columns; where nothing is said, `default_layout`.
    """

    num_images: int
    tile_width_px: int
    tile_height_px: int
    layout: Layout = _UNSAID

    def __post_init__(self) -> None:
        check_num_images(self.num_images)
        if not self.layout.num_images:
            object.__setattr__(self, "layout", default_layout(self.num_images))
        if self.layout.num_images != self.num_images:
            raise UsageError(f"--layout {self.layout} does not have {self.num_images} tiles")
        if self.tile_width_px < 1 or self.tile_height_px < 1:
            raise UsageError(
                f"a tile of {self.tile_width_px}x{self.tile_height_px} px cannot be drawn; "
                "give a size of at least 1x1"
            )

    def __str__(self) -> str:
        tiles = "tile" if self.num_images == 1 else "tiles"
        return (
            f"{self.num_images} {tiles} of {self.tile_width_px}x{self.tile_height_px}, "
            f"{self.layout}"
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole grid in pixels."""
        return self.layout.columns * self.tile_width_px, self.layout.rows * self.tile_height_px

    @property
    def aspect(self) -> float:
        """The longer side of a tile over the shorter one: 1 for a square."""
        sides = (self.tile_width_px, self.tile_height_px)
        return max(sides) / min(sides)

    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Return (left, top, right, bottom) of each tile in pixels."""
        columns = self.layout.columns
        width, height = self.tile_width_px, self.tile_height_px
        corners = [
            ((tile % columns) * width, (tile // columns) * height)
            for tile in range(self.num_images)
        ]
        return [(left, top, left + width, top + height) for left, top in corners]

    @classmethod
    def of_image(
        cls, num_images: int, size: tuple[int, int], layout: Layout | None = None
    ) -> GridSpec | None:
        """Return the grid that an image of `size` (width, height) holds; None if it cannot."""
        rows, columns = layout or default_layout(num_images)
        if size[0] % columns or size[1] % rows or min(size) < 1:
            return None
        return cls(num_images, size[0] // columns, size[1] // rows, Layout(rows, columns))


def check_num_images(num_images: int) -> int:
    """Return `num_images`.

    Raises:
        UsageError: it is not 1 to 10.
    """
    if num_images not in TILE_COUNTS:
        raise UsageError(f"--num-images {num_images}: a grid holds 1 to 10 images")
    return num_images


def seed_for(rule: SeedRule, base_seed: int, item_id: str, tile: int) -> int:
    """Return the seed of one tile, 0 <= seed < 2**63.

    ``per-tile`` is ``base_seed + tile`` for every item; ``per-item`` is a hash of base, item and
    tile; ``t2i-compbench`` is 42, 43, ... for every item, as that benchmark's own script has it.
    None depends on batch, order or device.
    """
    if rule == "t2i-compbench":
        return COMPBENCH_SEED + tile
    if rule == "per-tile":
        return base_seed + tile
    digest = hashlib.sha256(f"{base_seed}\n{item_id}\n{tile}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@dataclass(frozen=True)
class GenerationSpec:
    """Everything that a generator is told, so that nothing comes silently from a library default.

    Attributes:
        model: name as given, for example ``ella-sd15``.
        steps: denoising steps; None where the model is a class of the user's own.
        guidance_scale: classifier-free guidance; 1 means none.
        scheduler: diffusers class name.
        scheduler_config: arguments of that class that differ from its own defaults.
        width_px: width of one image.
        height_px: height of one image.
        negative_prompt: what the unconditional branch is told.
        dtype: ``float32``, ``float16`` or ``bfloat16``.
        num_images: images a prompt: 1 to 10.
        seed_rule: name of the rule in `seed_for`.
        base_seed: number that the rule starts from.
        options: settings of one model family alone, such as ELLA's text length.
    """

    model: str
    width_px: int
    height_px: int
    dtype: str
    steps: int | None = None
    guidance_scale: float | None = None
    scheduler: str | None = None
    scheduler_config: Mapping[str, Any] = field(default_factory=dict)
    negative_prompt: str = ""
    num_images: int = 4
    seed_rule: SeedRule = "per-tile"
    base_seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_num_images(self.num_images)
        for flag, side in (("--width", self.width_px), ("--height", self.height_px)):
            if side < 1:
                raise UsageError(f"{flag} {side}: at least 1 px is needed")
        if self.steps is not None and self.steps < 1:
            raise UsageError(f"--steps {self.steps}: at least 1 is needed")
        if self.guidance_scale is not None and not math.isfinite(self.guidance_scale):
            raise UsageError(f"--guidance {self.guidance_scale}: a finite number is needed")
        if self.base_seed < 0:
            raise UsageError(f"--seed {self.base_seed}: seeds count from 0")
        if self.seed_rule == "t2i-compbench":
            if self.base_seed not in (0, COMPBENCH_SEED):
                raise UsageError(
                    f"--seed {self.base_seed}: --seed-rule t2i-compbench starts at "
                    f"{COMPBENCH_SEED}; leave --seed out, or take --seed-rule per-tile"
                )
            object.__setattr__(self, "base_seed", COMPBENCH_SEED)

    @property
    def grid(self) -> GridSpec:
        """The grid that the images make."""
        return GridSpec(self.num_images, self.width_px, self.height_px)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain data, ready for a manifest."""
        return asdict(self)


def canonical_json(value: Any) -> str:
    """Return JSON with sorted keys and no spaces: the same text for the same data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def identity_hash(identity: Mapping[str, Any]) -> str:
    """Return 12 hexadecimal digits that stand for `identity`."""
    text = canonical_json(identity).encode("utf-8", "replace")  # half a pair: as files hold it
    return hashlib.sha256(text).hexdigest()[:12]


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return each field that differs as ``path: old -> new``, sorted by path."""
    lines: list[str] = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            lines += differences(before, after, f"{prefix}{key}.")
        elif before != after:
            lines.append(f"{prefix}{key}: {_shown(before)} -> {_shown(after)}")
    return lines


def _shown(value: Any) -> str:
    return "(absent)" if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True)


def check_seed_rule(name: str) -> SeedRule:
    """Return `name`.

    Raises:
        UsageError: there is no such rule.
    """
    for rule in SEED_RULES:
        if name == rule:
            return rule
    raise UsageError(f"--seed-rule {name}: choose {', '.join(SEED_RULES[:-1])} or {SEED_RULES[-1]}")
