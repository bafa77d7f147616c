"""The command line: arguments in, progress and results out. The work is done elsewhere.

Exit codes: 0 done, 1 unexpected error or a failed check, 2 settings or usage, 3 input, output or weights, 4 finished
with faces that could not be restored, 130 interrupted.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from vidrestore import __version__
from vidrestore.config import FacesSettings, Settings, load_settings
from vidrestore.errors import ComponentError, ConfigError, DeviceError, VidrestoreError
from vidrestore.progress import Reporter

DONE, UNEXPECTED, USAGE, INPUT_OUTPUT, FACES_LEFT, INTERRUPTED = 0, 1, 2, 3, 4, 130

_Unprefixed = tyro.conf.arg(name="")


@dataclass(frozen=True, kw_only=True)
class Output:
    """How a command speaks."""

    json: bool = False
    """Progress as JSON lines on stderr, and one object on stdout at the end."""
    quiet: bool = False
    """No progress."""

    def reporter(self) -> Reporter:
        return Reporter("json" if self.json else "none" if self.quiet else "bar")


@dataclass(frozen=True, kw_only=True)
class Common:
    """What the commands on videos share."""

    config: str | None = None
    """Settings file in TOML, or a preset: default, archival, interview, preview."""
    work: Path | None = None
    """Folder of the analysis; by default NAME.vidrestore beside the video."""
    settings: Annotated[Settings, _Unprefixed] = field(default_factory=Settings)
    output_style: Annotated[Output, _Unprefixed] = field(default_factory=Output)


@dataclass(frozen=True, kw_only=True)
class Restore(Common):
    """Restore the faces of a video and copy everything else."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """The restored video; .mkv takes every kind of stream."""
    personalize: bool = False
    """First fine-tune a copy of the compact network on this video's people, kept in the work folder; it restores only
    if held-out frames of the video come out better with it."""
    personalize_minutes: float = 8.0
    """Minutes that fine-tuning may take."""

    def run(self) -> int:
        from vidrestore.api import restore_video

        restore = restore_video
        if self.personalize:
            from vidrestore.self_teaching import restore_personalized

            restore = partial(restore_personalized, minutes=self.personalize_minutes)
        with self.output_style.reporter() as reporter:
            result = restore(self.source, self.output, settings=self.settings, work=self.work, on_progress=reporter)
        _print_result(dataclasses.asdict(result), self.output_style.json)
        return FACES_LEFT if result.failed else DONE


@dataclass(frozen=True, kw_only=True)
class Preview(Common):
    """Restore a short range into a side-by-side video: before on the left, after on the right."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT")]
    """The comparison."""
    start: float = 0.0
    """Where the range begins, in seconds."""
    duration: float = 3.0
    """How long it is, in seconds."""

    def run(self) -> int:
        from vidrestore.api import preview_video

        with self.output_style.reporter() as reporter:
            result = preview_video(
                self.source,
                self.output,
                start=self.start,
                duration=self.duration,
                settings=self.settings,
                work=self.work,
                on_progress=reporter,
            )
        _print_result(dataclasses.asdict(result), self.output_style.json)
        return FACES_LEFT if result.failed else DONE


@dataclass(frozen=True, kw_only=True)
class Analyze(Common):
    """Find who is where in a video and keep it for restore and preview."""

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN")]
    """The video."""

    def run(self) -> int:
        from vidrestore.api import analyze_video, describe_analysis, work_folder

        with self.output_style.reporter() as reporter:
            analysis = analyze_video(self.source, settings=self.settings, work=self.work, on_progress=reporter)
        summary = describe_analysis(analysis, work_folder(self.source, self.work))
        _print_result(summary, self.output_style.json)
        return DONE


