"""Train the language model of the embedded ELLA: a small T5 encoder, on the captions' text alone.

    python -m scripts.embedded.connector.train_language_model --work WORK

It reads a dense caption, some of its words hidden, and learns two things by heads that are thrown
away afterwards: to restore the hidden words, and to fill in a form, what is told of each place, of
the ground and the style. No picture is seen. Writes the encoder and its tokenizer to
`WORK/out/ella/text_encoder`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import T5Config, T5EncoderModel, T5Tokenizer

from scripts.embedded.data.pool import read_pool
from scripts.embedded.data.words import t5_tokenizer
from scripts.embedded.sd15.train_clip import SceneReader, accuracy, label_losses
from scripts.embedded.training import Trainer, chunks, parser

WIDTH = 128
LAYERS = 4
HEADS = 4
HIDDEN = "<unk>"
HIDDEN_CHANCE = 0.08
WINDOW = 8
"""A batch comes from so many batches' worth of texts of about one length: less padding."""
HELD_OUT = 500


class LanguageModel(nn.Module):
    """The encoder with its two heads; hidden words are restored by its own embeddings."""

    def __init__(self, tokenizer: T5Tokenizer) -> None:
        super().__init__()
        self.encoder = T5EncoderModel(
            T5Config(
                vocab_size=len(tokenizer),
                d_model=WIDTH,
                d_kv=WIDTH // HEADS,
                d_ff=3 * WIDTH,
                num_layers=LAYERS,
                num_heads=HEADS,
                dropout_rate=0.0,
                decoder_start_token_id=tokenizer.pad_token_id,
                attn_implementation="eager",
            )
        )
        self.reader = SceneReader(WIDTH)
        self.gain = nn.Parameter(torch.tensor(WIDTH**-0.5))

    def forward(self, ids: Tensor) -> Tensor:
        """Features `[B, T, WIDTH]` of token ids `[B, T]`, padded with 0."""
        features: Tensor = self.encoder(
            input_ids=ids, attention_mask=(ids > 0).long()
        ).last_hidden_state
        return features

    def words(self, features: Tensor) -> Tensor:
        """Logits of the words at places `[N, WIDTH]`."""
        logits: Tensor = features @ self.encoder.shared.weight.T * self.gain
        return logits


def main() -> None:
    """Run from the command line."""
    args = parser(__doc__, steps=4600, batch=64, rate=1e-3).parse_args()
    torch.manual_seed(args.seed)
    pool = read_pool(args.work / "pool", pictures=False)
    tokenizer = t5_tokenizer(text for texts in pool.texts for text in texts)
    tokenizer.save_pretrained(args.work / "out" / "ella" / "text_encoder")
    dense = [list(texts) for texts in zip(*pool.texts, strict=True)][1:]
    columns = [_ids(tokenizer, texts) for texts in dense]
    labels = torch.from_numpy(pool.labels)
    hidden = tokenizer.convert_tokens_to_ids(HIDDEN)
    model = LanguageModel(tokenizer).to(args.device)
    trainer = Trainer("language_model", model, args)
    lengths = np.array([[len(ids) for ids in column] for column in columns]).sum(0)
    by_length = torch.from_numpy(lengths[:-HELD_OUT].argsort(kind="stable"))

    def loss_of(generator: torch.Generator) -> dict[str, Tensor]:
        window = WINDOW * args.batch
        start = int(torch.randint(len(by_length) - window, (1,), generator=generator))
        chosen = by_length[start + torch.randperm(window, generator=generator)[: args.batch]]
        turn = torch.randint(len(columns), (args.batch,), generator=generator)
        rows = [columns[c][i] for i, c in zip(chosen.tolist(), turn.tolist(), strict=True)]
        ids = _padded(rows).to(args.device)
        lost = torch.rand(ids.shape, generator=generator).to(ids.device) < HIDDEN_CHANCE
        lost &= ids > 1
        features = model(ids.masked_fill(lost, hidden))
        restored = F.cross_entropy(model.words(features[lost]).float(), ids[lost])
        filled = label_losses(model.reader(features, ids == 0), labels[chosen].to(ids.device))
        return {**filled, "words": restored / 4}

    trainer.run(loss_of)
    average = trainer.average.to("cpu").eval()
    average.encoder.save_pretrained(args.work / "out" / "ella" / "text_encoder")
    with torch.no_grad():
        ids = _padded(columns[0][-HELD_OUT:])
        right = accuracy(average.reader(average(ids), ids == 0), labels[-HELD_OUT:])
    trainer.report(right_labels_of_things=right)


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
