"""The table of docs/streams.md, from what really comes out of each container: ``python tests/stream_table.py``."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from av.stream import Disposition
from films import Film, Sound, chapters, held, make_film, tags, timecodes

from vidrestore.types import OutputPlan
from vidrestore.video import VideoWriter, plan_output, read_frames
from vidrestore.video.codecs import CODECS, FAMILIES, choose_codec
from vidrestore.video.containers import CONTAINERS

COLUMNS = (".mp4", ".mov", ".mkv", ".webm")
SOUNDS = ("aac", "libmp3lame", "ac3", "eac3", "libopus", "flac", "alac", "pcm_s16le", "mp2")
MARKS = ("default", "dub", "original", "comment", "forced", "hearing_impaired", "visual_impaired")
KEPT, LOST = "yes", "no"


def table(folder: Path) -> str:
    """The table in Markdown; films are made in ``folder``."""
    rows = [("", *COLUMNS), ("---",) * 5, *_videos(), *_streams(folder), *_rest(folder)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _videos() -> Iterator[tuple[str, ...]]:
    """What the restored stream may be."""
    for family in dict.fromkeys(FAMILIES.values()):
        found = [choose_codec(family, "yuv420p", 64, 48, muxer=CONTAINERS[name])[0] for name in COLUMNS]
        encoders = ", ".join(name for name in CODECS if FAMILIES[name] == family)
        yield f"{family} video ({encoders})", *(KEPT if FAMILIES[codec] == family else LOST for codec in found)


def _streams(folder: Path) -> Iterator[tuple[str, ...]]:
    """Sound, subtitles, covers and fonts, by the plans for a film that has them all."""
    texts = ("subrip", "ass", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle")
    everything = Film(sounds=[Sound(codec) for codec in SOUNDS], subtitles=texts, fonts=1, cover="png", count=2)
    apple = Film(subtitles=("mov_text",), timecode="01:00:00:02", cover="mjpeg", sounds=(), count=2)
    sources = make_film(folder / "all.mkv", everything), make_film(folder / "all.mp4", apple)
    for source in sources:
        plans = [plan_output(source, folder / f"out{name}") for name in COLUMNS]
        for place, item in enumerate(plans[0].streams):
            if item.fate != "restored" and item.stream.codec != "chapters":
                what = "an attached font" if item.stream.kind == "attachment" else item.stream.codec
                kind = "" if item.stream.kind == "attachment" else _kind(item.stream.kind, what)
                yield f"{what}{kind}", *(_fate(plan, place) for plan in plans)


def _kind(kind: str, codec: str) -> str:
    if codec == "timecode":
        return ""
    return {"video": " cover", "audio": " sound", "subtitle": " subtitles"}[kind]


def _fate(plan: OutputPlan, place: int) -> str:
    item = plan.streams[place]
    return {"copied": KEPT, "left out": LOST}.get(item.fate, item.detail.split(",")[0])


def _rest(folder: Path) -> Iterator[tuple[str, ...]]:
    """Chapters, tags, marks and times, by comparing what was written with the source."""
    marks = [int(getattr(Disposition, mark)) for mark in MARKS]
    tagged = Film(
        sounds=[Sound("aac", "eng", mark) for mark in marks], tags={"title": "A film", "OWN": "mine"}, count=2
    )
    free = replace(tagged, codec="libvpx-vp9", options={}, sounds=[Sound("libopus", "eng", mark) for mark in marks])
    named, named_free = make_film(folder / "named.mkv", tagged), make_film(folder / "free.mkv", free)
    thirds = Film(time_base=Fraction(1, 30000), step=1001, rate=Fraction(30000, 1001), count=5, timecode="01:00:00;02")
    exact = make_film(folder / "exact.mp4", replace(thirds, sounds=()))
    sources = [named_free if name == ".webm" else named for name in COLUMNS]
    outputs = [
        (_copied(source, folder, name), _copied(exact, folder, name))
        for source, name in zip(sources, COLUMNS, strict=True)
    ]
    streams = [held(output) for output, _ in outputs]
    wanted = held(named)

    def row(name: str, kept: list[bool]) -> tuple[str, ...]:
        return name, *(KEPT if one else LOST for one in kept)

    yield row("chapters", [chapters(one) == chapters(named) for one, _ in outputs])
    yield row("title of the film", [tags(one).get("title") == "A film" for one, _ in outputs])
    yield row("tags of any name", [tags(one).get("own") == "mine" for one, _ in outputs])
    yield row("titles of streams", [found[0].title == wanted[0].title for found in streams])
    yield row("languages of streams", [found[0].language == wanted[0].language for found in streams])
    for place, mark in enumerate(MARKS, start=1):
        yield row(f"the mark {mark}", [found[place].disposition == wanted[place].disposition for found in streams])
    yield row("drop-frame timecode", [("video", "01:00:00;02") in timecodes(one) for _, one in outputs])
    yield row("times finer than a millisecond", [_times(one) == _times(exact) for _, one in outputs])


def _times(path: Path) -> list:
    return [frame.pts * frame.time_base for frame in read_frames(path)]


def _copied(source: Path, folder: Path, extension: str) -> Path:
    output = folder / f"{source.stem}{extension.replace('.', '_to.')}"
    with VideoWriter(source, output, codec="auto", preset="ultrafast") as writer:
        for frame in read_frames(source):
            writer.write(frame)
    return output


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write(table(Path(name)) + "\n")