@dataclass(frozen=True, kw_only=True)
class Eval(Common):
    """Measure restored videos, of any tool, against the truth; without --truth, say what restoring a video may gain.

    --faces is the pack that judges: auto takes the best one at hand that drove none of the outputs.
    """

    outputs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The restored videos; without --truth, the one video that is to be restored."""
    truth: Path | None = None
    """The original of the video, of any size; its faces are what is measured."""
    input: Path | None = None
    """What was restored; the outputs have its size and its frames."""
    settings: Annotated[Settings, _Unprefixed] = field(
        default_factory=lambda: Settings(faces=FacesSettings(pack="auto"))
    )
    plots: Path | None = None
    """Folder for plots over time and across the outputs, as PNG."""
    lpips: Path | None = None
    """ONNX file of an LPIPS network (docs/metrics.md); without one there is no such figure."""

    def run(self) -> int:
        if self.truth is None:
            return self._without_truth()
        if self.input is None:
            raise ConfigError("eval --truth needs --input, too: the video that was restored")
        from vidrestore.evaluation import compare_videos

        with self.output_style.reporter() as reporter:
            comparison = compare_videos(
                self.truth,
                self.input,
                self.outputs,
                settings=self.settings,
                work=self.work,
                lpips=self.lpips,
                on_progress=reporter,
            )
        if self.output_style.json:
            print(json.dumps(comparison.summary))
        else:
            from vidrestore.evaluation.tables import as_text

            print(as_text(comparison.summary))
            for warning in comparison.summary["warnings"]:
                print(f"warning: {warning}", file=sys.stderr)
        if self.plots is not None:  # after the figures, which a full disk must not take along
            from vidrestore.evaluation.plots import write_plots

            write_plots(comparison, self.plots)
        return DONE

    def _without_truth(self) -> int:
        """The one video as its own teacher."""
        if self.input is not None or len(self.outputs) != 1:
            raise ConfigError("eval without --truth takes one video and no --input; to compare outputs, give --truth")
        from vidrestore.self_teaching import expected_gain

        faces = self.settings.faces
        pack = FacesSettings().pack if faces.pack == "auto" else faces.pack  # there is no output to judge
        settings = dataclasses.replace(self.settings, faces=dataclasses.replace(faces, pack=pack))
        with self.output_style.reporter() as reporter:
            expectation = expected_gain(self.outputs[0], settings, self.work, reporter)
        print(json.dumps(expectation.to_json()) if self.output_style.json else expectation.as_text())
        return DONE


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Restore the bundled sample, and measure the gain against its clean original."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="DIR")] = Path("vidrestore-demo")
    """Folder for the restored clip and the before/after picture."""
    output_style: Annotated[Output, _Unprefixed] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore.demo import run_demo

        with self.output_style.reporter() as reporter:
            result = run_demo(self.output, reporter)
        _print_result(result, self.output_style.json)
        return DONE


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Check that everything needed works here, and say which device does the work."""

    output_style: Annotated[Output, _Unprefixed] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore.doctor import examine

        checks = examine()
        fine = all(check.ok or not check.needed for check in checks)
        if self.output_style.json:
            print(json.dumps({"ok": fine, "checks": [dataclasses.asdict(check) for check in checks]}))
        else:
            for check in checks:
                mark = "ok" if check.ok else "BROKEN" if check.needed else "absent"
                print(f"{mark:7}{check.name}: {check.detail}")
            print("everything needed works" if fine else "something needed is broken; see above")
        return DONE if fine else UNEXPECTED


@dataclass(frozen=True, kw_only=True)
class Models:
    """List models, say where they are, fetch those that do not ship with vidrestore, verify checksums."""

    action: Annotated[Literal["list", "path", "fetch", "verify"], tyro.conf.Positional]
    """What to do."""
    name: Annotated[str | None, tyro.conf.Positional] = None
    """The model; without one, all of them (not for fetch)."""
    output_style: Annotated[Output, _Unprefixed] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore import weights

        models = weights.list_models()
        if self.name is not None:
            known = ", ".join(sorted({model.name for model in models}))
            models = tuple(model for model in models if model.name == self.name)
            if not models:
                raise ConfigError(f"no model is called {self.name!r}; there are: {known}")
        if self.action == "fetch":
            return self._fetch(models)
        problems = {}
        if self.action == "verify":
            problems = {f"{m.kind}/{m.name}": weights.verify(m) for m in models if m.embedded or weights.is_present(m)}
        rows = [
            {
                "name": model.name,
                "kind": model.kind,
                "licence": model.licence,
                "present": weights.is_present(model),
                "path": str(weights.model_folder(model)),
                "description": model.description,
                "checkable": bool(model.files) and all(file.sha256 for file in model.files),
                **({"problems": problems.get(f"{model.kind}/{model.name}", [])} if self.action == "verify" else {}),
            }
            for model in models
        ]
        if self.output_style.json:
            print(json.dumps({"models": rows}))
        else:
            for row in rows:
                print(self._line(row))
        return INPUT_OUTPUT if any(problems.values()) else DONE

    def _line(self, row: dict[str, Any]) -> str:
        if self.action == "path":
            return str(row["path"])
        state = "present" if row["present"] else "not fetched"
        if self.action == "verify":
            checked = (
                "checksums are right" if row["checkable"] else "present; its publisher gives no checksum to compare"
            )
            state = "; ".join(row["problems"]) or (checked if row["present"] else "not fetched")
        return f"{row['kind']:9} {row['name']:12} {state}; {row['description']}; licence: {row['licence']}"

    def _fetch(self, models: Sequence[Any]) -> int:
        from vidrestore import weights

        if self.name is None:
            raise ConfigError("models fetch needs the name of a model; see 'vidrestore models list'")
        rows = []
        for model in models:
            print(f"{model.name}: {model.description}\nlicence: {model.licence}", file=sys.stderr)
            folder = weights.fetch(model)
            paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            digests = {str(path.relative_to(folder)): weights.sha256(path) for path in paths}
            rows.append({"name": model.name, "path": str(folder), "licence": model.licence, "sha256": digests})
        if self.output_style.json:
            print(json.dumps({"models": rows}))
        else:
            for row in rows:
                print(row["path"], *(f"  {name}  sha256 {digest}" for name, digest in row["sha256"].items()), sep="\n")
        return DONE


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
    """Folder of photographs of several people; the detector needs it."""
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
    output_style: Annotated[Output, _Unprefixed] = field(default_factory=Output)

    def run(self) -> int:
        from vidrestore.training.recipes import Recipe, run_recipe

        recipe = Recipe(**{item.name: getattr(self, item.name) for item in dataclasses.fields(Recipe)})
        with self.output_style.reporter() as reporter:
            result = run_recipe(recipe, reporter)
        _print_result(dataclasses.asdict(result), self.output_style.json)
        return DONE


