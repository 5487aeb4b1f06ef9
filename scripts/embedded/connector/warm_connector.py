r"""Begin the connector of the embedded ELLA: its tokens learn to name what is in each cell.

    python -m scripts.embedded.connector.warm_connector --work WORK
    python -m scripts.embedded.connector.train_connector --work WORK \
        --init WORK/connector_warm.safetensors

The U-Net reads the tokens of `sd15/train_clip.py`, and so does that script's head. Frozen here, it
tells the connector what tokens mean in a fraction of the time that the U-Net's error would take;
that error alone decides afterwards. Only the connector learns. Its text features come from the
cache that `train_connector.py --fill` fills.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import CLIPTokenizer, T5EncoderModel

from ella.config import ConnectorConfig
from ella.connector_base import Connector
from ella.text_encoder import T5TextEncoder
from ella.training.features import TextFeatures, encoder_identity
from ella.training.run import new_connector
from scripts.embedded.connector.train_connector import SIZES, PoolPairs
from scripts.embedded.data.pool import read_pool
from scripts.embedded.sd15.train_clip import Clip, label_losses
from scripts.embedded.training import Trainer, parser

NUM_TIMES = 1000


class ReadConnector(nn.Module):
    """The connector and the frozen head that reads its tokens."""

    def __init__(self, connector: Connector, reader: nn.Module) -> None:
        super().__init__()
        self.connector = connector
        self.reader = reader.requires_grad_(False)


def main() -> None:
    """Run from the command line."""
    flags = parser(__doc__, steps=900, batch=64, rate=1e-3)
    flags.add_argument("--shards", type=int, default=3, help="shards of the pool to train on")
    args = flags.parse_args()
    work = args.work
    pool = read_pool(work / "pool", args.shards)
    pairs, labels = PoolPairs(pool), torch.from_numpy(pool.labels)
    encoder = T5TextEncoder.from_pretrained(
        work / "out" / "ella" / "text_encoder", dtype=torch.float32
    )
    assert isinstance(encoder.model, T5EncoderModel)
    features = TextFeatures(encoder, "fixed", "disk", work / "cache", encoder_identity(encoder))
    features.fill(pairs, label="text features")
    clip = Clip(CLIPTokenizer.from_pretrained(work / "out" / "sd15" / "tokenizer"))
    clip.load_state_dict(torch.load(work / "clip.pt", weights_only=True)["average"])
    sizes = ConnectorConfig(**SIZES, width=clip.reader.queries.shape[1], input_dim=128)
    network = ReadConnector(new_connector(sizes, args.seed), clip.reader).to(args.device)
    trainer = Trainer("connector_warm", network, args)
    each = len(pairs) // len(labels)

    def loss_of(generator: torch.Generator) -> dict[str, Tensor]:
        chosen = torch.randint(len(pairs), (args.batch,), generator=generator)
        read = torch.stack(features([pairs.text(i) for i in chosen.tolist()])).to(args.device)
        times = torch.randint(NUM_TIMES, (args.batch,), generator=generator).to(args.device)
        logits = network.reader(network.connector(read, times))
        return label_losses(logits, labels[chosen // each].to(args.device))

    trainer.run(loss_of)
    trainer.average.connector.save_safetensors(work / "connector_warm.safetensors")
    trainer.report()


if __name__ == "__main__":
    main()
