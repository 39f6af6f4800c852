"""Files fetched on request, over https, from mirrors in order.

A file under way is called NAME.part. It becomes NAME by a rename, and only once its SHA-256 is right; after an interruption it is
continued where it ends. Imported by nobody who does not ask for a download: it brings http and ssl along.
"""

import contextlib
import hashlib
import http.client
import os
import pathlib
import sys
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from npvae.data.source import DownloadError, check

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

CHUNK = 2**16  # bytes read at a time
TIMEOUT = 30  # seconds without a sign of life
INTERVAL = 0.1  # seconds between two rewritings of the progress line


class _MirrorFailed(Exception):
    """Why one mirror did not give the file; the next one is tried."""


def fetch(source, folder, names=None):
    """See that the files of `source` (those in `names`) lie in the folder and are right: check what is there, fetch the rest.

    Raises DownloadError (no network, no mirror has it, wrong SHA-256, full disk), ValueError for a file of that name that is
    another one: it may be somebody's own and is not overwritten."""
    folder = pathlib.Path(folder)
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for name in source.files if names is None else names:
        path = folder / name
        if path.exists():
            check(path, source)
        else:
            _fetch(source, path)


def _fetch(source, path):
    part = path.with_name(f"{path.name}.part")
    with _disk(part):
        file = _claim(part)
    try:
        with _disk(part):
            with file:
                if path.exists():  # another process was quicker
                    return
                _receive_from_any(source, path, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
    finally:
        if part.exists() and part.stat().st_size == 0:
            part.unlink()


def _claim(part):
    """The partial file, open for appending and reading, and locked against other processes."""
    file = open(part, "a+b")  # noqa: SIM115
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise DownloadError(f"{part}: another process is fetching this file; wait until it is done.") from None
    return file


@contextlib.contextmanager
def _disk(path):
    """An OSError of the disk in one sentence; the partial file goes, since a full disk needs the room."""
    try:
        yield
    except DownloadError:
        raise
    except OSError as error:
        if path.suffix == ".part":
            with contextlib.suppress(OSError):  # where it cannot be written it may be that it cannot be deleted either
                path.unlink()
        raise DownloadError(
            f"{path}: cannot be written ({error.strerror or error}); make room, or name another folder by root= or NPVAE_DATA."
        ) from error


def _receive_from_any(source, path, file):
    failures = []
    for mirror in source.mirrors:
        try:
            return _receive(mirror + path.name, file, *source.files[path.name])
        except _MirrorFailed as failure:
            failures.append(f"{urlsplit(mirror).netloc}: {failure}")
    raise DownloadError(
        f"{source.title}: {path.name} cannot be fetched ({'; '.join(failures)}). Try again later (what has come is kept), or put "
        f"{', '.join(source.files)} into {path.parent} by hand."
    )


def _receive(url, file, sha256, size):
    """Fill the file from where it ends; if what was there before proves wrong, once more from the start."""
    resumed = file.seek(0, os.SEEK_END)
    if resumed < size:
        _transfer(url, file, resumed, size)
    if _sha256(file) == sha256:
        return
    file.truncate(0)
    if not resumed:
        raise _MirrorFailed("it sent a file with a wrong SHA-256")
    _receive(url, file, sha256, size)


def _transfer(url, file, start, size):
    request = urllib.request.Request(url, headers={"User-Agent": "npvae", **({"Range": f"bytes={start}-"} if start else {})})
    with _network():
        response = urllib.request.build_opener(_StayOnHttps).open(request, timeout=TIMEOUT)
    with response, _Progress(url, size) as progress:
        received = start if response.status == 206 else 0  # 206: it goes on where the file ends; 200: from the beginning
        if response.length is not None and response.length != size - received:
            raise _MirrorFailed(f"it offers {received + response.length:,} bytes where {size:,} are expected")
        if received < start:
            file.truncate(0)
        while received < size:
            with _network():
                chunk = response.read(CHUNK)
            if not chunk:
                raise _MirrorFailed(f"it sent {received:,} of {size:,} bytes")
            file.write(chunk)
            received += len(chunk)
            progress.show(received)


@contextlib.contextmanager
def _network():
    """What can go wrong on the net, in a few words."""
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _MirrorFailed(f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise _MirrorFailed(" ".join(words.split())) from error  # split: some quote the server's line with its end


class _StayOnHttps(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, fp, code, msg, headers, newurl):
        """Follow a redirection, but not from https to anything less."""
        if urlsplit(request.full_url).scheme == "https" != urlsplit(newurl).scheme:
            raise urllib.error.HTTPError(newurl, code, "it leads away from https, and is not followed", headers, fp)
        return super().redirect_request(request, fp, code, msg, headers, newurl)


def _sha256(file):
    file.flush()
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


class _Progress:
    """A line on stderr, rewritten in place, if that is a terminal."""

    def __init__(self, url, size):
        self.url, self.size = urlsplit(url), size
        self.due = 0.0 if getattr(sys.stderr, "isatty", lambda: False)() else float("inf")
        self.shown = False

    def __enter__(self):
        return self

    def show(self, received):
        """Rewrite the line, not more often than it can be read."""
        if time.monotonic() >= self.due or (self.shown and received == self.size):
            self.due, self.shown = time.monotonic() + INTERVAL, True
            name = self.url.path.rsplit("/", 1)[-1]
            percent = 100 * received // self.size
            print(f"\r{name}  {received / 1e6:.1f} of {self.size / 1e6:.1f} MB  {percent} %", end="", file=sys.stderr, flush=True)

    def __exit__(self, *error):
        if self.shown:
            print(file=sys.stderr)
