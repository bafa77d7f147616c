"""Nothing of a film is lost: streams, times, tags; and what a container cannot carry is said before the work."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest
from av.stream import Disposition
from films import TEXTS, Film, Held, Sound, chapters, digest, font, held, make_film, tags, timecodes
from media import Clip, make_clip
from stream_table import table

from vidrestore.api.planning import default_output
from vidrestore.errors import ConfigError, VideoError
from vidrestore.types import Frame
from vidrestore.video import VideoWriter, check_destination, plan_output, probe, read_frames
from vidrestore.video.codecs import CODECS, FAMILIES, choose_codec, choose_pixel_format, encoder_opens, same_quality
from vidrestore.video.containers import CONTAINERS

SHARED = Path(__file__).resolve().parents[2] / "shared" / "clips"
FAST = {"preset": "ultrafast", "crf": 20}
DEFAULT, COMMENT = Disposition.default, Disposition.comment
MILLISECOND = Fraction(1, 1000)

FILMS = {
    ".mkv": Film(
        sounds=(
            Sound("aac", "eng", DEFAULT),
            Sound("libopus", "deu", Disposition.dub),
            Sound("flac", "jpn", COMMENT | Disposition.hearing_impaired),
        ),
        subtitles=("subrip", "ass", "hdmv_pgs_subtitle", "dvd_subtitle", "webvtt"),
        fonts=2,
        cover="mjpeg",
        second_angle=True,
        tags={"title": "A film", "CUSTOM": "x = y; é"},
    ),
    ".mp4": Film(
        sounds=(Sound("aac", "eng", DEFAULT), Sound("libopus", "deu"), Sound("flac", "jpn")),
        subtitles=("mov_text", "dvd_subtitle"),
        cover="png",
        second_angle=True,
        timecode="01:00:00:02",
    ),
    ".mov": Film(
        sounds=(Sound("aac", "eng", DEFAULT), Sound("pcm_s16le", "ger"), Sound("alac", "jpn")),
        subtitles=("mov_text",),
        second_angle=True,
        timecode="01:00:00:02",
    ),
    ".webm": Film(
        codec="libvpx-vp9",
        options={"deadline": "realtime", "cpu-used": "8"},
        time_base=MILLISECOND,
        step=40,
        sounds=(Sound("libopus", "eng", DEFAULT), Sound("libopus", "deu")),
        subtitles=("webvtt",),
    ),
}
"""A film with all that each container takes."""

LEFT_OUT = {
    (".mkv", ".mp4"): {"ass", "hdmv_pgs_subtitle", "font 0.ttf", "font 1.ttf"},
    (".mkv", ".mov"): {"opus", "flac", "ass", "hdmv_pgs_subtitle", "dvd_subtitle", "mjpeg", "font 0.ttf", "font 1.ttf"},
    (".mkv", ".webm"): {
        *("h264", "aac", "flac", "ass", "hdmv_pgs_subtitle", "dvd_subtitle", "mjpeg", "font 0.ttf", "font 1.ttf"),
    },
    (".mp4", ".mov"): {"opus", "flac", "dvd_subtitle", "png"},
    (".mp4", ".webm"): {"h264", "aac", "flac", "dvd_subtitle", "png"},
    (".mov", ".webm"): {"h264", "aac", "pcm_s16le", "alac"},
    (".webm", ".mov"): {"opus"},
}
"""Codecs of the streams that do not go from one container into another; everything goes between the other pairs."""

CONVERTED = {
    (".mkv", ".mp4"): ["subrip", "webvtt"],
    (".mkv", ".mov"): ["subrip", "webvtt"],
    (".mkv", ".webm"): ["subrip"],
    (".mp4", ".mkv"): ["mov_text", "timecode"],
    (".mp4", ".webm"): ["mov_text", "timecode"],
    (".mov", ".mkv"): ["mov_text", "timecode"],
    (".mov", ".webm"): ["mov_text", "timecode"],
    (".webm", ".mp4"): ["webvtt"],
    (".webm", ".mov"): ["webvtt"],
}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One of each of ``FILMS``."""
    folder = tmp_path_factory.mktemp("films")
    return {extension: make_film(folder / f"film{extension}", film) for extension, film in FILMS.items()}


