"""The training loop: only the connector learns."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, InitProcessGroupKwargs
from torch import Tensor
from tqdm import tqdm

from ella.config import TrainedText
from ella.connector_base import Connector
from ella.connector_file import write_connector_file
from ella.errors import TrainingError
from ella.files import module_hash
from ella.text_encoder import TextEncoder
from ella.training import checkpoints as state
from ella.training.base_model import DTYPES, LONGEST_WAIT, BaseModel
from ella.training.batches import Batch, Caches, Samples, StepPlan, buckets_of, read_steps
from ella.training.config import TrainConfig
from ella.training.damage import DamageLog
from ella.training.data import ImagePairs
from ella.training.denoisers import Condition, sizes_of
from ella.training.features import Latents, TextFeatures, downscale, encoder_identity
from ella.training.looks import Looks
from ella.training.metrics import MetricsLog
from ella.training.objectives import Objective
from ella.training.processes import check_alike, from_first, tensors_from_first
from ella.training.skipped import Skipped, check_finite
from ella.training.sources import TokenCount, as_source
from ella.training.start_lines import start_lines
from ella.training.tally import StepSums, memory_gib
from ella.training.tokens import TokensOfTexts
from ella.training.tracking import init_trackers
from ella.whole_files import locked, sweep

CONNECTOR_FILE = "connector.safetensors"
MEAN_FILE = "connector-ema.safetensors"
LOCK_FILE = ".training.lock"


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
            kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
        )
        self.objective.to(self.accelerator.device)
        self.looks = looks or Looks()
        self.progress = progress and self.accelerator.is_local_main_process
        self.checkpoints = state.Checkpoints(out / "checkpoints", config.keep_last)
        self.encoder_name = encoder_identity(text_encoder)
        base.freeze(self.accelerator.device, config)
        if config.compile:
            base.denoiser.network.compile()
        self._precision_before = torch.get_float32_matmul_precision()
        if self.accelerator.device.type == "cuda":
            torch.set_float32_matmul_precision("high" if config.tf32 else "highest")
        connector.trained_text = _trained_text(config, text_encoder)
        connector.float().requires_grad_(True).train().to(self.accelerator.device)
        self.start = module_hash(connector)
        self.source = as_source(pairs, config, buckets_of(config, base.image_px))
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
        self.skipped = Skipped(self.accelerator.device, config.max_skipped)
        self.mean = state.RunningMean(connector, config.ema_decay) if config.ema_decay else None

    def _settings(self, *, listed: bool) -> dict[str, Any]:
        """All that a resumed run must share with what it resumes.

        Args:
            listed: Whether its pairs come in the order of before there were indexes.
        """
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
            "connector start": self.start,
            "image_px": self.base.image_px,
            "text encoder": self.encoder_name,
            "global_batch": self.global_batch,
            **self.source.identity(listed=listed),
        }

    def prepare(self, cache_folder: Path) -> None:
        """Read the last checkpoint if there is one, and open the caches."""
        config, vae, accelerator = self.config, self.base.vae, self.accelerator
        self.step = self._resume()
        self.out.mkdir(parents=True, exist_ok=True)
        for folder in (self.out, self.checkpoints.folder) if accelerator.is_main_process else ():
            sweep(folder)
        # On a CPU what is kept must not depend on the others of its batch: results are equal bits.
        alone = {"at_once": 1} if accelerator.device.type == "cpu" else {}
        self.features = TextFeatures(
            self.text_encoder,
            config.length,
            config.text_cache,
            cache_folder,
            self.encoder_name,
            **alone,
        )
        self.latents = Latents(vae, self.base.image_px, config.latent_cache, cache_folder, **alone)
        self.cache_folder = cache_folder
        self.damage = DamageLog(self.out, config.max_bad, len(self.pairs))

    def fill(self) -> None:
        """Compute what the caches keep, ahead of time: for each pair once, all captions."""
        share = (self.accelerator.process_index, self.accelerator.num_processes)
        self.features.fill(self.pairs, share, "text features" if self.progress else "")
        for index in range(share[0], len(self.pairs), share[1]):
            if self.latents.cache is not None:
                self.latents.fill(self._samples()[index, index])
        self._flush()

    def _flush(self) -> None:
        for cache in (self.features.cache, self.latents.cache):
            if cache is not None:
                cache.flush()

    def _resume(self) -> int:
        """Steps done; weights, mean and moments are as they were after them.

        The first process alone reads the run's folder; what it finds goes to the others.
        """
        config, accelerator = self.config, self.accelerator
        old = from_first(accelerator, self.checkpoints.last_settings)
        product = config.batch_size * config.accumulation * accelerator.num_processes
        self.global_batch = config.global_batch or (old or {}).get("global_batch") or product
        if self.global_batch < accelerator.num_processes:
            raise ValueError(
                f"`global_batch` must be at least one pair a process, got {self.global_batch} for"
                f" {accelerator.num_processes} processes"
            )
        self.listed = old is not None and "order" not in old and "order" not in config.allowed
        self.settings = self._settings(listed=self.listed)
        check_alike(accelerator, self.settings)
        self._read: dict[str, Tensor] | None = None
        last = from_first(accelerator, self._last_checkpoint)
        tensors = tensors_from_first(accelerator, self._read)
        self._read = None
        if last is None:
            return 0
        checkpoint = last._replace(tensors=tensors)
        self.connector.load_state_dict(checkpoint.of(state.WEIGHTS))
        if self.mean:
            self.mean.load(checkpoint.of(state.MEAN) or checkpoint.of(state.WEIGHTS))
        state.load_moments(self.optimizer.optimizer, self._names, checkpoint.of(state.MOMENTS))
        if accelerator.scaler is not None and checkpoint.scaler:
            accelerator.scaler.load_state_dict(checkpoint.scaler)
        return checkpoint.step

    def _last_checkpoint(self) -> state.Checkpoint | None:
        """The newest without its tensors, which stand in `_read`."""
        last = self.checkpoints.load_last(self.settings, self.config.allowed)
        if last is None:
            return None
        self._read = last.tensors
        return last._replace(tensors={})

    @property
    def _names(self) -> list[str]:
        return [name for name, _ in self.connector.named_parameters()]

    def run(self) -> Path:
        """Train to the last step; write the files and return the connector's path.

        What the process computes afterwards has the precision again that it had before.

        Raises:
            TrainingError: If another process trains into the folder, or training cannot go on.
        """
        with contextlib.ExitStack() as stack:
            if self.accelerator.device.type == "cuda":
                stack.callback(torch.set_float32_matmul_precision, self._precision_before)
            from_first(self.accelerator, lambda: self._lock(stack))
            return self._run()

    def _lock(self, stack: contextlib.ExitStack) -> None:
        """Two runs in one folder would delete each other's checkpoints."""
        try:
            stack.enter_context(locked(self.out / LOCK_FILE, wait=False))
        except BlockingIOError as error:
            raise TrainingError(
                f"{self.out}: another process trains into this folder; wait for its end, or give"
                " another --out"
            ) from error

    def _run(self) -> Path:
        metrics = None
        if self.accelerator.is_main_process:
            metrics = MetricsLog(self.out / "metrics.jsonl", self.step)
        init_trackers(self.accelerator, self.config)
        if self.progress and self.accelerator.is_main_process:
            for line in start_lines(self):
                tqdm.write(line, file=sys.stderr)
        steps = self._steps()
        done = self.step
        self._look()
        self.tally.clear()
        with tqdm(total=self.config.steps, initial=self.step, disable=not self.progress) as bar:
            while self.step < self.config.steps:
                asked = time.perf_counter()
                batches = next(steps)
                self.tally.waited(time.perf_counter() - asked)
                self._train_step(batches)
                bar.update()
                self._stop_where_it_cannot_go_on()
                if self._is_due(self.config.log_every):
                    bar.set_postfix(loss=f"{self._log(metrics):.4f}")
                if self._is_due(self.config.save_every):
                    self._flush()
                    self._save()
                self._look()
        if self.accelerator.is_main_process and self.step == done:  # nothing was left to do
            self._export()
        self.accelerator.wait_for_everyone()
        self.accelerator.end_training()
        if self.accelerator.is_main_process:
            for line in filter(None, (self.damage.summary(), self.skipped.summary())):
                tqdm.write(line, file=sys.stderr)
        return self.out / CONNECTOR_FILE

    @property
    def samples_seen(self) -> int:
        """Pairs looked at so far, over all processes."""
        return self.step * self.global_batch

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

    def _samples(self) -> Samples:
        config = self.config
        return Samples(
            self.source,
            config,
            self.latents.shape,
            self.objective.num_timesteps,
            self.base.image_px,
            Caches(
                self.latents.cache if config.latent_cache == "disk" or not config.workers else None,
                self.features.cache if config.text_cache == "disk" or not config.workers else None,
            ),
            TokenCount(self.text_encoder) if config.sentence_tokens else None,
        )

    def _steps(self) -> Iterator[list[Batch]]:
        samples, accelerator = self._samples(), self.accelerator
        together = self.global_batch if len(samples.buckets.shapes) > 1 else 1
        plan = StepPlan(
            self.source.order(self.config.seed, together, listed=self.listed),
            self.source,
            global_batch=self.global_batch,
            at_once=self.config.batch_size,
            first_step=self.step,
            last_step=self.config.steps,
            process=accelerator.process_index,
            num_processes=accelerator.num_processes,
        )
        pinned = accelerator.device.type == "cuda"
        return read_steps(samples, plan, self.config.workers, pinned=pinned)

    def _is_due(self, every: int) -> bool:
        return self.step % every == 0 or self.step == self.config.steps

    def _stop_where_it_cannot_go_on(self) -> None:
        """Now and then: too many damaged pairs, or steps in a row without a finite gradient."""
        config, accelerator = self.config, self.accelerator
        due = self._is_due(config.log_every) or self._is_due(config.save_every)
        if due or accelerator.num_processes == 1:  # then it costs nothing
            self.damage.share(accelerator)
        if due:
            self.skipped.check(self.out)

    def _train_step(self, batches: Sequence[Batch]) -> None:
        """One optimizer step. Nothing here waits for the device.

        A gradient that is not finite changes no weight: the optimizer leaves such a step out.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(self.step)
        share = self.accelerator.num_processes / self.global_batch  # processes are averaged
        losses = []
        for batch in batches:
            self.damage.add(batch.damaged)
            alone = contextlib.nullcontext()
            if not batch.is_last:
                alone = self.accelerator.no_sync(self.model)
            with alone:
                loss = self.sample_losses(batch, self.model).sum() * share
                self.accelerator.backward(loss)
            losses.append(loss.detach())
        norm = self.accelerator.clip_grad_norm_(
            self.model.parameters(), self.config.max_grad_norm or math.inf
        )
        scaled = self.accelerator.scaler is not None
        if not scaled:  # else the scaler itself leaves such steps out
            self.optimizer.optimizer.found_inf = (~norm.isfinite()).float()
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.mean:
            self.mean.update(self.connector, self.step)
        self.step += 1
        total = torch.stack(losses).sum()
        self.tally.add(total, norm)
        self.skipped.add(self.step, total, norm, scaled=scaled)

    def sample_losses(self, batch: Batch, model: Any, *, kept: bool = True) -> Tensor:
        """The loss of each sample `[B]`.

        Args:
            batch: The samples.
            model: Makes tokens of their texts.
            kept: Whether features and latents come from the caches, and go there.
        """
        device, objective = self.accelerator.device, self.objective
        steps = batch.timesteps.to(device, non_blocking=True)
        noise = batch.noise.to(device, non_blocking=True)
        keys, moments = (batch.keys, batch.moments) if kept else ((), None)
        latents = self.latents(batch.pixels, batch.latent_noise, keys, moments)
        timesteps = objective.timesteps(steps)
        compute, asked = self.features.compute, batch.texts
        features = self.features(asked, batch.features) if kept else compute(asked)
        tokens, pooled = model(features, timesteps)
        dtype = DTYPES[self.config.mixed_precision]  # asking the network goes through all of it
        predicted = self.base.denoiser.predict(
            objective.noisy(latents, noise, steps).to(dtype),
            timesteps,
            Condition(tokens.to(dtype), None if pooled is None else pooled.to(dtype)),
            sizes_of(latents, downscale(self.base.vae), batch.sizes),
        )
        return objective.error(predicted, latents, noise, steps)

    def _log(self, metrics: MetricsLog | None) -> float:
        """Write a line of the steps since the last one; their mean loss."""
        tally, config = self.tally, self.config
        figures = tally.figures(self.accelerator.reduce(tally.sums, "mean"))
        line = {
            "loss": figures.loss,
            "learning_rate": config.learning_rate_at(self.step - 1),
            "gradient_norm": figures.gradient_norm,
            "seconds": round(figures.seconds, 4),
            "samples_per_second": round(self.global_batch / figures.seconds, 2),
            "data_wait": round(figures.data_wait, 4),
            "memory_gib": round(memory_gib(self.accelerator.device), 3),
            "skipped_steps": self.skipped.total,
            "damaged_pairs": len(self.damage),
        }
        if metrics is not None:
            metrics.append(step=self.step, **_finite(line))
        self.accelerator.log(line, step=self.step)
        tally.clear()
        return figures.loss

    def _save(self) -> None:
        if not self.accelerator.is_main_process:
            return
        kinds = {
            state.WEIGHTS: dict(self.connector.state_dict()),
            state.MEAN: self.mean.tensors if self.mean else {},
            state.MOMENTS: state.moments_of(self.optimizer.optimizer, self._names),
        }
        tensors = {f"{kind}/{n}": t for kind, named in kinds.items() for n, t in named.items()}
        check_finite(tensors, self.out)
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
