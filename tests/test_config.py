"""Settings: one truth in the code, files that are strict, and flags on top."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from vidrestore import cli
from vidrestore.config import EncodingSettings, Settings, load_component, load_settings, to_toml
from vidrestore.errors import ComponentError, ConfigError
from vidrestore.places import shipped_folder

CONFIGS = shipped_folder("configs")
PRESETS = sorted(path.stem for path in CONFIGS.glob("*.toml"))


def differing(settings: Settings) -> dict[str, dict[str, object]]:
    """What ``settings`` has and the defaults have not."""
    ours, defaults = tomllib.loads(to_toml(settings)), tomllib.loads(to_toml(Settings()))
    changed = {
        section: {key: value for key, value in values.items() if value != defaults[section][key]}
        for section, values in ours.items()
    }
    return {section: values for section, values in changed.items() if values}


def test_the_default_file_is_the_defaults_of_the_code() -> None:
    written = tomllib.loads((CONFIGS / "default.toml").read_text(encoding="utf-8"))
    assert written == tomllib.loads(to_toml(Settings()))
    assert load_settings("default") == Settings()


def test_the_presets_are_the_three_uses() -> None:
    assert PRESETS == ["archival", "default", "interview", "preview"]


@pytest.mark.parametrize("name", [name for name in PRESETS if name != "default"])
def test_a_preset_loads_and_holds_only_what_differs(name: str) -> None:
    written = tomllib.loads((CONFIGS / f"{name}.toml").read_text(encoding="utf-8"))
    assert differing(load_settings(name)) == written


def test_the_preview_preset_keeps_the_analysis_of_the_defaults() -> None:
    assert load_settings("preview").analysis_digest() == Settings().analysis_digest()
    assert load_settings("archival").analysis_digest() != Settings().analysis_digest()


def test_a_file_goes_over_the_settings_it_is_given(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[encoding]\ncrf = 20\n[fading]\nmin_eye_pixels = 4\n")
    settings = load_settings(path, Settings(encoding=EncodingSettings(codec="ffv1")))
    assert (settings.encoding.crf, settings.encoding.codec) == (20, "ffv1")
    assert isinstance(settings.fading.min_eye_pixels, float)
    assert differing(settings) == {"encoding": {"codec": "ffv1", "crf": 20}, "fading": {"min_eye_pixels": 4.0}}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("[encoding]\nqrf = 16", "'encoding.qrf'"),
        ("[codec]\nname = 'x'", "unknown key 'codec'"),
        ("encoding = 5", "'encoding' is a section"),
        ("[encoding]\ncrf = 'low'", "encoding.crf is 'low', which is no int"),
        ("[encoding]\ncrf = true", "encoding.crf is True, which is no int"),
        ("[encoding]\ncrf = 16.5", "encoding.crf is 16.5"),
        ("[restoration]\nstrength = 'full'", "restoration.strength is 'full', which is no float"),
        ("[restoration]\nmode = 'best'", "restoration.mode is 'best', allowed: auto, generic, specific"),
        ("[restoration]\nstrength = 1.5", "restoration.strength is 1.5, allowed: 0 to 1"),
        ("[restoration]\nbatch = -1", "restoration.batch is -1, allowed: 0 or more"),
        ("[encoding]\ncrf = 64", "encoding.crf is 64, allowed: 0 to 51"),
        ("[faces]\ndetection_size = 100", "faces.detection_size is 100, allowed: multiples of 32"),
        ("[faces]\nmin_score = 0", "faces.min_score is 0.0, allowed: between 0 and 1"),
        ("[fading]\nmin_eye_pixels = 10", "fading.min_eye_pixels is 10.0"),
        ("[fading]\nfade_seconds = -1", "fading.fade_seconds is -1.0"),
        ("[shots]\nmin_explained = 2", "shots.min_explained"),
        ("[tracking]\nmax_gap_seconds = -1", "tracking.max_gap_seconds"),
        ("[smoothing]\nagility = 0", "smoothing.agility"),
        ("[identities]\nsimilarity_threshold = 2", "identities.similarity_threshold"),
        ("[references]\ncount = -1", "references.count"),
        ("[encoding\ncrf = 16", "cannot be read as TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(tmp_path: Path, content: str, told: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_such_file_or_preset_names_the_presets(tmp_path: Path) -> None:
    for name in ("archive", tmp_path / "none.toml"):
        with pytest.raises(ConfigError, match="archival, default, interview, preview"):
            load_settings(name)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "picture.toml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match=r"picture\.toml cannot be read as TOML"):
        load_settings(path)


@dataclass(frozen=True, kw_only=True)
class Show(cli.Common):
    """Print the settings that a command would run with."""

    def run(self) -> int:
        print(to_toml(self.settings))
        return cli.DONE


@pytest.fixture
def resolved(command: Callable, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict]:
    """Settings after the defaults, a file and flags."""
    monkeypatch.setitem(cli.COMMANDS, "show", Show)

    def run(*arguments: str | Path) -> dict:
        done = command("show", *arguments)
        assert done.code == 0, done.err
        return tomllib.loads(done.out)

    return run


def test_flags_go_over_the_file_and_the_file_over_the_defaults(resolved: Callable, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[encoding]\ncrf = 20\npreset = 'slow'\n[restoration]\nmode = 'generic'\n[smoothing]\nagility = 5")
    assert resolved() == tomllib.loads(to_toml(Settings()))
    plain = resolved("--config", path)
    assert (plain["encoding"]["crf"], plain["encoding"]["preset"], plain["smoothing"]["agility"]) == (20, "slow", 5.0)
    assert plain["encoding"]["codec"] == Settings().encoding.codec
    for flags in (
        ["--config", path, "--crf", "11"],
        [f"--config={path}", "--crf=11"],
        ["--crf", "11", "--config", path],
    ):
        found = resolved(*flags, "--smoothing.agility", "2.5", "--faces", "mine")
        assert (found["encoding"]["crf"], found["smoothing"]["agility"]) == (11, 2.5)
        assert (found["encoding"]["preset"], found["restoration"]["mode"]) == ("slow", "generic")
        assert found["faces"]["pack"] == "mine"


def test_a_preset_is_taken_by_name(resolved: Callable) -> None:
    found = resolved("--config", "preview", "--crf", "30")
    assert (found["encoding"]["preset"], found["encoding"]["crf"]) == ("ultrafast", 30)


@pytest.mark.parametrize(
    "flags",
    [["--crf", "low"], ["--crf", "99"], ["--mode", "best"], ["--strength", "2"], ["--nonsense"], ["--config", "none"]],
)
def test_a_wrong_flag_is_a_usage_error(command: Callable, monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    monkeypatch.setitem(cli.COMMANDS, "show", Show)
    done = command("show", *flags)
    assert done.code == cli.USAGE
    assert "Traceback" not in done.err
    assert flags[0].lstrip("-") in (done.err + done.out) or flags[-1] in (done.err + done.out)


@pytest.mark.parametrize("name", ["nowhere:Class", "json:Nothing", ":", "json:", "json:__name__"])
def test_a_component_that_cannot_be_loaded(name: str) -> None:
    with pytest.raises(ComponentError, match=name or "''"):
        load_component(name)


def test_a_component_is_what_its_name_says() -> None:
    assert load_component("fractions:Fraction")(1, 2) * 2 == 1
