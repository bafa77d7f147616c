"""The compact network as a restorer, and its weight files: safetensors with the network's shape in the metadata."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidrestore.errors import WeightsError
from vidrestore.restorers.compact.network import CompactNetwork, CompactShape, Memory
from vidrestore.restorers.components import component_boxes
from vidrestore.restorers.torch_restorer import TorchRestorer
from vidrestore.types import Floats

_METADATA_KEY = "vidrestore.compact"
_LICENCE_KEY = "licence"


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


def save_compact(network: CompactNetwork, path: Path, licence: str | None = None) -> None:
    """Write weights, in half precision, and the shape of ``network`` to ``path``; ``licence`` where one is known."""
    tensors = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    metadata = {_METADATA_KEY: json.dumps(dataclasses.asdict(network.shape))}
    part = path.with_name(path.name + ".part")
    save_file(tensors, part, metadata=metadata if licence is None else {**metadata, _LICENCE_KEY: licence})
    part.chmod(0o644)  # safetensors makes files that only their owner can read
    part.replace(path)


def is_compact_file(path: Path) -> bool:
    """Whether ``path`` is a weight file of a compact network; also False where it cannot be read at all."""
    return _METADATA_KEY in _metadata(path)


def licence_in(path: Path) -> str | None:
    """The licence that the weight file ``path`` tells; None where it tells none or is no safetensors file."""
    return _metadata(path).get(_LICENCE_KEY)


def _metadata(path: Path) -> dict[str, str]:
    if path.suffix != ".safetensors":
        return {}
    try:
        with safe_open(path, "pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError):
        return {}


def load_network(path: Path) -> CompactNetwork:
    """The network of a weight file, in float32 on the CPU.

    Raises:
        WeightsError: the file is damaged, or its tensors do not fit the shape it claims.
    """
    try:
        with safe_open(path, "pt") as file:
            shape = json.loads(file.metadata()[_METADATA_KEY])
            tensors = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 - not a dict
        network = CompactNetwork(CompactShape(**{**shape, "blocks": tuple(shape["blocks"])}))
        network.load_state_dict(tensors)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path} is no usable weight file of the compact network: {error}") from error
    return network


def load_compact(path: Path, name: str, licence: str, device: str) -> CompactRestorer:
    """The restorer of a weight file.

    Raises:
        WeightsError: as :func:`load_network`.
    """
    return CompactRestorer(load_network(path), torch.device(device), name, licence)
