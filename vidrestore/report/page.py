"""The whole report as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from string import Template

from vidrestore.errors import VideoError
from vidrestore.report import chronology, conduct, pictures, plots, skipped
from vidrestore.report.facts import Facts
from vidrestore.report.markup import clock, count, name, template, text


def check_page(path: Path, source: Path, output: Path | None) -> None:
    """Say what stands in the way of a report at ``path`` before any work is done.

    Raises:
        VideoError: there is no such folder, it cannot be written, or ``path`` is a folder or one of the videos.
    """
    folder = path.parent
    if any(other is not None and path.resolve() == other.resolve() for other in (source, output)):
        raise VideoError(f"the report would overwrite the video {path}; give it a name of its own, such as report.html")
    if path.is_dir():
        raise VideoError(f"the report {path} is a folder; name a file, such as {path / 'report.html'}")
    if not folder.is_dir():
        raise VideoError(f"the report {path} cannot be written: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise VideoError(f"the report {path} cannot be written: the folder {folder} is not writable")


def write_page(facts: Facts, path: Path) -> None:
    """Write the report; the file appears only when it is complete.

    Raises:
        VideoError: it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(render(facts), encoding="utf-8", errors="replace")
        part.replace(path)
    except OSError as error:
        raise VideoError(f"the report {path} cannot be written ({error}); choose another place for it") from error
    finally:
        part.unlink(missing_ok=True)


def render(facts: Facts) -> str:
    """The report as HTML."""
    script = template("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(template("report.html")).substitute(
        script=script,
        script_digest=digest,
        style=template("report.css"),
        title=text(facts.source),
        heading=name(facts.source),
        verdict=text(verdict(facts)),
        basis=text(_basis(facts)),
        tiles=_tiles(facts),
        frames=pictures.frames(facts),
        faces=pictures.faces(facts),
        people=pictures.people(facts),
        timeline=chronology.draw(facts),
        tracks=skipped.tracks(facts),
        skipped=skipped.draw(facts),
        plots=plots.draw(facts),
        conduct=conduct.draw(facts),
    )


def verdict(facts: Facts) -> str:
    """What came of it, in one sentence."""
    outcome = facts.outcome
    people = count(len(facts.analysis.identities), "person", "people")
    if outcome.faces == 0:
        return f"No faces were found in {count(facts.analysis.frame_count, 'frame')}, so there is nothing to restore."
    verb = (
        "restored" if facts.kind == "run" else "can be restored" if facts.kind == "glimpses" else "were to be restored"
    )
    told = f"{outcome.restored:,} of {count(outcome.faces, 'face')} of {people} {verb}"
    held, kept = sum(outcome.held_back.values()), sum(outcome.kept.values())
    if held:
        told += f", {held:,} of them held back"
    return f"{told}; {kept:,} left as they were." if kept else f"{told}."


def _basis(facts: Facts) -> str:
    """What the report rests on."""
    if facts.kind == "run":
        return f"Made by the run that wrote {facts.output}."
    if facts.kind == "finished":
        return (
            f"{facts.output} was compared with its source. Which faces were held back for doing harm is known only to "
            "the run itself: 'restore --report' tells."
        )
    return (
        f"Only what is shown here, {count(len(facts.scenes), 'frame')}, was restored, to say what a run would do. "
        "Which faces it would hold back elsewhere is not known before."
    )


def _tiles(facts: Facts) -> str:
    analysis, outcome = facts.analysis, facts.outcome
    axis = chronology.axis_of(facts)
    tiles = {
        "length": clock(axis.stop - axis.start) if analysis.shots else "0",
        "shots": f"{len(analysis.shots):,}",
        "person" if len(analysis.identities) == 1 else "people": f"{len(analysis.identities):,}",
        "faces": f"{outcome.faces:,}",
    }
    if outcome.seconds is not None:
        tiles["frames a second"] = f"{outcome.frames / max(outcome.seconds, 1e-3):.1f}"
    return "".join(f"<div><dt>{label}</dt><dd>{value}</dd></div>" for label, value in tiles.items())
