"""Show how far a run is: a bar for people, JSON lines for programs, or nothing."""

from __future__ import annotations

import json
import sys
import time
from types import TracebackType
from typing import Literal, Self

from tqdm import tqdm

from vidrestore.types import Progress

_JSON_SECONDS = 1.0
"""Least time between two JSON lines of one stage."""


class Reporter:
    """Takes progress reports; use it as a context manager, so that bars end cleanly."""

    def __init__(self, style: Literal["bar", "json", "none"]) -> None:
        self._style = style
        self._stage = ""
        self._bar: tqdm[None] | None = None
        self._begun = self._told = 0.0

    def __enter__(self) -> Self:
        return self

    def __call__(self, progress: Progress) -> None:
        """Show one report; a new stage begins a new bar."""
        now = time.monotonic()
        if progress.stage != self._stage:
            self._close()
            self._stage, self._begun, self._told = progress.stage, now, 0.0
            if self._style == "bar":
                # Into a file, a line now and then is enough.
                interval = 0.2 if sys.stderr.isatty() else 10.0
                self._bar = tqdm(
                    total=progress.frames_total,
                    desc=progress.stage,
                    unit="frame",
                    file=sys.stderr,
                    mininterval=interval,
                )
        rate = progress.faces_done / max(now - self._begun, 1e-3)
        if self._bar is not None:
            self._bar.set_postfix_str(f"{progress.faces_done} faces, {rate:.1f} faces/s", refresh=False)
            self._bar.update(progress.frames_done - self._bar.n)
        last = progress.frames_done == progress.frames_total
        if self._style == "json" and (last or now - self._told >= _JSON_SECONDS):
            self._told = now
            line = {
                "stage": progress.stage,
                "frames": progress.frames_done,
                "frames_total": progress.frames_total,
                "faces": progress.faces_done,
                "faces_per_second": round(rate, 2),
            }
            print(json.dumps(line), file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
