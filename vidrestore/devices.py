"""Which device does the work."""

from __future__ import annotations

from vidrestore.errors import ConfigError, DeviceError


def choose_device(wanted: str) -> str:
    """The torch device that ``wanted`` means here: ``auto`` takes a GPU where there is one.

    Raises:
        ConfigError: not a device's name.
        DeviceError: the device is not there.
    """
    kind, _, number = wanted.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not (kind == "cuda" and number.isdigit())):
        raise ConfigError(f"restoration.device is {wanted!r}, allowed: auto, cpu, cuda, cuda:N, mps")
    if kind == "cpu":
        return wanted
    import torch  # slow to import, and not needed to stay on the CPU

    cuda_count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    has_mps = torch.backends.mps.is_available()
    if kind == "auto":
        return "cuda" if cuda_count else "mps" if has_mps else "cpu"
    if kind == "cuda" and int(number or 0) >= cuda_count:
        there = f"there are {cuda_count}" if cuda_count else "torch sees no CUDA GPU here"
        raise DeviceError(
            f"the device {wanted} was asked for, but {there}; use --device auto, or see 'vidrestore doctor'"
        )
    if kind == "mps" and not has_mps:
        raise DeviceError("the device mps was asked for, but torch sees none here; use --device auto")
    return wanted
