"""Weight files of the compact network: safetensors with the network's shape in the metadata.

Training writes half precision. What is published is smaller: matrices and kernels in 8 bits, with a scale for each
output channel. That changes a restored picture by less than rounding it to 8 bits does (59 dB and more), but a short
fine-tuning would be lost in it.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vidrestore.errors import WeightsError
from vidrestore.restorers.compact.network import CompactNetwork, CompactShape

_METADATA_KEY = "vidrestore.compact"
_LICENCE_KEY = "licence"
_SCALE = ".scale"
_LEAST_IN_BYTES = 2048
"""Elements of the smallest tensor that is published in 8 bits."""


def save_compact(network: CompactNetwork, path: Path, licence: str | None = None) -> None:
    """Write weights, in half precision, and the shape of ``network`` to ``path``; ``licence`` where one is known."""
    _save({name: tensor.half() for name, tensor in network.state_dict().items()}, network.shape, path, licence)


def publish_compact(network: CompactNetwork, path: Path, licence: str | None = None) -> None:
    """The same in half the size, for a network that is done with learning."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        if tensor.ndim < 2 or tensor.numel() < _LEAST_IN_BYTES or not name.endswith("weight"):
            tensors[name] = tensor.half()
            continue
        scale = (tensor.flatten(1).abs().amax(dim=1).clamp(min=1e-6) / 127).half()
        levels = (tensor / _spread(scale.float(), tensor)).round().clamp(-127, 127)
        tensors |= {name: levels.to(torch.int8), name + _SCALE: scale}
    _save(tensors, network.shape, path, licence)


def _spread(scale: Tensor, tensor: Tensor) -> Tensor:
    """A scale (C,) as it is multiplied with a tensor (C, ...)."""
    return scale.reshape(-1, *[1] * (tensor.ndim - 1))


def _save(tensors: dict[str, Tensor], shape: CompactShape, path: Path, licence: str | None) -> None:
    metadata = {_METADATA_KEY: json.dumps(dataclasses.asdict(shape))}
    if licence is not None:
        metadata[_LICENCE_KEY] = licence
    part = path.with_name(path.name + ".part")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, metadata=metadata)
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
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
        sizes: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in shape.items()
        }
        network = CompactNetwork(CompactShape(**sizes))
        others = network.load_state_dict(_floats(stored), strict=False)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise WeightsError(f"{path} is no usable weight file of the compact network: {error}") from error
    strange = [*others.missing_keys, *others.unexpected_keys]
    if strange:
        raise WeightsError(
            f"{path} is of another version of the compact network: {len(strange)} tensors are missing or unknown, such "
            f"as {strange[0]}; train it again from compact"
        )
    return network


def _floats(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file in float32, whatever they are kept as."""
    scales = {name.removesuffix(_SCALE): stored[name].float() for name in stored if name.endswith(_SCALE)}
    return {
        name: tensor.float() * _spread(scales[name], tensor) if name in scales else tensor.float()
        for name, tensor in stored.items()
        if not name.endswith(_SCALE)
    }
