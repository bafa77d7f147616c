"""Which model pack judges: another one than drove the restoration, where one is at hand."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from vidrestore import weights
from vidrestore.video import comment_of

AUTO = "auto"
"""The name that leaves the choice of the pack to ``choose_pack``."""
_EMBEDDED = "compact"
_PREFERRED = ("buffalo_l", "buffalo_s", _EMBEDDED)
"""Best first."""
_DRIVER = re.compile(r"found by (.+?); restored faces are estimates")
"""What ``restore`` writes into the comment of its output."""


def driver_of(output: Path) -> str | None:
    """Name and licence of the model pack that drove the restoration of ``output``, or None where it does not say.

    Raises:
        VideoError: the file cannot be opened.
    """
    said = _DRIVER.findall(comment_of(output))
    return str(said[-1]) if said else None


def choose_pack(drivers: Iterable[str | None]) -> str:
    """The best pack on this machine that is none of ``drivers``; where there is no other, the best one all the same."""
    present = [model.name for model in weights.list_models() if model.kind == "faces" and weights.is_present(model)]
    ranked = [name for name in _PREFERRED if name in present] or [_EMBEDDED]
    taken = {_pack(driver) for driver in drivers if driver is not None}
    return next((name for name in ranked if name not in taken), ranked[0])


def is_own(judge: str, driver: str | None) -> bool | None:
    """Whether ``judge`` (name and licence) is the pack that drove an output; None where that is not known."""
    return None if driver is None else _pack(judge) == _pack(driver)


def _pack(name_and_licence: str) -> str:
    return name_and_licence.partition(" (")[0]
