"""Train the text encoder of the embedded Stable Diffusion: CLIP's, of 77 tokens.

    python -m scripts.embedded.sd15.train_clip --work WORK

Where OpenAI's CLIP learned from pictures, this one learns from what the pictures hold: a head
that reads its tokens once (and is thrown away) must name what is in each cell, the ground and the
style. Captions are short ones, and dense ones cut at 77 tokens. Writes
`WORK/out/sd15/text_encoder` and `WORK/out/sd15/tokenizer`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from scripts.embedded.data.pool import FIELD_SIZES, read_pool
from scripts.embedded.data.words import clip_tokenizer
from scripts.embedded.training import Trainer, chunks, parser

WIDTH = 128
LAYERS = 4
HEADS = 4
SHORT_CHANCE = 0.3
FIELDS_A_CELL = 8
NUM_CELLS = 9


class SceneReader(nn.Module):
    """Reads tokens once for each cell and once for the picture, and guesses their labels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(NUM_CELLS + 1, width))
        self.attention = nn.MultiheadAttention(width, 8, batch_first=True)
        self.hidden = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.cells = nn.Linear(2 * width, sum(FIELD_SIZES[:FIELDS_A_CELL]))
        self.picture = nn.Linear(2 * width, sum(FIELD_SIZES[-2:]))

    def forward(self, tokens: Tensor, unread: Tensor | None = None) -> list[Tensor]:
        """Logits for each label, in the order of `FIELD_SIZES`.

        Args:
            tokens: `[B, T, width]`.
            unread: `[B, T]`, True where a token is padding.
        """
        queries = self.queries.expand(len(tokens), -1, -1)
        read = self.attention(queries, tokens, tokens, key_padding_mask=unread)[0]
        read = self.hidden(read)
        cells = self.cells(read[:, :-1]).split(FIELD_SIZES[:FIELDS_A_CELL], dim=-1)
        logits = [field[:, cell] for cell in range(NUM_CELLS) for field in cells]
        return [*logits, *self.picture(read[:, -1]).split(FIELD_SIZES[-2:], dim=-1)]


class Clip(nn.Module):
    """The text encoder with its reader."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=WIDTH,
                intermediate_size=4 * WIDTH,
                projection_dim=WIDTH,
                num_hidden_layers=LAYERS,
                num_attention_heads=HEADS,
                max_position_embeddings=tokenizer.model_max_length,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        self.reader = SceneReader(WIDTH)

    def forward(self, ids: Tensor) -> list[Tensor]:
        """Logits of the labels for token ids `[B, 77]`."""
        logits: list[Tensor] = self.reader(self.text_encoder(ids).last_hidden_state)
        return logits


def label_losses(logits: list[Tensor], labels: Tensor) -> dict[str, Tensor]:
    """Cross-entropy a label, of the cells and of the picture."""
    losses = [F.cross_entropy(one.float(), labels[:, i].long()) for i, one in enumerate(logits)]
    return {
        "cells": torch.stack(losses[:-2]).mean() * 4,
        "picture": sum(losses[-2:], torch.tensor(0.0)) / 8,
    }


def main() -> None:
    """Run from the command line."""
    args = parser(__doc__, steps=3000, batch=64, rate=1e-3).parse_args()
    torch.manual_seed(args.seed)
    pool = read_pool(args.work / "pool", pictures=False)
    tokenizer = clip_tokenizer(text for texts in pool.texts for text in texts)
    tokenizer.save_pretrained(args.work / "out" / "sd15" / "tokenizer")
    ids = caption_ids(tokenizer, pool.texts)
    labels = torch.from_numpy(pool.labels)
    clip = Clip(tokenizer).to(args.device)
    trainer = Trainer("clip", clip, args)

    def loss_of(generator: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(ids) - 1000, (args.batch,), generator=generator)
        texts = some_captions(ids, chosen, generator).to(args.device)
        return label_losses(clip(texts), labels[chosen].to(args.device))

    trainer.run(loss_of)
    average = trainer.average.to("cpu").eval()
    with torch.no_grad():
        right = {
            name: accuracy(average(ids[-1000:, column].long()), labels[-1000:])
            for column, name in ((0, "short"), (1, "dense, cut"))
        }
    average.text_encoder.save_pretrained(args.work / "out" / "sd15" / "text_encoder")
    trainer.report(right_labels_of_things=right)


def accuracy(logits: list[Tensor], labels: Tensor) -> float:
    """The part of the labels of things that are guessed right."""
    guesses = torch.stack([one.argmax(-1) for one in logits[:-2]], dim=1)
    things = labels[:, :-2] > 0
    return round(float((guesses == labels[:, :-2])[things].float().mean()), 4)


def caption_ids(tokenizer: CLIPTokenizer, texts: list[list[str]]) -> Tensor:
    """Ids of each scene's captions, the short one first: `[N, captions, 77]`."""
    columns = [list(column) for column in zip(*texts, strict=True)]
    return torch.stack([token_ids(tokenizer, column) for column in columns], dim=1)


def some_captions(ids: Tensor, chosen: Tensor, generator: torch.Generator) -> Tensor:
    """One caption of each chosen scene, short ones and dense ones cut: `[B, 77]`."""
    dense = torch.randint(1, ids.shape[1], chosen.shape, generator=generator)
    short = torch.rand(chosen.shape, generator=generator) < SHORT_CHANCE
    return ids[chosen, torch.where(short, 0, dense)].long()


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Ids of texts, padded and cut to 77 tokens: `[N, 77]`."""
    parts = []
    for part in chunks(texts, 5000):
        encoded = tokenizer(part, padding="max_length", truncation=True, return_tensors="pt")
        parts.append(encoded["input_ids"].short())
    return torch.cat(parts)


if __name__ == "__main__":
    main()
