"""Writing checkpoints: a full disk, a failing system call, orphans and second writers leave a whole file and nothing else."""

import errno
import os
import threading

import pytest
from runs import make_model, run

from npvae.data import atomic
from npvae.training import CheckpointError, load_checkpoint, save_checkpoint


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.npz"


class FullDisk:
    """A file system on which only so many bytes fit."""

    def __init__(self, monkeypatch, room):
        self.room = room
        temporary = atomic._temporary
        monkeypatch.setattr(atomic, "_temporary", lambda path: _Limited(temporary(path), self))


class _Limited:
    def __init__(self, file, disk):
        self.file, self.disk = file, disk

    def write(self, data):
        if self.file.tell() + len(data) > self.disk.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_leaves_the_old_file_and_nothing_else(file, monkeypatch):
    save_checkpoint(file, make_model())
    before = file.read_bytes()
    for room in range(0, len(before), 500):
        with monkeypatch.context() as patched:
            FullDisk(patched, room)
            with pytest.raises(CheckpointError, match="No space left on device.*what was in the file before is untouched"):
                save_checkpoint(file, make_model(seed=1))
    assert file.read_bytes() == before and os.listdir(file.parent) == [file.name]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failing_system_call_leaves_the_old_file_and_nothing_else(file, monkeypatch, call):
    save_checkpoint(file, make_model())
    before = file.read_bytes()

    def fail(*args):
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(CheckpointError, match="Read-only file system"):
        save_checkpoint(file, make_model(seed=1))
    assert file.read_bytes() == before and os.listdir(file.parent) == [file.name]


def test_a_disk_that_fills_up_during_training_is_told_and_the_last_file_stays(file, monkeypatch):
    disk = FullDisk(monkeypatch, 10**9)

    def fill(record, model):
        disk.room = 1000

    with pytest.raises(CheckpointError, match="No space left"):
        run(checkpoint=file, checkpoint_every=0, callbacks=[fill])
    assert load_checkpoint(file).training["epoch"] == 1 and os.listdir(file.parent) == [file.name]


def test_room_and_permission_are_checked_before_training_starts(file, monkeypatch):
    model = make_model()
    before = model.params.theta.tobytes()

    def refused(path, words):
        with pytest.raises(CheckpointError, match=words):
            run(model, checkpoint=path)
        assert model.params.theta.tobytes() == before

    refused(file.parent / "no" / "model.npz", "the folder .*no does not exist; make it first")
    refused(file.parent, "this is a folder; checkpoint must be a file name, e.g. ")
    run(epochs=1, checkpoint=file)
    size = file.stat().st_size
    disk = FullDisk(monkeypatch, size + 1000)  # a file of its size would fit, with little to spare
    refused(file, "No space left on device.*nothing was trained")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(PermissionError(errno.EACCES, "Permission denied")))
    disk.room = 10**9
    refused(file, "Permission denied")
    assert os.listdir(file.parent) == [file.name]


def test_what_killed_processes_left_is_cleaned_and_what_living_ones_write_is_not(file):
    folder = file.parent
    orphan, other = folder / f".{file.name}.0123abcd.tmp", folder / ".other.npz.0123abcd.tmp"
    orphan.write_bytes(b"half"), other.write_bytes(b"half")
    written = []

    def write(out):
        out.write(b"slow")
        out.flush()
        save_checkpoint(file, make_model())  # a second writer, while the first is at it
        written.extend(os.listdir(folder))

    atomic.replace_file(file, write)
    assert orphan.name not in written and other.name in written
    assert sorted(os.listdir(folder)) == sorted([file.name, other.name]) and file.read_bytes() == b"slow"


def test_two_writers_never_damage_the_file(file):
    errors = []

    def write(seed):
        try:
            for _ in range(25):
                save_checkpoint(file, make_model(seed))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in (1, 2, 3)]
    save_checkpoint(file, make_model())
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        load_checkpoint(file)
    assert not errors and os.listdir(file.parent) == [file.name]
