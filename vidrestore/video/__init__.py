"""Video files: probe, read, seek and write. The only package that imports ``av`` or ``decord``."""

from vidrestore.video.cadence import CYCLE, FILM_FIELDS, CadenceFinder
from vidrestore.video.codecs import CODECS, encoder_opens
from vidrestore.video.coding import Coding, read_coding
from vidrestore.video.containers import CONTAINERS
from vidrestore.video.fields import (
    at_exact_times,
    completed_by,
    fields_of,
    half_frame,
    mark,
    marked,
    progressive,
    without_combs,
)
from vidrestore.video.picture import StoredPicture, picture_from_rgb
from vidrestore.video.plan import check_nothing_is_lost, plan_output
from vidrestore.video.probe import comment_of, fingerprint, probe, stream_start
from vidrestore.video.read import DecodeReport, read_frames
from vidrestore.video.scan import find_scan
from vidrestore.video.seek import RandomAccess, decord_version, open_random_access, single_frames_served_by
from vidrestore.video.segmented import SegmentedWriter
from vidrestore.video.segments import Segment, is_intact
from vidrestore.video.write import OutputFile, VideoWriter, check_destination

__all__ = [
    "CODECS",
    "CONTAINERS",
    "CYCLE",
    "FILM_FIELDS",
    "CadenceFinder",
    "Coding",
    "DecodeReport",
    "OutputFile",
    "RandomAccess",
    "Segment",
    "SegmentedWriter",
    "StoredPicture",
    "VideoWriter",
    "at_exact_times",
    "check_destination",
    "check_nothing_is_lost",
    "comment_of",
    "completed_by",
    "decord_version",
    "encoder_opens",
    "fields_of",
    "find_scan",
    "fingerprint",
    "half_frame",
    "is_intact",
    "mark",
    "marked",
    "open_random_access",
    "picture_from_rgb",
    "plan_output",
    "probe",
    "progressive",
    "read_coding",
    "read_frames",
    "single_frames_served_by",
    "stream_start",
    "without_combs",
]
