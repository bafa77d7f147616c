"""From a weight file, in any form it is passed around in, to a network ready for inference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from vidrestore.errors import WeightsError
from vidrestore.restorers.dmdnet.network import DMDNet

_FIRST_BIAS = "E_lq.conv1.0.bias"  # its length is the width; every DMDNet has it
_FIRST_KEYS = "le_256_mem_key"  # its length is the number of generic entries
_SMALLEST_WIDTH = 4  # keys have a fourth of the channels
_WRAPPER = "module."  # torch.nn.DataParallel puts this before every name
_SHOWN = 3
_ADVICE = "Download or convert the file again, or name another one"


def load_network(source: Path | str | Mapping[str, Tensor]) -> DMDNet:
    """A network in evaluation mode, without gradients, in float32 on the CPU.

    ``source`` is a file (``.safetensors``, or anything ``torch.load`` reads without running code) or its tensors by
    name. The published form with spectral norms and plain weights are both taken, also inside a larger checkpoint
    and from ``torch.nn.DataParallel``. Width and number of generic entries follow from the tensors.

    Raises ``WeightsError`` where the file is missing, unreadable, not a DMDNet, incomplete or of other shapes.
    """
    where = "the given tensors" if isinstance(source, Mapping) else str(source)
    tensors = _find_tensors(source if isinstance(source, Mapping) else _read(Path(source)), where)
    network = _empty_network(tensors, where)
    _check(tensors, _accepted_shapes(network, tensors), where)
    network.load_state_dict({name: tensor.detach().float() for name, tensor in tensors.items()}, assign=True)
    _check_finite(network, where)
    return network.eval().requires_grad_(False)


def _read(path: Path) -> Mapping[str, object]:
    """Whatever mapping the file holds."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such weight file. Check the path, or fetch the weights first")
    try:
        content = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error}). Check its permissions and the disk") from error
    except Exception as error:  # damaged bytes make torch.load raise almost anything
        raise WeightsError(
            f"{path}: not a weight file, damaged, or more than tensors ({type(error).__name__}). {_ADVICE}"
        ) from error
    if not isinstance(content, Mapping):
        raise WeightsError(f"{path}: holds a {type(content).__name__}, not named tensors. {_ADVICE}")
    return content


def _find_tensors(content: Mapping[str, object], where: str) -> dict[str, Tensor]:
    """The network's tensors, at the top of ``content`` or one level down, without a wrapper's prefix."""
    for candidate in (content, *content.values()):
        if isinstance(candidate, Mapping):
            tensors = {
                str(name).removeprefix(_WRAPPER): value
                for name, value in candidate.items()
                if isinstance(value, Tensor)
            }
            if _FIRST_BIAS in tensors:
                return tensors
    held = _listed(map(str, content)) if content else "nothing"
    raise WeightsError(f"{where}: not a DMDNet checkpoint: no tensor {_FIRST_BIAS!r}; it holds {held}. {_ADVICE}")


def _empty_network(tensors: Mapping[str, Tensor], where: str) -> DMDNet:
    """A network of the width and number of entries that the tensors tell, without storage."""
    if _FIRST_KEYS not in tensors:
        raise WeightsError(f"{where}: lacks 1 or more tensors: {_FIRST_KEYS}. {_ADVICE}")
    width, entries = tensors[_FIRST_BIAS].numel(), tensors[_FIRST_KEYS].shape[:1].numel()
    if width < _SMALLEST_WIDTH or entries < 1:
        raise WeightsError(
            f"{where}: {_FIRST_BIAS} has {width} values and {_FIRST_KEYS} {entries} entries, "
            f"expected at least {_SMALLEST_WIDTH} and 1. {_ADVICE}"
        )
    with torch.device("meta"):
        return DMDNet(width, entries)


def _accepted_shapes(network: DMDNet, tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name to shape of all tensors that must be there: each weight plain, or as its three spectral norm tensors."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in network.state_dict().items():
        shape = tuple(tensor.shape)
        if f"{name}_orig" in tensors:
            shapes[f"{name}_orig"] = shape
            shapes[f"{name}_u"] = shape[:1]
            shapes[f"{name}_v"] = (tensor[0].numel(),)
        else:
            shapes[name] = shape
    return shapes


def _check(tensors: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]], where: str) -> None:
    """Raise ``WeightsError`` unless the tensors have exactly these names and shapes and are real numbers."""
    if missing := [name for name in shapes if name not in tensors]:
        raise WeightsError(f"{where}: lacks {len(missing)} of {len(shapes)} tensors: {_listed(missing)}. {_ADVICE}")
    if unexpected := [name for name in tensors if name not in shapes]:
        raise WeightsError(f"{where}: {len(unexpected)} tensors are not of a DMDNet: {_listed(unexpected)}. {_ADVICE}")
    wrong = [
        f"{name} is {tensors[name].dtype} {tuple(tensors[name].shape)}, expected floating point {shape}"
        for name, shape in shapes.items()
        if tuple(tensors[name].shape) != shape or not tensors[name].is_floating_point()
    ]
    if wrong:
        raise WeightsError(f"{where}: {len(wrong)} tensors of another shape or type: {_listed(wrong)}. {_ADVICE}")


def _check_finite(network: DMDNet, where: str) -> None:
    """Raise ``WeightsError`` where a weight is NaN or infinite, as after a broken training run."""
    broken = [name for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{where}: {len(broken)} tensors hold NaN or infinity: {_listed(broken)}. {_ADVICE}")


def _listed(names: Iterable[str]) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
