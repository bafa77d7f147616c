"""The report: what is in it, and that a browser shows it, moves it by keyboard, and asks the network for nothing."""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY, Finished
from playwright.sync_api import sync_playwright

from vidrestore import cli, store
from vidrestore.config import Settings
from vidrestore.gating import COMPONENTS_MOVED, Verdict
from vidrestore.report import report_video
from vidrestore.report.album import MOST_SCENES, MOST_VIEWS, Album, evenly
from vidrestore.report.facts import Facts
from vidrestore.report.markup import clock
from vidrestore.report.outcome import stretches_of
from vidrestore.report.page import render, verdict
from vidrestore.timeline import TOO_SMALL, build_timeline
from vidrestore.types import Analysis, Span
from vidrestore.video import VideoWriter, read_frames

OLD = REPOSITORY / "samples" / "astronaut_old.mp4"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
HOSTILE = (
    "</h3><script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "\u202emary\u202c مريم",
    "👩‍🚀 O'Neill & ${verdict}",
)
"""What a person or a file may be called."""
Page = Any
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over 18 frames of the sample, around its cut: ``old.mkv``, ``new.mkv``, ``work`` and ``run.html``."""
    folder = tmp_path_factory.mktemp("report")
    span = Span(1.42, 2.14)
    with VideoWriter(OLD, folder / "old.mkv", codec="ffv1", crf=0, preset="veryfast", span=span) as writer:
        for frame in read_frames(OLD, span):
            writer.write(frame)
    arguments = ["restore", folder / "old.mkv", "-o", folder / "new.mkv", "--work", folder / "work"]
    code = cli.run([*map(str, arguments), "--report", str(folder / "run.html"), "--gate.smoothing-seconds", "0.1"])
    assert code == 0
    return folder


@pytest.fixture(scope="module")
def analysis(folder: Path) -> Analysis:
    return store.load(folder / "work")


@pytest.fixture(scope="module")
def glimpses(folder: Path) -> Facts:
    """The report of the source alone, ``glimpses.html``."""
    return report_video(folder / "old.mkv", folder / "glimpses.html", work=folder / "work")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on the path")
    with sync_playwright() as running:
        launched = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Open]:
    """Open a file; anything on the network, any error and any dialog fails the test."""
    contexts, troubles = [], []

    def open_(path: Path, **options: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 900}, **options})
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("request", lambda request: check_address(request.url))
        page.on("console", lambda said: troubles.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("dialog", lambda dialog: (troubles.append(dialog.message), dialog.dismiss()))
        page.goto(path.as_uri())
        return page

    def check_address(address: str) -> None:
        if not address.startswith(("file:", "data:")):
            troubles.append(f"asked for {address}")

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []


class Structure(HTMLParser):
    """Tags with their attributes, and what is left open."""

    VOID = frozenset({"meta", "img", "input", "link", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.left_open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.left_open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.left_open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.mark.parametrize("kind", ["run", "glimpses"])
def test_structure(folder: Path, glimpses: Facts, kind: str) -> None:
    assert glimpses.kind == "glimpses"
    page = (folder / f"{kind}.html").read_text(encoding="utf-8")
    parsed = Structure(page)
    assert parsed.left_open == []
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in parsed.all("a") if link["href"]} <= set(ids)
    assert all(image["alt"] and str(image["src"]).startswith("data:image/jpeg;base64,") for image in parsed.all("img"))
    assert all(slider["type"] == "range" and slider["aria-label"] for slider in parsed.all("input"))
    levels = [int(tag[1]) for tag, _ in parsed.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(below - above <= 1 for above, below in pairwise(levels))
    assert not [tag for tag, _ in parsed.tags if tag in ("link", "iframe", "object", "form")]
    assert len(parsed.all("script")) == 1 and "src" not in parsed.all("script")[0]
    assert not list(folder.glob("*.part"))
    assert len(page) < 15e6


def test_a_run_tells_what_was_done(folder: Path) -> None:
    page = (folder / "run.html").read_text(encoding="utf-8")
    assert "18 of 18 faces of 1 person restored" in page
    assert "Restored faces are estimates." in page and "Apache-2.0" in page
    assert "frames/s" in page and "sha256" in page
    assert "<code>gate.smoothing_seconds = 0.1</code> instead of <code>0.25</code>" in page


def test_face_crops_are_of_full_size_and_changed(glimpses: Facts) -> None:
    assert len(glimpses.views) > 0
    for view in glimpses.views:
        before, after = (
            cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR)
            for packed in (view.crop.before, view.crop.after)
        )
        assert before is not None and after is not None and before.shape == after.shape == (512, 512, 3)
        assert view.change > 1 and view.sharpness_after > view.sharpness_before
        assert view.factor is not None


def test_frames_are_spread_over_shots(glimpses: Facts) -> None:
    base = glimpses.analysis.video.time_base
    cut = float(glimpses.analysis.shots[1].first * base)
    sides = {scene.seconds < cut for scene in glimpses.scenes}
    assert len(glimpses.analysis.shots) == 2 and sides == {True, False}


def test_glimpses_are_what_a_run_gives(folder: Path, glimpses: Facts) -> None:
    """Only the gate's steadying over time differs, and here nothing is held back."""
    restored = {round(frame.seconds, 3): frame.image for frame in read_frames(folder / "new.mkv")}
    for scene in glimpses.scenes:
        shown = cv2.imdecode(np.frombuffer(scene.frame.after, np.uint8), cv2.IMREAD_COLOR)
        assert shown is not None
        apart = np.abs(shown[:, :, ::-1].astype(float) - restored[round(scene.seconds, 3)]).mean()
        assert apart < 3  # JPEG here and x264 there lose about one level each


