"""One training run in a folder: bounded by time or by steps, resumable, with a log of every report.

``DIR/checkpoint.pt`` holds weights, optimiser and how far the run is; ``DIR/log.csv`` a row for each report, and
``DIR/curves.png`` shows them. Calling the same training again continues where the checkpoint stands.

All that is random in a step is drawn from the seed, the number of the step and the process alone. So a run that was
interrupted goes on with the samples that it would have had, and a run bounded by steps ends with the same weights. The
learning rate follows the share of the run that is done; a run that is resumed with more minutes or steps goes on at the
rate of that place in the longer run.
"""

from __future__ import annotations

import itertools
import math
import pickle
import time
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vidrestore.errors import WeightsError
from vidrestore.training.curves import RunLog
from vidrestore.training.processes import agreed, distributed, rank
from vidrestore.types import TrainingProgress

B = TypeVar("B")
WARM_UP = 0.02
"""Share of the run over which the learning rate rises."""
_AHEAD = 3
"""Batches drawn ahead of the network."""
CHECKPOINT = "checkpoint.pt"


def _nobody(_: TrainingProgress) -> None:
    """The listener where none is given."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How long and how to train."""

    folder: Path
    """Checkpoints, logs and sample sheets go here."""
    minutes: float
    """Time to train for, also over several sessions."""
    batch: int
    """Samples in a step of each process."""
    learning_rate: float
    steps: int | None = None
    """Steps to train for, instead of ``minutes``."""
    seed: int = 0
    device: str = "cpu"
    threads: int = 0
    """CPU threads of the network; 0 leaves it to torch."""
    workers: int = 1
    """Threads that draw batches ahead of the network; what they draw does not depend on their number."""
    report_steps: int = 100
    checkpoint_seconds: float = 120.0
    """Time between two checkpoints."""
    network: str = "network"
    """What is trained, for progress reports."""
    on_progress: Callable[[TrainingProgress], None] = _nobody
    """Called after every step."""


def learning_rate_at(progress: float) -> float:
    """Factor 0..1 of the learning rate at ``progress`` 0..1: linear warm-up, then half a cosine."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def autocast(device: str) -> torch.autocast:
    """Half precision (bfloat16) where it is safe, on ``device``."""
    return torch.autocast(torch.device(device).type, torch.bfloat16)


def train(
    network: nn.Module,
    draw: Callable[[np.random.Generator], B],
    loss_of: Callable[[B], dict[str, Tensor]],
    settings: RunSettings,
    on_report: Callable[[int], dict[str, float]] | None = None,
) -> int:
    """Train ``network`` in place and return the number of steps done.

    Where several processes train together (:mod:`vidrestore.training.processes`), each draws samples of its own,
    gradients are averaged, and the first one alone reports and writes.

    Args:
        network: its parameters are trained; on ``settings.device`` already.
        draw: one batch; called in other threads.
        loss_of: losses by name for one batch; the one named ``loss`` is minimised.
        settings: the run.
        on_report: given the step, figures to log beside the losses (and pictures to write).

    Raises:
        WeightsError: the checkpoint in ``settings.folder`` is damaged or of another network.
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    run = _Run(network, settings, on_report)
    objective = distributed(network, loss_of)
    run.tell()
    with closing(_batches(draw, settings, run.step)) as batches:
        for batch in batches:
            share = agreed(run.share(), settings.device)
            if share >= 1:
                break
            run.learn(objective(batch), share)
    run.finish()
    return run.step


def _batches(draw: Callable[[np.random.Generator], B], settings: RunSettings, step: int) -> Generator[B]:
    """The batches of step ``step`` and all after it, in order, drawn ahead."""
    pool = ThreadPoolExecutor(settings.workers, thread_name_prefix="draw")
    ahead: deque[Future[B]] = deque()
    try:
        for number in itertools.count(step):
            ahead.append(pool.submit(draw, np.random.default_rng([settings.seed, number, rank()])))
            if len(ahead) >= settings.workers + _AHEAD:
                yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


class _Run:
    """How far a training is, and what it leaves in its folder."""

    def __init__(
        self, network: nn.Module, settings: RunSettings, on_report: Callable[[int], dict[str, float]] | None
    ) -> None:
        self._network, self._settings, self._on_report = network, settings, on_report
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
        self._path = settings.folder / CHECKPOINT
        self.step, self._earlier = self._resume()
        self._begun = self._saved = time.monotonic()
        self._log = RunLog(settings.folder, self.step)
        self._sums: dict[str, float] = {}
        self._counted = 0

    @property
    def _seconds(self) -> float:
        return self._earlier + time.monotonic() - self._begun

    def share(self) -> float:
        """How much of the run is done; 1 is all of it."""
        if self._settings.steps is not None:
            return self.step / self._settings.steps
        return self._seconds / (60 * self._settings.minutes)

    def learn(self, losses: dict[str, Tensor], share: float) -> None:
        """One step of the optimiser, with what is to be told and kept after it."""
        rate = self._settings.learning_rate * learning_rate_at(share)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), 1.0)
        if torch.isfinite(norm):
            self._optimizer.step()
        self.step += 1
        told = {name: float(value.detach()) for name, value in losses.items()} | {"learning_rate": rate}
        self._sums = {name: self._sums.get(name, 0.0) + value for name, value in told.items()}
        self._counted += 1
        if rank() != 0:
            return
        if self.step % self._settings.report_steps == 0:
            self._report()
        if time.monotonic() - self._saved >= self._settings.checkpoint_seconds:
            self._save()
        self.tell()

    def finish(self) -> None:
        """Report what is not reported yet, and keep the end of the run."""
        if rank() == 0:
            if self._counted:
                self._report()
            self._save()
            self.tell()

    def _report(self) -> None:
        figures = self._on_report(self.step) if self._on_report is not None else {}
        means = {name: total / self._counted for name, total in self._sums.items()}
        self._log.add({"step": self.step, "minutes": self._seconds / 60, **means, **figures})
        self._sums, self._counted = {}, 0

    def tell(self) -> None:
        """Say how far the run is."""
        if rank() != 0:
            return
        share = min(1.0, self.share())
        self._settings.on_progress(
            TrainingProgress(self._settings.network, self.step, self._seconds / 60, share, self._log.last)
        )

    def _save(self) -> None:
        self._saved = time.monotonic()
        state = {
            "network": self._network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "elapsed": self._seconds,
        }
        part = self._path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._path)

    def _resume(self) -> tuple[int, float]:
        """Load the checkpoint, if there is one; steps and seconds of the earlier sessions."""
        if not self._path.exists():
            return 0, 0.0
        try:
            state = torch.load(self._path, weights_only=True, map_location=self._settings.device)
            step, seconds = int(state["step"]), float(state["elapsed"])
            self._network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])
        except (OSError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise WeightsError(f"{self._path} is damaged ({error}): delete it to begin anew") from error
        except (RuntimeError, ValueError) as error:
            raise WeightsError(
                f"{self._path} does not fit the {self._settings.network} that is to be trained, so training cannot go "
                f"on from it: name another folder, or delete it to begin anew ({error})"
            ) from error
        return step, seconds
