"""Files with everything that gets lost, drifts or breaks elsewhere: one for each property, tiny, made with PyAV."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
from av.stream import Disposition
from broken import (
    PLAYLISTS,
    TRANSPORT,
    ages,
    crowd,
    elsewhere,
    film_of,
    joined,
    png,
    with_compressed_header,
    with_garbage,
)
from films import Film, Sound, make_film
from media import Clip, Interlacing, make_clip, make_interlaced, moving_face

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "clips"
FRAMES = 8
"""Of each clip that are looked at."""


ROUNDED = "milliseconds"
"""The difference where times are those of the source, to the nearest millisecond."""


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
    """A part of each warning of the run, and of what was done about interlacing."""


@dataclass(frozen=True)
class Refused:
    """A file that is made to do harm, and is not opened."""

    name: str
    what: str
    make: Callable[[Path], object]
    because: str
    """A part of the error."""


MARKED = {"streams": "an mp4 marks its video as the default"}
REPAIRED = {"frames": "times are repaired"}
STATED = {"fields": "the stream states the order, too, which was only flagged in its frames"}
BY_FIELDS = {
    "frames": "a frame for each field",
    "fields": "progressive",
    "pixels": "the lines of the other field are interpolated",
}
LEFT_OUT = dict.fromkeys(("streams", "packets", "contents", "subtitles"), "what an mp4 cannot hold is left out")


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
    film = [picture for number, picture in enumerate(moving_face(20, (3, 0.8))) for _ in range(2 + number % 2)]
    return make_interlaced(path, film)


def garbage(path: Path) -> Path:
    """Makes a clip with packets of zeros in the middle, which no other frame refers to."""
    return with_garbage(
        make_clip(path.with_stem("whole"), Clip(count=24, size=(96, 80), options={**PLAIN, "g": "1"})), path
    )


def cut_off(path: Path) -> Path:
    """Makes a clip whose last third is missing."""
    make_clip(
        path, Clip(count=24, size=(96, 80), muxer_options={"movflags": "faststart"} if path.suffix == ".mp4" else {})
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 10])
    return path


def begun(path: Path) -> Path:
    """Makes a clip whose first quarter is missing."""
    content = make_clip(path, Clip(count=24, size=(96, 80), **TRANSPORT)).read_bytes()
    path.write_bytes(content[len(content) // 188 // 4 * 188 :])
    return path


def playlist(path: Path) -> Path:
    """Makes a playlist of a clip beside it."""
    listed = make_clip(path.parent / "listed.ts", Clip(count=3))
    path.write_text(PLAYLISTS[path.name].format(clip=listed))
    return path


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
        differs=LEFT_OUT,
        says=("(ass) is left out", "(hdmv_pgs_subtitle) is left out", "an .mp4 file holds no attachments"),
    ),
)
TIME = (
    Nasty("variable.mp4", "a variable frame rate", clip(gaps=True, audio_tracks=1)),
    Nasty("late.mp4", "a start that is not zero", film(start=3 * 12800, sounds=(Sound("aac", "eng"),))),
    Nasty("negative.mp4", "B-frames, decoded before zero", clip(options=PLAIN)),
    Nasty("edited.mp4", "an edit list that hides the first frames", clip(start=-1024, options={**PLAIN, "bf": "0"})),
    Nasty(
        "open.mkv",
        "open groups of pictures",
        clip(options={"preset": "ultrafast", "x264-params": "open-gop=1:keyint=4:bframes=2:b-adapt=0"}),
    ),
    Nasty("film.mp4", "24000/1001 frames a second", rate(24000)),
    Nasty("ntsc.mov", "30000/1001 frames a second, drop-frame timecode", rate(30000, timecode="00:59:59;28")),
    Nasty("fast.mp4", "60000/1001 frames a second", rate(60000)),
    Nasty(
        "ntsc.mp4",
        "30000/1001 frames a second, into an mkv",
        rate(30000),
        output=".mkv",
        codec="ffv1",
        differs={ROUNDED: "times are rounded to milliseconds"},
        says=("an .mkv file rounds all times to milliseconds",),
    ),
    Nasty("priming.mp4", "sound that begins before zero", clip(audio_tracks=1)),
    Nasty(
        "bare.h264",
        "no times at all",
        lambda path: make_clip(path, Clip(count=8, size=(96, 80), options={**PLAIN, "bf": "0"})),
        output=".mp4",
        differs={**MARKED, "frames": "the times of 25 frames a second"},
        says=("8 frames had a missing or non-rising timestamp",),
    ),
    Nasty(
        "packed.avi",
        "B-frames without times of their own, in an avi",
        clip(codec="mpeg4", options={"bf": "2", "b": "1M"}, time_base=Fraction(1, 25), step=1),
        output=".mp4",
        differs=MARKED,
        says=("mpeg4 video is not written here; the output is encoded by libx264",),
    ),
    Nasty(
        "again.ts",
        "times that start again, in a file joined end to end",
        lambda path: joined(path.parent, Clip(count=6, **TRANSPORT), Clip(count=6, **TRANSPORT)).rename(path),
        output=".mp4",
        differs={**MARKED, **REPAIRED},
        says=("6 frames had a missing or non-rising timestamp",),
    ),
)
PICTURE = (
    Nasty("ten.mkv", "10 bits, 4:2:0", clip(**LOSSLESS, pixel_format="yuv420p10le")),
    Nasty("ten.mp4", "10 bits in HEVC", clip(**HEVC, options=x265("repeat-headers=1"))),
    Nasty("twelve.mkv", "12 bits, 4:2:2", clip(**LOSSLESS, pixel_format="yuv422p12le")),
    Nasty("444.mp4", "4:4:4", clip(pixel_format="yuv444p")),
    Nasty("422.mov", "ProRes, 10 bits, 4:2:2", clip(codec="prores_ks", options={}, pixel_format="yuv422p10le")),
    Nasty("full.mp4", "full range", clip(full_range=True)),
    Nasty(
        "601.mp4",
        "BT.601",
        clip(options={**PLAIN, "x264-params": "colorprim=smpte170m:transfer=smpte170m:colormatrix=smpte170m"}),
    ),
    Nasty(
        "709.mp4",
        "BT.709, limited range",
        clip(full_range=False, options={**PLAIN, "x264-params": "colorprim=bt709:transfer=bt709:colormatrix=bt709"}),
    ),
    Nasty(
        "2020.mp4", "BT.2020", clip(**HEVC, options=x265("colorprim=bt2020:transfer=bt2020-10:colormatrix=bt2020nc"))
    ),
    Nasty(
        "hdr10.mp4",
        "PQ with mastering display and light levels",
        clip(**HEVC, options=x265(f"hdr10=1:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:{DISPLAY}")),
    ),
    Nasty("hlg.mp4", "HLG", clip(**HEVC, options=x265("colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc"))),
    Nasty("wide.mp4", "pixels that are not square", clip(aspect=Fraction(64, 45))),
    *(Nasty(f"turned {angle}.mp4", f"turned by {angle} degrees", clip(rotation=angle)) for angle in (90, 180, 270)),
    Nasty("odd.mkv", "odd width and height", clip(**LOSSLESS, size=(97, 81))),
    Nasty("grey.mkv", "grey", clip(**LOSSLESS, pixel_format="gray")),
    Nasty("grey ten.mkv", "grey, 10 bits", clip(**LOSSLESS, pixel_format="gray10le")),
    Nasty("rgb.mkv", "RGB", clip(**LOSSLESS, pixel_format="bgr0")),
    Nasty(
        "alpha.mov",
        "transparency, 4:4:4",
        clip(codec="prores_ks", options={"profile": "4444"}, pixel_format="yuva444p10le"),
        says=("converted to yuva444p10le",),
    ),
    Nasty(
        "packed.mov",
        "a pixel format that cannot be edited",
        clip(codec="rawvideo", options={}, pixel_format="uyvy422"),
        output=".mkv",
        codec="ffv1",
        differs={"picture": "uyvy422 becomes yuv422p, with the same samples"},
        says=("uyvy422 to yuv422p",),
    ),
)
FIELDWISE = ("each field is restored by itself and woven back",)
FIELDS = (
    Nasty("top.mkv", "interlaced, top field first", fields(), differs=STATED, says=FIELDWISE),
    Nasty("bottom.mkv", "interlaced, bottom field first", fields(top_first=False), differs=STATED, says=FIELDWISE),
    Nasty(
        "dvd.mpg",
        "interlaced MPEG-2",
        fields(codec="mpeg2video", options={"b": "4M"}),
        output=".mp4",
        differs=MARKED,
        says=("mpeg2video video is not written here; the output is encoded by libx264", *FIELDWISE),
    ),
    Nasty(
        "avc.mp4",
        "interlaced H.264",
        fields(codec="libx264", options={"preset": "ultrafast", "x264-params": "tff=1"}),
        says=FIELDWISE,
    ),
    Nasty("unflagged.mkv", "interlaced, and flagged as progressive", fields(flagged=False), says=FIELDWISE),
    Nasty(
        "film.mkv",
        "film with 3:2 pulldown",
        pulled_down,
        differs=STATED,
        says=("25 of 25 frames are film with 3:2 pulldown, restored by frames of film",),
    ),
    Nasty(
        "weave.mkv",
        "interlaced, with --deinterlace",
        fields(),
        deinterlace=True,
        differs=BY_FIELDS,
        says=("each field becomes a frame",),
    ),
    Nasty(
        "pulldown.mkv",
        "film with 3:2 pulldown, with --deinterlace",
        pulled_down,
        deinterlace=True,
        differs={
            **BY_FIELDS,
            "frames": "a frame for each frame of film",
            "pixels": "frames of film are put together again",
        },
        says=("25 of 25 frames are film with 3:2 pulldown, put back to 24 a second",),
    ),
)
LOST = ("4 damaged packets could not be decoded", "4 frames of the file gave no picture")
DAMAGE = (
    Nasty("garbage.mkv", "packets full of zeros, in an mkv", garbage, says=LOST),
    Nasty("garbage.mp4", "packets full of zeros, in an mp4", garbage, says=LOST),
    Nasty(
        "cut.mp4",
        "an mp4 that ends early",
        cut_off,
        says=("the file ends early: 10 of 24 frames", "1 frames of the file gave no picture"),
    ),
    Nasty("cut.mkv", "an mkv that ends early", cut_off, says=("the file ends early: 11 of 24 frames",)),
    Nasty(
        "begun.ts",
        "a recording that begins in mid-picture",
        begun,
        output=".mp4",
        differs=MARKED,
        says=("5 frames of the file gave no picture",),
    ),
    Nasty("silence.mkv", "a video that begins after its sound", clip(start=3 * 12800, audio_tracks=1)),
    Nasty(
        "resized.ts",
        "pictures that change their size",
        lambda path: joined(path.parent, Clip(count=6, **TRANSPORT), Clip(count=6, size=(96, 48), **TRANSPORT)).rename(
            path
        ),
        output=".mp4",
        differs={**MARKED, **REPAIRED, "pixels": "later pictures are made to fit the first"},
        says=("6 frames had a missing or non-rising timestamp", "it was made to fit 64x48"),
    ),
)
HARM = (
    Nasty(
        "controls.mkv",
        "tags with control characters and path tricks",
        film(tags={"title": "\x1b]0;owned\x07\x1b[2J", "artist": "../../etc/passwd"}),
    ),
    Nasty("ages.mkv", "an absurd duration in the header", ages),
    Nasty("elsewhere.mov", "a claim that the frames are in another file", elsewhere),
    Refused(
        "huge.mov",
        "absurd dimensions in the header",
        lambda path: film_of(path, png(60000, 60000), (60000, 60000)),
        "no decodable frames",
    ),
    Refused(
        "png.mov",
        "absurd dimensions in a picture",
        lambda path: film_of(path, png(60000, 60000), (64, 48)),
        "no decodable frames",
    ),
    Refused(
        "bomb.mov",
        "a header that unpacks to gigabytes",
        lambda path: with_compressed_header(path, 2 << 30),
        "compressed header",
    ),
    Refused("crowd.mkv", "thousands of streams", crowd, "more than 256 streams"),
    *(
        Refused(name, f"a playlist{more}", playlist, "it is a playlist")
        for name, more in (
            ("list.ffconcat", ": ffconcat"),
            ("list.m3u8", ": HLS"),
            ("disguised.mp4", " under the name of a video"),
            ("remote.mkv", " that names an address in the network"),
        )
    ),
)
FILES = {
    "Streams": STREAMS,
    "Time": TIME,
    "Picture": PICTURE,
    "Interlaced and telecined": FIELDS,
    "Damage": DAMAGE,
    "Made to do harm": HARM,
}


CLIP_PROPERTIES = {
    "archival_army_1950s_bw.mp4": "film of the 1950s",
    "carphone_qcif_clean.mp4": "pixels that are not square",
    "carphone_qcif_degraded.mp4": "a ruinous bit rate",
    "chaplin_bw_silent.mp4": "black and white in a colour codec",
    "interlaced_tff_480i.mpg": "interlaced MPEG-2",
    "interview_edit_270p_degraded.mp4": "sound that is longer than the pictures",
    "interview_edit_720p.mp4": "sound, 1280x720",
    "interview_vfr_360p.mp4": "variable frame rate, sound",
    "noface_flower_720p.mp4": "1280x720",
    "phone_selfie_rot90_vfr_hevc.mp4": "a phone: HEVC, turned, variable frame rate, full range, a second video",
    "talking_head_10bit_hevc.mp4": "HEVC of 10 bits",
    "tos_bridge_208p.mp4": "24 frames a second",
    "two_people_gif_270p.mp4": "12 frames a second",
    "webcam_single_400x300.mp4": "a webcam",
}


def clips() -> tuple[Nasty, ...]:
    """The first frames of every clip in ``CLIPS``; none where the folder is absent."""
    return tuple(
        Nasty(
            path.name,
            CLIP_PROPERTIES[path.name],
            partial(beginning, path),
            **(
                {}
                if path.suffix == ".mp4"
                else {"output": ".mp4", "differs": MARKED, "says": ("is not written here", *FIELDWISE)}
            ),
        )
        for path in sorted(CLIPS.glob("*.mp*"))
    )


def beginning(source: Path, path: Path) -> Path:
    """Writes the first ``FRAMES`` frames of ``source`` and all its other pictures and sound, packet by packet."""
    with av.open(str(source)) as container, av.open(str(path), "w") as output:
        streams = [stream for stream in container.streams if stream.type in ("video", "audio")]
        written = {stream.index: output.add_stream_from_template(stream) for stream in streams}
        left = FRAMES
        for packet in container.demux(*streams):
            left -= packet.stream is streams[0]
            if packet.size and (packet.stream is not streams[0] or left >= 0):
                packet.stream = written[packet.stream.index]
                output.mux(packet)
    return path
