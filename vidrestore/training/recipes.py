"""Train networks and leave finished weight files: what ``vidrestore train`` runs."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from vidrestore import weights
from vidrestore.config import FacesSettings
from vidrestore.detectors import build_detector
from vidrestore.devices import choose_device
from vidrestore.errors import ConfigError
from vidrestore.restorers import WeightFile, find_weight_file
from vidrestore.training.loop import RunSettings
from vidrestore.training.portraits import INDEX, list_portraits
from vidrestore.training.processes import company
from vidrestore.training.record import RECORD, Record
from vidrestore.training.survey import MIN_FACE_WIDTH, Survey, survey_groups, survey_portraits
from vidrestore.types import Detector, Progress, TrainingProgress

if TYPE_CHECKING:
    from torch import nn

Network = Literal["restorer", "detector", "landmarks", "embedding"]
Listener = Callable[[Progress | TrainingProgress], None]
FACES: dict[Network, float] = {"detector": 5 / 13, "landmarks": 5 / 13, "embedding": 3 / 13}
"""The networks of a model pack for faces, in the order they are trained in, each with its share of the minutes."""
_BATCHES = {"detector": 16, "landmarks": 32, "embedding": 96, "restorer": 4}
_LEARNING_RATES = {"detector": 2e-3, "landmarks": 2e-3, "embedding": 2e-3, "restorer": 6e-4}
_NEEDED = {
    "restorer": ("portraits",),
    "detector": ("portraits", "groups", "backgrounds"),
    "landmarks": ("portraits", "groups", "backgrounds"),
    "embedding": ("portraits",),
    "faces": ("portraits", "groups", "backgrounds"),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train, on what, for how long."""

    what: Network | Literal["faces"]
    portraits: Path
    groups: Path | None
    backgrounds: Path | None
    output: Path
    minutes: float
    steps: int | None = None
    """Instead of ``minutes``; of each network, where there are several."""
    batch: int | None = None
    """Of each process; by default what the embedded network was trained with."""
    learning_rate: float | None = None
    """At its highest; by default what the embedded network was trained with."""
    seed: int = 0
    threads: int = 0
    workers: int = 1
    device: str = "auto"
    processes: int = 1
    initial: str | None = None
    """Weight file of a restorer to go on from, or the name of an embedded one."""
    faces: str = "compact"
    """Model pack that looks at plain folders."""
    min_face_width: float | None = None
    """Pixels; narrower faces of plain folders are not learnt to be restored. By default ``MIN_FACE_WIDTH``."""

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise ConfigError(f"--minutes is {self.minutes:g}, allowed: more than 0")
        if self.learning_rate is not None and not 0 < self.learning_rate < math.inf:
            raise ConfigError(f"--learning-rate is {self.learning_rate:g}, allowed: more than 0")
        for name in ("steps", "batch", "workers", "processes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"--{name} is {value}, allowed: 1 or more")
        for name in ("threads", "seed", "min_face_width"):
            value = getattr(self, name)
            if value is not None and not value >= 0:
                raise ConfigError(f"--{name.replace('_', '-')} is {value}, allowed: 0 or more")
        if self.initial is not None and self.what != "restorer":
            raise ConfigError(f"--initial is for the restorer; {self.what} begins anew")
        for name in _NEEDED[self.what]:
            folder = getattr(self, name)
            if folder is None:
                raise ConfigError(f"{self.what} is trained on {name} too: give their folder with --{name}")
            if not folder.is_dir():
                raise ConfigError(f"--{name} is {folder}, which is no folder")

    def device_of(self, rank: int) -> str:
        """The device of process ``rank``: with several on GPUs, each has its own.

        Raises:
            ConfigError, DeviceError: there are not as many.
        """
        device = choose_device(self.device)
        if self.processes == 1 or device == "cpu":
            return device
        if device != "cuda":
            raise ConfigError(
                f"--processes is {self.processes}, which works on cuda (a GPU each) and cpu, not {device}"
            )
        choose_device(f"cuda:{self.processes - 1}")
        return f"cuda:{rank}"

    def initial_file(self) -> WeightFile | None:
        """The weight file to go on from; None to begin anew.

        Raises:
            ConfigError: not the name of a file.
            WeightsError: it is unknown, missing or damaged.
        """
        if self.initial is None:
            return None
        file = find_weight_file(self.initial)
        if file is None:
            raise ConfigError(f"--initial is {self.initial!r}, allowed: compact, or a .safetensors file of its shape")
        return file


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """What a training left, for people and programs; the fields are those of ``train --json``."""

    weights: str
    """The weight file, or the folder of a model pack for faces."""
    steps: int
    minutes: float
    """Also of earlier sessions."""
    device: str
    figures: dict[str, float]
    """The last report's."""
    record: str
    """All settings, data and versions."""
    warnings: list[str]


def _nobody(_: Progress | TrainingProgress) -> None:
    """The listener where none is given."""


def run_recipe(recipe: Recipe, on_progress: Listener = _nobody) -> TrainingResult:
    """Train, or go on with a training, and write the weights.

    Raises:
        ConfigError: a folder has nothing to learn from, or a number makes no sense.
        DeviceError: the device is not there.
        WeightsError: the checkpoint or initial weights are damaged or of another network.
        AnalysisError: the work folder that the portraits come from is damaged.
    """
    recipe.device_of(0)
    # Told now and not when the training is over and is to be written.
    if recipe.what != "restorer" and importlib.util.find_spec("onnx") is None:
        raise ConfigError(f"{recipe.what} is written as ONNX, and the package onnx is not installed: pip install onnx")
    surveys = _survey(recipe, on_progress)
    groups = surveys["groups"].folder if "groups" in surveys else recipe.groups
    ready = replace(recipe, portraits=surveys["portraits"].folder, groups=groups)
    warnings = [warning for survey in surveys.values() for warning in survey.warnings()]
    if ready.what != "faces":
        return _run_one(ready, surveys, on_progress, warnings)
    parts = {
        what: replace(ready, what=what, output=ready.output / what, minutes=ready.minutes * share)
        for what, share in FACES.items()
    }
    results = {}
    for what, part in parts.items():
        results[what] = _run_one(part, surveys, on_progress, [])
        finished = Path(results[what].weights)
        # A pack is a folder of all three files.
        finished.replace(ready.output / finished.name)
    return TrainingResult(
        weights=str(ready.output),
        steps=sum(result.steps for result in results.values()),
        minutes=round(sum(result.minutes for result in results.values()), 3),
        device=results["detector"].device,
        figures={f"{what}_{name}": value for what, result in results.items() for name, value in result.figures.items()},
        record=", ".join(result.record for result in results.values()),
        warnings=warnings,
    )


def _survey(recipe: Recipe, on_progress: Listener) -> dict[str, Survey]:
    """The folders of people, ready to train on; our own detector looks at those that nobody has annotated."""

    @functools.cache
    def build() -> Detector:
        return build_detector(FacesSettings(pack=recipe.faces), choose_device(recipe.device))

    surveys = {
        "portraits": survey_portraits(
            recipe.portraits,
            recipe.output / "portraits",
            build,
            seed=recipe.seed,
            min_face_width=MIN_FACE_WIDTH if recipe.min_face_width is None else recipe.min_face_width,
            on_progress=on_progress,
        )
    }
    if "groups" in _NEEDED[recipe.what] and recipe.groups is not None:
        surveys["groups"] = survey_groups(recipe.groups, recipe.output / "groups", build, on_progress)
    return surveys


def _run_one(recipe: Recipe, surveys: dict[str, Survey], on_progress: Listener, warnings: list[str]) -> TrainingResult:
    """Train one network, in as many processes as are wanted."""
    with Record(recipe.output, _describe(recipe, surveys)) as record:

        def listen(progress: TrainingProgress) -> None:
            if progress.network == recipe.what:  # and not the coarse stage, which has a log of its own
                record.note(progress)
            on_progress(progress)

        with company(functools.partial(_train, recipe), recipe.processes, recipe.device_of(0)):
            network = _train(recipe, 0, listen)
        path = _write_weights(recipe, network)
    return TrainingResult(
        weights=str(path),
        steps=record.last.step,
        minutes=round(record.last.minutes, 3),
        device=recipe.device_of(0),
        figures=dict(record.last.figures),
        record=str(recipe.output / RECORD),
        warnings=warnings,
    )


def _settings(recipe: Recipe, rank: int, on_progress: Callable[[TrainingProgress], None]) -> RunSettings:
    """The run of process ``rank``, with the defaults that the embedded networks were trained with."""
    return RunSettings(
        folder=recipe.output,
        minutes=recipe.minutes,
        steps=recipe.steps,
        batch=recipe.batch or _BATCHES[recipe.what],
        learning_rate=recipe.learning_rate or _LEARNING_RATES[recipe.what],
        seed=recipe.seed,
        device=recipe.device_of(rank),
        threads=recipe.threads,
        workers=recipe.workers,
        network=recipe.what,
        on_progress=on_progress,
    )


def _train(recipe: Recipe, rank: int, on_progress: Callable[[TrainingProgress], None] = _nobody) -> nn.Module:
    """The trained network; done by every process."""
    settings = _settings(recipe, rank, on_progress)
    if recipe.what == "restorer":
        from vidrestore.training.restorer import train_restorer

        initial = recipe.initial_file()
        return train_restorer(recipe.portraits, settings, None if initial is None else initial.path)
    if recipe.what == "embedding":
        from vidrestore.training.embedding import train_embedding

        return train_embedding(recipe.portraits, settings)
    assert recipe.backgrounds is not None
    assert recipe.groups is not None
    if recipe.what == "landmarks":
        from vidrestore.training.landmarks import train_landmarks

        return train_landmarks(recipe.portraits, recipe.groups, recipe.backgrounds, settings)
    from vidrestore.training.detector import train_detector

    return train_detector(recipe.portraits, recipe.groups, recipe.backgrounds, settings)


def _write_weights(recipe: Recipe, network: Any) -> Path:
    """Write a trained network in the form in which it is used; returns the file."""
    if recipe.what == "restorer":
        from vidrestore.restorers.compact import save_compact

        path, initial = recipe.output / "compact.safetensors", recipe.initial_file()
        save_compact(network, path, None if initial is None else initial.licence)
        return path
    from vidrestore.training import export

    write: dict[str, Callable[[Any, Path], None]] = {
        "detector": export.export_detector,
        "landmarks": export.export_landmarks,
        "embedding": export.export_embedding,
    }
    path = recipe.output / f"{recipe.what}.onnx"
    write[recipe.what](network, path)
    return path


def _describe(recipe: Recipe, surveys: dict[str, Survey]) -> dict[str, Any]:
    """A recipe and its data as JSON takes them."""
    settings = dataclasses.asdict(_settings(recipe, 0, _nobody))
    del settings["on_progress"]
    chosen = {**dataclasses.asdict(recipe), **settings}
    described: dict[str, Any] = {
        "network": recipe.what,
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in chosen.items()},
        "data": {name: _describe_data(survey) for name, survey in surveys.items()},
    }
    described["data"]["portraits"]["pictures"] = {
        split: _count(surveys["portraits"].folder, split) for split in ("train", "val")
    }
    if recipe.what == "restorer":
        from vidrestore.training.samples import MIXTURE

        described["degradations"] = {degradation.__name__: share for share, degradation in MIXTURE}
        initial = recipe.initial_file()
        described["initial_sha256"] = None if initial is None else weights.sha256(initial.path)
    return described


def _describe_data(survey: Survey) -> dict[str, Any]:
    digest = weights.sha256(survey.folder / INDEX)
    paths = {"source": str(survey.source.resolve()), "folder": str(survey.folder)}
    return {**dataclasses.asdict(survey), **paths, "annotations_sha256": digest}


def _count(folder: Path, split: str) -> dict[str, int]:
    portraits = list_portraits(folder, split)
    return {
        "pictures": len(portraits),
        "people": len({portrait.person for portrait in portraits}),
        "sharp": sum(portrait.hq for portrait in portraits),
    }
