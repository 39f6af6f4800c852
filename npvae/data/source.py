"""Where a known data set lies on the net, and how to tell that a file is the right one."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """The files of a data set on the net: mirrors in the order they are tried; of each file its SHA-256 and its size in bytes."""

    title: str
    mirrors: tuple[str, ...]  # addresses that a file's name is appended to
    files: dict[str, tuple[str, int]]


class DownloadError(OSError):
    """A file cannot be fetched or stored; the message says why, and where to put it by hand."""


def check(path, source):
    """-> the bytes of a file of `source`.  Raises ValueError if its SHA-256 is not the one expected."""
    content = path.read_bytes()
    sha256, size = source.files[path.name]
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(
            f"{path}: wrong SHA-256: this is not the file of {source.title}, which has {size:,} bytes (this one {len(content):,}); "
            "move it away or delete it, then fetch it again."
        )
    return content
