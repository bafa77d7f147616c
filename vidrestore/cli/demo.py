"""``vidrestore demo``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from vidrestore.cli.options import DONE, UNPREFIXED, Output, print_result


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Restore the bundled sample, and measure the gain against its clean original."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="DIR")] = Path("vidrestore-demo")
    """Folder for the restored clip and the before/after picture."""
    output_style: Annotated[Output, UNPREFIXED] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore.demo import run_demo

        with self.output_style.reporter() as reporter:
            result = run_demo(self.output, reporter)
        print_result(result, self.output_style.json)
        return DONE
