"""Check this machine: versions, devices that really do the work, codecs, models."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from vidrestore import weights
from vidrestore.config import FacesSettings, RestorationSettings
from vidrestore.devices import choose_device
from vidrestore.errors import VidrestoreError


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    needed: bool
    """Whether vidrestore cannot work without it."""
    detail: str


def examine() -> list[Check]:
    """All checks; none raises."""
    checks = [_run("python", True, platform.python_version)]
    for package in ("torch", "onnxruntime", "av", "insightface", "opencv-python", "filterpy", "numpy", "scipy"):
        checks.append(_run(package, True, partial(importlib.metadata.version, package)))
    checks.append(_run("decord (optional, for single frames by timestamp)", False, _decord))
    checks.append(_run("torch works on", True, _torch_device))
    checks.append(_run("onnxruntime offers", True, _onnx_providers))
    checks.append(_run("encoders", True, _encoders))
    try:
        models = weights.list_models()
    except VidrestoreError as error:
        models = ()
        checks.append(Check("models", False, True, str(error)))
    for model in models:
        name = f"{model.kind} {model.name}"
        if model.embedded or weights.is_present(model):
            checks.append(_run(name, model.embedded, partial(_model, model)))
        else:
            checks.append(Check(name, False, False, f"not fetched; licence: {model.licence}"))
    checks.append(_run("faces found on", True, _faces_device))
    checks.append(_run("faces restored on", True, _restorer_device))
    return checks


def _run(name: str, needed: bool, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, needed, look())
    except Exception as error:  # a check must report whatever goes wrong, not stop the others
        return Check(name, False, needed, f"{type(error).__name__}: {error}")


def _decord() -> str:
    from vidrestore.video import decord_version

    return decord_version()


def _torch_device() -> str:
    """Convolve something on the device that ``auto`` takes."""
    import torch

    device = choose_device("auto")
    total = float(
        torch.nn.functional.conv2d(torch.ones(1, 1, 4, 4, device=device), torch.ones(1, 1, 3, 3, device=device)).sum()
    )
    if total != 36:
        raise RuntimeError(f"a convolution on {device} gave {total} instead of 36")
    name = (
        torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or platform.machine()
    )
    return f"{device} ({name}, {torch.get_num_threads()} CPU threads)"


def _onnx_providers() -> str:
    import onnxruntime

    return ", ".join(onnxruntime.get_available_providers())


def _encoders() -> str:
    from vidrestore.video import CODECS, encoder_opens

    there = [codec for codec in CODECS if encoder_opens(codec)]
    missing = {"libx264", "ffv1"} - set(there)
    if missing:
        raise RuntimeError(f"this build of FFmpeg lacks {', '.join(sorted(missing))}")
    return ", ".join(there)


def _model(model: weights.Model) -> str:
    problems = weights.verify(model)
    if problems:
        raise RuntimeError("; ".join(problems))
    digests = ", ".join(f"{file.path} {str(file.sha256)[:12]}" for file in model.files)
    return f"{digests or 'present'}; licence: {model.licence}"


def _faces_device() -> str:
    """Load the embedded pack and let it look at an empty picture."""
    import numpy as np

    from vidrestore.detectors import build_detector

    detector = build_detector(FacesSettings(), choose_device("auto"))
    detector.detect(np.zeros((64, 64, 3), dtype=np.uint8))
    return detector.device


def _restorer_device() -> str:
    """Load the embedded restorer and restore a grey square."""
    import numpy as np

    from vidrestore.restorers import build_restorer
    from vidrestore.types import Face, FaceCrop

    restorer = build_restorer(RestorationSettings(), choose_device("auto"))
    landmarks = np.full((68, 2), 256, dtype=np.float32)
    grey = np.full((restorer.crop_size, restorer.crop_size, 3), 128, dtype=np.uint8)
    crop = FaceCrop(Face(0, None, landmarks, 1.0), grey, np.eye(2, 3, dtype=np.float32), landmarks)
    (restored,) = restorer.restore([crop], [None])
    if restored is None:
        raise RuntimeError("the network gave no finite picture")
    return restorer.device
