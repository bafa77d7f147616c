"""The compact network as a restorer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vidrestore.restorers.compact.memory import Memory
from vidrestore.restorers.compact.network import CompactNetwork
from vidrestore.restorers.compact.weight_file import load_network
from vidrestore.restorers.components import component_boxes
from vidrestore.restorers.torch_restorer import TorchRestorer
from vidrestore.types import Floats


class CompactRestorer(TorchRestorer[Memory]):
    """Restores with a :class:`CompactNetwork`."""

    def __init__(self, network: CompactNetwork, device: torch.device, name: str, licence: str) -> None:
        super().__init__(device, name, licence)
        self._network: CompactNetwork = network.eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def boxes_of(self, landmarks: Floats) -> Floats:
        return component_boxes(landmarks).astype(np.float32)

    def memorize(self, images: Tensor, boxes: Tensor) -> Memory:
        return self._network.memorize(images, boxes)

    def join(self, memories: Sequence[Memory]) -> Memory:
        return Memory.joined(memories)

    def run(self, images: Tensor, boxes: Tensor, memories: Sequence[Memory | None]) -> Tensor:
        restored: Tensor = self._network(images.contiguous(memory_format=torch.channels_last), boxes, memories)
        return restored


def load_compact(path: Path, name: str, licence: str, device: str) -> CompactRestorer:
    """The restorer of a weight file.

    Raises:
        WeightsError: as :func:`load_network`.
    """
    return CompactRestorer(load_network(path), torch.device(device), name, licence)
