"""What restorers on torch share: pictures in and out, and batches that fit the device."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from vidrestore.errors import DeviceMemoryError
from vidrestore.types import FaceCrop, Floats, Image, Reference

M = TypeVar("M")
T = TypeVar("T")
CROP_SIZE = 512


class TorchRestorer(ABC, Generic[M]):
    """A :class:`vidrestore.types.Restorer` around a network with specific memories of type ``M``.

    All crops of a call are one batch, halved while memory does not suffice.
    """

    crop_size = CROP_SIZE

    def __init__(self, device: torch.device, name: str, licence: str) -> None:
        self.name = name
        self.licence = licence
        self.device = str(device)
        self._device = device
        self._fitting_batch: int | None = None  # learnt when the device runs out of memory

    @abstractmethod
    def boxes_of(self, landmarks: Floats) -> Floats:
        """Component boxes (B, 4, 4), in pixels of the crop, of landmarks (B, 68, 2)."""

    @abstractmethod
    def memorize(self, images: Tensor, boxes: Tensor) -> M:
        """Memory of references (N, 3, S, S) in [-1, 1] with boxes (N, 4, 4)."""

    @abstractmethod
    def join(self, memories: Sequence[M]) -> M:
        """One memory of parts of a person's references."""

    @abstractmethod
    def run(self, images: Tensor, boxes: Tensor, memories: Sequence[M | None]) -> Tensor:
        """Restored faces (B, 3, S, S) in [-1, 1] of faces (B, 3, S, S) in [-1, 1] with boxes (B, 4, 4)."""

    @torch.inference_mode()
    def encode_references(self, references: Sequence[Reference]) -> M:
        """The memory of one person, from at least one reference of ``crop_size``.

        Raises ``ValueError`` for none or another size, ``DeviceMemoryError`` where one does not fit the device.
        """
        if not references:
            raise ValueError("a memory needs at least one reference")
        images, boxes = self._tensors(references)

        def memorize(batch: slice) -> list[M]:
            return [self.memorize(_to_signed(images[batch]), boxes[batch])]

        return self.join(self._in_fitting_batches(len(references), memorize))

    @torch.inference_mode()
    def restore(self, crops: Sequence[FaceCrop], memories: Sequence[M | None]) -> list[Image | None]:
        """Restored pictures (S, S, 3), one for each crop, or ``None`` where the network's answer is not finite.

        ``memories[i]`` ``None`` is the generic memory alone.

        Raises ``ValueError`` for other sizes or counts, ``DeviceMemoryError`` where one face does not fit the device.
        """
        if len(crops) != len(memories):
            raise ValueError(f"{len(memories)} memories for {len(crops)} crops; give one (or None) for each")
        if not crops:
            return []
        images, boxes = self._tensors(crops)

        def restore(batch: slice) -> list[Image | None]:
            faces = self.run(_to_signed(images[batch]), boxes[batch], memories[batch])
            good = torch.isfinite(faces).flatten(1).all(dim=1).tolist()
            pictures = _to_bytes(faces).cpu().numpy()
            return [picture if fine else None for picture, fine in zip(pictures, good, strict=True)]

        return self._in_fitting_batches(len(crops), restore)

    def _in_fitting_batches(self, count: int, run: Callable[[slice], list[T]]) -> list[T]:
        """Results of ``run`` over ``range(count)`` in order, in batches as large as the device's memory has allowed."""
        results: list[T] = []
        start = 0
        size = min(count, self._fitting_batch or count)
        while start < count:
            try:
                results += run(slice(start, start + size))
                start += size
            except torch.OutOfMemoryError as error:
                if size == 1:
                    raise DeviceMemoryError(
                        f"{self.device} has too little memory for one face of {CROP_SIZE} x {CROP_SIZE}; "
                        "close other programs that use it, or choose another device"
                    ) from error
                size = self._fitting_batch = size // 2
        return results

    def _tensors(self, items: Sequence[FaceCrop] | Sequence[Reference]) -> tuple[Tensor, Tensor]:
        """Pictures (B, S, S, 3) uint8 and component boxes (B, 4, 4), on the device."""
        for item in items:
            if item.image.shape != (CROP_SIZE, CROP_SIZE, 3):
                raise ValueError(f"a picture has shape {item.image.shape}, expected {(CROP_SIZE, CROP_SIZE, 3)}")
        images = torch.from_numpy(np.stack([item.image for item in items]))
        boxes = torch.from_numpy(self.boxes_of(np.stack([item.landmarks for item in items])))
        return images.to(self._device), boxes.to(self._device)


def _to_signed(images: Tensor) -> Tensor:
    """Pictures (B, H, W, 3) uint8 to network input (B, 3, H, W) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float() / 127.5 - 1


def _to_bytes(faces: Tensor) -> Tensor:
    """Network output (B, 3, H, W) in [-1, 1] to pictures (B, H, W, 3) uint8."""
    return ((faces.float().nan_to_num() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()
