"""Vision language models of a few thousand weights: real transformers classes, seeded, on disk.

Each `write_*` saves a folder as the hub has it: configuration, safetensors, processor, tokenizer.
Weights are drawn large enough that attention, positions and images matter, and the output layer
leans to yes and no, and then to the end, so that most answers are valid and some are not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

TEXT = (
    "yes no Yes No YES NO Is there a red circle in the picture ? Answer with one word only : yes or"
    " no . USER ASSISTANT user assistant Question blue square left of large two dogs beside tree"
)
VICUNA = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}IMAGE"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
TEXT_SIZE = {**SIZE, **SPECIAL, "num_key_value_heads": 2, "head_dim": 8}
VISION_SIZE = {**SIZE, "image_size": 28, "patch_size": 7}
SIDE = {"height": 28, "width": 28}


def make_tokenizer(*more: str, **named: str) -> Any:
    """Return a byte-level BPE tokenizer trained on the spot; `named` are image tokens by name."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<pad>", "<s>", "</s>", "<unk>", *more, *named.values()],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator([TEXT] * 20, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        extra_special_tokens=named,
    )


def save(folder: Path, seed: int, model: Any, tokenizer: Any, head: Any, *parts: Any) -> Path:
    """Fill `model` with seeded weights and write it, with `parts`, into `folder`."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.ndim > 1:
                fan_in = 1 if "embed" in name else weight[0].numel()
                weight.normal_(0, 1.3 * fan_in**-0.5, generator=generator)
            elif name.endswith("bias"):
                weight.normal_(0, 0.1, generator=generator)
    _lean(model, tokenizer, head)
    model.save_pretrained(folder)
    for part in parts:
        part.save_pretrained(folder)
    return folder


def _lean(model: Any, tokenizer: Any, head: Any) -> None:
    """Let the output layer prefer yes and no, and after them the end."""
    vocab = tokenizer.get_vocab()
    words = [w for w in ("yes", "Yes", "no", "No", "\u0120yes", "\u0120no") if w in vocab]
    ids = [vocab[word] for word in words]
    ends = [vocab[end] for end in ("</s>", "[SEP]", "<|im_end|>") if end in vocab]
    generator = torch.Generator().manual_seed(1)
    embeddings = getattr(model, "text_decoder", model).get_input_embeddings().weight
    with torch.no_grad():
        direction = embeddings[ids].sum(0)
        head.weight *= 0.4
        head.weight[ends] = 6 * direction / direction.norm()
        head.weight[ids] = torch.empty(len(ids), len(direction)).normal_(0, 1, generator=generator)


def write_llava(folder: Path, seed: int = 0) -> Path:
    """LLaVA: CLIP, a projector, Llama; the image stands before the question."""
    tokenizer = make_tokenizer(image_token="<image>")
    config = transformers.LlavaConfig(
        vision_config=transformers.CLIPVisionConfig(**VISION_SIZE),
        text_config=transformers.LlamaConfig(vocab_size=len(tokenizer), **TEXT_SIZE),
        image_token_id=tokenizer.image_token_id,
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    model = transformers.LlavaForConditionalGeneration(config)
    processor = transformers.LlavaProcessor(
        transformers.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=SIDE),
        tokenizer,
        patch_size=7,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=VICUNA,
    )
    return save(folder, seed, model, tokenizer, model.lm_head, processor)


def write_idefics3(folder: Path, seed: int = 0) -> Path:
    """Idefics3, the class of SmolVLM: an image is cut into parts, and the whole."""
    rows = [f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)]
    more = ("<global-img>", "<end_of_utterance>", "<fake_token_around_image>", "<image>")
    tokenizer = make_tokenizer(*rows, *more)
    config = transformers.Idefics3Config(
        vision_config=dict(VISION_SIZE),
        text_config=transformers.LlamaConfig(vocab_size=len(tokenizer), **TEXT_SIZE),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=False,
        pad_token_id=0,
    )
    model = transformers.Idefics3ForConditionalGeneration(config)
    edges = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}}
    images = transformers.Idefics3ImageProcessorPil(**edges)
    processor = transformers.Idefics3Processor(
        images, tokenizer, image_seq_len=4, chat_template=VICUNA
    )
    return save(folder, seed, model, tokenizer, model.lm_head, processor)


def write_paligemma(folder: Path, seed: int = 0) -> Path:
    """PaliGemma: no chat template; the image attends to the question."""
    tokenizer = make_tokenizer(image_token="<image>")
    images = transformers.SiglipImageProcessorPil(size=SIDE)
    images.image_seq_length = 16
    processor = transformers.PaliGemmaProcessor(images, tokenizer)
    untied = {"vocab_size": len(tokenizer), "tie_word_embeddings": False}
    config = transformers.PaliGemmaConfig(
        vision_config={**VISION_SIZE, "model_type": "siglip_vision_model", "projection_dim": 32},
        text_config=transformers.GemmaConfig(**untied, **TEXT_SIZE),
        image_token_index=tokenizer.image_token_id,
        projection_dim=32,
        tie_word_embeddings=False,
    )
    model = transformers.PaliGemmaForConditionalGeneration(config)
    return save(folder, seed, model, tokenizer, model.lm_head, processor)


def write_qwen2_vl(folder: Path, seed: int = 0) -> Path:
    """Qwen2-VL: rotary positions of three axes, images of any size, a processor of videos."""
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>", "<|video_pad|>")
    tokenizer = make_tokenizer(*tokens, image_token="<|image_pad|>")
    tokenizer.chat_template = CHATML.replace("IMAGE", f"{tokens[0]}<|image_pad|>{tokens[1]}")
    start, end, _, im_end, video = tokenizer.convert_tokens_to_ids(list(tokens))
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]}
    size = {"depth": 2, "num_heads": 4, "embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2}
    config = transformers.Qwen2VLConfig(
        text_config={**TEXT_SIZE, "rope_parameters": rope, "vocab_size": len(tokenizer)},
        vision_config={**size, "patch_size": 7},
        image_token_id=tokenizer.image_token_id,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
        tie_word_embeddings=False,
    )
    model = transformers.Qwen2VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = [2, im_end]
    model.generation_config.update(do_sample=True, temperature=9.0, repetition_penalty=5.0)
    size_px = {"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    images = transformers.Qwen2VLImageProcessorPil(patch_size=7, size=size_px)
    return save(folder, seed, model, tokenizer, model.lm_head, images, tokenizer)


def write_internvl(folder: Path, seed: int = 0) -> Path:
    """InternVL: an image is cut into parts; a processor of videos."""
    named = {"start": "<img>", "end": "</img>", "context": "<IMG_CONTEXT>"}
    tokens = {f"{name}_image_token": token for name, token in named.items()}
    tokenizer = make_tokenizer("<|im_start|>", "<|im_end|>", video_token="<video>", **tokens)
    tokenizer.chat_template = CHATML.replace("IMAGE", "<IMG_CONTEXT>\n")
    config = transformers.InternVLConfig(
        vision_config={**VISION_SIZE, "image_size": [28, 28], "patch_size": [7, 7]},
        text_config=transformers.Qwen2Config(vocab_size=len(tokenizer), **TEXT_SIZE),
        image_token_id=tokenizer.context_image_token_id,
        image_seq_length=4,
        tie_word_embeddings=False,
    )
    model = transformers.InternVLForConditionalGeneration(config)
    images = transformers.GotOcr2ImageProcessorPil(size=SIDE, crop_to_patches=True, max_patches=4)
    save(folder, seed, model, tokenizer, model.lm_head, images, tokenizer)
    settings = {"image_seq_length": 4, "processor_class": "InternVLProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(settings))
    return folder


def write_blip(folder: Path, seed: int = 0) -> Path:
    """BLIP for visual question answering: an encoder, a decoder, BERT's words."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    words = sorted({word.lower() for word in TEXT.split()} | set(letters))
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *words]
    vocab += [f"##{letter}" for letter in letters]
    numbered = {word: number for number, word in enumerate(vocab)}
    tokenizer = transformers.BertTokenizer(vocab=numbered, do_lower_case=True)
    special = {"pad_token_id": 0, "bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3}
    text = {**SIZE, **special, "vocab_size": len(vocab), "encoder_hidden_size": 32}
    config = transformers.BlipConfig(
        vision_config=dict(VISION_SIZE),
        text_config={**text, "max_position_embeddings": 24, "tie_word_embeddings": False},
        tie_word_embeddings=False,
    )
    model = transformers.BlipForQuestionAnswering(config)
    processor = transformers.BlipProcessor(transformers.BlipImageProcessorPil(size=SIDE), tokenizer)
    head = model.text_decoder.cls.predictions.decoder
    return save(folder, seed, model, tokenizer, head, processor)


WRITERS: dict[str, Callable[..., Path]] = {
    "llava": write_llava,
    "idefics3": write_idefics3,
    "paligemma": write_paligemma,
    "qwen2_vl": write_qwen2_vl,
    "internvl": write_internvl,
    "blip": write_blip,
}