def copy(source: Path, destination: Path, codec: str = "auto", **settings) -> list[str]:
    with VideoWriter(source, destination, codec=codec, **{**FAST, **settings}) as writer:
        for frame in read_frames(source):
            writer.write(frame)
    return writer.warnings


def shown(path: Path) -> list[Fraction]:
    return [frame.pts * frame.time_base for frame in read_frames(path)]


def without_content(stream: Held) -> Held:
    """A stream that was encoded anew: the same packets, of other content."""
    return replace(stream, packets=tuple((pts, "") for pts in sorted(pts for pts, _ in stream.packets)))


# streams


@pytest.mark.parametrize("extension", FILMS)
def test_everything_stays_in_the_same_container(films, tmp_path, extension):
    source, output = films[extension], tmp_path / f"out{extension}"
    plan = plan_output(source, output)
    assert (plan.warnings, plan.better) == ((), None)
    assert copy(source, output) == []
    (first, *others), (before, *expected) = held(output), held(source)
    assert others == expected
    assert without_content(first) == without_content(before)
    assert chapters(output) == chapters(source)
    assert tags(output) == tags(source)
    assert timecodes(output) == timecodes(source)


@pytest.mark.parametrize("pair", [(a, b) for a in FILMS for b in FILMS if a != b], ids=" to ".join)
def test_the_plan_says_what_becomes_of_each_stream(films, tmp_path, pair):
    source, output = films[pair[0]], tmp_path / f"out{pair[1]}"
    plan = plan_output(source, output)
    fates = {"restored": [], "copied": [], "converted": [], "left out": []}
    for item in plan.streams:
        fates[item.fate].append(item.stream.codec)
    assert set(fates["left out"]) == LEFT_OUT.get(pair, set())
    assert fates["converted"] == CONVERTED.get(pair, [])
    warnings = copy(source, output)
    assert set(plan.losses) <= set(warnings) == set(plan.warnings) - {plan.warnings[-1] if plan.better else ""}

    copied = [item.stream.index for item in plan.streams if item.fate == "copied"]
    with av.open(str(source)) as container:
        indices = [stream.index for stream in container.streams if stream.type != "data"]
    before = [stream for index, stream in zip(indices, held(source), strict=True) if index in copied]
    after = held(output)
    rounding = MILLISECOND / 2 if pair[1] in (".mkv", ".webm") else Fraction(1, 2 * 48000)
    for stream in before:
        same = [one for one in after[1:] if [part for _, part in one.packets] == [part for _, part in stream.packets]]
        assert same, f"no stream has the packets of {stream.kind} {stream.codec}"
        times = zip(same[0].packets, stream.packets, strict=True)
        assert all(was is None or abs(now - was) <= rounding for (now, _), (was, _) in times)
    assert chapters(output) == chapters(source)


@pytest.mark.parametrize(("name", "kind"), [("a.mp4", "mov_text"), ("a.mov", "mov_text"), ("a.webm", "webvtt")])
def test_converted_texts_keep_words_times_and_emphasis(films, tmp_path, name, kind):
    output = tmp_path / name
    copy(films[".mkv"], output)
    with av.open(str(output)) as container:
        stream = next(one for one in container.streams.subtitles if one.codec_context.codec.canonical_name == kind)
        found = []
        for packet in container.demux(stream):
            decoded = stream.codec_context.decode2(packet) if packet.size else None
            for words in decoded or ():
                text = words.ass.split(b",", 8)[-1]
                found.append((packet.pts * packet.time_base, packet.duration * packet.time_base, text))
    expected = [(pts * MILLISECOND, duration * MILLISECOND) for pts, duration, _ in TEXTS["subrip"]]
    assert [(pts, duration) for pts, duration, _ in found] == expected
    assert [text for *_, text in found] == [rb"Hello {\i1}you{\i0}", b"Bye"] or kind == "mov_text"
    assert rb"{\i1}you" in found[0][2]


def test_a_better_container_is_named_and_strict_refuses(films, tmp_path, command):
    plan = plan_output(films[".mkv"], tmp_path / "out.mp4")
    assert plan.better == ".mkv"
    assert plan_output(films[".mp4"], tmp_path / "out.mov").better == ".mp4"
    done = command("restore", films[".mkv"], "-o", tmp_path / "out.mp4", "--strict", "--json")
    assert done.code == 3
    for part in ("--strict", "(ass) is left out: an .mp4 file cannot hold it", ".mkv would keep more"):
        assert part in done.err
    assert list(tmp_path.iterdir()) == []


