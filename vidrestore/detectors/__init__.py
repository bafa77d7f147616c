"""Face detectors, by name of their model pack."""

from __future__ import annotations

from pathlib import Path

from vidrestore import weights
from vidrestore.config import FacesSettings, load_component
from vidrestore.errors import ComponentError
from vidrestore.types import Detector


def build_detector(settings: FacesSettings, device: str) -> Detector:
    """The detector that ``settings.pack`` names, on ``device`` (``cpu``, ``cuda``, ``cuda:N``, ``mps``).

    Raises:
        WeightsError: the pack is unknown, missing or damaged.
        ComponentError: a ``module:Class`` cannot be loaded or is no detector.
    """
    known = weights.is_known(settings.pack, "faces")
    if ":" in settings.pack and not Path(settings.pack).exists():
        detector = load_component(settings.pack)()
        lacking = [
            part
            for part in ("name", "licence", "device", "detect", "look", "embed", "same_person")
            if not hasattr(detector, part)
        ]
        if lacking:
            raise ComponentError(f"{settings.pack} lacks {', '.join(lacking)}, so it is no detector")
        return detector  # type: ignore[no-any-return]
    from vidrestore.detectors.insightface import SAME_PERSON, InsightFaceDetector

    if not known and Path(settings.pack).is_dir():
        return InsightFaceDetector(Path(settings.pack), Path(settings.pack).name, "your own files", settings, device)
    model = weights.find_model(settings.pack, "faces")
    folder, same_person = weights.checked_folder(model), model.same_person or SAME_PERSON
    return InsightFaceDetector(folder, model.name, model.licence, settings, device, same_person)
