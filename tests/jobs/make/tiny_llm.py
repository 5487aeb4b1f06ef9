"""Language models of a few thousand weights: a real transformers class that says its piece.

`write_scripted` knows one reply to each kind of request: the token that stands at the end of the
prompt is followed by the reply's pieces, one token each, and by the end. Weights do that, not code:
the output layer answers each token with the next one's. `write_random` has random weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from dpgbench.jobs.make import template

KINDS = {
    "check": "description of a picture",
    "tuples": "First step",
    "questions": "Second step",
    "parents": "Third step",
}
_CHOICE = "".join(
    f"{{% {'elif' if number else 'if'} '{words}' in messages[0]['content'] %}}<|{kind}|>"
    for number, (kind, words) in enumerate(KINDS.items())
)
CHAT = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    + _CHOICE
    + "{% else %}<|graph|>{% endif %}"
)
_WIDTH = 96


def write_scripted(folder: Path, replies: Mapping[str, Sequence[str]]) -> Path:
    """Write a model that replies to each kind of request with these pieces of text."""
    pieces = list(dict.fromkeys(piece for reply in replies.values() for piece in reply))
    tokenizer = _tokenizer(pieces)
    model = _llama(tokenizer)
    ids = tokenizer.convert_tokens_to_ids
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        words = torch.nn.functional.normalize(
            torch.randn(len(tokenizer), _WIDTH, generator=generator), dim=-1
        )
        model.model.embed_tokens.weight.copy_(words)
        for layer in model.model.layers:  # each token knows itself alone
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.lm_head.weight.zero_()
        for kind, reply in replies.items():
            for before, after in pairwise([f"<|{kind}|>", *reply, "</s>"]):
                model.lm_head.weight[ids(after)] += words[ids(before)]
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def write_random(folder: Path) -> Path:
    """Write a model that knows nothing."""
    torch.manual_seed(0)
    tokenizer = _tokenizer([])
    _llama(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _llama(tokenizer: Any) -> Any:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=_WIDTH,
            intermediate_size=_WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=8192,
            tie_word_embeddings=False,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def _tokenizer(pieces: Sequence[str]) -> Any:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = [f"<|{kind}|>" for kind in ("graph", *KINDS)]
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<pad>", "<s>", "</s>", *marks],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(template.texts(), trainer)
    tokenizer.add_tokens([AddedToken(piece, normalized=False) for piece in pieces])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=CHAT,
    )