def test_a_finished_output_is_compared(folder: Path) -> None:
    path = folder / "finished.html"
    facts = report_video(folder / "old.mkv", path, restored=folder / "new.mkv", work=folder / "work")
    assert facts.kind == "finished" and facts.output == "new.mkv"
    assert len(facts.samples) == 18 and all(sample.after is not None for sample in facts.samples)
    assert max(view.change for view in facts.views) > 1
    assert "estimates" in facts.weights  # what the output's own metadata says


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{folder}/old.mkv", "-o", "{folder}/old.mkv"], "would overwrite the video"),
        (["{folder}/old.mkv", "-o", "{folder}"], "is a folder"),
        (["{folder}/old.mkv", "-o", "{folder}/none/r.html"], "there is no folder"),
        (["{folder}/none.mkv", "-o", "{folder}/r.html"], "none.mkv"),
        (["{folder}/old.mkv", "--restored", "{clip}", "-o", "{folder}/r.html"], "is not"),
    ],
)
def test_mistakes_are_told(
    command: Callable[..., Finished], folder: Path, clip: Path, arguments: list[str], told: str
) -> None:
    named = [argument.format(folder=folder, clip=clip) for argument in arguments]
    done = command("report", *named, "--work", folder / "work", "--quiet")
    assert done.code == 3 and told in done.err and "Traceback" not in done.err
    assert not (folder / "r.html").exists()


def test_a_report_over_the_output_is_refused_before_the_run(
    command: Callable[..., Finished], folder: Path, tmp_path: Path
) -> None:
    done = command("restore", folder / "old.mkv", "-o", tmp_path / "o.mkv", "--report", tmp_path / "o.mkv")
    assert done.code == 3 and "would overwrite" in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_video_without_faces(command: Callable[..., Finished], clip: Path, tmp_path: Path, opened: Open) -> None:
    done = command("report", clip, "-o", tmp_path / "r.html", "--work", tmp_path / "work", "--quiet")
    assert done.code == 0, done.err
    page = opened(tmp_path / "r.html")
    assert "No faces were found in 24 frames" in page.inner_text("header")


def test_what_was_held_back_is_kept_and_told(analysis: Analysis) -> None:
    timeline = build_timeline(analysis, Settings().fading)
    album = Album(analysis, timeline, 512, measured=[])
    picture = np.zeros((288, 384, 3), dtype=np.uint8)
    times = sorted(timeline.faces)
    for pts, factor in zip(times, [1.0, 0.5, 0.7, 0.2, *[1.0] * len(times)], strict=False):
        (face,) = timeline.at(pts)
        verdicts = {face.track_id: Verdict(factor, COMPONENTS_MOVED if factor < 1 else None)}
        if album.worth_a_look(pts, verdicts):
            album.see(pts, picture, picture, verdicts)
    (worst,) = [scene for scene in album.scenes() if scene.worst_factor < 0.5]
    assert worst.seconds == pytest.approx(float(times[3] * analysis.video.time_base))
    assert album.samples == []
    held = {(pts, timeline.at(pts)[0].track_id): COMPONENTS_MOVED for pts in times[1:4]}
    (stretch,) = stretches_of(analysis, timeline, Settings(), held)
    assert (stretch.faces, stretch.reason) == (3, COMPONENTS_MOVED)


