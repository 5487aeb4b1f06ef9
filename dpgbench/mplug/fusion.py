"""Where a question meets its image. Shapes: `attention`."""
# ruff: noqa: N803, N806, N815

from typing import NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dpgbench.mplug.attention import KeyValue, Seats, cross_keys_values
from dpgbench.mplug.bert import FeedForward, TextLayer, attention_of
from dpgbench.mplug.config import MplugConfig


class ImageStates(NamedTuple):
    """Image tokens [I, P, D]; for each of S questions the image it is about, and its seat there."""

    x_IPD: Tensor
    image_S: Tensor
    seats: Seats

    @classmethod
    def of(cls, x_IPD: Tensor, image_S: Tensor) -> Self:
        """States of images that the questions may share."""
        return cls(x_IPD, image_S, Seats.of(image_S, len(x_IPD)))

    def one_a_question(self) -> Self:
        """Each question gets image states of its own, which may then differ."""
        seats = Seats.one_each(len(self.image_S), self.x_IPD.device)
        return type(self)(self.x_IPD[self.image_S], seats.seat_S, seats)


class CrossLayer(nn.Module):
    """The text reads itself, then the image; the image stays as it is."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.attention = attention_of(config)
        self.cross_attention = attention_of(config)
        self.feed_forward = FeedForward(config)

    def forward(self, text_STD: Tensor, visible: Tensor, image: KeyValue, seats: Seats) -> Tensor:
        """Text states [S, T, D] after reading the `image` [I, H, P, E] each has its seat at."""
        text_STD = self.attention(text_STD, visible)
        query_IHNE = seats.gather(self.cross_attention.queries(text_STD))
        read_IHNE = F.scaled_dot_product_attention(query_IHNE, *image)
        text_STD = self.cross_attention.finish(seats.scatter(read_IHNE), text_STD)
        return self.feed_forward(text_STD)


class JointLayer(TextLayer):
    """Image and text tokens read each other in one self-attention; both change."""

    def join(self, image_SPD: Tensor, text_STD: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
        """New image states (the old ones plus what was read) and new text states."""
        num_image_tokens = image_SPD.shape[1]
        all_visible = F.pad(visible, (num_image_tokens, 0), value=True)
        both_SLD = self(torch.cat([image_SPD, text_STD], dim=1), all_visible)
        read_SPD, text_STD = both_SLD.tensor_split([num_image_tokens], dim=1)
        return image_SPD + read_SPD, text_STD


class FusionEncoder(nn.Module):
    """The fusion layers that run, in order."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            JointLayer(config) if config.is_joint(i) else CrossLayer(config)
            for i in range(config.fusion_layers)
        )

    def forward(
        self,
        text_STD: Tensor,
        is_text_ST: Tensor,
        image: ImageStates,
        image_keys: tuple[KeyValue, ...],
    ) -> tuple[Tensor, ImageStates]:
        """Text states that have met the image, and the image states that the decoder reads.

        Args:
            text_STD: states of the question encoder.
            is_text_ST: False on padding.
            image: the images and who asks about which.
            image_keys: `cross_keys_values` of the layers before the first joint one.
        """
        visible = is_text_ST[:, None, None]
        for i, layer in enumerate(self.layers):
            if isinstance(layer, JointLayer):
                image = image.one_a_question()
                image_SPD, text_STD = layer.join(image.x_IPD, text_STD, visible)
                image = image._replace(x_IPD=image_SPD)
                continue
            keys_values = image_keys[i : i + 1] or cross_keys_values([layer], image.x_IPD)
            text_STD = layer(text_STD, visible, keys_values[0], image.seats)
        return text_STD, image
