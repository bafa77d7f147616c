"""One training run in a folder: time-bounded, resumable, with a log of every report.

``DIR/checkpoint.pt`` holds weights, optimiser and how far the run is; ``DIR/log.csv`` a row for each report. Calling
the same training again continues where the checkpoint stands.
"""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

B = TypeVar("B")
WARM_UP = 0.02
"""Share of the run over which the learning rate rises."""
_CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How long and how to train."""

    folder: Path
    """Checkpoints, logs and sample sheets go here."""
    minutes: float
    """Time to train for, also over several sessions."""
    batch: int
    learning_rate: float
    seed: int = 0
    device: str = "cpu"
    threads: int = 0
    """CPU threads of the network; 0 leaves it to torch."""
    report_steps: int = 100


def learning_rate_at(progress: float) -> float:
    """Factor 0..1 of the learning rate at ``progress`` 0..1: linear warm-up, then half a cosine."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def train(
    network: nn.Module,
    batches: Callable[[int], Iterable[B]],
    loss_of: Callable[[B], dict[str, Tensor]],
    settings: RunSettings,
    on_report: Callable[[int], dict[str, float]] | None = None,
) -> int:
    """Train ``network`` in place and return the number of steps done.

    Args:
        network: its parameters are trained.
        batches: given a seed, an endless iterator of batches.
        loss_of: losses by name for one batch; the one named ``loss`` is minimised.
        settings: the run.
        on_report: given the step, figures to log beside the losses (and pictures to write).
    """
    settings.folder.mkdir(parents=True, exist_ok=True)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=1e-4)
    step, elapsed = _resume(network, optimizer, settings)
    sums: dict[str, float] = {}
    counted = 0
    begun, saved, first = time.monotonic(), time.monotonic(), True
    for batch in batches(settings.seed + step):
        progress = (elapsed + time.monotonic() - begun) / (60 * settings.minutes)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * learning_rate_at(progress)
        losses = loss_of(batch)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if torch.isfinite(norm):
            optimizer.step()
        step += 1
        for name, value in losses.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        counted += 1
        if step % settings.report_steps == 0:
            figures = on_report(step) if on_report is not None else {}
            means = {name: total / counted for name, total in sums.items()}
            _log(settings.folder / "log.csv", {"step": step, "progress": progress, **means, **figures}, first)
            sums, counted, first = {}, 0, False
        if time.monotonic() - saved > _CHECKPOINT_SECONDS:
            saved = time.monotonic()
            _save(network, optimizer, step, elapsed + saved - begun, settings)
    _save(network, optimizer, step, elapsed + time.monotonic() - begun, settings)
    return step


def _resume(network: nn.Module, optimizer: torch.optim.Optimizer, settings: RunSettings) -> tuple[int, float]:
    path = settings.folder / "checkpoint.pt"
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True, map_location=settings.device)
    network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["elapsed"])


def _save(
    network: nn.Module, optimizer: torch.optim.Optimizer, step: int, elapsed: float, settings: RunSettings
) -> None:
    state = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "elapsed": elapsed,
    }
    part = settings.folder / "checkpoint.part"
    torch.save(state, part)
    part.replace(settings.folder / "checkpoint.pt")


def _log(path: Path, row: dict[str, float], first: bool) -> None:
    shown = {name: round(value, 5) if isinstance(value, float) else value for name, value in row.items()}
    print(*(f"{name} {value}" for name, value in shown.items()), file=sys.stderr, flush=True)
    fresh = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if fresh or first:
            writer.writerow(shown)
        writer.writerow(shown.values())
