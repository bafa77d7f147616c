"""Shots, tracks and people against the truth: on real clips, on edits made from portraits, and where nobody is.

    python benchmarks/people.py SHARED [--faces compact] [--stride N] [--clips NAME ...] [--skip-synthetic]
        [--skip-backgrounds]

SHARED holds `clips` with ground_truth.json and landmarks, `portraits` (split `val` is used) and `backgrounds`. A line
for each clip goes to stderr, all figures as JSON to stdout. Nothing is kept.

* cuts: precision and recall of the exact first frames of shots. A dissolve or fade counts as found where one shot
  begins within it, and that shot is then no false cut.
* coverage: share of the true faces of restorable size (eyes at least `fading.min_eye_pixels` apart, of those with a
  box in the truth) that lie on a track in their frame: boxes overlap by 0.25 or more.
* fragments: mean and most tracks with 3 or more frames for each person and shot.
* stray tracks: tracks on no true face, where the truth has every face.
* people: identities found, and how many there are.
* identity F1: of pairs of face-frames that lie on tracks. A pair is found where both have the same identity, and right
  where both are one person; face-frames without an identity are alone. None where the truth does not say who is where.
* wrong merges: identities with tracks of two people or more, a track being of the person whom most of it shows.
* margin: threshold, least similarity of a join, and largest similarity of two people left apart.

Of `interview_*` and `two_people_*` the truth says who is where from left to right; shots with one person need no order.
Who is where in tos_bridge, chaplin and the group of archival_army is not told, so their F1 is of what is told.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from scenes import HEIGHT, WIDTH, Edit, TrueFace, edits, write

from vidrestore.analysis import Analyzer, analyze_frames
from vidrestore.config import FacesSettings, Settings
from vidrestore.detectors import build_detector
from vidrestore.geometry import eye_distance, overlap
from vidrestore.smoothing import RtsSmoother
from vidrestore.tracking import TrackingSettings
from vidrestore.training.composites import load_backgrounds
from vidrestore.training.portraits import LoadedPortrait, list_portraits, load_portraits
from vidrestore.types import Analysis, Detector, Frame, Image, Span, Track
from vidrestore.video import picture_from_rgb, probe, read_frames

MATCH = 0.25
SHORTEST_FRAGMENT = 3
LANDMARKS = {
    "interview_edit_270p_degraded.mp4": ("interview_edit_720p", 0.375),
    "carphone_qcif_degraded.mp4": ("carphone_qcif_clean", 1.0),
}
"""Clips that are measured by the landmarks of another one: its name and the scale from it."""
LEFT_TO_RIGHT = ("interview_", "two_people_")
"""Beginnings of the names of clips whose people the truth names from left to right."""
CAST = ("london-012", "london-066", "london-121", "london-143", "caltech-p138", "caltech-p429")
"""People of `val` with two pictures or more of one time."""
STILL_FRAMES = 12


@dataclass(frozen=True)
class Truth:
    """What is to be found in a video."""

    cuts: tuple[int, ...]
    gradual: tuple[tuple[int, int], ...]
    faces: tuple[tuple[TrueFace, ...], ...]
    """Of each frame, as far as they are told; a person of unknown name is ``?``."""
    people: int
    complete: bool
    """Whether ``faces`` has all faces."""


def clip_truth(folder: Path, name: str, told: dict[str, Any]) -> Truth:
    """The truth of a real clip, from ground_truth.json and the landmarks of another detector."""
    stem, scale = LANDMARKS.get(name, (Path(name).stem, 1.0))
    stored = folder / "landmarks" / f"{stem}.npz"
    faces: list[tuple[TrueFace, ...]] = [() for _ in range(told["frames"])]
    if stored.exists():
        with np.load(stored) as found:
            frames, boxes, landmarks = found["frame"], found["box"] * scale, found["landmarks68"] * scale
        shots = {frame: shot for shot in told["shots"] for frame in range(shot["start"], shot["end"] + 1)}
        for frame in np.unique(frames).tolist():
            here = sorted(np.flatnonzero(frames == frame).tolist(), key=lambda i: float(boxes[i][0] + boxes[i][2]))
            names = shots[frame]["identities"]
            named = len(names) == len(here) and (len(names) == 1 or name.startswith(LEFT_TO_RIGHT))
            faces[frame] = tuple(
                TrueFace(names[k] if named else "?", boxes[i].astype(np.float32), eye_distance(landmarks[i]))
                for k, i in enumerate(here)
            )
    return Truth(tuple(told["cuts"]), (), tuple(faces), told["n_identities"], complete=told["n_identities"] == 0)


def edit_truth(edit: Edit) -> Truth:
    """The truth of an edit that was rendered: all of it."""
    people = len({face.person for faces in edit.faces for face in faces})
    return Truth(tuple(edit.cuts), tuple(edit.gradual), tuple(edit.faces), people, complete=True)


def analyze(path: Path, detector: Detector, settings: Settings) -> Analysis:
    """Pass 1, kept nowhere."""
    with closing(read_frames(path)) as frames:
        return analyze_frames(frames, probe(path), "", Span(), detector, RtsSmoother(settings.smoothing), settings)


def judge(analysis: Analysis, pts: Sequence[int], truth: Truth, min_eyes: float) -> dict[str, Any]:
    """All figures of one video whose frames have these ``pts``."""
    owners = {track_id: person.id for person in analysis.identities for track_id in person.track_ids}
    number = {value: index for index, value in enumerate(pts)}
    shot_of = np.searchsorted([shot.first for shot in analysis.shots], pts, side="right")
    present: dict[int, list[tuple[Track, int]]] = defaultdict(list)
    for track in analysis.tracks:
        for row, value in enumerate(track.pts.tolist()):
            present[number[value]].append((track, row))
    restorable = covered = 0
    shown: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    fragments: dict[tuple[str, int], dict[int, int]] = defaultdict(lambda: defaultdict(int))
    touched = set()
    for index, faces in enumerate(truth.faces):
        free = list(present[index])
        for face in faces:
            shared = [float(overlap(face.box[None], track.boxes[row][None])[0, 0]) for track, row in free]
            best = int(np.argmax(shared)) if shared else -1
            hit = best >= 0 and shared[best] >= MATCH
            if face.eyes >= min_eyes:
                restorable, covered = restorable + 1, covered + hit
            if hit:
                track, _ = free.pop(best)
                touched.add(track.id)
                if face.person != "?":
                    shown[track.id][face.person] += 1
                    fragments[face.person, int(shot_of[index])][track.id] += 1
    pieces = [sum(frames >= SHORTEST_FRAGMENT for frames in tracks.values()) for tracks in fragments.values()]
    return {
        "cuts": _cuts(analysis, number, truth),
        "people": len(analysis.identities),
        "true_people": truth.people,
        "tracks": len(analysis.tracks),
        "unassigned_tracks": sum(track.id not in owners for track in analysis.tracks),
        "stray_tracks": sum(t.id not in touched for t in analysis.tracks) if truth.complete else None,
        "restorable": restorable,
        "coverage": round(covered / restorable, 4) if restorable else None,
        "fragments_mean": round(float(np.mean(pieces)), 2) if pieces else None,
        "fragments_most": max(pieces, default=None),
        **_identity_figures(shown, owners),
        "margin": None if analysis.margin is None else asdict(analysis.margin),
    }


def _cuts(analysis: Analysis, number: dict[int, int], truth: Truth) -> dict[str, Any]:
    begun = [number[shot.first] for shot in analysis.shots[1:]]
    hard = [cut for cut in begun if not any(first <= cut <= last + 1 for first, last in truth.gradual)]
    gradual = sum(any(first <= cut <= last + 1 for cut in begun) for first, last in truth.gradual)
    right = len(set(hard) & set(truth.cuts))
    return {
        "precision": right / len(hard) if hard else 1.0,
        "recall": right / len(truth.cuts) if truth.cuts else 1.0,
        "wrong": sorted(set(hard) - set(truth.cuts)),
        "missed": sorted(set(truth.cuts) - set(hard)),
        "gradual_found": f"{gradual} of {len(truth.gradual)}",
    }


def _identity_figures(shown: dict[int, dict[str, int]], owners: dict[int, int]) -> dict[str, Any]:
    """Pairwise precision, recall and F1 of face-frames, and the identities that hold two people."""
    if not shown:
        return {"identity_precision": None, "identity_recall": None, "identity_f1": None, "wrong_merges": None}
    cells: dict[tuple[int, str], int] = defaultdict(int)
    main: dict[int, set[str]] = defaultdict(set)
    for track_id, people in shown.items():
        owner = owners.get(track_id)
        for person, frames in people.items():
            # Frames without an identity are alone: none of their pairs is found.
            cells[-1 if owner is None else owner, person] += frames
        if owner is not None:
            main[owner].add(max(people, key=lambda name: people[name]))
    found, true = defaultdict(int), defaultdict(int)
    for (owner, person), frames in cells.items():
        true[person] += frames
        if owner >= 0:
            found[owner] += frames
    both = sum(_pairs(frames) for (owner, _), frames in cells.items() if owner >= 0)
    precision = both / max(sum(map(_pairs, found.values())), 1)
    recall = both / max(sum(map(_pairs, true.values())), 1)
    return {
        "identity_precision": round(precision, 4),
        "identity_recall": round(recall, 4),
        "identity_f1": round(2 * precision * recall / max(precision + recall, 1e-9), 4),
        "wrong_merges": sum(len(people) > 1 for people in main.values()),
    }


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def real_clips(folder: Path, names: list[str] | None, detector: Detector, settings: Settings) -> dict[str, Any]:
    """The figures of the clips called ``names``, or of all."""
    videos = {}
    for name, told in json.loads((folder / "ground_truth.json").read_text()).items():
        if names is None or Path(name).stem in names:
            videos[name] = measure(folder / name, clip_truth(folder, name, told), detector, settings)
            report(name, videos[name])
    return videos


def synthetic_edits(folder: Path, scenery: Sequence[Image], detector: Detector, settings: Settings) -> dict[str, Any]:
    """The figures of the edits that :mod:`scenes` makes of portraits."""
    videos = {}
    with tempfile.TemporaryDirectory() as temporary:
        for edit in edits(cast_of(folder), places(scenery)):
            path = Path(temporary) / "edit.mp4"
            write(edit, path)
            videos[edit.name] = measure(path, edit_truth(edit), detector, settings)
            report(edit.name, videos[edit.name])
    return videos


def measure(path: Path, truth: Truth, detector: Detector, settings: Settings) -> dict[str, Any]:
    """Analyze a video and judge what was found."""
    with closing(read_frames(path)) as frames:
        pts = [frame.pts for frame in frames]
    began = time.perf_counter()
    analysis = analyze(path, detector, settings)
    seconds = time.perf_counter() - began
    figures = judge(analysis, pts, truth, settings.fading.min_eye_pixels)
    return figures | {"frames_per_second": round(len(pts) / seconds, 1)}


def cast_of(folder: Path) -> list[tuple[LoadedPortrait, ...]]:
    """Two pictures of each person in CAST."""
    portraits = list_portraits(folder, "val")
    chosen = [[portrait for portrait in portraits if portrait.person == name][:2] for name in CAST]
    return [tuple(load_portraits(pictures, face_width=160)) for pictures in chosen]


def places(backgrounds: Sequence[Image]) -> list[Image]:
    """The middles of pictures that are large enough to stand in."""
    large = [image for image in backgrounds if image.shape[0] >= HEIGHT and image.shape[1] >= WIDTH]
    return [image[-HEIGHT:, (image.shape[1] - WIDTH) // 2 :][:, :WIDTH] for image in large]


def surviving(image: Image, detector: Detector, settings: Settings) -> int:
    """Tracks on a still of half a second; where nothing sure is detected none can begin."""
    if not any(face.score >= settings.tracking.high_score for face in detector.detect(image)):
        return 0
    analyzer = Analyzer(detector, RtsSmoother(settings.smoothing), settings)
    for pts in range(STILL_FRAMES):
        analyzer.add(Frame(pts, Fraction(1, 25), picture_from_rgb(image)))
    return len(analyzer.finish().tracks)


def report(name: str, figures: dict[str, Any]) -> None:
    """One line of a video, to stderr."""
    cuts = figures["cuts"]
    print(
        f"{name:34s} cuts P {cuts['precision']:.2f} R {cuts['recall']:.2f} gradual {cuts['gradual_found']}  "
        f"people {figures['people']}/{figures['true_people']}  F1 {figures['identity_f1']}  "
        f"merges {figures['wrong_merges']}  coverage {figures['coverage']} of {figures['restorable']}  "
        f"fragments {figures['fragments_mean']}/{figures['fragments_most']}  tracks {figures['tracks']} "
        f"({figures['unassigned_tracks']} nobody's, {figures['stray_tracks']} stray)",
        file=sys.stderr,
    )


def summary(videos: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Worst and mean over all videos."""
    known = [figures for figures in videos.values() if figures["identity_f1"] is not None]
    covered = [(f["coverage"], f["restorable"]) for f in videos.values() if f["coverage"] is not None]
    return {
        "cuts_exact": all(f["cuts"]["precision"] == f["cuts"]["recall"] == 1 for f in videos.values()),
        "people_right": f"{sum(f['people'] == f['true_people'] for f in videos.values())} of {len(videos)}",
        "least_identity_f1": min((f["identity_f1"] for f in known), default=None),
        "wrong_merges": sum(f["wrong_merges"] for f in known),
        "coverage": round(sum(c * n for c, n in covered) / max(sum(n for _, n in covered), 1), 4),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--faces", default="compact")
    parser.add_argument("--stride", type=int, default=1, help="as tracking.stride")
    parser.add_argument("--clips", nargs="*", help="names of clips without their endings; all if left out")
    parser.add_argument("--skip-synthetic", action="store_true")
    parser.add_argument("--skip-backgrounds", action="store_true")
    arguments = parser.parse_args()
    settings = Settings(faces=FacesSettings(pack=arguments.faces), tracking=TrackingSettings(stride=arguments.stride))
    detector = build_detector(settings.faces, "cpu")
    videos = real_clips(arguments.shared / "clips", arguments.clips, detector, settings)
    scenery = load_backgrounds(arguments.shared / "backgrounds", longest=800)
    if not arguments.skip_synthetic:
        videos |= synthetic_edits(arguments.shared / "portraits", scenery, detector, settings)
    figures: dict[str, Any] = {"pack": detector.name, "summary": summary(videos), "videos": videos}
    if not arguments.skip_backgrounds:
        sample = scenery[::5][:100]
        tracked = sum(surviving(image, detector, settings) > 0 for image in sample)
        figures["backgrounds_with_a_track"] = f"{tracked} of {len(sample)}"
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