def test_the_plan_is_told_before_the_work(tmp_path, command):
    source = make_film(tmp_path / "in.mkv", replace(FILMS[".mkv"], count=2))
    given = ("restore", source, "-o", tmp_path / "out.mp4", "--work", tmp_path / "work", "--preset", "ultrafast")
    done = command(*given, "--json")
    assert done.code == 0
    first, *later = [json.loads(line) for line in done.err.splitlines()]
    assert (first["stage"], first["container"], first["codec"]) == ("plan", ".mp4", "libx264")
    assert later[0].get("stage") == "analyze"
    fates = {(item["kind"], item["codec"]): item["fate"] for item in first["streams"]}
    assert fates["video", "h264"] == "copied"  # the second angle
    assert (fates["subtitle", "ass"], fates["subtitle", "subrip"]) == ("left out", "converted")
    assert set(first["warnings"][:-1]) <= set(json.loads(done.out)["warnings"])


@pytest.mark.parametrize(("codec", "cover"), [(".mkv", ".mp4"), (".mp4", ".mkv")])
def test_covers_go_between_mp4_and_matroska(films, tmp_path, codec, cover):
    def picture(path: Path) -> list[tuple[str, str]]:
        return [(one.codec, one.packets[0][1]) for one in held(path) if "1024" in one.disposition]

    copy(films[codec], tmp_path / f"out{cover}")
    assert picture(tmp_path / f"out{cover}") == picture(films[codec]) != []


def test_attached_fonts_stay_byte_for_byte(films, tmp_path):
    copy(films[".mkv"], tmp_path / "out.mkv")
    fonts = [one.packets[0][1] for one in held(tmp_path / "out.mkv") if one.kind == "attachment"]
    assert fonts == [digest(font(number)) for number in range(2)]


def test_the_table_in_the_documents_is_what_comes_out(tmp_path):
    made = table(tmp_path)
    written = (Path(__file__).resolve().parents[1] / "docs" / "streams.md").read_text(encoding="utf-8")
    assert made in written, f"docs/streams.md has another table than the one that was made:\n{made}"


# time


RATES = {"23.976": Fraction(24000, 1001), "29.97": Fraction(30000, 1001), "59.94": Fraction(60000, 1001)}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_odd_rates_stay_exact_with_drop_frame_timecode(tmp_path, rate, name):
    timecode = "00:59:59;28" if rate != "23.976" else "00:59:59:22"
    film = Film(rate=RATES[rate], time_base=1 / RATES[rate] / 1001, step=1001, timecode=timecode, chapters=False)
    source = make_film(tmp_path / f"in{Path(name).suffix}", film)
    assert copy(source, tmp_path / name) == []
    assert shown(tmp_path / name) == shown(source) == [number / RATES[rate] for number in range(film.count)]
    assert timecodes(tmp_path / name) == timecodes(source) == [("video", timecode), ("data", timecode)]
    assert probe(tmp_path / name).average_rate == RATES[rate]


def test_matroska_says_that_it_rounds_times_and_what_would_not(tmp_path):
    film = Film(rate=RATES["29.97"], time_base=Fraction(1, 30000), step=1001)
    source = make_film(tmp_path / "in.mp4", film)
    plan = plan_output(source, tmp_path / "out.mkv")
    assert plan.altered == ("an .mkv file rounds all times to milliseconds",)
    assert plan.better == ".mp4"
    copy(source, tmp_path / "out.mkv")
    pairs = zip(shown(tmp_path / "out.mkv"), shown(source), strict=True)
    assert all(abs(after - before) <= MILLISECOND / 2 for after, before in pairs)
    copy(tmp_path / "out.mkv", tmp_path / "again.mp4")
    assert shown(tmp_path / "again.mp4") == shown(tmp_path / "out.mkv")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_a_late_start_is_kept_with_the_sound_in_step(tmp_path, name):
    source = make_film(tmp_path / "in.mp4", Film(start=12800 * 3, chapters=False))
    assert shown(source)[0] == 3
    assert copy(source, tmp_path / name) == []
    rounding = MILLISECOND / 2 if name == "a.mkv" else 0
    for before, after in zip(held(source), held(tmp_path / name), strict=True):
        pairs = zip(sorted(pts for pts, _ in before.packets), sorted(pts for pts, _ in after.packets), strict=True)
        assert all(abs(one - two) <= rounding for one, two in pairs)


