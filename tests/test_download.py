"""Downloads, against a server on this machine: what arrives is right or it is not there, and what was interrupted is continued."""

import errno
import gzip
import hashlib
import http.server
import io
import re
import socket
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
from idx_files import IMAGES, LABELS, idx, write_mnist_format

from npvae.data import DownloadError, binarized, download, load_binarized_mnist, load_dataset, load_fashion_mnist, load_mnist, mnist
from npvae.data.download import fetch
from npvae.data.source import Source

CONTENT = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()
NAME = "numbers.bin"


class Server(http.server.ThreadingHTTPServer):
    """Serves `files`; `behave` may answer in place of the good manners below.  requests: (path, Range or None) in order."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.behave, self.requests = {NAME: CONTENT}, None, []
        self.url = f"http://127.0.0.1:{self.server_port}/"

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        content = self.server.files.get(self.path[1:])
        if self.server.behave is not None:
            self.server.behave(self, content)
        elif content is None:
            self.send_error(404)
        else:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted else 0
            self.answer(content[start:], status=206 if wanted else 200)

    def answer(self, content, status=200, length=None, announce=True):
        self.send_response(status)
        if announce:
            self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "*")
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def source(*mirrors, title="the numbers", **contents):
    contents = contents or {NAME: CONTENT}
    return Source(title, mirrors, {name: (hashlib.sha256(c).hexdigest(), len(c)) for name, c in contents.items()})


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# --- what arrives ---------------------------------------------------------------------------------------------------------------


def test_a_file_arrives_whole_in_a_folder_made_for_it_and_is_not_fetched_twice(server, tmp_path):
    folder = tmp_path / "new" / "folder"
    fetch(source(server.url), folder)
    assert (folder / NAME).read_bytes() == CONTENT and names(folder) == [NAME]
    fetch(source(server.url), folder)
    assert server.requests == [(f"/{NAME}", None)], "a right file is left alone"


def test_several_files_and_only_those_asked_for(server, tmp_path):
    server.files = {"a": b"first", "b": b"second", "c": b"third"}
    fetch(source(server.url, **server.files), tmp_path, ["a", "c"])
    assert names(tmp_path) == ["a", "c"] and (tmp_path / "c").read_bytes() == b"third"
    fetch(source(server.url, **server.files), tmp_path)
    assert names(tmp_path) == ["a", "b", "c"] and [path for path, _ in server.requests] == ["/a", "/c", "/b"]


def test_the_next_mirror_is_tried(server, tmp_path):
    fetch(source(f"{server.url}moved/", server.url), tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert [path for path, _ in server.requests] == [f"/moved/{NAME}", f"/{NAME}"]


def test_a_redirection_is_followed_and_a_server_need_not_say_the_length(server, tmp_path):
    def behave(handler, content):
        if content is None:
            handler.send_response(302)
            handler.send_header("Location", f"/{NAME}")
            handler.end_headers()
        else:
            handler.answer(content, announce=False)

    server.behave = behave
    fetch(source(f"{server.url}elsewhere/"), tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT


def test_a_redirection_away_from_https_is_not_followed():
    follow = download._StayOnHttps().redirect_request
    for old, new in [("https://a/f", "https://b/f"), ("http://a/f", "http://b/f"), ("http://a/f", "https://b/f")]:
        assert follow(urllib.request.Request(old), None, 302, "Found", {}, new).full_url == new
    for new in ("http://b/f", "ftp://b/f"):
        with pytest.raises(urllib.error.HTTPError, match="leads away from https, and is not followed"):
            follow(urllib.request.Request("https://a/f"), io.BytesIO(), 302, "Found", {}, new)
    for known in (*mnist.SOURCES.values(), binarized.SOURCE):
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in known.mirrors)


# --- what is continued ------------------------------------------------------------------------------------------------------------


def cut_after(n):
    """A server that hangs up after n bytes."""
    return lambda handler, content: handler.answer(content[:n], length=len(content))


def test_a_server_that_sends_too_little_leaves_a_part_and_the_next_run_goes_on_from_there(server, tmp_path):
    server.behave = cut_after(200_000)
    with pytest.raises(
        DownloadError, match=r"numbers.bin cannot be fetched \(127.*: it sent 200,000 of 300,000 bytes\). Try again"
    ):
        fetch(source(server.url), tmp_path)
    assert names(tmp_path) == [f"{NAME}.part"] and (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:200_000]
    server.behave = None
    fetch(source(server.url), tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT and names(tmp_path) == [NAME]
    assert server.requests[-1] == (f"/{NAME}", "bytes=200000-")


def test_a_server_without_ranges_is_asked_for_everything_again(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    server.behave = lambda handler, content: handler.answer(content)  # 200 whatever was asked
    fetch(source(server.url), tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT and server.requests == [(f"/{NAME}", "bytes=1000-")]


@pytest.mark.parametrize("part", [b"x" * 1000, CONTENT[:1000] + b"x" * 299_000, CONTENT + b"more"], ids=["short", "whole", "long"])
def test_a_part_that_proves_wrong_is_thrown_away_and_fetched_from_the_start(server, tmp_path, part):
    (tmp_path / f"{NAME}.part").write_bytes(part)
    fetch(source(server.url), tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT and names(tmp_path) == [NAME]
    assert server.requests[-1] == (f"/{NAME}", None)


def test_a_part_that_is_whole_and_right_needs_no_network(tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    fetch(source("http://127.0.0.1:9/"), tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT and names(tmp_path) == [NAME]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_ctrl_c_leaves_a_part_to_go_on_from(server, tmp_path, monkeypatch):
    class Interrupting(Terminal):
        def write(self, text):
            if text.startswith("\r") and " 0.1 of" in text:
                raise KeyboardInterrupt
            return super().write(text)

    monkeypatch.setattr(download, "INTERVAL", 0)
    monkeypatch.setattr("sys.stderr", Interrupting())
    with pytest.raises(KeyboardInterrupt):
        fetch(source(server.url), tmp_path)
    part = (tmp_path / f"{NAME}.part").read_bytes()
    assert names(tmp_path) == [f"{NAME}.part"] and CONTENT.startswith(part) and 0 < len(part) < len(CONTENT)
    monkeypatch.setattr("sys.stderr", io.StringIO())
    fetch(source(server.url), tmp_path)
    assert (tmp_path / NAME).read_bytes() == CONTENT and server.requests[-1][1] == f"bytes={len(part)}-"


# --- what is refused --------------------------------------------------------------------------------------------------------------

UNWANTED = {
    "wrong SHA-256": (lambda h, c: h.answer(bytes(len(c))), "it sent a file with a wrong SHA-256"),
    "a page of another length": (lambda h, c: h.answer(b"<html>log in</html>"), "it offers 19 bytes where 300,000 are expected"),
    "not found": (lambda h, c: h.send_error(404), "HTTP 404 Not Found"),
    "server error": (lambda h, c: h.send_error(503), "HTTP 503 Service Unavailable"),
    "no HTTP": (lambda h, c: h.wfile.write(b"hello\r\n\r\n"), "hello"),
    "hangs up": (lambda h, c: None, "Remote end closed connection without response"),
}  # fmt: skip


@pytest.mark.parametrize("behave, message", UNWANTED.values(), ids=UNWANTED)
def test_what_is_not_the_file_is_refused_in_one_sentence_that_says_where_to_put_it(server, tmp_path, behave, message):
    server.behave = behave
    with pytest.raises(DownloadError) as refusal:
        fetch(source(server.url, server.url), tmp_path)
    text = str(refusal.value)
    host = server.url[7:-1]
    assert text.startswith(f"the numbers: {NAME} cannot be fetched ({host}: {message}; {host}: {message}")
    assert text.endswith(f"put {NAME} into {tmp_path} by hand.") and "\n" not in text
    assert names(tmp_path) == [], "nothing is left behind"
    assert len(server.requests) == 2, "each mirror is asked once"


def test_a_page_of_another_length_does_not_spoil_what_had_arrived(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    server.behave = UNWANTED["a page of another length"][0]
    with pytest.raises(DownloadError, match="it offers 19 bytes"):
        fetch(source(server.url), tmp_path)
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:1000]


def test_no_network(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with pytest.raises(DownloadError) as refusal:
        load_fashion_mnist(tmp_path, download=True)
    assert str(refusal.value) == (
        "Fashion-MNIST: train-images-idx3-ubyte.gz cannot be fetched (github.com: Name or service not known; "
        "storage.googleapis.com: Name or service not known). Try again later (what has come is kept), or put "
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz into "
        f"{tmp_path / 'fashion-mnist'} by hand."
    )
    assert names(tmp_path / "fashion-mnist") == []


def test_a_server_that_says_nothing_is_given_up(server, tmp_path, monkeypatch):
    stop = threading.Event()
    server.behave = lambda handler, content: stop.wait(5)
    monkeypatch.setattr(download, "TIMEOUT", 0.05)
    with pytest.raises(DownloadError, match="numbers.bin cannot be fetched .*timed out"):
        fetch(source(server.url), tmp_path)
    stop.set()
    assert names(tmp_path) == []


def test_a_full_disk_leaves_nothing_behind(server, tmp_path, monkeypatch):
    class FullDisk(io.FileIO):
        def write(self, data):
            if self.tell() + len(data) > 100_000:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(data)

    monkeypatch.setattr(download, "_claim", lambda part: FullDisk(part, "a+"))
    with pytest.raises(DownloadError, match=r"numbers.bin.part: cannot be written \(No space left on device\); make room, or name"):
        fetch(source(server.url, server.url), tmp_path)
    assert names(tmp_path) == [] and len(server.requests) == 1, "the other mirror would not help"


def test_a_file_that_may_not_grow_leaves_nothing_behind(server, tmp_path):
    """The same with the system's own refusal, which comes from write, flush or close."""
    resource = pytest.importorskip("resource", reason="Windows has no limit on the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(DownloadError, match=r"numbers.bin.part: cannot be written \(File too large\)"):
            fetch(source(server.url), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match=r"file/mnist: cannot be written \(Not a directory\); .*root= or NPVAE_DATA"):
        load_mnist(tmp_path / "file", download=True)


def test_somebody_elses_file_of_that_name_is_not_overwritten(server, tmp_path):
    (tmp_path / NAME).write_bytes(b"my own")
    with pytest.raises(
        ValueError, match=r"numbers.bin: wrong SHA-256: this is not the file of the numbers, which has 300,000 bytes"
    ):
        fetch(source(server.url), tmp_path)
    assert (tmp_path / NAME).read_bytes() == b"my own" and server.requests == []


@pytest.mark.skipif(download.fcntl is None, reason="Windows does not lock files this way")
def test_two_processes_do_not_write_into_the_same_part(server, tmp_path):
    part = tmp_path / f"{NAME}.part"
    with download._claim(part), pytest.raises(DownloadError, match="numbers.bin.part: another process is fetching this file; wait"):
        fetch(source(server.url), tmp_path)
    assert part.exists() and server.requests == []
    fetch(source(server.url), tmp_path)
    assert names(tmp_path) == [NAME]


def test_a_file_that_another_process_has_fetched_meanwhile_is_enough(server, tmp_path, monkeypatch):
    claim = download._claim

    def late(part):
        (tmp_path / NAME).write_bytes(CONTENT)
        return claim(part)

    monkeypatch.setattr(download, "_claim", late)
    fetch(source(server.url), tmp_path)
    assert server.requests == [] and names(tmp_path) == [NAME]


# --- what is shown ----------------------------------------------------------------------------------------------------------------


def test_progress_is_shown_on_a_terminal_and_nowhere_else(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(download, "INTERVAL", 0)
    terminal = Terminal()
    fetch(source(server.url), tmp_path / "a")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("sys.stderr", terminal)
    fetch(source(server.url), tmp_path / "b")
    lines = terminal.getvalue().split("\r")
    assert lines[-1] == "numbers.bin  0.3 of 0.3 MB  100 %\n" and lines[1] == "numbers.bin  0.1 of 0.3 MB  21 %"
    monkeypatch.setattr(download, "INTERVAL", 1000)
    monkeypatch.setattr("sys.stderr", seldom := Terminal())
    fetch(source(server.url), tmp_path / "d")
    assert [line[-5:] for line in seldom.getvalue().split("\r")[1:]] == [" 21 %", "00 %\n"], "and the end is always shown"
    monkeypatch.setattr("sys.stderr", None)  # a program without a console has none
    fetch(source(server.url), tmp_path / "c")


# --- the known sets ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def mirrored(server, tmp_path, monkeypatch):
    """A mirror with MNIST-format files in place of MNIST's."""
    folder = write_mnist_format(tmp_path / "mirror")
    server.files = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setitem(mnist.SOURCES, "mnist", source(server.url, title="MNIST", **server.files))
    return server


def test_mnist_is_fetched_on_request_only(mirrored, tmp_path, monkeypatch):
    root = tmp_path / "data"
    monkeypatch.setenv("NPVAE_DATA", str(root))
    with pytest.raises(FileNotFoundError, match="data/mnist: .*.gz is not there .* Put MNIST's four files, .*download=True"):
        load_dataset("mnist")
    assert mirrored.requests == [] and not root.exists()
    data = load_dataset("mnist", download=True)
    np.testing.assert_array_equal(data.train, IMAGES.reshape(5, 12))
    assert data.test_labels.tolist() == LABELS[:2].tolist() and len(mirrored.requests) == 4
    assert load_mnist(root, download=True).name == load_mnist().name == "mnist" and len(mirrored.requests) == 4


def test_only_what_is_missing_is_fetched_and_what_is_there_is_checked(mirrored, tmp_path):
    root = write_mnist_format(tmp_path / "data")
    (root / "t10k-labels-idx1-ubyte.gz").unlink()
    assert len(load_mnist(root, download=True).train) == 5
    assert mirrored.requests == [("/t10k-labels-idx1-ubyte.gz", None)]
    (root / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS[::-1])))
    assert load_mnist(root).train_labels.tolist() == LABELS[::-1].tolist(), "one's own files, as long as nobody asks for MNIST's"
    with pytest.raises(ValueError, match="train-labels-idx1-ubyte.gz: wrong SHA-256: this is not the file of MNIST"):
        load_mnist(root, download=True)


