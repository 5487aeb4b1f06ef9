"""An image and its questions as tensors, each question a row, the image prepared once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.hf_speech import CHAT, WITHOUT_CHAT, Prompt
from dpgbench.errors import SetupError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

_OF_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
_LEFT_OUT = ("labels",)


class Prompted(NamedTuple):
    """One image's questions as the model takes them.

    Attributes:
        rows: for each question, what has an entry per token, by name; each of shape (1, length).
        image: what describes the image, by name; None where it differs between questions.
        rest: for each question, all other tensors.
    """

    rows: list[dict[str, Tensor]]
    image: dict[str, Tensor] | None
    rest: list[dict[str, Tensor]]


class Prompter:
    """Puts questions the way that the model was taught: in a chat, or in a form of its own."""

    def __init__(self, judge: str, processor: Any, model: Any) -> None:
        self.processor = processor
        self.device = model.device
        self.dtype = model.dtype
        self.image_ids = _image_ids(processor, model.config)
        self.template = processor.chat_template or processor.tokenizer.chat_template
        self.prompt = _prompt(judge, model.config.model_type, chats=bool(self.template))
        self.processor.image_processor = OncePerImage(processor.image_processor)

    def rows(self, image: Image, questions: Sequence[str]) -> Prompted:
        """Return the tensors that stand for each question about `image`."""
        texts, rests = [], []
        for question in questions:
            inputs = self._inputs(image, self.prompt.put(question))
            texts.append({name: inputs.pop(name) for name in _OF_TEXT if name in inputs})
            rests.append(inputs)
        return Prompted(texts, rests[0] if _all_equal(rests) else None, rests)

    def _inputs(self, image: Image, text: str) -> dict[str, Tensor]:
        if self.template:
            content = [{"type": "image", "image": image}, {"type": "text", "text": text}]
            options = {"enable_thinking": False} if "enable_thinking" in self.template else {}
            inputs = self.processor.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=self.template,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                **options,
            )
        else:
            inputs = self.processor(images=image, text=text, return_tensors="pt")
        inputs = inputs.to(self.device, self.dtype)
        return {name: inputs[name] for name in inputs if name not in _LEFT_OUT}


class OncePerImage:
    """An image processor that prepares an image once while it is asked for again and again."""

    def __init__(self, image_processor: Any) -> None:
        self._wrapped = image_processor
        self._image: Any = None
        self._settings: Mapping[str, Any] = {}
        self._prepared: Any = None

    def __call__(self, images: Any, **settings: Any) -> Any:
        """Return what the image processor makes of `images`."""
        image = images
        while isinstance(image, list | tuple) and len(image) == 1:
            image = image[0]
        if isinstance(image, list | tuple):
            return self._wrapped(images, **settings)
        if image is not self._image or settings != self._settings:
            self._prepared = self._wrapped(images, **settings)
            self._image, self._settings = image, settings
        return type(self._prepared)(dict(self._prepared))

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the image processor."""
        return getattr(self._wrapped, name)


def left_padded(rows: Sequence[Mapping[str, Tensor]], pad_id: int) -> dict[str, Tensor]:
    """Return rows (1, length) as tensors (rows, longest), padded on the left and masked there."""
    import torch

    longest = max(row["input_ids"].shape[1] for row in rows)
    padded = {}
    for name in rows[0]:
        fill = pad_id if name == "input_ids" else 0
        widened = [
            torch.nn.functional.pad(row[name], (longest - row[name].shape[1], 0), value=fill)
            for row in rows
        ]
        padded[name] = torch.cat(widened)
    return padded


def repeated(image: Mapping[str, Tensor], times: int) -> dict[str, Tensor]:
    """Return an image's tensors as if there were so many copies of the image."""
    return {name: value.repeat((times,) + (1,) * (value.ndim - 1)) for name, value in image.items()}


def _image_ids(processor: Any, config: Any) -> set[int]:
    """Return the tokens that stand where the image goes."""
    found = (
        getattr(processor, "image_token_id", None),
        getattr(config, "image_token_id", None),
        getattr(config, "image_token_index", None),
    )
    return {number for number in found if isinstance(number, int)}


def _prompt(judge: str, kind: str, *, chats: bool) -> Prompt:
    if chats:
        return CHAT
    if kind not in WITHOUT_CHAT:
        raise SetupError(
            f"judge {judge} has no chat template, and there is no prompt for models of type "
            f"'{kind}'; put its template into chat_template.jinja beside config.json"
        )
    return WITHOUT_CHAT[kind]


def _all_equal(rests: Sequence[Mapping[str, Tensor]]) -> bool:
    import torch

    return all(
        rest.keys() == rests[0].keys()
        and all(
            value is rests[0][name] or torch.equal(value, rests[0][name])
            for name, value in rest.items()
        )
        for rest in rests[1:]
    )
