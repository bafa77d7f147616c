"""Files with everything that gets lost, drifts or breaks elsewhere: one for each property, tiny, made with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import media
import numpy as np
from av.stream import Disposition
from films import Film, Sound, make_film
from media import Clip, Interlacing, make_clip, make_interlaced, moving_face
from test_damage import TRANSPORT, joined, with_garbage
from test_hostile import PLAYLISTS, element, pictures, png, with_compressed_header

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "clips"


@dataclass(frozen=True)
class Nasty:
    """A file that is restored."""

    name: str
    what: str
    """The property, in words."""
    make: Callable[[Path], object]
    """Writes it."""
    output: str = ""
    """Extension of the output, where it is not that of the file."""
    codec: str = "auto"
    deinterlace: bool = False
    differs: Mapping[str, str] = field(default_factory=dict)
    """What is not as in the source by design, and why; by fields of ``matrix.Facts``."""
    says: tuple[str, ...] = ()
    """A part of each warning of the run."""


@dataclass(frozen=True)
class Refused:
    """A file that is made to do harm, and is not opened."""

    name: str
    what: str
    make: Callable[[Path], object]
    because: str
    """A part of the error."""


def clip(**traits) -> Callable[[Path], Path]:
    """Makes a clip of few frames."""
    return lambda path: make_clip(path, Clip(**{"count": 8, "size": (96, 80), **traits}))


def film(**traits) -> Callable[[Path], Path]:
    """Makes a film of few frames, without sound or chapters where none are named."""
    return lambda path: make_film(path, Film(**{"count": 8, "sounds": (), "chapters": False, "tags": {}, **traits}))


def rate(numerator: int, **traits) -> Callable[[Path], Path]:
    """Makes a film with the rate ``numerator`` / 1001."""
    return film(rate=Fraction(numerator, 1001), time_base=Fraction(1, numerator), step=1001, **traits)


PLAIN = {"preset": "ultrafast", "g": "4", "bf": "2"}
LOSSLESS = {"codec": "ffv1", "options": {}}
HEVC = {"codec": "libx265", "pixel_format": "yuv420p10le", "count": 4}
DISPLAY = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"


def x265(parameters: str) -> dict[str, str]:
    return {"preset": "ultrafast", "x265-params": f"log-level=none:{parameters}"}


def fields(**traits) -> Callable[[Path], Path]:
    """Makes interlaced video of a moving face."""
    return lambda path: make_interlaced(path, moving_face(16), Interlacing(**traits))


def pulled_down(path: Path) -> Path:
    """Makes film for two and three fields in turn."""
    film = [picture for number, picture in enumerate(moving_face(8, (3, 0.8))) for _ in range(2 + number % 2)]
    return make_interlaced(path, film)


STREAMS = (
    Nasty(
        "sounds.mkv",
        "sound in several codecs and languages, each with its marks",
        film(
            sounds=(
                Sound("aac", "eng", Disposition.default),
                Sound("libopus", "deu", Disposition.dub),
                Sound("flac", "jpn", Disposition.comment | Disposition.hearing_impaired),
                Sound("ac3", "fra"),
            )
        ),
    ),
    Nasty("texts.mkv", "subtitles of words: SubRip, ASS, WebVTT", film(subtitles=("subrip", "ass", "webvtt"))),
    Nasty("bitmaps.mkv", "subtitles of pictures: PGS, DVD", film(subtitles=("hdmv_pgs_subtitle", "dvd_subtitle"))),
    Nasty("texts.mp4", "subtitles in an mp4", film(subtitles=("mov_text",))),
    Nasty("fonts.mkv", "attachments", film(fonts=2)),
    Nasty("chapters.mp4", "chapters", film(chapters=True)),
    Nasty("cover.mp4", "a cover in an mp4", film(cover="png")),
    Nasty("cover.mkv", "a cover in an mkv", film(cover="mjpeg")),
    Nasty("tags.mkv", "tags of any name and script", film(tags={"title": "Ein Film é 日本", "OWN": "x = y; z"})),
    Nasty("angles.mp4", "a second video stream", film(second_angle=True)),
    Nasty("timecode.mov", "a timecode track", film(timecode="01:00:00:02")),
    Nasty(
        "web.webm",
        "a webm with sound and subtitles",
        film(
            codec="libvpx-vp9",
            options={"deadline": "realtime", "cpu-used": "8"},
            time_base=Fraction(1, 1000),
            step=40,
            sounds=(Sound("libopus", "eng"),),
            subtitles=("webvtt",),
        ),
    ),
    Nasty(
        "too much.mkv",
        "streams that the output's container cannot hold",
        film(subtitles=("ass", "hdmv_pgs_subtitle"), fonts=1, sounds=(Sound("aac", "eng"),)),
        output=".mp4",
    ),
)
TIME = (
    Nasty("variable.mp4", "a variable frame rate", clip(gaps=True, audio_tracks=1)),
    Nasty("late.mp4", "a start that is not zero", film(start=3 * 12800, sounds=(Sound("aac", "eng"),))),
    Nasty("negative.mkv", "B-frames, decoded before zero", clip(options=PLAIN)),
    Nasty("edited.mp4", "an edit list that hides the first frames", clip(start=-1024, options={**PLAIN, "bf": "0"})),
    Nasty("open.mkv", "open groups of pictures", clip(options={"preset": "ultrafast", "x264-params": "open-gop=1:keyint=4:bframes=2:b-adapt=0"})),
    Nasty("film.mp4", "24000/1001 frames a second", rate(24000)),
    Nasty("ntsc.mov", "30000/1001 frames a second, drop-frame timecode", rate(30000, timecode="00:59:59;28")),
    Nasty("fast.mp4", "60000/1001 frames a second", rate(60000)),
    Nasty("ntsc.mp4", "30000/1001 frames a second, into an mkv", rate(30000), ".mkv", "ffv1"),
    Nasty("priming.mp4", "sound that begins before zero", clip(audio_tracks=1)),
    Nasty(
        "bare.h264",
        "no times at all",
        lambda path: make_clip(path, Clip(count=8, size=(96, 80), options={**PLAIN, "bf": "0"})),
        output=".mp4",
    ),
    Nasty(
        "packed.avi",
        "times of decoding alone",
        clip(codec="mpeg4", options={"bf": "2", "b": "1M"}, time_base=Fraction(1, 25), step=1),
        output=".mp4",
    ),
    Nasty(
        "again.ts",
        "times that start again, in a file joined end to end",
        lambda path: joined(path.parent, Clip(count=6, **TRANSPORT), Clip(count=6, **TRANSPORT)).rename(path),
        output=".mp4",
    ),
)
PICTURE = (
    Nasty("ten.mkv", "10 bits, 4:2:0", clip(**LOSSLESS, pixel_format="yuv420p10le")),
    Nasty("ten.mp4", "10 bits in HEVC", clip(**HEVC, options=x265("repeat-headers=1"))),
    Nasty("twelve.mkv", "12 bits, 4:2:2", clip(**LOSSLESS, pixel_format="yuv422p12le")),
    Nasty("444.mp4", "4:4:4", clip(pixel_format="yuv444p")),
    Nasty("422.mov", "ProRes, 10 bits, 4:2:2", clip(codec="prores_ks", options={}, pixel_format="yuv422p10le")),
    Nasty("full.mp4", "full range", clip(full_range=True)),
    Nasty("601.mp4", "BT.601", clip(options={**PLAIN, "x264-params": "colorprim=smpte170m:transfer=smpte170m:colormatrix=smpte170m"})),
    Nasty("709.mp4", "BT.709, limited range", clip(full_range=False, options={**PLAIN, "x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709"})),
    Nasty("2020.mp4", "BT.2020", clip(**HEVC, options=x265("colorprim=bt2020:transfer=bt2020-10:colormatrix=bt2020nc"))),
    Nasty("hdr10.mp4", "PQ with mastering display and light levels", clip(**HEVC, options=x265(f"hdr10=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:{DISPLAY}"))),
    Nasty("hlg.mp4", "HLG", clip(**HEVC, options=x265("colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"))),
    Nasty("wide.mp4", "pixels that are not square", clip(aspect=Fraction(64, 45))),
    *(Nasty(f"turned {angle}.mp4", f"turned by {angle} degrees", clip(rotation=angle)) for angle in (90, 180, 270)),
    Nasty("odd.mkv", "odd width and height", clip(**LOSSLESS, size=(97, 81))),
    Nasty("grey.mkv", "grey", clip(**LOSSLESS, pixel_format="gray")),
    Nasty("grey ten.mkv", "grey, 10 bits", clip(**LOSSLESS, pixel_format="gray10le")),
    Nasty("rgb.mkv", "RGB", clip(**LOSSLESS, pixel_format="gbrp")),
    Nasty("alpha.mov", "transparency, 10 bits, 4:4:4", clip(codec="prores_ks", options={"profile": "4444"}, pixel_format="yuva444p10le")),
    Nasty("packed.mov", "a pixel format that is not edited", clip(codec="rawvideo", options={}, pixel_format="uyvy422"), ".mkv", "ffv1"),
)
FIELDS = (
    Nasty("top.mkv", "interlaced, top field first", fields()),
    Nasty("bottom.mkv", "interlaced, bottom field first", fields(top_first=False)),
    Nasty("dvd.mpg", "interlaced MPEG-2", fields(codec="mpeg2video", options={"b": "4M"}), ".mp4"),
    Nasty("avc.mp4", "interlaced H.264", fields(codec="libx264", options={"preset": "ultrafast", "x264-params": "tff=1"})),
    Nasty("unflagged.mkv", "interlaced, and flagged as progressive", fields(flagged=False)),
    Nasty("film.mkv", "film with 3:2 pulldown", pulled_down),
    Nasty("weave.mkv", "interlaced, with --deinterlace", fields(), deinterlace=True),
    Nasty("pulldown.mkv", "film with 3:2 pulldown, with --deinterlace", pulled_down, deinterlace=True),
)
FILES = {"Streams": STREAMS, "Time": TIME, "Picture": PICTURE, "Fields": FIELDS}


def clips() -> tuple[Nasty, ...]:
    return ()
