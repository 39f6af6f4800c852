"""Files that are there whole or not at all, whatever kills the process: temporary file, fsync, rename, fsync of the folder."""

import contextlib
import glob
import os
import pathlib
import uuid

try:
    import fcntl
except ImportError:  # Windows, where a file that somebody writes cannot be deleted anyway
    fcntl = None  # type: ignore[assignment]

CHUNK = bytes(2**20)


def replace_file(path, write):
    """Call write(file) on a temporary file beside `path`, force it to the disk, and rename it to `path`.

    Until the rename the file that was there before is untouched, after it the new one is complete. Temporary files that killed
    processes left behind are deleted. Raises OSError (full disk, no permission); no temporary file stays behind then.
    """
    path = pathlib.Path(os.path.realpath(path))  # a link is followed, not replaced
    _delete_orphans(path)
    file = _temporary(path)
    try:
        with file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is not None:
                os.replace(file.name, path)  # while it is locked: unlocked under its own name it would count as an orphan
        if fcntl is None:
            os.replace(file.name, path)  # Windows renames closed files only
    except BaseException:
        pathlib.Path(file.name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def check_room(path, size):
    """Write `size` bytes beside `path` and delete them again: OSError now rather than after hours of training."""
    file = _temporary(pathlib.Path(os.path.realpath(path)))
    try:
        with file:
            for _ in range(0, size, len(CHUNK)):
                file.write(CHUNK)
            file.flush()
            os.fsync(file.fileno())
    finally:
        pathlib.Path(file.name).unlink(missing_ok=True)


def _temporary(path):
    """A new file beside path, locked as long as it is open, so that nobody takes it for an orphan."""
    while True:
        file = open(path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp"), "xb")  # noqa: SIM115
        if fcntl is None:
            return file
        fcntl.flock(file, fcntl.LOCK_EX)
        if os.fstat(file.fileno()).st_nlink:  # 0: taken for an orphan before it was locked
            return file
        file.close()


def _delete_orphans(path):
    """Delete the temporary files of `path` that no living process holds."""
    for orphan in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError), open(orphan, "rb") as file:  # OSError: somebody is writing it, or it is gone already
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                orphan.unlink()
                continue
        if fcntl is None:
            with contextlib.suppress(OSError):
                orphan.unlink()


def _sync_folder(folder):
    """Force the rename itself to the disk; Windows cannot open a folder, and needs no such thing."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
