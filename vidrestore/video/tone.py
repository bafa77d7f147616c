"""What networks are shown of PQ pictures: the same scene in HLG, which looks natural where SDR is expected.

PQ codes (Rec. ITU-R BT.2100, table 4) spread faces over a third of the scale, flat and grey, and no face network has
seen such pictures. HLG codes (table 5) were made to be looked at as if they were SDR, so HLG pictures are shown as they
are. PQ pictures are turned into HLG for a display of 1000 cd/m2 whose system gamma of 1.2 is applied to each channel by
itself, so that the curve has an inverse; changes go back through it to PQ codes. White of 203 cd/m2 comes to 75 % of
the scale, as Rep. ITU-R BT.2408 has it. Light above 1000 cd/m2 is shown as white.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float64]

PQ: Final = 16
"""Transfer characteristics of SMPTE ST 2084 in ITU-T H.273."""
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_PEAK: Final = 1000.0
"""cd/m2 of the display."""
_GAMMA: Final = 1.2


def hlg_of_pq(signal: Signal) -> Signal:
    """PQ signals 0..1, each channel by itself, as HLG signals, which are above 1 for light above 1000 cd/m2."""
    power = np.power(np.clip(signal, 0, 1), 1 / _M2)
    light = 10000 * np.power(np.maximum(power - _C1, 0) / (_C2 - _C3 * power), 1 / _M1)
    scene = np.power(light / _PEAK, 1 / _GAMMA)
    high = _A * np.log(np.maximum(12 * scene, 1) - _B) + _C
    return np.asarray(np.where(scene <= 1 / 12, np.sqrt(3 * scene), high), dtype=np.float64)


def pq_of_hlg(signal: Signal) -> Signal:
    """The inverse of :func:`hlg_of_pq`."""
    signal = np.maximum(signal, 0)
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - _C) / _A) + _B) / 12)
    power = np.power(_PEAK * np.power(scene, _GAMMA) / 10000, _M1)
    return np.asarray(np.power((_C1 + _C2 * power) / (1 + _C3 * power), _M2), dtype=np.float64)


@lru_cache
def shown_levels() -> npt.NDArray[np.uint8]:
    """The level 0..255 that each of the 65536 codes of a full-range 16-bit PQ channel is shown as."""
    levels = np.clip(np.rint(255 * hlg_of_pq(np.arange(65536) / 65535)), 0, 255).astype(np.uint8)
    levels.flags.writeable = False
    return levels
