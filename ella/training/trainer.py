"""The training loop: only the connector learns."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm import tqdm

from ella.config import TrainedText
from ella.connector_base import Connector
from ella.connector_file import write_connector_file
from ella.errors import TrainingError
from ella.files import module_hash
from ella.text_encoder import TextEncoder
from ella.training import checkpoints as state
from ella.training.base_model import BaseModel
from ella.training.batches import Batch, Samples
from ella.training.config import TrainConfig
from ella.training.data import ImagePairs, texts_digest
from ella.training.features import Latents, TextFeatures, encoder_identity
from ella.training.loss import Denoising, TokensOfTexts
from ella.training.metrics import MetricsLog

CONNECTOR_FILE = "connector.safetensors"
MEAN_FILE = "connector-ema.safetensors"


class Trainer:
    """One run; `ella.train_connector` is the way to it and says what the arguments are."""

    def __init__(
        self,
        base: BaseModel,
        text_encoder: TextEncoder,
        pairs: ImagePairs,
        connector: Connector,
        config: TrainConfig,
        out: Path,
        *,
        progress: bool,
    ) -> None:
        if not len(pairs):
            raise ValueError("`pairs` must hold at least one pair")
        if config.length == "flexible" and not connector.config.has_latents:
            raise ValueError(
                f"`length` must be 'fixed' for a connector of the kind {connector.config.kind!r}:"
                " it gives as many tokens as the text has, and a batch needs one number"
            )
        self.base, self.text_encoder, self.pairs = base, text_encoder, pairs
        self.connector, self.config, self.out = connector, config, out
        self.accelerator = Accelerator(
            cpu=config.device == "cpu", mixed_precision=config.mixed_precision
        )
        self.progress = progress and self.accelerator.is_local_main_process
        self.denoising = Denoising(base.scheduler, config.min_snr_gamma)
        self.checkpoints = state.Checkpoints(out / "checkpoints", config.keep_last)
        self.encoder_name = encoder_identity(text_encoder)
        base.freeze(self.accelerator.device, config)
        connector.trained_text = _trained_text(config, text_encoder)
        connector.float().requires_grad_(True).train().to(self.accelerator.device)
        self.settings = self._settings()
        self.model, self.optimizer = self.accelerator.prepare(
            TokensOfTexts(connector),
            torch.optim.AdamW(
                connector.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
            ),
        )
        self.mean = state.RunningMean(connector, config.ema_decay) if config.ema_decay else None

    def _settings(self) -> dict[str, Any]:
        """All that a resumed run must share with what it resumes."""
        sizes = {f"connector {name}": n for name, n in asdict(self.connector.config).items()}
        if self.connector.config.kind == "adaln":  # as in checkpoints from before there were others
            del sizes["connector kind"]
        return {
            **self.config.binding(),
            **sizes,
            **self.base.identity(),
            "noise schedule": self.denoising.identity(),
            "connector start": module_hash(self.connector),
            "image_px": self.base.image_px,
            "text encoder": self.encoder_name,
            "pairs": len(self.pairs),
            "captions": texts_digest(self.pairs),
            "processes": self.accelerator.num_processes,
        }

    def prepare(self, cache_folder: Path) -> None:
        """Read the last checkpoint if there is one, and fill the caches."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.step = self._resume()
        config, vae = self.config, self.base.vae
        self.features = TextFeatures(
            self.text_encoder, config.length, config.text_cache, cache_folder, self.encoder_name
        )
        self.latents = Latents(vae, self.base.image_px, config.latent_cache, cache_folder)
        share = (self.accelerator.process_index, self.accelerator.num_processes)
        self.features.prepare(self.pairs, share, "text features" if self.progress else "")
        self.latents.prepare(self.pairs, share, "latents" if self.progress else "")
        self.accelerator.wait_for_everyone()
        for cache in (self.features.cache, self.latents.cache):
            if cache is not None:
                cache.find()

    def _resume(self) -> int:
        """Steps done; weights, mean and moments are as they were after them."""
        checkpoint = self.checkpoints.load_last(self.settings)
        if checkpoint is None:
            return 0
        self.connector.load_state_dict(checkpoint.of(state.WEIGHTS))
        if self.mean:
            self.mean.load(checkpoint.of(state.MEAN))
        state.load_moments(self.optimizer.optimizer, self._names, checkpoint.of(state.MOMENTS))
        if self.accelerator.scaler is not None and checkpoint.scaler:
            self.accelerator.scaler.load_state_dict(checkpoint.scaler)
        return checkpoint.step

    @property
    def _names(self) -> list[str]:
        return [name for name, _ in self.connector.named_parameters()]

    def run(self) -> Path:
        """Train to the last step; write the files and return the connector's path."""
        metrics = None
        if self.accelerator.is_main_process:
            metrics = MetricsLog(self.out / "metrics.jsonl", self.step)
        batches = self._batches()
        done = logged = self.step
        since = time.perf_counter()
        with tqdm(total=self.config.steps, initial=self.step, disable=not self.progress) as bar:
            while self.step < self.config.steps:
                loss, norm = self._train_step(batches)
                bar.update()
                if metrics and self._is_due(self.config.log_every):
                    seconds = (time.perf_counter() - since) / (self.step - logged)
                    self._log(metrics, loss, norm, seconds)
                    bar.set_postfix(loss=f"{loss:.4f}")
                    since, logged = time.perf_counter(), self.step
                if self._is_due(self.config.save_every):
                    self._save()
        if self.accelerator.is_main_process and self.step == done:  # nothing was left to do
            self._export()
        self.accelerator.wait_for_everyone()
        return self.out / CONNECTOR_FILE

    def _batches(self) -> Iterator[Batch]:
        samples = Samples(
            self.pairs,
            self.config,
            self.latents.shape,
            self.denoising.num_timesteps,
            self.base.image_px if self.latents.cache is None else None,
        )
        accelerator = self.accelerator
        return samples.batches(self.step, accelerator.process_index, accelerator.num_processes)

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.steps

    def _train_step(self, batches: Iterator[Batch]) -> tuple[float, float]:
        """One optimizer step; the loss before it, over all processes, and the gradient's length."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step)
        losses = []
        for micro_step in range(self.config.accumulation):
            last = micro_step == self.config.accumulation - 1
            alone = contextlib.nullcontext() if last else self.accelerator.no_sync(self.model)
            with alone:
                loss = self._loss(next(batches))
                self.accelerator.backward(loss / self.config.accumulation)
            losses.append(loss.detach())
        mean_loss = float(self.accelerator.reduce(torch.stack(losses).mean(), "mean"))
        if not math.isfinite(mean_loss):
            raise TrainingError(
                f"{self.out}: the loss of step {self.step + 1} is {mean_loss}; go on from an older"
                " checkpoint in another folder with a lower learning rate or higher precision"
            )
        norm = self.accelerator.clip_grad_norm_(
            self.model.parameters(), self.config.max_grad_norm or math.inf
        )
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.mean:
            self.mean.update(self.connector, self.step)
        self.step += 1
        return mean_loss, float(norm)

    def _loss(self, batch: Batch) -> Tensor:
        device, unet = self.accelerator.device, self.base.unet
        timesteps, noise = batch.timesteps.to(device), batch.noise.to(device)
        latents = self.latents(batch.pairs, batch.pixels, batch.latent_noise)
        tokens = self.model(self.features(batch.texts), timesteps)
        noisy = self.denoising.noisy(latents, noise, timesteps)
        predicted = unet(
            noisy.to(unet.dtype), timesteps, encoder_hidden_states=tokens.to(unet.dtype)
        ).sample
        return self.denoising.error(predicted, latents, noise, timesteps).mean()

    def _log(self, metrics: MetricsLog, loss: float, norm: float, seconds: float) -> None:
        config = self.config
        samples = config.batch_size * config.accumulation * self.accelerator.num_processes
        metrics.append(
            step=self.step,
            loss=loss,
            learning_rate=config.learning_rate_at(self.step - 1),
            gradient_norm=norm if math.isfinite(norm) else None,
            seconds=round(seconds, 4),
            samples_per_second=round(samples / seconds, 2),
        )

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        kinds = {
            state.WEIGHTS: dict(self.connector.state_dict()),
            state.MEAN: self.mean.tensors if self.mean else {},
            state.MOMENTS: state.moments_of(self.optimizer.optimizer, self._names),
        }
        tensors = {f"{kind}/{n}": t for kind, named in kinds.items() for n, t in named.items()}
        scaler = self.accelerator.scaler.state_dict() if self.accelerator.scaler else {}
        self.checkpoints.save(state.Checkpoint(self.step, self.settings, scaler, tensors))
        self._export()

    def _export(self) -> None:
        """Write the connector as it is now, and its mean."""
        self.connector.save_safetensors(self.out / CONNECTOR_FILE)
        if self.mean:
            write_connector_file(
                self.out / MEAN_FILE,
                self.connector.config,
                self.mean.tensors,
                self.connector.trained_text,
            )


def _trained_text(config: TrainConfig, text_encoder: TextEncoder) -> TrainedText | None:
    """What the finished files say of the texts; None where the encoder does not tell its length."""
    layer, kind = getattr(text_encoder, "hidden_layer", None), getattr(text_encoder, "kind", None)
    about = {"hidden_layer": layer, "language_model": None if kind == "t5" else kind}
    if config.length == "flexible":
        return TrainedText("flexible", **about)
    tokens = getattr(text_encoder, "fixed_length", None)
    return TrainedText("fixed", tokens, **about) if tokens else None
