"""An image and its questions as tensors, each question a row, the image prepared once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dpgbench.backends.judges.hf.answers import (
    AS_WORDED,
    CHAT,
    ONE_WORD,
    WITHOUT_CHAT,
    PromptTemplate,
)
from dpgbench.backends.protocols import TileQuestions
from dpgbench.errors import SetupError

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

_OF_TEXT = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids")
_LEFT_OUT = ("labels",)


Row = Mapping[str, "Tensor"]
"""One question's tensors with an entry per token, by name; each of shape (1, length)."""


class ModelInputs(NamedTuple):
    """One image's questions as the model takes them.

    Attributes:
        rows: one for each question.
        images: what describes the image, by name: once, or for each question where it differs.
    """

    rows: Sequence[Row]
    images: Sequence[Mapping[str, Tensor]]

    @property
    def one_image(self) -> bool:
        """Whether the image's tensors are the same for every question."""
        return len(self.images) == 1


class InputBuilder:
    """Puts questions the way that the model was taught: in a chat, or in a form of its own."""

    def __init__(self, judge: str, processor: Any, model: Any) -> None:
        self.processor = processor
        self.device = model.device
        self.dtype = model.dtype
        self.image_ids = _image_ids(processor, model.config)
        self.template = _template(processor)
        self.prompt = _prompt(judge, model.config.model_type, chats=bool(self.template))
        self.images = processor.image_processor = OncePerImage(processor.image_processor)

    def texts(self, tile: TileQuestions) -> list[str]:
        """Return how each question is put: as the benchmark words it, or as the model wants it."""
        return [self._put(tile, number) for number in range(len(tile.questions))]

    def _put(self, tile: TileQuestions, number: int) -> str:
        prompt = self.prompt
        if self.template and tile.is_templated(number):
            prompt = AS_WORDED
        elif self.template and tile.wants_word(number):
            prompt = ONE_WORD
        return prompt.put(tile.questions[number])

    def rows(self, image: Image, texts: Sequence[str], prepared: Any = None) -> ModelInputs:
        """Return the tensors that stand for each question about `image`, put as `texts`."""
        self.images.remember(image, prepared)
        rows, images = [], []
        for text in texts:
            inputs = self._inputs(image, text)
            rows.append(self._moved({n: inputs.pop(n) for n in _OF_TEXT if n in inputs}))
            images.append(inputs)
        if _all_equal(images):
            images = images[:1]
        return ModelInputs(rows, [self._moved(tensors) for tensors in images])

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
        return {name: inputs[name] for name in inputs if name not in _LEFT_OUT}

    def _moved(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors on the model's device, numbers with a fraction in its precision."""
        return {
            name: value.to(self.device, self.dtype if value.is_floating_point() else None)
            for name, value in tensors.items()
        }


class OncePerImage:
    """An image processor that prepares an image once while it is asked for again and again.

    A processor always gives the same settings and nests the image alike. So from its second image
    on, an image can be prepared ahead, in another thread, and handed in with `remember`.
    """

    def __init__(self, image_processor: Any) -> None:
        self._wrapped = image_processor
        self._call: tuple[int, dict[str, Any]] | None = None
        self._image: Any = None
        self._prepared: Any = None

    def __call__(self, images: Any, **settings: Any) -> Any:
        """Return what the image processor makes of `images`."""
        image, depth = images, 0
        while isinstance(image, list | tuple) and len(image) == 1:
            image, depth = image[0], depth + 1
        if isinstance(image, list | tuple):
            return self._wrapped(images, **settings)
        if image is not self._image or self._call != (depth, settings):
            self._prepared = self._wrapped(images, **settings)
            self._image, self._call = image, (depth, settings)
        return type(self._prepared)(dict(self._prepared))

    def prepare(self, image: Any) -> Any:
        """Return what a call with `image` is going to need; None before the first call."""
        if self._call is None:
            return None
        depth, settings = self._call
        nested = image
        for _ in range(depth):
            nested = [nested]
        return self._wrapped(nested, **settings)

    def remember(self, image: Any, prepared: Any) -> None:
        """Take what `prepare` returned for `image`."""
        if prepared is not None:
            self._image, self._prepared = image, prepared

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the image processor."""
        return getattr(self._wrapped, name)


def left_padded(rows: Sequence[Row], pad_id: int) -> dict[str, Tensor]:
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
    values = (
        getattr(processor, "image_token_id", None),
        getattr(config, "image_token_id", None),
        getattr(config, "image_token_index", None),
    )
    return {number for number in values if isinstance(number, int)}


def _template(processor: Any) -> str | None:
    """Return the chat template; that for images before that for text alone."""
    templates = processor.chat_template or processor.tokenizer.chat_template
    template: str | None = templates.get("default") if isinstance(templates, Mapping) else templates
    return template


def _prompt(judge: str, kind: str, *, chats: bool) -> PromptTemplate:
    if chats:
        return CHAT
    if kind not in WITHOUT_CHAT:
        raise SetupError(
            f"judge {judge} has no chat template, and there is no prompt for models of type "
            f"'{kind}'; put its template into chat_template.jinja beside config.json"
        )
    return WITHOUT_CHAT[kind]


def _all_equal(tensors: Sequence[Mapping[str, Tensor]]) -> bool:
    import torch

    first = tensors[0]
    return all(
        other.keys() == first.keys()
        and all(
            other[name] is first[name] or torch.equal(other[name], first[name]) for name in first
        )
        for other in tensors[1:]
    )
