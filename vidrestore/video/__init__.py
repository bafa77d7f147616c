"""Video files: probe, read, seek and write. The only package that imports ``av`` or ``decord``."""

from vidrestore.video.codecs import CODECS, CONTAINERS, encoder_opens
from vidrestore.video.picture import StoredPicture, picture_from_rgb
from vidrestore.video.probe import fingerprint, probe, stream_start
from vidrestore.video.read import DecodeReport, read_frames
from vidrestore.video.seek import RandomAccess, decord_version, open_random_access
from vidrestore.video.write import VideoWriter, check_destination

__all__ = [
    "CODECS",
    "CONTAINERS",
    "DecodeReport",
    "RandomAccess",
    "StoredPicture",
    "VideoWriter",
    "check_destination",
    "decord_version",
    "encoder_opens",
    "fingerprint",
    "open_random_access",
    "picture_from_rgb",
    "probe",
    "read_frames",
    "stream_start",
]