def test_priming_of_sound_lies_before_zero_in_matroska_too(tmp_path):
    source = make_film(tmp_path / "in.mp4", Film(chapters=False))
    (_, sound, *_) = held(source)
    assert sound.packets[0][0] < 0
    copy(source, tmp_path / "out.mkv")
    (picture, copied, *_) = held(tmp_path / "out.mkv")
    assert copied.packets[0][0] == Fraction(round(sound.packets[0][0] * 1000), 1000)
    assert min(pts for pts, _ in picture.packets) == 0


@pytest.mark.parametrize("name", ["in.avi", "in.ts", "in.mpg"])
def test_sound_of_containers_without_exact_times_stays_in_step(tmp_path, name):
    codec, sound = {"in.mpg": ("mpeg2video", "mp2")}.get(name, ("libx264", "mp2"))
    options = {"g": "10", "bf": "0"} | ({"preset": "ultrafast"} if codec == "libx264" else {})
    base = Fraction(1, 25) if name != "in.ts" else Fraction(1, 90000)
    film = Film(
        codec=codec,
        options=options,
        time_base=base,
        step=int(Fraction(1, 25) / base),
        sounds=(Sound(sound), Sound(sound, "deu")),
        chapters=False,
        tags={},
    )
    source = make_film(tmp_path / name, film)
    warnings = copy(source, tmp_path / "out.mp4")
    assert [one for one in warnings if "mpeg2video video is not written here" not in one] == []
    assert shown(tmp_path / "out.mp4") == shown(source)
    for before, after in zip(held(source)[1:], held(tmp_path / "out.mp4")[1:], strict=True):
        assert [part for _, part in after.packets] == [part for _, part in before.packets]
        pairs = [(was, now) for (was, _), (now, _) in zip(before.packets, after.packets, strict=True)]
        assert all(was is None or abs(was - now) <= Fraction(1, 48000) for was, now in pairs)


def test_sound_that_starts_again_goes_on_and_is_said(tmp_path):
    film = Film(time_base=Fraction(1, 90000), step=3600, sounds=(Sound("mp2"),), chapters=False, tags={}, count=20)
    part = make_film(tmp_path / "part.ts", film)
    source = tmp_path / "in.ts"
    source.write_bytes(part.read_bytes() * 2)
    warnings = copy(source, tmp_path / "out.mp4")
    assert any("42 packets of the audio stream 1 had a missing or backward time" in one for one in warnings)
    times = [pts for pts, _ in held(tmp_path / "out.mp4")[1].packets]
    assert len(times) == 2 * len(held(part)[1].packets)
    steps = {round(float(b - a), 3) for a, b in pairwise(times)}
    assert steps == {0.024}  # 1152 samples at 48 kHz, over the joint as well


# codecs


def test_encoders_and_containers_are_as_the_table_says(tmp_path):
    source = make_clip(tmp_path / "in.mp4", Clip(count=2))
    frame = next(read_frames(source))
    for codec in CODECS[:6]:
        for extension in CONTAINERS:
            output = tmp_path / f"{codec}{extension}"
            try:
                check_destination(source, output, codec, "ultrafast")
            except VideoError as error:
                assert ".mkv" in str(error)
                continue
            with VideoWriter(source, output, codec=codec, **FAST) as writer:
                writer.write(Frame(frame.pts, frame.time_base, frame.picture))
            with av.open(str(output)) as container:
                assert container.streams.video[0].codec_context.codec.canonical_name == FAMILIES[codec]


