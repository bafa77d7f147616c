"""How the work was done: the run, models and licences, settings, versions, warnings."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import platform
from typing import Any

from vidrestore import __version__
from vidrestore.config import Settings
from vidrestore.interlacing import told
from vidrestore.report.facts import Facts
from vidrestore.report.markup import bullets, clock, count, name, table, text
from vidrestore.types import IdentityMargin
from vidrestore.weights import find_model, is_known

_PACKAGES = ("torch", "onnxruntime", "av", "opencv-python", "insightface", "numpy", "scipy")


def draw(facts: Facts) -> str:
    """Tables of all of it."""
    tables = [
        table("Run", _run(facts)),
        table("Video", _video(facts)),
        table("Models and licences", _models(facts)),
        table("People told apart", _margin(facts.analysis.margin)),
        table("Versions", _versions()),
    ]
    warnings = bullets(text(warning) for warning in facts.warnings) if facts.warnings else "<p>None.</p>"
    return (
        f'<div class="tables">{"".join(tables)}</div><h3>Warnings</h3>{warnings}'
        f"<h3>Settings</h3>{_settings(facts.settings)}"
    )


def _run(facts: Facts) -> dict[str, str]:
    outcome = facts.outcome
    rows = {"Report made": text(facts.made), "Device": text(facts.device), "Mode": facts.settings.restoration.mode}
    if facts.output is not None:
        rows["Output"] = name(facts.output)
    if outcome.seconds is not None:
        seconds = max(outcome.seconds, 1e-3)
        rows["Took"] = clock(seconds)
        rows["Speed"] = f"{outcome.frames / seconds:.1f} frames/s, {outcome.restored / seconds:.1f} faces/s"
    else:
        rows["Speed"] = "not measured: the report is not of a run"
    if outcome.gate_factor is not None:
        rows["Left by the gate"] = f"{outcome.gate_factor:.1%} of the strength, on average"
    return rows


def _video(facts: Facts) -> dict[str, str]:
    video = facts.analysis.video
    return {
        "File": name(facts.source),
        "Picture": f"{video.width} \u00d7 {video.height}, {text(video.codec)}, {text(video.pixel_format)}",
        "Scan": text(told(facts.analysis, facts.settings.restoration.deinterlace)),
        "Frames decoded": f"{facts.analysis.frame_count:,}",
        "Frames per second": f"{float(video.average_rate):.3f}" if video.average_rate else "not stated",
        "Shots": f"{len(facts.analysis.shots):,}",
        "Streams": ", ".join(f"{text(stream.kind)} ({text(stream.codec)})" for stream in video.streams),
        "Fingerprint": f"<code>{text(facts.analysis.fingerprint[:16])}</code>",
    }


def _models(facts: Facts) -> dict[str, str]:
    rows = {
        "Faces restored by": text(facts.weights),
        "Faces found by": text(facts.analysis.faces_model),
    }
    for kind, chosen in (("restorer", facts.settings.restoration.weights), ("faces", facts.settings.faces.pack)):
        if not is_known(chosen, kind):
            continue
        for file in find_model(chosen, kind).files:
            rows[text(file.path)] = f"<code>sha256 {text(str(file.sha256)[:16])}</code>"
    return rows


def _margin(margin: IdentityMargin | None) -> dict[str, str]:
    if margin is None:
        return {"Margin": "not known"}
    joined = "no two groups of tracks were joined"
    apart = "no two who are never seen together"
    return {
        "One person above a similarity of": f"{margin.threshold:.2f}",
        "Least sure join": joined if margin.least_joined is None else f"{margin.least_joined:.2f}",
        "Most similar two people": apart if margin.most_apart is None else f"{margin.most_apart:.2f}",
    }


def _versions() -> dict[str, str]:
    rows = {
        "vidrestore": __version__,
        "Python": f"{platform.python_version()}, {platform.system()} {platform.machine()}",
    }
    for package in _PACKAGES:
        try:
            rows[package] = text(importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            continue
    return rows


def _settings(settings: Settings) -> str:
    """All settings, those that are not the defaults marked and first told."""
    default = Settings()
    changed: list[str] = []
    sections = []
    for section in dataclasses.fields(settings):
        own, usual = getattr(settings, section.name), getattr(default, section.name)
        rows = []
        for item in dataclasses.fields(own):
            value, normal = getattr(own, item.name), getattr(usual, item.name)
            key = f"{section.name}.{item.name}"
            rows.append(_setting(item.name, value, normal))
            if value != normal:
                changed.append(f"<code>{text(key)} = {_value(value)}</code> instead of <code>{_value(normal)}</code>")
        caption = f"<caption>{text(section.name)}</caption>"
        sections.append(f'<table class="settings">{caption}<tbody>{"".join(rows)}</tbody></table>')
    told = bullets(changed) if changed else "<p>All settings are the defaults.</p>"
    many = count(
        sum(len(dataclasses.fields(getattr(settings, s.name))) for s in dataclasses.fields(settings)), "setting"
    )
    return f'{told}<details><summary>All {many}</summary><div class="tables">{"".join(sections)}</div></details>'


def _setting(key: str, value: Any, normal: Any) -> str:
    mark = "" if value == normal else " <mark>changed</mark>"
    return f'<tr><th scope="row">{text(key)}</th><td><code>{_value(value)}</code>{mark}</td></tr>'


def _value(value: Any) -> str:
    return text(json.dumps(value, ensure_ascii=False, default=str))
