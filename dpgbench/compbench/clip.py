"""CLIPScore as T2I-CompBench counts it: the cosine of a picture and its prompt, nothing more.

No factor 2.5, no clamp at 0. The network is transformers' `CLIPModel`, OpenAI's ViT-B/32.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from dpgbench.compbench.blip import normalised, resize
from dpgbench.compbench.errors import PictureError, WeightsError

_MOST_TOKENS: Final = 77


class ClipScorer:
    """Cosines of pictures and prompts."""

    def __init__(self, network: CLIPModel, tokenizer: CLIPTokenizer) -> None:
        self.network, self.tokenizer = network, tokenizer
        self.image_px: int = network.config.vision_config.image_size
        self.most_tokens = min(_MOST_TOKENS, network.config.text_config.max_position_embeddings)

    @classmethod
    def from_folder(
        cls, folder: Path, *, device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> "ClipScorer":
        """The network and the tokenizer of a folder in transformers' layout.

        Raises:
            WeightsError: a file is missing, damaged or of another network.
        """
        try:
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
            network, report = CLIPModel.from_pretrained(
                folder, local_files_only=True, dtype=dtype, output_loading_info=True
            )
        except Exception as error:  # noqa: BLE001 - a damaged folder can break it in any way
            raise WeightsError(
                f"{folder} holds no CLIP in transformers' layout: {type(error).__name__}: {error}"
            ) from None
        if missing := sorted(report["missing_keys"]):
            raise WeightsError(f"{folder}: not CLIP's weights: {missing[0]} is missing")
        return cls(network.to(device).requires_grad_(False).eval(), tokenizer)

    def prepare(self, picture: Image.Image) -> Tensor:
        """Normalised pixels [3, image_px, image_px], float32: the centre of the resized picture."""
        rgb, side = picture.convert("RGB"), self.image_px
        width, height = rgb.size
        if width <= height:
            resized = resize(rgb, side, int(side * height / width))
        else:
            resized = resize(rgb, int(side * width / height), side)
        left = round((resized.width - side) / 2.0)
        top = round((resized.height - side) / 2.0)
        return normalised(resized.crop((left, top, left + side, top + side)))

    def token_ids(self, prompt: str) -> list[int]:
        """Token numbers of a prompt, start and end included.

        Raises:
            PictureError: there are more than the network reads; the original raises too.
        """
        token_ids: list[int] = self.tokenizer(prompt, verbose=False)["input_ids"]
        if len(token_ids) > self.most_tokens:
            raise PictureError(
                f"the prompt has {len(token_ids)} tokens and CLIP reads {self.most_tokens}: there "
                "is no CLIPScore of it"
            )
        return token_ids

    def scores(self, pictures: Sequence[Tensor], prompts: Sequence[str]) -> list[float]:
        """The cosine of each picture and its prompt, -1 to 1.

        Raises:
            PictureError: a prompt is too long.
        """
        texts = {prompt: self.token_ids(prompt) for prompt in dict.fromkeys(prompts)}
        with torch.inference_mode():
            pixels = torch.stack(list(pictures)).to(self.network.device, self.network.dtype)
            seen = _unit(_features(self.network.get_image_features(pixel_values=pixels)))
            read = {prompt: self._text(token_ids) for prompt, token_ids in texts.items()}
            text = torch.stack([read[prompt] for prompt in prompts])
            cosines: list[float] = (seen * text).sum(dim=-1).float().tolist()
        return cosines

    def _text(self, token_ids: Sequence[int]) -> Tensor:
        """Unit features [width] of one prompt, alone: what else is asked changes nothing."""
        ids = torch.tensor([token_ids], device=self.network.device)
        features = _features(self.network.get_text_features(input_ids=ids))
        return _unit(features)[0]


def _features(outcome: Any) -> Tensor:
    """The projected features, which newer releases of transformers wrap."""
    return outcome if isinstance(outcome, Tensor) else outcome.pooler_output


def _unit(features: Tensor) -> Tensor:
    return features / features.norm(dim=-1, keepdim=True)
