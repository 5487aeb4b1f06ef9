"""The whole network: images and questions in, what the search needs out. Shapes: `attention`.

Evaluation only. Images are encoded apart from questions, so that each is encoded once.
"""
# ruff: noqa: N803, N806, N815

from typing import NamedTuple

from torch import Tensor, nn

from dpgbench.mplug.attention import KeyValue, cross_keys_values
from dpgbench.mplug.bert import BertTextEncoder
from dpgbench.mplug.config import MplugConfig
from dpgbench.mplug.decoder import Decoder, Decoding, Source
from dpgbench.mplug.fusion import FusionEncoder, ImageStates
from dpgbench.mplug.vision import VisionTrunk

_PROJECTION_NORM_EPS = 1e-12


class ImageMemory(NamedTuple):
    """What all questions about I images share.

    `fusion_keys`: keys and values for the fusion layers before the first that changes the image
    states. `decoder_keys`: those for the decoder, or none where the image states do change.
    """

    x_IPD: Tensor
    fusion_keys: tuple[KeyValue, ...]
    decoder_keys: tuple[KeyValue, ...]


class Fused(NamedTuple):
    """S questions that have met their images: text states [S, T, D] and the images' states."""

    text_STD: Tensor
    is_text_ST: Tensor
    image: ImageStates


class ImageEncoder(nn.Module):
    """Image tokens in BERT's width."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.trunk = VisionTrunk(config)
        self.projection: nn.Module = nn.Identity()
        self.norm: nn.Module = nn.Identity()
        if config.vision_width != config.hidden_size:
            self.projection = nn.Linear(config.vision_width, config.hidden_size)
            self.norm = nn.LayerNorm(config.hidden_size, eps=_PROJECTION_NORM_EPS)

    def forward(self, pixels_ICXY: Tensor) -> Tensor:
        """Normalised pixels -> image states [I, P, D]."""
        return self.norm(self.projection(self.trunk(pixels_ICXY)))


class Mplug(nn.Module):
    """mPLUG-large for visual question answering (Li et al. 2022, arXiv:2205.12005)."""

    def __init__(self, config: MplugConfig) -> None:
        super().__init__()
        self.config = config
        self.image_encoder = ImageEncoder(config)
        self.text_encoder = BertTextEncoder(config)
        self.fusion = FusionEncoder(config)
        self.decoder = Decoder(config)

    def encode_images(self, pixels_ICXY: Tensor) -> ImageMemory:
        """What the questions read of images.

        Args:
            pixels_ICXY: [I, 3, image_px, image_px], as `MplugProcessor.pixels` makes them.
        """
        x_IPD = self.image_encoder(pixels_ICXY)
        first_joint = self.config.first_joint_layer
        fixed_layers = self.fusion.layers[:first_joint]
        decoder_layers = self.decoder.layers if first_joint is None else ()
        return ImageMemory(
            x_IPD,
            cross_keys_values(fixed_layers, x_IPD),
            cross_keys_values(decoder_layers, x_IPD),
        )

    def fuse(self, token_ST: Tensor, image_S: Tensor, memory: ImageMemory) -> Fused:
        """Questions after the fusion encoder.

        Args:
            token_ST: token numbers, padded.
            image_S: for each question, the number of its image in `memory`.
            memory: the images.
        """
        is_text_ST = token_ST != self.config.pad_id
        text_STD = self.text_encoder(token_ST, is_text_ST)
        image = ImageStates.of(memory.x_IPD, image_S)
        fused_STD, image = self.fusion(text_STD, is_text_ST, image, memory.fusion_keys)
        return Fused(fused_STD, is_text_ST, image)

    def decoding(self, token_ST: Tensor, image_S: Tensor, memory: ImageMemory) -> Decoding:
        """A decoder ready to answer the questions; arguments as for `fuse`."""
        fused = self.fuse(token_ST, image_S, memory)
        image_keys = memory.decoder_keys or cross_keys_values(
            self.decoder.layers, fused.image.x_IPD
        )
        text_keys = cross_keys_values(self.decoder.layers, fused.text_STD)
        return Decoding(
            self.decoder, Source(image_keys, text_keys, fused.is_text_ST, fused.image.image_S)
        )