def test_pictures_are_bounded_whatever_the_length(analysis: Analysis) -> None:
    timeline = build_timeline(analysis, Settings().fading)
    album = Album(analysis, timeline, 512, measured=evenly(timeline))
    for index, pts in enumerate(sorted(timeline.faces)):
        picture = np.full((288, 384, 3), index, dtype=np.uint8)
        album.see(pts, picture, np.full_like(picture, 2 * index), {})
    assert 2 <= len(album.scenes()) <= MOST_SCENES and 2 <= len(album.views()) <= MOST_VIEWS
    assert len(evenly(dataclasses.replace(timeline, faces=dict.fromkeys(range(100_000), ())))) <= 240


def test_reasons_are_counted_and_timed(folder: Path, glimpses: Facts) -> None:
    fading = dataclasses.replace(glimpses.settings.fading, min_eye_pixels=500.0, full_eye_pixels=600.0)
    settings = dataclasses.replace(glimpses.settings, fading=fading)
    facts = report_video(folder / "old.mkv", folder / "small.html", settings=settings, work=folder / "work")
    assert verdict(facts) == "0 of 18 faces of 1 person can be restored; 18 left as they were."
    assert facts.outcome.kept == {TOO_SMALL: 18} and sum(stretch.faces for stretch in facts.stretches) == 18
    assert facts.scenes == ()


def test_times_are_told_as_on_a_clock() -> None:
    told = [clock(seconds) for seconds in (0, 59.96, 61.25, 3600, -0.5)]
    assert told == ["0:00.0", "1:00.0", "1:01.2", "1:00:00.0", "-0:00.5"]


def test_a_divider_moves_by_arrow_keys(folder: Path, opened: Open) -> None:
    page = opened(folder / "run.html")
    compare = page.locator("#frames .compare").first
    slider = compare.locator("input")
    slider.focus()
    shown = {}
    for key in ("Home", "End"):
        slider.press(key)
        shown[key] = compare.screenshot()
    assert slider.get_attribute("aria-valuetext") == "100 percent before"
    slider.press("ArrowLeft")
    assert slider.input_value() == "99"
    first, last = (cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) for png in shown.values())
    assert first is not None and last is not None
    # The label and the handle move, too: the face in the middle must change.
    middle = (slice(40, first.shape[0] - 60), slice(60, first.shape[1] - 60))
    assert np.abs(first[middle].astype(float) - last[middle]).max() > 20


def test_the_keyboard_reaches_everything(folder: Path, opened: Open) -> None:
    page = opened(folder / "run.html")
    wanted = page.evaluate("""() => {
        const every = [...document.querySelectorAll("a, button, input, summary, .scroller, .bar[tabindex='0']")];
        every.forEach((each, number) => { each.dataset.number = number; });
        return every.length;
    }""")
    reached = []
    for _ in range(wanted):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.number"))
        outline = page.evaluate(
            "getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).opacity"
        )
        assert not outline.startswith("none1") or page.evaluate("document.activeElement.matches('.bar')")
    assert reached == [str(number) for number in range(wanted)]


def test_the_timeline_scrolls_and_zooms_by_keyboard(folder: Path, opened: Open) -> None:
    page = opened(folder / "run.html")
    scroller = page.locator(".scroller")
    scroller.focus()
    width = "document.querySelector('.time').getBoundingClientRect().width"
    fitted = page.evaluate(width)
    scroller.press("+")
    scroller.press("+")
    assert page.evaluate(width) == pytest.approx(4 * fitted, rel=0.01)
    assert page.inner_text("#zoom").startswith("4")
    at = page.evaluate("document.querySelector('.scroller').scrollLeft")
    scroller.press("ArrowRight")
    # Scrolling is animated. The page's policy forbids playwright's own way of waiting, which evaluates text in it.
    deadline = time.monotonic() + 10
    while page.evaluate("document.querySelector('.scroller').scrollLeft") <= at and time.monotonic() < deadline:
        page.wait_for_timeout(20)
    assert page.evaluate("document.querySelector('.scroller').scrollLeft") > at
    scroller.press("0")
    assert page.evaluate(width) == pytest.approx(fitted, rel=0.01)
    page.locator(".bar").first.focus()
    assert page.inner_text("#reading").startswith("shot 1, 0:0")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#reading").startswith("shot 2, 0:0")
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#reading").startswith("person 1, track")
    assert page.evaluate("document.querySelectorAll('.bar[tabindex=\"0\"]').length") == 1


