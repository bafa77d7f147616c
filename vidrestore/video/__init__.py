"""Video files: probe, read, seek and write. The only package that imports ``av`` or ``decord``."""

from vidrestore.video.codecs import CODECS, CONTAINERS, encoder_opens
from vidrestore.video.coding import Coding, read_coding
from vidrestore.video.picture import StoredPicture, picture_from_rgb
from vidrestore.video.probe import comment_of, fingerprint, probe, stream_start
from vidrestore.video.read import DecodeReport, read_frames
from vidrestore.video.seek import RandomAccess, decord_version, open_random_access
from vidrestore.video.write import VideoWriter, check_destination

__all__ = [
    "CODECS",
    "CONTAINERS",
    "Coding",
    "DecodeReport",
    "RandomAccess",
    "StoredPicture",
    "VideoWriter",
    "check_destination",
    "comment_of",
    "decord_version",
    "encoder_opens",
    "fingerprint",
    "open_random_access",
    "picture_from_rgb",
    "probe",
    "read_coding",
    "read_frames",
    "stream_start",
]
