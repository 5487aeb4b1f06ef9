"""CLIP's image trunk: pixels to image tokens. Shapes as in `attention`.

Source: OpenAI CLIP's ViT (Radford et al. 2021), here without the projection after it.
"""
# ruff: noqa: N803, N806

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpgbench.mplug.attention import merge_heads
from dpgbench.mplug.config import MplugConfig

_QUICK_GELU_SLOPE = 1.702


class VisionAttention(nn.Module):
    """Self-attention with queries, keys and values from one projection."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.projections = nn.Linear(width, 3 * width)
        self.output = nn.Linear(width, width)

    def forward(self, x_IPD: Tensor) -> Tensor:
        """Every image token reads all tokens of its image: [I, P, D] -> [I, P, D]."""
        heads_IP3HE = self.projections(x_IPD).unflatten(-1, (3, self.num_heads, -1))
        query, key, value = heads_IP3HE.permute(2, 0, 3, 1, 4)
        return self.output(merge_heads(F.scaled_dot_product_attention(query, key, value)))


class VisionBlock(nn.Module):
    """Attention and feed-forward, each after a LayerNorm and added to its input (pre-norm)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = VisionAttention(width, num_heads)
        self.feed_forward_norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, 4 * width)
        self.down = nn.Linear(4 * width, width)

    def forward(self, x_IPD: Tensor) -> Tensor:
        """[I, P, D] -> [I, P, D]."""
        x_IPD = x_IPD + self.attention(self.attention_norm(x_IPD))
        return x_IPD + self.down(quick_gelu_(self.up(self.feed_forward_norm(x_IPD))))


class VisionTrunk(nn.Module):
    """Patches, class token and positions, then the blocks; LayerNorm before and after them."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        width, patch_px = config.vision_width, config.patch_px
        self.patches = nn.Conv2d(3, width, patch_px, stride=patch_px, bias=False)
        self.class_token = nn.Parameter(torch.empty(width))
        self.positions = nn.Parameter(torch.empty(config.num_image_tokens, width))
        self.norm_before = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            VisionBlock(width, config.vision_heads) for _ in range(config.vision_layers)
        )
        self.norm_after = nn.LayerNorm(width)

    def forward(self, pixels_ICXY: Tensor) -> Tensor:
        """Normalised pixels [I, 3, image_px, image_px] -> image tokens [I, P, vision width]."""
        patches_IPD = self.patches(pixels_ICXY).flatten(2).transpose(1, 2)
        class_I1D = self.class_token.expand(len(patches_IPD), 1, -1)
        x_IPD = self.norm_before(torch.cat([class_I1D, patches_IPD], dim=1) + self.positions)
        for block in self.blocks:
            x_IPD = block(x_IPD)
        return self.norm_after(x_IPD)


def quick_gelu_(x: Tensor) -> Tensor:
    """The product of x and sigmoid(1.702 x), CLIP's stand-in for GELU, written over `x`.

    The block's widest tensor: new memory for it would cost more time than the arithmetic.
    """
    return F.silu(x.mul_(_QUICK_GELU_SLOPE), inplace=True).mul_(1 / _QUICK_GELU_SLOPE)