def test_unpacked_files_are_not_fetched_again(mirrored, tmp_path):
    assert len(load_mnist(write_mnist_format(tmp_path / "plain", suffix=""), download=True).train) == 5
    assert mirrored.requests == []


def test_the_binarized_set_is_fetched_as_three_texts_unless_the_archive_is_there(server, tmp_path, monkeypatch):
    rows = np.eye(3, 784, dtype=np.uint8)
    text = b"".join(" ".join(map(str, row)).encode() + b"\n" for row in rows.tolist())
    server.files = {f"binarized_mnist_{split}.amat": text for split in ("train", "valid", "test")}
    monkeypatch.setattr(binarized, "SOURCE", source(server.url, **server.files))
    data = load_binarized_mnist(tmp_path, download=True)
    np.testing.assert_array_equal(data.valid, rows)
    assert names(tmp_path / "static-binarized-mnist") == sorted(server.files) and len(server.requests) == 3
    packed = np.packbits(rows, axis=1)
    monkeypatch.setattr(binarized, "PACKED_SHA256", dict.fromkeys(binarized.SPLITS, hashlib.sha256(packed.tobytes()).hexdigest()))
    np.savez(tmp_path / "static_binarized_mnist.npz", **dict.fromkeys(binarized.SPLITS, packed))
    (tmp_path / "static-binarized-mnist").rename(tmp_path / "away")
    np.testing.assert_array_equal(load_binarized_mnist(tmp_path, download=True).test, rows)
    assert len(server.requests) == 3
