"""Several processes that train one network together: each draws samples of its own, and gradients are averaged.

The process that is asked to train is rank 0. The further ones do the same work beside it, each on a GPU of its own or,
to try it, on the CPU.
"""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.multiprocessing.spawn import spawn

B = TypeVar("B")


def rank() -> int:
    """The number of this process, from 0; 0 where there is one only."""
    return dist.get_rank() if dist.is_initialized() else 0


def agreed(value: float, device: str) -> float:
    """``value`` of rank 0, in all processes."""
    if not dist.is_initialized():
        return value
    shared = torch.tensor([value], dtype=torch.float32, device=device)
    dist.broadcast(shared, src=0)
    return float(shared)


class _Objective(nn.Module):
    """The losses of a batch as a module, so that gradients can be averaged over processes."""

    def __init__(self, network: nn.Module, loss_of: Callable[[B], dict[str, Tensor]]) -> None:
        super().__init__()
        self.network = network
        self._loss_of = loss_of

    def forward(self, batch: B) -> dict[str, Tensor]:
        losses = self._loss_of(batch)  # type: ignore[arg-type]
        return {name: value if name == "loss" else value.detach() for name, value in losses.items()}


def distributed(network: nn.Module, loss_of: Callable[[B], dict[str, Tensor]]) -> Callable[[B], dict[str, Tensor]]:
    """``loss_of``, whose gradients for the parameters of ``network`` are averaged where several processes train."""
    if not dist.is_initialized():
        return loss_of
    # Not every batch reaches all parameters: one without references leaves out what reads them.
    return nn.parallel.DistributedDataParallel(_Objective(network, loss_of), find_unused_parameters=True)


@contextmanager
def company(work: Callable[[int], object], size: int, device: str) -> Iterator[None]:
    """While the block does ``work(0)``, do ``work(1)`` to ``work(size - 1)`` in processes of their own.

    ``work`` must be picklable. ``device`` is that of this process: ``cuda...`` is joined by NCCL, anything else by
    Gloo. Nothing happens where ``size`` is 1. An error of a further process is raised here.
    """
    if size == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="vidrestore-") as folder:
        meeting = Path(folder) / "meeting"
        others = spawn(_member, (work, meeting, size, device), nprocs=size - 1, join=False, daemon=True)  # type: ignore[no-untyped-call]
        try:
            _join(0, meeting, size, device)
            yield
            while not others.join():
                pass
        except RuntimeError:
            others.join(timeout=5)  # raises the error of another process, where that is what broke the group
            raise
        finally:
            for process in others.processes:
                process.terminate()
            if dist.is_initialized():
                dist.destroy_process_group()


def _member(index: int, work: Callable[[int], object], meeting: Path, size: int, device: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # rank 0 hears Ctrl-C, and ends the others
    _join(index + 1, meeting, size, device)
    try:
        work(index + 1)
    finally:
        dist.destroy_process_group()


def _join(number: int, meeting: Path, size: int, device: str) -> None:
    """Join the group of ``size`` processes that meet at the file ``meeting``."""
    on_gpus = device.startswith("cuda")
    if on_gpus:
        torch.cuda.set_device(number)
    dist.init_process_group("nccl" if on_gpus else "gloo", init_method=meeting.as_uri(), rank=number, world_size=size)
