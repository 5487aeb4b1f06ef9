"""A language model of transformers in this process: ``hf:REPO`` and ``hf:FOLDER``."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dpgbench.backends.device import check_dtype, find_device, give_back_memory, is_out_of_memory
from dpgbench.backends.judges.hf.files import ModelFiles, find_files
from dpgbench.backends.judges.hf.load import load_model, loading_files, read_kind
from dpgbench.backends.llms.chat import (
    SCHEMA_REFUSED,
    ChatReply,
    ChatRequest,
    Conversation,
    Ended,
    Job,
    KeptReplies,
    TalkOutcome,
    advanced,
)
from dpgbench.backends.llms.constrained import Grammars, NoGrammarError, is_installed
from dpgbench.backends.llms.options import LlmOptions
from dpgbench.errors import DataError, UsageError, reason_of

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)
Value = TypeVar("Value")
CONCURRENCY = 4
DECODE = "greedy"
_LONGEST_STRING = 300  # characters; a small model may never come to the end of one by itself
_SERVER_OPTIONS = ("base_url", "max_requests", "max_cost", "price_in", "price_out")


class LocalModel:
    """Asks a causal language model, several conversations in one batch.

    Where llguidance is installed (``pip install 'dpgbench[llm]'``) replies are held to a JSON
    schema; else a request that needs one is refused, and the caller goes another way.

    Args:
        name: as the user writes it.
        options: device, precision, revision, prompts in a batch.

    Raises:
        UsageError: an option is not for local models, or the model writes no text.
        SetupError: its files are missing or damaged.
    """

    def __init__(self, name: str, options: LlmOptions) -> None:
        options.refuse("hf:REPO", *_SERVER_OPTIONS)
        self.name, self.options = name, options
        self.device = find_device(options.device)
        self.dtype = check_dtype(
            options.dtype or ("float32" if self.device == "cpu" else "bfloat16")
        )
        self.files = find_files(name, options.revision, "language model")
        self._auto_class = _auto_class(self.files)
        self._loaded: _Network | None = None
        self._batch_size = options.concurrency or CONCURRENCY
        self._asked = 0
        self._identity = {**self.files.describe(), "decode": DECODE, "dtype": self.dtype}

    @property
    def takes_schemas(self) -> bool:
        """Whether replies can be held to a JSON schema, as far as it is known before loading."""
        return is_installed() if self._loaded is None else self._loaded.grammars is not None

    def identity(self) -> Mapping[str, Any]:
        """Return what decides replies: the files, the precision, how tokens are chosen."""
        return self._identity

    def describe(self) -> Mapping[str, Any]:
        """Return the identity and the network's class; None where it was not needed."""
        network = self._loaded and self._loaded.class_name
        return {**self.identity(), "name": self.name, "network": network}

    @property
    def _network(self) -> _Network:
        """The network, loaded when it is first needed."""
        if self._loaded is None:
            self._loaded = _load(self.files, self._auto_class, self.device, self.dtype)
        return self._loaded

    def account(self) -> Mapping[str, Any]:
        """Return how many replies were written in this command."""
        return {"requests": self._asked, "held_to_schema": self.takes_schemas}

    def converse(
        self, jobs: Iterator[Job[Value]], kept: KeptReplies
    ) -> Iterator[TalkOutcome[Value]]:
        """Yield how each conversation ends; as many go on at a time as a batch has rows.

        Raises:
            SetupError: the network's files are damaged.
        """
        identity = self.identity()
        open_: list[_Open] = []

        def look_up(request: ChatRequest) -> ChatReply | None:
            reply = kept.get(request.key(identity))
            if reply is None and request.needs_schema and self._network.grammars is None:
                return SCHEMA_REFUSED
            return reply

        while True:
            while len(open_) < self._batch_size and (job := next(jobs, None)) is not None:
                step = advanced(job.conversation, None, look_up)
                if isinstance(step, Ended):
                    yield TalkOutcome(job.item_id, step.value)
                else:
                    open_.append(_Open(job.item_id, job.conversation, step))
            if not open_:
                return
            replies = self._replies([talk.request for talk in open_])
            still_open = []
            for talk, reply in zip(open_, replies, strict=True):
                if isinstance(reply, Exception):
                    yield TalkOutcome(talk.item_id, None, reason_of(reply))
                    continue
                kept.keep(talk.request.key(identity), talk.item_id, talk.request, reply)
                step = advanced(talk.conversation, reply, look_up)
                if isinstance(step, Ended):
                    yield TalkOutcome(talk.item_id, step.value)
                else:
                    still_open.append(talk._replace(request=step))
            open_ = still_open

    def _replies(self, requests: Sequence[ChatRequest]) -> list[ChatReply | Exception]:
        """Return the reply to each request, or why there is none; singly where memory is short."""
        rows: list[list[int] | Exception] = []
        for request in requests:
            try:
                rows.append(self._network.tokens(request))
            except DataError as error:
                rows.append(error)
        fit = [place for place, row in enumerate(rows) if not isinstance(row, Exception)]
        replies: dict[int, ChatReply | Exception] = {
            place: row for place, row in enumerate(rows) if isinstance(row, Exception)
        }
        while fit:
            some = fit[: self._batch_size]
            try:
                written = self._network.write(
                    [rows[place] for place in some],
                    [requests[place] for place in some],
                )
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                give_back_memory()
                if self._batch_size > 1:
                    self._batch_size = max(1, len(some) // 2)
                    log.warning("out of memory: %d prompts at once from here on", self._batch_size)
                    continue
                written = [DataError("out of memory: the prompt with its examples is too long")]
            replies |= dict(zip(some, written, strict=True))
            self._asked += len(some)
            fit = fit[len(some) :]
        return [replies[place] for place in range(len(requests))]


class _Open(NamedTuple):
    """A conversation that waits for the reply to a request."""

    item_id: str
    conversation: Conversation[Any]
    request: ChatRequest


class _Network:
    """A causal language model with its tokenizer."""

    def __init__(self, subject: str, model: Any, tokenizer: Any) -> None:
        import transformers

        self.subject, self.model, self.tokenizer = subject, model, tokenizer
        self.class_name = type(model).__name__
        own = model.generation_config
        self.end_ids = _numbers(own.eos_token_id) or _numbers(tokenizer.eos_token_id)
        self.pad_id = next(iter([*_numbers(tokenizer.pad_token_id), *self.end_ids, 0]))
        model.generation_config = transformers.GenerationConfig(
            bos_token_id=own.bos_token_id,
            eos_token_id=self.end_ids or None,
            pad_token_id=self.pad_id,
        )
        config = model.config.get_text_config()
        self.vocabulary = int(config.vocab_size)
        self.longest = getattr(config, "max_position_embeddings", None)
        self.grammars: Grammars | None = None
        try:
            self.grammars = Grammars(tokenizer, self.vocabulary, self.end_ids)
        except NoGrammarError as error:
            log.info("%s is not held to a schema: %s", subject, error)

    def tokens(self, request: ChatRequest) -> list[int]:
        """Return a request's messages as tokens, up to where the model speaks.

        Raises:
            DataError: they are longer than the model reads.
        """
        messages, template = list(request.messages), self.tokenizer.chat_template
        if template:
            thinking = {"enable_thinking": False} if "enable_thinking" in str(template) else {}
            text = self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, **thinking
            )
            ids = self.tokenizer(text, add_special_tokens=False).input_ids
        else:
            text = "\n\n".join(message["content"] for message in messages)
            ids = self.tokenizer(f"{text}\n").input_ids
        if self.longest is not None and len(ids) + 1 > self.longest:
            raise DataError(
                f"what is asked has {len(ids)} tokens, and {self.subject} reads "
                f"{self.longest}; show shorter examples (--examples)"
            )
        return [int(number) for number in ids]

    def write(
        self,
        rows: Sequence[Any],
        requests: Sequence[ChatRequest],
    ) -> list[ChatReply | Exception]:
        """Return what the model writes after each row of tokens, greedily."""
        import torch
        import transformers

        length = max(map(len, rows))
        padded = [[self.pad_id] * (length - len(row)) + row for row in rows]
        seen = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
        most = max(request.max_tokens for request in requests)
        if self.longest is not None:
            most = min(most, self.longest - length)
        held = transformers.LogitsProcessorList()
        if self.grammars is not None and any(request.schema for request in requests):
            schemas = [request.schema and _bounded(request.schema) for request in requests]
            held.append(self.grammars.processor(schemas, length))
        with torch.inference_mode():
            done: Tensor = self.model.generate(
                input_ids=torch.tensor(padded, device=self.model.device),
                attention_mask=torch.tensor(seen, device=self.model.device),
                do_sample=False,
                max_new_tokens=most,
                logits_processor=held,
            )
        written = done[:, length:].tolist()
        return [
            self._reply(ids, request, len(row))
            for ids, request, row in zip(written, requests, rows, strict=True)
        ]

    def _reply(self, ids: list[int], request: ChatRequest, prompt_tokens: int) -> ChatReply:
        end = next((place for place, token in enumerate(ids) if token in self.end_ids), None)
        ids = ids[: request.max_tokens] if end is None else ids[:end]
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        finish = "length" if end is None or end > request.max_tokens else "stop"
        plain = str(text).encode("utf-8", "replace").decode()
        return ChatReply(plain, finish, prompt_tokens, len(ids))


