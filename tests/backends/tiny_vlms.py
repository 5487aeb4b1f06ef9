"""Vision language models of a few thousand weights: real transformers classes, seeded, on disk.

Each `write_*` saves a folder as the hub has it: configuration, safetensors, processor, tokenizer.
Weights are drawn large enough that attention, positions and images matter, and the output layer
leans to yes, no and the end, so that most answers are valid and some are not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ("<pad>", "<s>", "</s>", "<unk>")
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
TEXT_SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
VISION_SIZE: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 7,
}


def make_tokenizer(*more: str, side: str = "left", **named: str) -> Any:
    """Return a byte-level BPE tokenizer trained on the spot; `named` are image tokens by name."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[*SPECIAL, *more, *named.values()],
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
        padding_side=side,
        extra_special_tokens=named,
    )


def _draw(model: Any, seed: int) -> None:
    """Fill `model` with seeded weights, each layer's output about as large as its input."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.ndim > 1:
                fan_in = weight[0].numel() if "embed" not in name else 1
                weight.normal_(0, 1.3 * fan_in**-0.5, generator=generator)
            elif name.endswith("bias"):
                weight.normal_(0, 0.1, generator=generator)


def _lean(model: Any, tokenizer: Any, head: Any) -> None:
    """Let the output layer prefer yes and no, and after them the end."""
    vocab = tokenizer.get_vocab()
    words = [w for w in ("yes", "Yes", "no", "No", "\u0120yes", "\u0120no") if w in vocab]
    ids = [vocab[word] for word in words]
    ends = [vocab[end] for end in ("</s>", "[SEP]", "<|im_end|>") if end in vocab]
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        said = model.get_input_embeddings().weight[ids].sum(0)
        head.weight *= 0.4
        head.weight[ends] = 6 * said / said.norm()
        head.weight[ids] = torch.empty(len(ids), len(said)).normal_(0, 1, generator=generator)


def _save(folder: Path, model: Any, processor: Any, head: Any, seed: int) -> Path:
    _draw(model, seed)
    _lean(model, processor.tokenizer, head)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


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
    side = {"height": 28, "width": 28}
    processor = transformers.LlavaProcessor(
        transformers.CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size=side),
        tokenizer,
        patch_size=7,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=VICUNA,
    )
    return _save(folder, model, processor, model.lm_head, seed)


def write_idefics3(folder: Path, seed: int = 0) -> Path:
    """Idefics3, the class of SmolVLM: an image is cut into parts, and the whole."""
    rows = [f"<row_{r}_col_{c}>" for r in (1, 2) for c in (1, 2)]
    tokenizer = make_tokenizer(
        *rows, "<global-img>", "<end_of_utterance>", "<fake_token_around_image>", "<image>"
    )
    config = transformers.Idefics3Config(
        vision_config=dict(VISION_SIZE),
        text_config=transformers.LlamaConfig(vocab_size=len(tokenizer), **TEXT_SIZE),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=False,
        pad_token_id=0,
    )
    model = transformers.Idefics3ForConditionalGeneration(config)
    processor = transformers.Idefics3Processor(
        transformers.Idefics3ImageProcessorPil(
            size={"longest_edge": 56}, max_image_size={"longest_edge": 28}
        ),
        tokenizer,
        image_seq_len=4,
        chat_template=VICUNA,
    )
    return _save(folder, model, processor, model.lm_head, seed)


def write_paligemma(folder: Path, seed: int = 0) -> Path:
    """PaliGemma: no chat template; the image attends to the question."""
    tokenizer = make_tokenizer(image_token="<image>")
    image_processor = transformers.SiglipImageProcessorPil(size={"height": 28, "width": 28})
    image_processor.image_seq_length = 16
    processor = transformers.PaliGemmaProcessor(image_processor, tokenizer)
    config = transformers.PaliGemmaConfig(
        vision_config=dict(VISION_SIZE, model_type="siglip_vision_model", projection_dim=32),
        text_config=transformers.GemmaConfig(
            vocab_size=len(tokenizer), tie_word_embeddings=False, **TEXT_SIZE
        ),
        image_token_index=tokenizer.image_token_id,
        projection_dim=32,
        hidden_size=32,
        tie_word_embeddings=False,
    )
    model = transformers.PaliGemmaForConditionalGeneration(config)
    return _save(folder, model, processor, model.lm_head, seed)


def write_qwen2_vl(folder: Path, seed: int = 0) -> Path:
    """Qwen2-VL: rotary positions of three axes, images of any size, a video processor."""
    return _write_qwen(folder, seed, "Qwen2VL", {"embed_dim": 32, "hidden_size": 32, "mlp_ratio": 2})


def write_qwen2_5_vl(folder: Path, seed: int = 0) -> Path:
    """Qwen2.5-VL: as Qwen2-VL, with windows in the image trunk."""
    vision = {"hidden_size": 32, "out_hidden_size": 32, "intermediate_size": 64}
    more = {"fullatt_block_indexes": [1], "window_size": 28}
    return _write_qwen(folder, seed, "Qwen2_5_VL", {**vision, **more})


def _write_qwen(folder: Path, seed: int, family: str, vision: dict[str, Any]) -> Path:
    tokens = ("<|vision_start|>", "<|vision_end|>", "<|im_start|>", "<|im_end|>", "<|video_pad|>")
    tokenizer = make_tokenizer(*tokens, image_token="<|image_pad|>")
    text = {**TEXT_SIZE, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]}}
    text["rope_parameters"]["rope_theta"] = 10_000.0
    ids = tokenizer.convert_tokens_to_ids
    config = getattr(transformers, f"{family}Config")(
        text_config={**text, "vocab_size": len(tokenizer), "tie_word_embeddings": False},
        vision_config={"depth": 2, "num_heads": 4, "patch_size": 7, "in_channels": 3, **vision},
        image_token_id=tokenizer.image_token_id,
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
        tie_word_embeddings=False,
    )
    model = getattr(transformers, f"{family}ForConditionalGeneration")(config)
    _draw(model, seed)
    _lean(model, tokenizer, model.lm_head)
    model.generation_config.eos_token_id = [2, ids("<|im_end|>")]
    model.generation_config.do_sample = True
    model.generation_config.temperature = 0.01
    model.generation_config.repetition_penalty = 1.05
    model.save_pretrained(folder)
    image_processor = transformers.Qwen2VLImageProcessorPil(
        patch_size=7, size={"shortest_edge": 28 * 28, "longest_edge": 56 * 56}
    )
    image_processor.save_pretrained(folder)
    image = "<|vision_start|><|image_pad|><|vision_end|>"
    tokenizer.chat_template = CHATML.replace("IMAGE", image)
    tokenizer.save_pretrained(folder)
    return folder


def write_blip(folder: Path, seed: int = 0) -> Path:
    """BLIP for visual question answering: an encoder, a cross-attending decoder, BERT's words."""
    words = sorted({word.lower() for word in TEXT.split()} | set("abcdefghijklmnopqrstuvwxyz0123456789"))
    pieces = [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", *words, *pieces]
    tokenizer = transformers.BertTokenizer(
        vocab={word: number for number, word in enumerate(vocab)}, do_lower_case=True
    )
    size = {key: value for key, value in TEXT_SIZE.items() if key not in ("num_key_value_heads", "head_dim")}
    special = {"pad_token_id": 0, "bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3}
    config = transformers.BlipConfig(
        vision_config=dict(VISION_SIZE),
        text_config={**size, **special, "vocab_size": len(vocab), "encoder_hidden_size": 32,
            "tie_word_embeddings": False},
        tie_word_embeddings=False,
    )
    model = transformers.BlipForQuestionAnswering(config)
    processor = transformers.BlipProcessor(
        transformers.BlipImageProcessorPil(size={"height": 28, "width": 28}), tokenizer
    )
    _draw(model, seed)
    _lean(model.text_decoder, tokenizer, model.text_decoder.cls.predictions.decoder)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


WRITERS: dict[str, Callable[..., Path]] = {
    "llava": write_llava,
    "idefics3": write_idefics3,
    "paligemma": write_paligemma,
    "qwen2_vl": write_qwen2_vl,
    "qwen2_5_vl": write_qwen2_5_vl,
    "blip": write_blip,
}
