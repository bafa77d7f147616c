"""Settings: frozen dataclasses, strict TOML, and parts named by the user.

Each stage's settings stand beside the stage; here they are put together. Values come from the defaults, then a TOML
file, then flags. An unknown key, a wrong type or a value out of range is an error that names ``section.key``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import tomllib
import types as python_types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from vidrestore.errors import ComponentError, ConfigError
from vidrestore.fusion import FusionSettings
from vidrestore.gating import GateSettings
from vidrestore.identities import IdentitySettings
from vidrestore.places import shipped_folder
from vidrestore.references import ReferenceSettings
from vidrestore.shots import ShotSettings
from vidrestore.smoothing import SmoothingSettings
from vidrestore.tracking import TrackingSettings

_UNPREFIXED = tyro.conf.arg(name="")
S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class FacesSettings:
    """Which model pack finds the faces, and when it is believed."""

    pack: Annotated[str, tyro.conf.arg(name="faces")] = "compact"
    """Model pack: ``compact`` (embedded), one of insightface's such as ``buffalo_l``, or a folder of ONNX files."""
    detection_size: int = 960
    """Longest side in pixels at which frames are searched for faces, a multiple of 32; larger frames are made smaller,
    and every frame is searched at halves of it, too. 640 is twice as fast in large frames and misses small faces."""
    min_score: float = 0.3
    """Detections below, 0..1, are not looked at."""

    def __post_init__(self) -> None:
        if self.detection_size < 64 or self.detection_size % 32:
            raise ConfigError(
                f"faces.detection_size is {self.detection_size}, allowed: multiples of 32 from 64, such as 640"
            )
        if not 0 < self.min_score < 1:
            raise ConfigError(f"faces.min_score is {self.min_score}, allowed: between 0 and 1")


@dataclass(frozen=True, kw_only=True)
class ScanSettings:
    """Whether the frames are interlaced."""

    scan: Literal["auto", "progressive", "top-first", "bottom-first"] = "auto"
    """``auto`` looks at frames and flags; ``progressive`` frames are restored whole, of interlaced ones each field by
    itself, with the top or the bottom field first."""


@dataclass(frozen=True, kw_only=True)
class FadingSettings:
    """Where restoring a face makes it worse or makes it pop, its weight fades to zero."""

    min_eye_pixels: float = 5.0
    """Faces with their eyes nearer together in the frame stay as they are."""
    full_eye_pixels: float = 9.0
    """From this eye distance on, faces are restored fully."""
    full_turn_degrees: float = 50.0
    """Up to this yaw or pitch, faces are restored fully."""
    max_turn_degrees: float = 75.0
    """Faces turned further stay as they are."""
    fade_seconds: float = 0.12
    """Time over which a face fades in and out where its track begins and ends within a shot."""

    def __post_init__(self) -> None:
        if not 0 <= self.min_eye_pixels <= self.full_eye_pixels:
            raise ConfigError(f"fading.min_eye_pixels is {self.min_eye_pixels}, allowed: 0 to fading.full_eye_pixels")
        if not 0 < self.full_turn_degrees <= self.max_turn_degrees <= 180:
            raise ConfigError(
                f"fading.full_turn_degrees is {self.full_turn_degrees}, allowed: above 0, to fading.max_turn_degrees"
            )
        if not self.fade_seconds >= 0:
            raise ConfigError(f"fading.fade_seconds is {self.fade_seconds}, allowed: 0 or more")


