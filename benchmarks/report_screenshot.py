"""The picture of a report in the README: that of the bundled sample in Chromium, light beside dark.

python benchmarks/report_screenshot.py [-o docs/report.png]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from playwright.sync_api import sync_playwright

from vidrestore.places import shipped_folder
from vidrestore.report import report_video

SIZE = {"width": 1000, "height": 1250}
COLOURS = 256
"""Of the PNG; with all of them it would be four times as large."""


def shot(browser: Any, report: Path, scheme: str, section: str | None) -> np.ndarray:
    """What a window shows, RGB; scrolled to ``section`` where there is one."""
    page = browser.new_page(viewport=SIZE, color_scheme=scheme)
    page.goto(report.as_uri())
    if section is not None:
        page.evaluate("section => document.getElementById(section).scrollIntoView()", section)
    decoded = cv2.imdecode(np.frombuffer(page.screenshot(), np.uint8), cv2.IMREAD_COLOR)
    page.close()
    assert decoded is not None
    return decoded[:, :, ::-1]


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/report.png"))
    output = parser.parse_args().output
    source = shipped_folder("samples") / "astronaut_old.mp4"
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        report_video(source, folder / "report.html", work=folder / "work")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        views = [shot(browser, folder / "report.html", *view) for view in (("light", None), ("dark", "people"))]
        browser.close()
    Pillow.fromarray(np.hstack(views)).resize((1600, 1000), Pillow.Resampling.LANCZOS).quantize(
        COLOURS, dither=Pillow.Dither.FLOYDSTEINBERG
    ).save(output, optimize=True)


if __name__ == "__main__":
    main()
