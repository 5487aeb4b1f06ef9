"""How the published checkpoint calls this network's tensors, and which of its own are not needed.

Names only: no file is read here.
"""

import re
from functools import cache
from typing import Final

from dpgbench.mplug.config import MplugConfig

_Renaming = tuple[tuple[str, str], ...]

_IMAGE: Final[_Renaming] = (
    ("image_encoder.projection.", "visn_fc."),
    ("image_encoder.norm.", "visn_layer_norm."),
    ("image_encoder.trunk.", "visual_encoder.visual."),
    (".patches.", ".conv1."),
    (".class_token", ".class_embedding"),
    (".positions", ".positional_embedding"),
    (".norm_before.", ".ln_pre."),
    (".norm_after.", ".ln_post."),
    (".blocks.", ".transformer.resblocks."),
    (".attention_norm.", ".ln_1."),
    (".attention.projections.", ".attn.in_proj_"),
    (".attention.output.", ".attn.out_proj."),
    (".feed_forward_norm.", ".ln_2."),
    (".up.", ".mlp.c_fc."),
    (".down.", ".mlp.c_proj."),
)
_HEAD: Final[_Renaming] = (
    ("decoder.embeddings.words.weight", "text_decoder.cls.predictions.decoder.weight"),
    ("decoder.bias", "text_decoder.cls.predictions.decoder.bias"),
    ("decoder.head.", "text_decoder.cls.predictions.transform.dense."),
    ("decoder.head_norm.", "text_decoder.cls.predictions.transform.LayerNorm."),
)
_BERT: Final[_Renaming] = (
    ("decoder.embeddings.", "text_decoder.bert.embeddings."),
    ("decoder.layers.", "text_decoder.bert.encoder.layer."),
    ("fusion.layers.", "fusion_encoder.encoder.layer."),
    ("text_encoder.layers.", "text_encoder.encoder.layer."),
    (".feed_forward.up.", ".intermediate.dense."),
    (".feed_forward.down.", ".output.dense."),
    (".feed_forward.norm.", ".output.LayerNorm."),
    (".cross_attention.", ".crossattention."),
    ("attention.query.", "attention.self.query."),
    ("attention.key.", "attention.self.key."),
    ("attention.value.", "attention.self.value."),
    ("attention.output.", "attention.output.dense."),
    ("attention.norm.", "attention.output.LayerNorm."),
    (".words.", ".word_embeddings."),
    (".positions.", ".position_embeddings."),
    (".token_types.", ".token_type_embeddings."),
    ("embeddings.norm.", "embeddings.LayerNorm."),
)

FALLBACKS: Final = {
    "text_decoder.cls.predictions.decoder.weight": (
        "text_decoder.bert.embeddings.word_embeddings.weight"
    ),
    "text_decoder.cls.predictions.decoder.bias": "text_decoder.cls.predictions.bias",
}
"""Two names of one tensor: where a file holds both, the first counts; it may lack the first."""

_NOT_NEEDED: Final = (
    # momentum copies, which only training reads
    r"(visual_encoder|text_encoder|fusion_encoder|text_decoder|visn_fc|visn_layer_norm)_m\..*",
    # CLIP's text tower, and its projection of the image
    r"visual_encoder\.(transformer|token_embedding|ln_final)\..*",
    r"visual_encoder\.(positional_embedding|text_projection|logit_scale)",
    r"visual_encoder\.(input_resolution|context_length|vocab_size)",
    r"visual_encoder\.visual\.proj",
    # parts of BERT that this judge never runs
    r"fusion_encoder\.embeddings\..*",
    r"(text_encoder|fusion_encoder|text_decoder\.bert)\.pooler\..*",
    r".*\.embeddings\.position_ids",
)


def published_name(name: str, config: MplugConfig) -> str:
    """The published checkpoint's name for the parameter `name` of `Mplug`."""
    if name.startswith("image_encoder."):
        return _rename(name, _IMAGE)
    if renamed := _head_name(name):
        return renamed
    return _rename(_count_from_declared(name, config), _BERT)


def is_needed(published: str, config: MplugConfig) -> bool:
    """False for the tensors of a published checkpoint that the judge never uses."""
    return _not_needed(config).fullmatch(published) is None


def _rename(name: str, renaming: _Renaming) -> str:
    for ours, theirs in renaming:
        name = name.replace(ours, theirs)
    return name


def _head_name(name: str) -> str | None:
    for ours, theirs in _HEAD:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return None


def _count_from_declared(name: str, config: MplugConfig) -> str:
    """Numbers a fusion layer among all that are declared; only the last ones run."""
    skipped = config.declared_fusion_layers - config.fusion_layers
    return re.sub(r"(?<=^fusion\.layers\.)\d+", lambda number: str(int(number[0]) + skipped), name)


@cache
def _not_needed(config: MplugConfig) -> re.Pattern[str]:
    """All of `_NOT_NEEDED`, the fusion layers that do not run, and what joint layers never use."""
    skipped = config.declared_fusion_layers - config.fusion_layers
    layers = [rf"fusion_encoder\.encoder\.layer\.{i}\..*" for i in range(skipped)]
    joint = [
        rf"fusion_encoder\.encoder\.layer\.{skipped + i}\.crossattention\..*"
        for i in range(config.fusion_layers)
        if config.is_joint(i)
    ]
    second_names = [re.escape(name) for name in FALLBACKS.values()]
    return re.compile("|".join([*_NOT_NEEDED, *layers, *joint, *second_names]))
