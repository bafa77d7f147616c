"""Write trained face networks as ONNX files that insightface routes by their shapes."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from vidrestore.training.face_networks import (
    STRIDES,
    DetectorExport,
    DetectorNetwork,
    EmbeddingNetwork,
    LandmarkExport,
    LandmarkNetwork,
)

_OPSET = 17
_INPUT = "input.1"


def export_detector(network: DetectorNetwork, path: Path) -> None:
    """Nine rank-2 outputs: scores, boxes and keypoints for each stride; height and width are symbolic."""
    names = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in STRIDES]
    axes: dict[str, dict[int, str]] = {_INPUT: {2: "height", 3: "width"}}
    axes.update({name: {0: f"anchors_{name}"} for name in names})
    _export(DetectorExport(network), (1, 3, 640, 640), path, names, axes)


def export_landmarks(network: LandmarkNetwork, path: Path) -> None:
    """One output (N, 136) from (N, 3, 192, 192)."""
    _export(
        LandmarkExport(network),
        (1, 3, LandmarkNetwork.SIDE, LandmarkNetwork.SIDE),
        path,
        ["landmarks"],
        {_INPUT: {0: "batch"}, "landmarks": {0: "batch"}},
    )


def export_embedding(network: EmbeddingNetwork, path: Path) -> None:
    """One output (N, 512) from (N, 3, 112, 112)."""
    _export(
        network,
        (1, 3, EmbeddingNetwork.SIDE, EmbeddingNetwork.SIDE),
        path,
        ["embedding"],
        {_INPUT: {0: "batch"}, "embedding": {0: "batch"}},
    )


def _export(
    network: nn.Module, shape: tuple[int, ...], path: Path, outputs: list[str], axes: dict[str, dict[int, str]]
) -> None:
    network = network.eval().cpu().to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    part = path.with_name(path.name + ".part")
    with warnings.catch_warnings():
        # The exporter that insightface's shapes need is the older one, and says so at every call.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(*shape),),
            str(part),
            input_names=[_INPUT],
            output_names=outputs,
            dynamic_axes=axes,
            dynamo=False,
            opset_version=_OPSET,
        )
    part.replace(path)
