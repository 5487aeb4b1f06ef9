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
from ella.training.base_model import DTYPES, BaseModel
from ella.training.batches import Batch, Samples
from ella.training.config import TrainConfig
from ella.training.data import ImagePairs, texts_digest
from ella.training.denoisers import Condition, sizes_of
from ella.training.features import Latents, TextFeatures, downscale, encoder_identity
from ella.training.looks import Looks
from ella.training.metrics import MetricsLog
from ella.training.objectives import Objective
from ella.training.tally import StepSums, memory_gib
from ella.training.tokens import TokensOfTexts
from ella.training.tracking import init_trackers

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
        looks: Looks | None = None,
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
        self.objective = Objective(
            base.scheduler, config.min_snr_gamma, zero_terminal_snr=config.zero_terminal_snr
        )
        self.accelerator = Accelerator(
            cpu=config.device == "cpu",
            mixed_precision=config.mixed_precision,
            log_with=config.tracker_names or None,
            project_dir=out,
        )
        self.objective.to(self.accelerator.device)
        self.looks = looks or Looks()
        self.progress = progress and self.accelerator.is_local_main_process
        self.checkpoints = state.Checkpoints(out / "checkpoints", config.keep_last)
        self.encoder_name = encoder_identity(text_encoder)
        base.freeze(self.accelerator.device, config)
        if config.compile:
            base.denoiser.network.compile()
        if self.accelerator.device.type == "cuda":
            torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
        connector.trained_text = _trained_text(config, text_encoder)
        connector.float().requires_grad_(True).train().to(self.accelerator.device)
        self.settings = self._settings()
        self.model, self.optimizer = self.accelerator.prepare(
            TokensOfTexts(connector, compiled=config.compile),
            torch.optim.AdamW(
                connector.parameters(),
                lr=config.learning_rate,
                weight_decay=config.weight_decay,
                fused=True,
            ),
        )
        self.tally = StepSums(self.accelerator.device)
        self.mean = state.RunningMean(connector, config.ema_decay) if config.ema_decay else None

    def _settings(self) -> dict[str, Any]:
        """All that a resumed run must share with what it resumes."""
        sizes = {f"connector {name}": n for name, n in asdict(self.connector.config).items()}
        if self.connector.config.kind == "adaln":  # as in checkpoints from before there were others
            del sizes["connector kind"]
        if not self.connector.config.pooled_width:
            del sizes["connector pooled_width"]
        return {
            **self.config.binding(),
            **sizes,
            **self.base.identity(),
            "noise schedule": self.objective.identity(),
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
        init_trackers(self.accelerator, self.config)
        batches = self._batches()
        done = self.step
        self._look()
        self.tally.clear()
        with tqdm(total=self.config.steps, initial=self.step, disable=not self.progress) as bar:
            while self.step < self.config.steps:
                self._train_step(batches)
                bar.update()
                if self._is_due(self.config.log_every):
                    bar.set_postfix(loss=f"{self._log(metrics):.4f}")
                if self._is_due(self.config.save_every):
                    self._check_finite()
                    self._save()
                self._look()
        if self.accelerator.is_main_process and self.step == done:  # nothing was left to do
            self._export()
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        return self.out / CONNECTOR_FILE

    @property
    def samples_seen(self) -> int:
        """Pairs looked at so far, over all processes."""
        config = self.config
        batch = config.batch_size * config.accumulation * self.accelerator.num_processes
        return self.step * batch

    def _look(self) -> None:
        """Look at the weights, where that is due after this step and not done yet."""
        if not self.config.looks_at(self.step) or self.looks.is_done(self.out, self.step):
            return
        begun = time.perf_counter()
        if self.accelerator.is_main_process:
            weights = self.mean.tensors if self.mean else dict(self.connector.state_dict())
            figures = self.looks.look(self, weights)
            self.accelerator.log({f"look/{name}": n for name, n in figures.items()}, self.step)
        self.accelerator.wait_for_everyone()
        self.tally.leave_out(time.perf_counter() - begun)

    def _batches(self) -> Iterator[Batch]:
        samples = Samples(
            self.pairs,
            self.config,
            self.latents.shape,
            self.objective.num_timesteps,
            self.base.image_px if self.latents.cache is None else None,
        )
        accelerator = self.accelerator
        return samples.batches(self.step, accelerator.process_index, accelerator.num_processes)

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.steps

    def _train_step(self, batches: Iterator[Batch]) -> None:
        """One optimizer step. Nothing here waits for the device.

        A gradient that is not finite changes no weight: the optimizer leaves such a step out.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step)
        losses = []
        for micro_step in range(self.config.accumulation):
            last = micro_step == self.config.accumulation - 1
            alone = contextlib.nullcontext() if last else self.accelerator.no_sync(self.model)
            asked = time.perf_counter()
            batch = next(batches)
            self.tally.waited(time.perf_counter() - asked)
            with alone:
                loss = self._loss(batch)
                self.accelerator.backward(loss / self.config.accumulation)
            losses.append(loss.detach())
        norm = self.accelerator.clip_grad_norm_(
            self.model.parameters(), self.config.max_grad_norm or math.inf
        )
        if self.accelerator.scaler is None:  # else the scaler itself leaves such steps out
            self.optimizer.optimizer.found_inf = (~norm.isfinite()).float()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.mean:
            self.mean.update(self.connector, self.step)
        self.step += 1
        self.tally.add(torch.stack(losses).mean(), norm)

    def _loss(self, batch: Batch) -> Tensor:
        """The mean loss of a batch, weighted."""
        return self.sample_losses(batch, self.model).mean()

    def sample_losses(self, batch: Batch, model: Any, *, kept: bool = True) -> Tensor:
        """The loss of each sample `[B]`.

        Args:
            batch: The samples.
            model: Makes tokens of their texts.
            kept: Whether text features may come from the cache.
        """
        device, objective = self.accelerator.device, self.objective
        steps = batch.timesteps.to(device, non_blocking=True)
        noise = batch.noise.to(device, non_blocking=True)
        latents = self.latents(batch.pairs, batch.pixels, batch.latent_noise)
        timesteps = objective.timesteps(steps)
        features = self.features(batch.texts) if kept else self.features.compute(batch.texts)
        tokens, pooled = model(features, timesteps)
        dtype = DTYPES[self.config.mixed_precision]  # asking the network goes through all of it
        predicted = self.base.denoiser.predict(
            objective.noisy(latents, noise, steps).to(dtype),
            timesteps,
            Condition(tokens.to(dtype), None if pooled is None else pooled.to(dtype)),
            sizes_of(latents, downscale(self.base.vae)),
        )
        return objective.error(predicted, latents, noise, steps)

    def _log(self, metrics: MetricsLog | None) -> float:
        """Write a line of the steps since the last one; their mean loss."""
        tally, config = self.tally, self.config
        figures = tally.figures(self.accelerator.reduce(tally.sums, "mean"))
        self._check_finite(figures.loss)
        samples = config.batch_size * config.accumulation * self.accelerator.num_processes
        line = {
            "loss": figures.loss,
            "learning_rate": config.learning_rate_at(self.step - 1),
            "gradient_norm": figures.gradient_norm,
            "seconds": round(figures.seconds, 4),
            "samples_per_second": round(samples / figures.seconds, 2),
            "data_wait": round(figures.data_wait, 4),
            "memory_gib": round(memory_gib(self.accelerator.device), 3),
        }
        if metrics is not None:
            metrics.append(step=self.step, **_finite(line))
        self.accelerator.log(line, step=self.step)
        tally.clear()
        return figures.loss

    def _check_finite(self, loss: float | None = None) -> None:
        """Stop where the loss of a step since the last line was no number.

        Raises:
            TrainingError: If so; no weight has been changed by that step.
        """
        if loss is None:
            loss = self.tally.figures(self.accelerator.reduce(self.tally.sums, "mean")).loss
        if not math.isfinite(loss):
            raise TrainingError(
                f"{self.out}: the loss of step {self.step} is {loss}; go on from an older"
                " checkpoint in another folder with a lower learning rate or higher precision"
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


def _finite(line: dict[str, float]) -> dict[str, float | None]:
    """Figures for JSON, which has no infinity."""
    return {name: value if math.isfinite(value) else None for name, value in line.items()}


def _trained_text(config: TrainConfig, text_encoder: TextEncoder) -> TrainedText | None:
    """What the finished files say of the texts; None where the encoder does not tell its length."""
    layer, kind = getattr(text_encoder, "hidden_layer", None), getattr(text_encoder, "kind", None)
    about = {"hidden_layer": layer, "language_model": None if kind == "t5" else kind}
    if config.length == "flexible":
        return TrainedText("flexible", **about)
    tokens = getattr(text_encoder, "fixed_length", None)
    return TrainedText("fixed", tokens, **about) if tokens else None