@pytest.mark.parametrize(
    ("source", "muxer", "codec", "why"),
    [
        ("h264", "mp4", "libx264", ""),
        ("hevc", "mov", "libx265", ""),
        ("av1", "webm", "libsvtav1", ""),
        ("av1", "mov", "libx264", "does not fit into a .mov file"),
        ("vp9", "matroska", "libvpx-vp9", ""),
        ("prores", "mov", "prores_ks", ""),
        ("prores", "mp4", "libx264", "does not fit into an .mp4 file"),
        ("ffv1", "matroska", "ffv1", ""),
        ("mpeg2video", "mp4", "libx264", "is not written here"),
        ("dvvideo", "matroska", "libx264", "is not written here"),
        ("utvideo", "matroska", "ffv1", "is not written here"),
        ("dnxhd", "mov", "prores_ks", "is not written here"),
        ("h264", "webm", "libvpx-vp9", "does not fit into a .webm file"),
    ],
)
def test_the_codec_family_of_the_source_is_matched(source, muxer, codec, why):
    found, sentence = choose_codec(source, "yuv420p", 640, 480, muxer=muxer)
    assert found == codec
    assert why in sentence
    assert bool(sentence) == bool(why)


@pytest.mark.parametrize(
    ("source", "name", "size", "codec"),
    [
        ("h264", "yuv422p10le", (64, 48), "libx264"),
        ("av1", "yuv444p10le", (64, 48), "libx265"),
        ("av1", "yuv420p10le", (64, 48), "libsvtav1"),
        ("h264", "gbrp", (64, 48), "libx265"),
        ("hevc", "yuv422p12le", (64, 48), "libx265"),
        ("vp9", "yuv420p10le", (64, 48), "libx265"),
        ("h264", "yuv420p", (37, 21), "libx264"),
    ],
)
def test_bits_and_chroma_come_before_the_family(source, name, size, codec):
    assert choose_codec(source, name, *size, muxer="matroska")[0] == codec


@pytest.mark.parametrize("codec", [name for name in CODECS if name.endswith("_nvenc")])
def test_an_encoder_that_does_not_open_here_is_said_before_the_work(tmp_path, codec):
    if encoder_opens(codec):
        pytest.skip(f"{codec} opens on this machine")
    source = make_clip(tmp_path / "in.mp4", Clip(count=2))
    with pytest.raises(ConfigError, match=f"the encoder {codec} does not open here .it needs an NVIDIA GPU"):
        check_destination(source, tmp_path / "out.mkv", codec)


@pytest.mark.parametrize("codec", ["hevc_nvenc", "h264_nvenc"])
def test_nvenc_keeps_ten_bits_and_chroma(codec):
    assert choose_pixel_format(codec, "yuv420p10le", 64, 48) == "p010le"
    assert choose_pixel_format(codec, "yuv420p", 64, 48) == "yuv420p"


@pytest.mark.parametrize("codec", CODECS)
def test_quality_is_one_scale_for_all_encoders(codec):
    settings = [same_quality(codec, crf) for crf in range(52)]
    assert settings == sorted(settings)
    assert 0 <= settings[0] <= 1
    assert settings[-1] == (63 if codec in ("libsvtav1", "libvpx-vp9") else 51)


@pytest.mark.parametrize("name", ["out.avi", "out.ts", "out.mpg", "out.vob", "out.wmv", "out.3gp"])
def test_containers_that_are_only_read_are_said(tmp_path, name):
    source = make_clip(tmp_path / "in.mp4", Clip(count=2))
    with pytest.raises(VideoError, match=r"choose one of \.mp4, .*: \.mkv takes every kind of stream"):
        check_destination(source, tmp_path / name, "auto")


def test_without_a_name_the_output_is_in_the_container_of_the_source(command, tmp_path):
    names = {"film.MP4": "film.restored.mp4", "a.b.webm": "a.b.restored.webm", "tape.avi": "tape.restored.mkv"}
    for name, expected in names.items():
        assert default_output(tmp_path / name) == tmp_path / expected
    (tmp_path / "still.png").touch()
    done = command("restore", tmp_path / "still.png")
    assert done.code == 2
    assert "name the output with -o" in done.err


# hostile or odd


@pytest.mark.parametrize("timecode", ["not a time", "01:00:00:02 \x1b[31m", "99"])
def test_a_timecode_that_is_none_does_not_spoil_the_end(tmp_path, timecode):
    source = make_film(tmp_path / "in.mkv", Film(tags={"title": "A film", "timecode": timecode}))
    (warning,) = copy(source, tmp_path / "out.mp4")
    assert "is not kept: it is no timecode" in warning
    assert "\x1b" not in warning
    assert shown(tmp_path / "out.mp4") == shown(source)