def brightness(colour: str) -> float:
    """Relative luminance of a CSS colour (WCAG 2.2)."""
    levels = [int(level) / 255 for level in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in levels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark_with_contrast(folder: Path, opened: Open, scheme: str) -> None:
    page = opened(folder / "run.html", color_scheme=scheme)
    colours = page.evaluate("""() => ["page", "raised", "caution", "ink", "quiet", "accent", "held"].map((name) => {
        const probe = document.body.appendChild(document.createElement("i"));
        probe.style.color = `var(--${name})`;
        const colour = getComputedStyle(probe).color;
        probe.remove();
        return colour;
    })""")
    ground, raised, caution, *texts = map(brightness, colours)
    assert (ground > 0.5) == (scheme == "light")
    for text in texts:
        for behind in (ground, raised):
            assert (max(text, behind) + 0.05) / (min(text, behind) + 0.05) >= 4.5  # WCAG 2.2, AA
    assert (max(texts[0], caution) + 0.05) / (min(texts[0], caution) + 0.05) >= 4.5
    page.locator("#theme").click()
    background = brightness(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (background > 0.5) == (scheme == "dark")


@pytest.mark.parametrize("way", ["print", "no script"])
def test_both_pictures_show_where_nothing_moves(folder: Path, opened: Open, way: str) -> None:
    page = opened(folder / "run.html", java_script_enabled=way == "print")
    if way == "print":
        page.emulate_media(media="print")
    before, after = (page.locator(f"#frames .{side} img").first for side in ("before", "after"))
    left, right = before.bounding_box(), after.bounding_box()
    assert left["x"] + left["width"] <= right["x"] and left["y"] == right["y"] and right["width"] > 150
    assert page.locator("#frames .before").first.evaluate("e => getComputedStyle(e).clipPath") == "none"
    assert not page.locator("#frames input").first.is_visible()
    assert page.locator(".time .bar").first.is_visible()


@pytest.mark.parametrize("width", [360, 768])
def test_narrow_screens_do_not_scroll_sideways(folder: Path, opened: Open, width: int) -> None:
    page = opened(folder / "run.html", viewport={"width": width, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") == width


def test_hostile_names_are_shown_and_inert(glimpses: Facts, opened: Open, tmp_path: Path) -> None:
    (person,) = glimpses.analysis.identities
    people = tuple(dataclasses.replace(person, id=number, name=name) for number, name in enumerate(HOSTILE))
    analysis = dataclasses.replace(glimpses.analysis, identities=people, warnings=HOSTILE)
    facts = dataclasses.replace(glimpses, analysis=analysis, source=f"{HOSTILE[0]}.mp4", output=HOSTILE[1], kind="run")
    (tmp_path / "hostile.html").write_text(render(facts), encoding="utf-8")
    page = opened(tmp_path / "hostile.html")
    assert page.title() == f"{HOSTILE[0]}.mp4 · vidrestore report"
    assert page.locator("script").count() == 1
    assert page.locator("img:not([src^='data:'])").count() == 0
    assert page.locator("#people h3 bdi").all_inner_texts() == list(HOSTILE)


def test_scripts_but_its_own_do_not_run(folder: Path, browser: Any, tmp_path: Path) -> None:
    """The page's own policy forbids them, should any text ever slip through."""
    page = (folder / "run.html").read_text(encoding="utf-8")
    slipped = page.replace("<main>", "<main><script>document.title = 'owned'</script>")
    (tmp_path / "slipped.html").write_text(slipped, encoding="utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "slipped.html").as_uri())
    assert tab.title() != "owned" and tab.locator(".live").count() == 1
    tab.close()


def test_stretched_pixels_are_shown_square(folder: Path, glimpses: Facts) -> None:
    assert {(scene.frame.width, scene.frame.height) for scene in glimpses.scenes} == {(384, 288)}
    video = dataclasses.replace(glimpses.analysis.video, sample_aspect_ratio=Fraction(4, 3))
    wide = dataclasses.replace(glimpses.analysis, video=video)
    timeline = build_timeline(wide, Settings().fading)
    album = Album(wide, timeline, 512, measured=evenly(timeline))
    for frame in read_frames(folder / "old.mkv"):
        album.see(frame.pts, frame.image, 255 - frame.image, {})
    assert {(scene.frame.width, scene.frame.height) for scene in album.scenes()} == {(512, 288)}


def test_templates_are_in_the_package() -> None:
    names = {path.name for path in resources.files("vidrestore.report").joinpath("templates").iterdir()}
    assert names == {"report.html", "report.css", "report.js"}
