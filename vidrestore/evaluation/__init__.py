"""Measure restored videos against the truth, with the fixed definitions of ``vidrestore.metrics``.

From the bottom: ``truth`` (which faces there are, and where), ``measurement`` (every figure of every face-frame),
``summary`` (their means), ``judge`` (which model pack looks), ``lpips`` (a network of the user's), ``comparison`` (all
of it for files), and ``tables`` and ``plots``, which show the result.
"""

from vidrestore.evaluation.comparison import Comparison, compare_videos
from vidrestore.evaluation.measurement import Measurement, measure_videos
from vidrestore.evaluation.summary import summarise
from vidrestore.metrics import psnr

__all__ = ["Comparison", "Measurement", "compare_videos", "measure_videos", "psnr", "summarise"]
