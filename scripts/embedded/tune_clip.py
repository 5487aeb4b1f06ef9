"""Fit the text encoder of the embedded Stable Diffusion to its finished U-Net.

    python scripts/embedded/tune_clip.py --work WORK

Goes on from `train_clip.py`, now with the U-Net's own error as well: the U-Net is frozen, and so is
the head that names what is in each cell, so that the tokens keep their meaning. Writes
`WORK/out/sd15/text_encoder` again.
"""

from __future__ import annotations

import torch
from diffusers import DPMSolverMultistepScheduler, UNet2DConditionModel
from latents import prescribed
from pool import read_pool
from torch import Tensor
from train_clip import SHORT_CHANCE, Clip, accuracy, label_losses, token_ids
from train_unet import NOISE, noisy_latents
from training import Trainer, parser
from transformers import CLIPTokenizer

DRAWN = 24
"""So many of a batch are given to the U-Net."""
EMPTY = 3
"""So many of those are the empty prompt, so that guidance works."""
ERROR_WEIGHT = 10.0


def main() -> None:
    """Run from the command line."""
    args = parser(__doc__, steps=500, batch=64, rate=7e-4).parse_args()
    torch.manual_seed(args.seed)
    out = args.work / "out" / "sd15"
    pool = read_pool(args.work / "pool")
    pictures, labels = torch.from_numpy(pool.pictures), torch.from_numpy(pool.labels)
    tokenizer = CLIPTokenizer.from_pretrained(out / "tokenizer")
    ids = torch.stack(
        [token_ids(tokenizer, list(texts)) for texts in zip(*pool.texts, strict=True)], 1
    )
    nothing = token_ids(tokenizer, [""])[0].long().to(args.device)
    clip = Clip(tokenizer)
    clip.load_state_dict(torch.load(args.work / "clip.pt", weights_only=True)["average"])
    clip.to(args.device).reader.requires_grad_(False)
    unet = UNet2DConditionModel.from_pretrained(out / "unet").to(args.device)
    unet.requires_grad_(False)
    alphas = DPMSolverMultistepScheduler(**NOISE).alphas_cumprod.to(args.device)
    trainer = Trainer("clip_tuned", clip, args)

    def loss_of(draws: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(ids) - 1000, (args.batch,), generator=draws)
        dense = torch.randint(1, ids.shape[1], (args.batch,), generator=draws)
        short = torch.rand(args.batch, generator=draws) < SHORT_CHANCE
        texts = ids[chosen, torch.where(short, 0, dense)].long().to(args.device)
        texts[:EMPTY] = nothing
        tokens = clip.text_encoder(texts).last_hidden_state
        some = chosen[:DRAWN]
        clean = prescribed(pictures[some], labels[some]).to(args.device)
        noisy, times, wanted = noisy_latents(clean, alphas, draws)
        guess = unet(noisy, times, tokens[:DRAWN]).sample.float()
        named = label_losses(clip.reader(tokens[EMPTY:]), labels[chosen[EMPTY:]].to(args.device))
        return {**named, "v": ERROR_WEIGHT * ((guess - wanted) ** 2).mean()}

    trainer.run(loss_of)
    average = trainer.average.to("cpu").eval()
    with torch.no_grad():
        right = {
            name: accuracy(average(ids[-1000:, column].long()), labels[-1000:])
            for column, name in ((0, "short"), (1, "dense, cut"))
        }
    average.text_encoder.save_pretrained(out / "text_encoder")
    trainer.report(right_labels_of_things=right)


if __name__ == "__main__":
    main()