COMMANDS: dict[str, type[Any]] = {
    "restore": Restore,
    "analyze": Analyze,
    "preview": Preview,
    "eval": Eval,
    "demo": Demo,
    "doctor": Doctor,
    "models": Models,
    "train": Train,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit with its code."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run a command; its exit code."""
    try:
        return _run(arguments)
    except KeyboardInterrupt:
        print("\nvidrestore: interrupted; nothing was left half written", file=sys.stderr)
        return INTERRUPTED
    except VidrestoreError as error:
        print(f"vidrestore: {error}", file=sys.stderr)
        return USAGE if isinstance(error, (ConfigError, ComponentError, DeviceError)) else INPUT_OUTPUT
    except BrokenPipeError:
        return UNEXPECTED


def _run(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_overview())
        return DONE if arguments else USAGE
    if arguments[0] == "--version":
        print(f"vidrestore {__version__}")
        return DONE
    name, *rest = arguments
    if name not in COMMANDS:
        print(f"vidrestore: no command {name!r}; there are: {', '.join(COMMANDS)}", file=sys.stderr)
        return USAGE
    command = tyro.cli(
        COMMANDS[name],
        prog=f"vidrestore {name}",
        args=rest,
        default=_defaults(COMMANDS[name], rest),
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.AvoidSubcommands),
    )
    return int(command.run())


def _defaults(command: type[Any], arguments: Sequence[str]) -> Any:
    """The command with the settings of ``--config`` in place, so that the other flags go on top of them."""
    if not issubclass(command, Common):
        return tyro.MISSING_NONPROP
    named = None
    for index, argument in enumerate(arguments):
        if argument == "--config" and index + 1 < len(arguments):
            named = arguments[index + 1]
        elif argument.startswith("--config="):
            named = argument.removeprefix("--config=")
    items = {item.name: item for item in dataclasses.fields(command)}
    factory = items["settings"].default_factory
    assert callable(factory)
    required = {
        item.name: tyro.MISSING
        for item in items.values()
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    }
    return command(settings=load_settings(named, factory()), **required)


def _overview() -> str:
    lines = [
        f"vidrestore {__version__}: restores the faces in a video as the people they are.",
        "",
        "usage: vidrestore COMMAND ...",
        "",
    ]
    lines += [f"  {name:10}{(command.__doc__ or '').splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "vidrestore COMMAND --help tells more. Restored faces are estimates, not evidence."])


def _print_result(result: dict[str, Any], as_json: bool) -> None:
    """One JSON object, or one line for each entry; warnings go to stderr."""
    if as_json:
        print(json.dumps(result))
        return
    warnings = result.pop("warnings", [])
    for name, value in result.items():
        shown = ", ".join(f"{count} {reason}" for reason, count in value.items()) if isinstance(value, dict) else value
        if shown not in ("", None):
            print(f"{name.replace('_', ' ')}: {shown}")
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
