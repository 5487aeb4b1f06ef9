"""Train the language model of the embedded ELLA: a small T5, on the captions' text alone.

    python scripts/embedded/train_language_model.py --work WORK

Two wordings of one scene make a pair: the encoder reads the one, with some words hidden, and the
decoder (thrown away afterwards) writes the other, where words that tell something of the scene
count most: another dense caption, or a terse one that lists the picture's places. No picture is
seen. Writes the encoder and its tokenizer to `WORK/out/ella/text_encoder`.
"""

from __future__ import annotations

import numpy as np
import torch
from pool import listing, read_pool
from torch import Tensor
from torch.nn import functional as F
from training import Trainer, chunks, parser
from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration, T5Tokenizer
from words import t5_tokenizer

from dpgbench.world.scene import COLORS, FILLS, GROUNDS, SHAPES, SIZES, STYLES

HIDDEN_CHANCE = 0.1
LISTING_CHANCE = 0.75
"""How often the list of places is written, not another dense caption."""
WINDOW = 8
"""A batch comes from so many batches' worth of texts of about one length: less padding."""
HIDDEN = "<unk>"
PLAIN_WEIGHT = 0.1
"""Weight of words that tell nothing of a scene; those of `TELLING` have 1."""
TELLING = {
    *(word + end for word in (*SHAPES, *COLORS) for end in ("", "s", "es")),
    *(*SIZES, *FILLS, *GROUNDS, *STYLES, "big", "little", "solid", "stripes", "bands"),
    *("left", "right", "top", "bottom", "center", "middle", "upper", "lower", "above", "below"),
    *("inside", "between", "nothing", "two", "three", "four", "five", "six", "row", "column"),
}


def build(tokenizer: T5Tokenizer) -> T5ForConditionalGeneration:
    """The network, with random weights."""
    return T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokenizer),
            d_model=128,
            d_kv=32,
            d_ff=384,
            num_layers=4,
            num_decoder_layers=1,
            num_heads=4,
            dropout_rate=0.0,
            decoder_start_token_id=tokenizer.pad_token_id,
            attn_implementation="eager",
        )
    )


def main() -> None:
    """Run from the command line."""
    args = parser(__doc__, steps=3500, batch=48, rate=1.5e-3).parse_args()
    torch.manual_seed(args.seed)
    pool = read_pool(args.work / "pool", pictures=False)
    tokenizer = t5_tokenizer(text for texts in pool.texts for text in texts)
    tokenizer.save_pretrained(args.work / "out" / "ella" / "text_encoder")
    dense = [list(texts) for texts in zip(*pool.texts, strict=True)][1:]
    columns = [_ids(tokenizer, texts) for texts in ([listing(one) for one in pool.labels], *dense)]
    hidden = tokenizer.convert_tokens_to_ids(HIDDEN)
    weights = telling(tokenizer).to(args.device)
    model = build(tokenizer).to(args.device)
    trainer = Trainer("language_model", model, args)

    def pick(chosen: Tensor, column: Tensor) -> Tensor:
        rows = [columns[c][i] for i, c in zip(chosen.tolist(), column.tolist(), strict=True)]
        return _padded(rows).to(args.device)

    lengths = np.array([[len(ids) for ids in column] for column in columns[1:]]).sum(0)
    by_length = torch.from_numpy(lengths[:-500].argsort(kind="stable"))

    def loss_of(draws: torch.Generator) -> dict[str, Tensor]:
        window = WINDOW * args.batch
        start = int(torch.randint(len(by_length) - window, (1,), generator=draws))
        chosen = by_length[start + torch.randperm(window, generator=draws)[: args.batch]]
        turn = torch.randint(1, len(columns), (args.batch,), generator=draws)
        listed = bool(torch.rand(1, generator=draws) < LISTING_CHANCE)
        read = pick(chosen, turn)
        written = pick(chosen, torch.zeros_like(turn) if listed else len(columns) - turn)
        lost = torch.rand(read.shape, generator=draws).to(read.device) < HIDDEN_CHANCE
        seen = torch.where(lost & (read > 1), hidden, read)
        return {"words": word_loss(model, seen, read > 0, written, weights)}

    trainer.run(loss_of)
    average = trainer.average.to("cpu").eval()
    encoder = T5EncoderModel(average.encoder.config)
    encoder.encoder.load_state_dict(average.encoder.state_dict(), strict=False)
    encoder.shared.load_state_dict(average.shared.state_dict())
    encoder.save_pretrained(args.work / "out" / "ella" / "text_encoder")
    last = torch.arange(len(columns[0]) - 500, len(columns[0]))
    with torch.no_grad():
        read, written = (pick(last, torch.full((500,), column)).cpu() for column in (1, 0))
        loss = word_loss(average, read, read > 0, written, weights.cpu())
    trainer.report(held_out_cross_entropy=round(float(loss), 4))


def word_loss(
    model: T5ForConditionalGeneration,
    read: Tensor,
    is_text: Tensor,
    written: Tensor,
    weights: Tensor,
) -> Tensor:
    """Cross-entropy of the words written `[B, T]` after reading `[B, S]`, weighted by word."""
    labels = written.masked_fill(written == 0, -100)
    logits = model(input_ids=read, attention_mask=is_text.long(), labels=labels).logits
    return F.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), weights)


def telling(tokenizer: T5Tokenizer) -> Tensor:
    """The weight of each token."""
    weights = torch.full((len(tokenizer),), PLAIN_WEIGHT)
    for piece, number in tokenizer.get_vocab().items():
        if piece.lstrip("▁").lower() in TELLING:
            weights[number] = 1.0
    return weights


def _ids(tokenizer: T5Tokenizer, texts: list[str]) -> list[np.ndarray]:
    encoded = (tokenizer(part)["input_ids"] for part in chunks(texts, 5000))
    return [np.array(ids, dtype=np.int16) for part in encoded for ids in part]


def _padded(rows: list[np.ndarray]) -> Tensor:
    padded = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = torch.from_numpy(ids)
    return padded


if __name__ == "__main__":
    main()