@dataclass(frozen=True, kw_only=True)
class RestorationSettings:
    """Which network restores the faces, where it runs, and how strongly."""

    weights: str = "compact"
    """``compact`` (embedded), ``dmdnet`` (fetched), a weight file, or ``module:Class`` of your own."""
    mode: Literal["auto", "generic", "specific"] = "auto"
    """``specific`` restores only people with references, ``generic`` uses none, ``auto`` uses them where there are."""
    device: str = "auto"
    """``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""
    batch: int = 0
    """Faces, also of several frames, restored at once; 0 is one on a CPU, where more are no faster, and 8 on a GPU."""
    strength: float = 1.0
    """0 leaves the faces as they are, 1 restores them fully."""
    deinterlace: bool = False
    """Interlaced video becomes progressive, with a frame for each field, and where it is surely film with 3:2 pulldown,
    for each frame of film; otherwise it stays interlaced."""

    def __post_init__(self) -> None:
        if self.batch < 0:
            raise ConfigError(f"restoration.batch is {self.batch}, allowed: 0 or more")
        if not 0 <= self.strength <= 1:
            raise ConfigError(f"restoration.strength is {self.strength}, allowed: 0 to 1")


@dataclass(frozen=True, kw_only=True)
class EncodingSettings:
    """How the output is encoded."""

    codec: str = "auto"
    """Encoder: auto, which is that of the source's codec family where the output's container takes it; libx264,
    libx265, libsvtav1, libvpx-vp9, prores_ks; ffv1, which loses nothing; or, on a GPU that has NVENC, h264_nvenc,
    hevc_nvenc or av1_nvenc."""
    crf: int = 16
    """Constant quality on x264's scale, 0 to 51: lower is better and larger. The other encoders are set to what was
    measured to be the same quality. Ignored by ProRes and by what is lossless."""
    preset: str = "veryfast"
    """Speed of the encoder, where it has such a setting."""
    strict: bool = False
    """What the output's container cannot carry as it is in the source is an error before any work, not a warning."""
    segment_seconds: float = 10.0
    """The restored stream is kept in segments of whole shots, or of parts of a shot, no longer than this: what a run
    that is killed loses at most. Every segment begins with a key frame."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.segment_seconds <= 3600:
            raise ConfigError(f"encoding.segment_seconds is {self.segment_seconds}, allowed: 0.1 to 3600")
        if not 0 <= self.crf <= 51:
            raise ConfigError(f"encoding.crf is {self.crf}, allowed: 0 to 51")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run. On the command line, sections without a name of their own give flags without a prefix."""

    faces: Annotated[FacesSettings, _UNPREFIXED] = field(default_factory=FacesSettings)
    scan: Annotated[ScanSettings, _UNPREFIXED] = field(default_factory=ScanSettings)
    shots: ShotSettings = field(default_factory=ShotSettings)
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    smoothing: SmoothingSettings = field(default_factory=SmoothingSettings)
    identities: IdentitySettings = field(default_factory=IdentitySettings)
    references: ReferenceSettings = field(default_factory=ReferenceSettings)
    fading: FadingSettings = field(default_factory=FadingSettings)
    fusion: FusionSettings = field(default_factory=FusionSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    restoration: Annotated[RestorationSettings, _UNPREFIXED] = field(default_factory=RestorationSettings)
    encoding: Annotated[EncodingSettings, _UNPREFIXED] = field(default_factory=EncodingSettings)

    def analysis_digest(self) -> str:
        """Digest of the settings that decide an analysis; the others may change without a new one."""
        parts = (self.faces, self.scan, self.shots, self.tracking, self.smoothing, self.identities, self.references)
        content = json.dumps([dataclasses.asdict(part) for part in parts], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


def load_settings(source: Path | str | None, base: Settings | None = None) -> Settings:
    """Settings of a TOML file, or of the preset of that name, over ``base``.

    Raises:
        ConfigError: no such file or preset, not TOML, an unknown key, a wrong type, or a value out of range.
    """
    base = base or Settings()
    if source is None:
        return base
    path = Path(source)
    if not path.suffix and not path.exists():
        path = shipped_folder("configs") / f"{source}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        presets = ", ".join(sorted(preset.stem for preset in shipped_folder("configs").glob("*.toml")))
        raise ConfigError(f"no settings file {path}; give a TOML file or one of the presets: {presets}") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}") from error
    return merge(base, content, str(path))


def merge(base: S, values: Mapping[str, Any], where: str, section: str = "") -> S:
    """``base`` with ``values`` put over it, recursively; ``where`` names the file in errors."""
    hints = typing.get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{section}{key}"
        if key not in hints:
            raise ConfigError(f"{where}: unknown key {name!r}; allowed: {', '.join(hints)}")
        present = getattr(base, key)
        if dataclasses.is_dataclass(present):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{where}: {name!r} is a section, not {value!r}")
            changes[key] = merge(present, value, where, f"{name}.")
        else:
            changes[key] = _checked(hints[key], value, f"{where}: {name}")
    try:
        return dataclasses.replace(base, **changes)  # type: ignore[type-var]
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _checked(hint: Any, value: Any, name: str) -> Any:
    """``value`` if it is of the type ``hint``; an integer may stand for a float."""
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            raise ConfigError(f"{name} is {value!r}, allowed: {', '.join(choices)}")
        return value
    options = typing.get_args(hint) if isinstance(hint, python_types.UnionType) else (hint,)
    if float in options and type(value) is int:
        return float(value)
    if type(value) not in options:
        wanted = " or ".join(option.__name__ for option in options)
        raise ConfigError(f"{name} is {value!r}, which is no {wanted}")
    return value


def to_toml(settings: Settings) -> str:
    """``settings`` as TOML, one section for each stage."""
    lines = []
    for section in dataclasses.fields(settings):
        part = getattr(settings, section.name)
        lines.append(f"[{section.name}]")
        for item in dataclasses.fields(part):
            value = getattr(part, item.name)
            lines.append(f"{item.name} = {json.dumps(value)}")
        lines.append("")
    return "\n".join(lines)


def load_component(name: str) -> Callable[..., Any]:
    """The class or function that ``name``, as ``module:attribute``, means.

    Raises:
        ComponentError: there is no such module or attribute, or it cannot be called.
    """
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ComponentError(f"{name!r} cannot be loaded as module:Class ({error})") from error
    if not callable(found):
        raise ComponentError(f"{name!r} is {type(found).__name__}, not a class or function")
    return typing.cast("Callable[..., Any]", found)
