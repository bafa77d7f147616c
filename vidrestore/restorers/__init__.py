"""Face restorers, by name or file of their weights."""

from __future__ import annotations

from pathlib import Path

from vidrestore import weights
from vidrestore.config import RestorationSettings, load_component
from vidrestore.errors import ComponentError, WeightsError
from vidrestore.types import Restorer

_CONTRACT = ("name", "licence", "device", "crop_size", "encode_references", "restore")
YOUR_OWN = "your own file; its licence is not known"


def build_restorer(settings: RestorationSettings, device: str) -> Restorer:
    """The restorer that ``settings.weights`` names, on ``device`` (``cpu``, ``cuda``, ``cuda:N``, ``mps``).

    A file in safetensors that says so in its metadata is a compact network; any other file is DMDNet's.

    Raises:
        WeightsError: unknown, missing or damaged weights, or weights of another shape.
        ComponentError: a ``module:Class`` cannot be loaded or is no restorer.
    """
    name = settings.weights
    path = Path(name)
    if weights.is_known(name, "restorer"):
        model = weights.find_model(name, "restorer")
        folder = weights.checked_folder(model)
        return _from_file(folder / model.files[0].path, model.name, model.licence, device)
    if path.suffix in (".safetensors", ".pth", ".pt") or path.exists():
        if not path.is_file():
            raise WeightsError(f"no weight file {path}: give the path of a .safetensors or .pth file")
        return _from_file(path, path.name, YOUR_OWN, device)
    if ":" in name:
        restorer = load_component(name)()
        lacking = [part for part in _CONTRACT if not hasattr(restorer, part)]
        if lacking:
            raise ComponentError(f"{name} lacks {', '.join(lacking)}, so it is no restorer")
        return restorer  # type: ignore[no-any-return]
    raise weights.unknown(name, "restorer")


def _from_file(path: Path, name: str, licence: str, device: str) -> Restorer:
    from vidrestore.restorers.compact import is_compact_file, load_compact

    if is_compact_file(path):
        return load_compact(path, name, licence, device)
    import torch

    from vidrestore.restorers.dmdnet import load_network
    from vidrestore.restorers.dmdnet.restorer import DMDNetRestorer

    return DMDNetRestorer(load_network(path), torch.device(device), name, licence)