def _auto_class(files: ModelFiles) -> str:
    """Return the class of transformers that chooses the network's.

    Raises:
        SetupError: the configuration is damaged, or of a kind that needs another transformers.
        UsageError: the model writes no text.
    """
    import transformers

    kind, network = read_kind(files)
    config = transformers.CONFIG_MAPPING[kind]
    if config in transformers.MODEL_FOR_CAUSAL_LM_MAPPING:
        return "AutoModelForCausalLM"
    if config in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        return "AutoModelForImageTextToText"  # its text alone is used
    raise UsageError(
        f"{files.subject}: {network} writes no text; name a causal language model "
        "(Qwen, Llama, Gemma, Mistral, SmolLM, ...)"
    )


def _load(files: ModelFiles, auto_class: str, device: str, dtype: str) -> _Network:
    """Return the network of a model's files.

    Raises:
        SetupError: they are missing or damaged.
    """
    import transformers

    model = load_model(files, auto_class, device, dtype)
    with loading_files(files.subject):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            files.folder, local_files_only=True, trust_remote_code=False
        )
    return _Network(files.subject, model, tokenizer)


def _bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema whose texts have an end."""
    bounded: dict[str, Any] = {}
    for name, value in schema.items():
        bounded[name] = _bounded(value) if isinstance(value, Mapping) else value
    if bounded.get("type") == "string" and "enum" not in bounded:
        bounded["maxLength"] = _LONGEST_STRING
    return bounded


def _numbers(value: Any) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)
