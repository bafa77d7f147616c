"""``vidrestore train``."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from vidrestore.cli.options import DONE, UNPREFIXED, Output, print_result


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train the restorer, the networks that find faces, or one of these, from folders of pictures."""

    what: Annotated[
        Literal["restorer", "faces", "detector", "landmarks", "embedding"],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="WHAT"),
    ]
    """restorer, detector, landmarks or embedding; faces is the last three, with 5, 5 and 3 parts of the minutes."""
    portraits: Path
    """A sub-folder of photographs for each person; or a folder with annotations.json; or the work folder of
    'vidrestore analyze', whose references are learnt from."""
    groups: Path | None = None
    """Folder of photographs of several people; detector and landmarks need it."""
    backgrounds: Path | None = None
    """Folder of pictures without people; detector and landmarks need it."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="DIR")]
    """Checkpoint, recipe.json, curves, sheets and the finished weights; training goes on where a checkpoint stands."""
    initial: str | None = None
    """Weight file of a restorer to start from, or compact: fine-tuning. Take --learning-rate 1e-4 or less for it."""
    minutes: float = 60.0
    """Time to train for, also over several sessions."""
    steps: int | None = None
    """Steps to train for, instead of minutes."""
    batch: int | None = None
    """Samples in a step of each process; by default what the embedded network was trained with."""
    learning_rate: float | None = None
    """At its highest; by default what the embedded network was trained with."""
    seed: int = 0
    """Of weights, samples and split."""
    threads: int = 0
    """CPU threads; 0 leaves it to torch."""
    workers: int = 1
    """Threads that draw samples; beside a GPU, take as many as there are CPU cores."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    processes: int = 1
    """Processes that train together: a GPU each with cuda, or several on one CPU."""
    faces: str = "compact"
    """Model pack that finds the faces in folders that have no annotations.json."""
    min_face_width: float | None = None
    """Narrower faces, in pixels, of folders without annotations.json are not learnt to be restored; by default 200."""
    output_style: Annotated[Output, UNPREFIXED] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore.training.recipes import Recipe, run_recipe

        recipe = Recipe(**{item.name: getattr(self, item.name) for item in dataclasses.fields(Recipe)})
        with self.output_style.reporter() as reporter:
            result = run_recipe(recipe, reporter)
        print_result(dataclasses.asdict(result), self.output_style.json)
        return DONE
