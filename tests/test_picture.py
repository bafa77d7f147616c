"""Pictures in every pixel format: shown by their own matrix, range and transfer, and changed in their stored codes."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import faces
import media
import numpy as np
import pytest
from media import Clip, drawing, make_clip
from numpy.typing import NDArray

from vidrestore.alignment import crop_face
from vidrestore.blending import paste
from vidrestore.types import ColorInfo, Frame
from vidrestore.video import DecodeReport, VideoWriter, picture_from_rgb, probe, read_frames
from vidrestore.video.layout import find_layout
from vidrestore.video.picture import StoredPicture, wrap

PQ, HLG, BT2020, BT709, BT601 = 16, 18, 9, 1, 6
EDITABLE = [
    *(f"yuv{chroma}p{depth}" for chroma in (420, 422, 444) for depth in ("", "9le", "10le", "12le", "14le", "16le")),
    *(f"yuvj{chroma}p" for chroma in (420, 422, 444)),
    *(f"yuva{chroma}p{depth}" for chroma in (420, 422, 444) for depth in ("", "10le")),
    *(f"gray{depth}" for depth in ("", "9le", "10le", "12le", "14le", "16le")),
    *(f"gbr{alpha}p{depth}" for alpha in ("", "a") for depth in ("", "10le", "12le", "16le")),
    *(f"{order}{bits}" for order in ("rgb", "bgr") for bits in ("24", "a", "0")),
    *("yuv410p", "yuv411p", "yuv440p", "yuv440p10le", "nv12", "nv16", "nv21"),
    *("argb", "abgr", "0rgb", "0bgr", "rgb48le", "rgba64le"),
]
CONVERTED = {
    "uyvy422": "yuv422p",
    "yuyv422": "yuv422p",
    "p010le": "yuv420p10le",
    "nv20le": "yuv422p10le",
    "nv24": "yuv444p",
    "gbrp10be": "rgb48le",
    "gray10be": "gray12le",
    "ya8": "rgba",
    "rgb565le": "rgb24",
    "monob": "gray",
}
SIZES = [(64, 48), (37, 21)]
HLG_OPTIONS = {
    "preset": "ultrafast",
    "x265-params": "log-level=none:colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:range=limited",
}


def codes(picture: StoredPicture) -> list[NDArray]:
    return [picture.codes(component).copy() for component in picture.layout.components]


def noise(name: str, width: int, height: int, color: ColorInfo) -> StoredPicture:
    """A picture of random codes, within the range it has."""
    picture = picture_from_rgb(np.zeros((height, width, 3), np.uint8), pixel_format=name, color=color)
    rng, top = np.random.default_rng(3), 2**picture.layout.bits - 1
    for component in picture.layout.components:
        picture.codes(component)[...] = rng.integers(top // 10, top - top // 10, picture.codes(component).shape)
    return picture


# formats


@pytest.mark.parametrize("name", EDITABLE)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pixels_outside_a_change_keep_their_bits(name, size):
    """Also alpha and padding: the whole stored frame is compared."""
    width, height = size
    for color in (ColorInfo(), ColorInfo(BT2020, PQ, BT2020, True)):
        picture = noise(name, width, height, color)
        old = codes(picture)
        spare = [bytes(plane) for plane in picture.stored.planes[len({c.plane for c in picture.layout.components}) :]]
        change = np.zeros((height, width, 3), np.float32)
        change[8:16, 8:24] = (31, -22, 14)
        picture.add(0, 0, change)
        for component, was in zip(picture.layout.components, old, strict=True):
            wide, high = component.block_width, component.block_height
            outside = np.ones(was.shape, bool)
            outside[8 // high : -(-16 // high), 8 // wide : -(-24 // wide)] = False
            now = picture.codes(component)
            assert np.array_equal(now[outside], was[outside])
            assert (now[~outside] != was[~outside]).mean() > 0.9
        assert [bytes(plane) for plane in picture.stored.planes[len(picture.stored.planes) - len(spare) :]] == spare


@pytest.mark.parametrize("name", EDITABLE)
def test_a_face_that_is_restored_to_itself_changes_nothing(name):
    for color in (ColorInfo(full_range=True), ColorInfo(BT2020, PQ, BT2020, False), ColorInfo(BT2020, HLG, BT2020)):
        frame = Frame(0, Fraction(1, 25), noise(name, 97, 81, color))
        old = codes(frame.picture)
        crop = crop_face(frame.image, faces.face(faces.placed(48, 40, 22)), 96)
        paste(frame, crop, crop.image, 1.0)
        assert faces.same_planes(codes(frame.picture), old)


@pytest.mark.parametrize(("name", "becomes"), CONVERTED.items())
def test_other_formats_become_the_nearest_and_keep_what_they_show(name, becomes):
    assert find_layout(name) is None
    image = np.kron(
        np.random.default_rng(0).integers(0, 2, (6, 8, 3), np.uint8) * 200 + 20, np.ones((8, 8, 1), np.uint8)
    )
    if name in {"ya8", "gray10be", "monob"}:
        image = np.repeat(np.where(image[..., :1] > 100, 255, 0).astype(np.uint8), 3, axis=2)
    picture = wrap(media.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=name))
    assert picture.layout.name == becomes
    # Chroma is shared by pixels at the edges of the squares, and rgb565 has 5 bits.
    assert np.abs(picture.rgb().astype(int) - image).mean() < 12


def test_a_palette_becomes_its_colours():
    palette = np.zeros((256, 4), np.uint8)
    palette[:2] = [[255, 200, 40, 30], [255, 10, 150, 220]]  # alpha, red, green, blue
    indices = np.random.default_rng(0).integers(0, 2, (16, 24), np.uint8)
    picture = wrap(media.VideoFrame.from_ndarray((indices, palette), format="pal8"))
    assert picture.layout.name == "rgba"
    assert np.array_equal(picture.rgb(), palette[indices][..., 1:])


# colour


def signal_of(code: int, bits: int, full: bool, *, chroma: bool = False) -> float:
    """Rec. ITU-R BT.2100, table 9 (as BT.601 and BT.709): the analogue value of a code."""
    scale = 2 ** (bits - 8)
    if full:
        return (code - 2 ** (bits - 1)) / (2**bits - 1) if chroma else code / (2**bits - 1)
    return (code / scale - 128) / 224 if chroma else (code / scale - 16) / 219


def rgb_of(luma: float, blue: float, red: float, matrix: int) -> NDArray:
    """Rec. ITU-R BT.601 2.5.1, BT.709 3.2, BT.2020 table 4: R'G'B' of Y'CbCr."""
    kr, kb = {BT601: (0.299, 0.114), BT709: (0.2126, 0.0722), BT2020: (0.2627, 0.0593)}[matrix]
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    return np.array([r, (luma - kr * r - kb * b) / (1 - kr - kb), b])


@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "yuv444p12le", "nv12", "yuva444p10le"])
@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
@pytest.mark.parametrize("full", [False, True])
def test_known_codes_are_the_colours_of_the_standards(name, matrix, full):
    picture = picture_from_rgb(
        np.zeros((16, 16, 3), np.uint8), pixel_format=name, color=ColorInfo(matrix=matrix, full_range=full)
    )
    bits = picture.layout.bits
    for patch in [(81, 90, 240), (145, 54, 34), (41, 240, 110), (180, 128, 128), (130, 110, 150), (120, 105, 165)]:
        stored = [value * 2 ** (bits - 8) for value in patch]
        for component, code in zip(picture.layout.components, stored, strict=True):
            picture.codes(component)[...] = code
        picture = StoredPicture(picture.stored, color=picture.color)
        values = [signal_of(code, bits, full, chroma=place > 0) for place, code in enumerate(stored)]
        expected = np.clip(255 * rgb_of(*values, matrix), 0, 255)
        assert np.abs(picture.rgb()[8, 8] - expected).max() <= 1.5


@pytest.mark.parametrize(("name", "bits"), [("gray", 8), ("gray10le", 10), ("gray16le", 16)])
@pytest.mark.parametrize("full", [False, True])
def test_known_codes_of_grey(name, bits, full):
    picture = picture_from_rgb(np.zeros((8, 8, 3), np.uint8), pixel_format=name, color=ColorInfo(full_range=full))
    for value in (20, 128, 230):
        fresh = StoredPicture(picture.stored, color=picture.color)
        fresh.codes(fresh.layout.components[0])[...] = value * 2 ** (bits - 8)
        expected = 255 * signal_of(value * 2 ** (bits - 8), bits, full)
        assert np.abs(fresh.rgb() - expected).max() <= 1


# high dynamic range


def pq_signal(nits: float) -> float:
    """Rec. ITU-R BT.2100, table 4: the inverse EOTF."""
    y = (nits / 10000) ** (2610 / 16384)
    return float(((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32))


def hlg_signal(nits: float) -> float:
    """Rec. ITU-R BT.2100, table 5: OOTF of a grey on a display of 1000 cd/m2, inverted, and the OETF."""
    scene = (nits / 1000) ** (1 / 1.2)
    return float(np.sqrt(3 * scene) if scene <= 1 / 12 else 0.17883277 * np.log(12 * scene - 0.28466892) + 0.55991073)


def pq_picture(name: str, nits: float, full: bool = False) -> StoredPicture:
    color = ColorInfo(BT2020, PQ, BT2020, full)
    picture = picture_from_rgb(np.zeros((32, 32, 3), np.uint8), pixel_format=name, color=color)
    scale = 2 ** (picture.layout.bits - 8)
    luma = pq_signal(nits)
    values = [round(luma * (2**picture.layout.bits - 1))] * 3
    if not picture.layout.is_rgb:
        values = [values[0] if full else round((16 + 219 * luma) * scale), 128 * scale, 128 * scale]
    for component, value in zip(picture.layout.components, values, strict=False):
        picture.codes(component)[...] = value
    return StoredPicture(picture.stored, color=color)


@pytest.mark.parametrize("name", ["yuv420p10le", "yuv444p12le", "gbrp12le", "gray12le"])
@pytest.mark.parametrize("nits", [0.1, 5, 26, 100, 203, 600, 1000, 4000])
def test_pq_is_shown_as_hlg(name, nits):
    shown = pq_picture(name, nits).rgb().astype(float)
    # A 10-bit code is up to 1.3 levels of what is shown.
    assert np.abs(shown - min(255 * hlg_signal(nits), 255)).max() <= 1.7


def test_hlg_is_shown_as_it_is_stored():
    color = ColorInfo(BT2020, HLG, BT2020, False)
    picture = picture_from_rgb(np.full((16, 16, 3), 128, np.uint8), pixel_format="yuv420p10le", color=color)
    assert picture.codes(picture.layout.components[0])[0, 0] == pytest.approx((16 + 219 * 128 / 255) * 4, abs=1)
    assert np.abs(picture.rgb().astype(int) - 128).max() <= 1


@pytest.mark.parametrize("name", ["yuv420p10le", "yuv422p12le", "gbrp12le", "gray12le"])
@pytest.mark.parametrize("nits", [10, 100, 400])
def test_a_change_of_pq_changes_what_is_shown_by_as_much(name, nits):
    picture = pq_picture(name, nits)
    before, old = picture.rgb().astype(int), codes(picture)
    picture.add(7, 9, np.full((10, 10, 3), 12, np.float32))
    after = picture.rgb().astype(int)
    assert np.abs((after - before)[10:18, 8:16] - 12).max() <= 2
    luma = picture.codes(picture.layout.components[0])
    assert np.array_equal(luma[:9], old[0][:9])


def test_a_picture_made_of_what_is_shown_shows_the_same():
    color = ColorInfo(BT2020, PQ, BT2020, False)
    image = drawing(3, 64, 48)
    again = picture_from_rgb(image, pixel_format="yuv444p12le", color=color).rgb()
    assert np.abs(again.astype(int) - image).max() <= 2


# files


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("alpha.mov", Clip(codec="prores_ks", pixel_format="yuva444p10le", options={"profile": "4444"})),
        ("alpha.mkv", Clip(codec="ffv1", pixel_format="yuva420p", options={})),
        ("grey.mkv", Clip(codec="ffv1", pixel_format="gray10le", options={})),
        ("narrow.mkv", Clip(codec="ffv1", pixel_format="yuv411p", options={})),
        ("tall.mkv", Clip(codec="ffv1", pixel_format="yuv440p", options={})),
        ("rgb.mkv", Clip(codec="ffv1", pixel_format="gbrp12le", options={})),
        ("odd.mkv", Clip(codec="ffv1", pixel_format="yuv420p", size=(63, 47), options={})),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_sample_survives_a_lossless_copy(tmp_path, name, clip):
    clip.count = 3
    source, output = make_clip(tmp_path / name, clip), tmp_path / "b.mkv"
    report = DecodeReport()
    with VideoWriter(source, output, codec="ffv1") as writer:
        for frame in read_frames(source, report=report):
            writer.write(frame)
    assert report.warnings() == []
    for one, two in zip(read_frames(source), read_frames(output), strict=True):
        if "alpha" in name:
            assert bytes(one.picture.stored.planes[3]) == bytes(two.picture.stored.planes[3])
        assert np.array_equal(one.image, two.image)
        assert one.picture.layout.name == two.picture.layout.name
        assert faces.same_planes(codes(one.picture), codes(two.picture))


@pytest.mark.parametrize(("codec", "name"), [("libx264", "b.mp4"), ("libx265", "b.mkv"), ("prores_ks", "b.mov")])
def test_shape_of_pixels_rotation_and_hlg_are_kept(tmp_path, codec, name):
    source = make_clip(
        tmp_path / "a.mp4",
        Clip(
            count=3,
            codec="libx265",
            pixel_format="yuv420p10le",
            options=HLG_OPTIONS,
            rotation=90,
            aspect=Fraction(4, 3),
        ),
    )
    with VideoWriter(source, tmp_path / name, codec=codec) as writer:
        for frame in read_frames(source):
            writer.write(frame)
    one, two = probe(source), probe(tmp_path / name)
    assert (one.color, one.color.transfer, one.rotation) == (two.color, HLG, 90)
    assert one.sample_aspect_ratio == two.sample_aspect_ratio == Fraction(4, 3)


@pytest.fixture(scope="module")
def hdr10_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    display = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
    options = {"preset": "ultrafast", "x265-params": f"log-level=none:hdr10=1:transfer=smpte2084:{display}"}
    clip = Clip(count=3, codec="libx265", pixel_format="yuv420p10le", size=(128, 96), options=options)
    return make_clip(tmp_path_factory.mktemp("hdr10") / "a.mp4", clip)


def numbers(picture: StoredPicture) -> list[float]:
    """Mastering display and light levels of HDR10 as numbers."""
    display, light = picture.side_data("MASTERING_DISPLAY_METADATA"), picture.side_data("CONTENT_LIGHT_LEVEL")
    values = struct.unpack("<20i", display[:80])
    return [*(a / b for a, b in zip(values[::2], values[1::2], strict=True)), *struct.unpack("<II", light[:8])]


def test_av1_carries_hdr10(hdr10_clip, tmp_path):
    with VideoWriter(hdr10_clip, tmp_path / "b.mp4", codec="libsvtav1", preset="ultrafast") as writer:
        for frame in read_frames(hdr10_clip):
            writer.write(frame)
    assert writer.warnings == []
    one, two = (next(read_frames(path)).picture for path in (hdr10_clip, tmp_path / "b.mp4"))
    # AV1 counts chromaticities in 1/65536, and luminance in 1/256 and 1/16384 cd/m2.
    assert numbers(two) == pytest.approx(numbers(one), rel=1e-4, abs=1e-4)
    assert two.color.transfer == PQ


def test_an_encoder_without_hdr10_says_so(hdr10_clip, tmp_path):
    with VideoWriter(hdr10_clip, tmp_path / "b.mkv", codec="ffv1") as writer:
        for frame in read_frames(hdr10_clip):
            writer.write(frame)
    assert any("mastering display" in warning for warning in writer.warnings)
    pairs = zip(read_frames(hdr10_clip), read_frames(tmp_path / "b.mkv"), strict=True)
    assert all(faces.same_planes(codes(one.picture), codes(two.picture)) for one, two in pairs)
