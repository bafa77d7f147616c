"""Face restorers, by name or file of their weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vidrestore import weights
from vidrestore.config import RestorationSettings, load_component
from vidrestore.errors import ComponentError, WeightsError
from vidrestore.types import Restorer

_CONTRACT = ("name", "licence", "device", "crop_size", "encode_references", "restore")
YOUR_OWN = "your own file; its licence is not known"


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of weights, with the name and the licence that results tell of it."""

    path: Path
    name: str
    licence: str


def find_weight_file(name: str) -> WeightFile | None:
    """The file that ``restoration.weights`` names; None where it names a ``module:Class``.

    Raises:
        WeightsError: unknown, missing or damaged weights.
    """
    path = Path(name)
    if weights.is_known(name, "restorer"):
        model = weights.find_model(name, "restorer")
        return WeightFile(weights.checked_folder(model) / model.files[0].path, model.name, model.licence)
    if path.suffix in (".safetensors", ".pth", ".pt") or path.exists():
        if not path.is_file():
            raise WeightsError(f"no weight file {path}: give the path of a .safetensors or .pth file")
        from vidrestore.restorers.compact import licence_in

        return WeightFile(path, path.name, licence_in(path) or YOUR_OWN)
    if ":" in name:
        return None
    raise weights.unknown(name, "restorer")


def build_restorer(settings: RestorationSettings, device: str) -> Restorer:
    """The restorer that ``settings.weights`` names, on ``device`` (``cpu``, ``cuda``, ``cuda:N``, ``mps``).

    A file in safetensors that says so in its metadata is a compact network; any other file is DMDNet's.

    Raises:
        WeightsError: unknown, missing or damaged weights, or weights of another shape.
        ComponentError: a ``module:Class`` cannot be loaded or is no restorer.
    """
    file = find_weight_file(settings.weights)
    if file is not None:
        return _from_file(file.path, file.name, file.licence, device)
    restorer = load_component(settings.weights)()
    lacking = [part for part in _CONTRACT if not hasattr(restorer, part)]
    if lacking:
        raise ComponentError(f"{settings.weights} lacks {', '.join(lacking)}, so it is no restorer")
    return restorer  # type: ignore[no-any-return]


def _from_file(path: Path, name: str, licence: str, device: str) -> Restorer:
    from vidrestore.restorers.compact import is_compact_file, load_compact

    if is_compact_file(path):
        return load_compact(path, name, licence, device)
    import torch

    from vidrestore.restorers.dmdnet import load_network
    from vidrestore.restorers.dmdnet.restorer import DMDNetRestorer

    return DMDNetRestorer(load_network(path), torch.device(device), name, licence)
