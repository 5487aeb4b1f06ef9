"""Tiny seeded language models of the real classes, in folders as a hub has them."""

from __future__ import annotations

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

WORDS = ("a", "red", "blue", "circle", "square", "dog", "beside", "two", "left", "of", "tree")
WIDTH = 32
_TEXT = {
    "vocab_size": len(WORDS) + 4,  # some tokenizers add a token of their own
    "hidden_size": WIDTH,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": None,
}
_HEAD = {"head_dim": 8}
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
_ROPE = {"rope_theta": 10_000.0, "rope_type": "default", "mrope_section": [1, 1, 2]}


def _causal(kind, **more):
    config = getattr(transformers, f"{kind}Config")(**_TEXT, **more)
    return getattr(transformers, f"{kind}ForCausalLM")(config)


def _gemma_text():
    return transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**_TEXT, **_HEAD))


def _qwen_vl():
    text = {**_TEXT, "rope_parameters": _ROPE}
    vision = {"depth": 1, "hidden_size": 16, "out_hidden_size": WIDTH, "num_heads": 2}
    config = transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision)
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def _llava():
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(**_TEXT),
        vision_config=transformers.CLIPVisionConfig(**_VISION),
    )
    return transformers.LlavaForConditionalGeneration(config)


def _gemma_vision():
    config = transformers.Gemma3Config(
        text_config=transformers.Gemma3TextConfig(**_TEXT, **_HEAD),
        vision_config=transformers.SiglipVisionConfig(**_VISION),
        mm_tokens_per_image=4,
    )
    return transformers.Gemma3ForConditionalGeneration(config)


BUILDERS = {
    "llama": lambda: _causal("Llama"),
    "qwen2": lambda: _causal("Qwen2"),
    "qwen3": lambda: _causal("Qwen3", **_HEAD),
    "mistral": lambda: _causal("Mistral", **_HEAD),
    "gemma2": lambda: _causal("Gemma2", **_HEAD),
    "gemma3_text": _gemma_text,
    "qwen2_5_vl": _qwen_vl,
    "llava": _llava,
    "gemma3": _gemma_vision,
}


def tiny_tokenizer():
    """Whole words; an end-of-text token, none for padding, none for the beginning (as Qwen's)."""
    vocabulary = {token: n for n, token in enumerate(("<end>", "<unknown>", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unknown>", padding_side="left"
    )


def write_language_model(kind, folder):
    """A causal or vision-language model with its head and tokenizer; the network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = BUILDERS[kind]()
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.data.normal_(std=0.2)
    network.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return network.eval()
