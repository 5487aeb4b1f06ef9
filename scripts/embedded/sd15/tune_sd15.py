"""Fit the text encoder and the U-Net of the embedded Stable Diffusion to each other.

    python -m scripts.embedded.sd15.tune_sd15 --work WORK

Goes on from `train_clip.py` and `train_unet.py`; now both learn from the U-Net's error, the text
encoder from its labels as well. The head that names what is in each cell is frozen, so that tokens
keep their meaning. Writes `WORK/out/sd15/text_encoder` and `WORK/out/sd15/unet` again.
"""

from __future__ import annotations

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTokenizer

from scripts.embedded.data.pool import read_pool
from scripts.embedded.sd15.latents import prescribed
from scripts.embedded.sd15.train_clip import (
    Clip,
    accuracy,
    caption_ids,
    label_losses,
    some_captions,
    token_ids,
)
from scripts.embedded.sd15.train_unet import NOISE, noisy_latents
from scripts.embedded.training import Trainer, parser

EMPTY = 4
"""So many of a batch are the empty prompt, so that guidance works."""
ERROR_WEIGHT = 10.0
HELD_OUT = 1000


class Pair(nn.Module):
    """The text encoder with its frozen reader, and the U-Net."""

    def __init__(self, clip: Clip, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.clip, self.unet = clip, unet
        clip.reader.requires_grad_(False)


def main() -> None:
    """Run from the command line."""
    args = parser(__doc__, steps=2000, batch=48, rate=7e-4).parse_args()
    torch.manual_seed(args.seed)
    out = args.work / "out" / "sd15"
    pool = read_pool(args.work / "pool")
    pictures, labels = torch.from_numpy(pool.pictures), torch.from_numpy(pool.labels)
    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    ids = caption_ids(tokenizer, pool.texts)
    nothing = token_ids(tokenizer, [""])[0].long()
    clip = Clip(tokenizer)
    clip.load_state_dict(torch.load(args.work / "clip.pt", weights_only=True)["average"])
    unet = UNet2DConditionModel.from_pretrained(out / "unet")
    pair = Pair(clip, unet).to(args.device)
    alphas = DPMSolverMultistepScheduler(**NOISE).alphas_cumprod.to(args.device)
    trainer = Trainer("sd15_tuned", pair, args)

    def loss_of(generator: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(ids) - HELD_OUT, (args.batch,), generator=generator)
        texts = some_captions(ids, chosen, generator)
        texts[:EMPTY] = nothing
        tokens = pair.clip.text_encoder(texts.to(args.device)).last_hidden_state
        clean = prescribed(pictures[chosen], labels[chosen]).to(args.device)
        noisy, times, wanted = noisy_latents(clean, alphas, generator)
        guess = pair.unet(noisy, times, tokens).sample.float()
        fields = labels[chosen[EMPTY:]].to(args.device)
        named = label_losses(pair.clip.reader(tokens[EMPTY:]), fields)
        return {**named, "v": ERROR_WEIGHT * ((guess - wanted) ** 2).mean()}

    trainer.run(loss_of)
    average = trainer.average.to("cpu").eval()
    with torch.no_grad():
        right = {
            name: accuracy(average.clip(ids[-HELD_OUT:, column].long()), labels[-HELD_OUT:])
            for column, name in ((0, "short"), (1, "dense, cut"))
        }
    average.clip.text_encoder.save_pretrained(out / "text_encoder")
    average.unet.save_pretrained(out / "unet")
    trainer.report(right_labels_of_things=right)


if __name__ == "__main__":
    main()
