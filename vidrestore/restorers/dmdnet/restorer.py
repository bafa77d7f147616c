"""DMDNet as a restorer: pictures and landmarks in, pictures out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vidrestore.restorers.dmdnet.boxes import component_boxes
from vidrestore.restorers.dmdnet.network import DMDNet, Memory
from vidrestore.restorers.torch_restorer import TorchRestorer
from vidrestore.types import Floats


class DMDNetRestorer(TorchRestorer[Memory]):
    """Restores with a :class:`DMDNet`."""

    def __init__(self, network: DMDNet, device: torch.device, name: str, licence: str) -> None:
        super().__init__(device, name, licence)
        self._network = network.to(device)

    def boxes_of(self, landmarks: Floats) -> Floats:
        return component_boxes(landmarks)

    def memorize(self, images: Tensor, boxes: Tensor) -> Memory:
        return self._network.memorize(images, boxes)

    def join(self, memories: Sequence[Memory]) -> Memory:
        return Memory.joined(memories)

    def run(self, images: Tensor, boxes: Tensor, memories: Sequence[Memory | None]) -> Tensor:
        restored: Tensor = self._network(images, boxes, memories)
        return restored
