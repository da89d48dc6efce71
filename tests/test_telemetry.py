"""No socket is opened, and no file is written to the home folder outside our own folders."""

import errno
import os
import select
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUARD = Path(__file__).with_name("socket_guard.py")
UNAVAILABLE = 77  # as in socket_guard.py

# ONNX Runtime opens its first socket 9 s after its import: commands must live longer than that.
LIFE_S = 15.0

# The lists of the system's fonts that matplotlib and fontconfig keep for all programs. MPLCONFIGDIR
# would move matplotlib's, but hide the user's matplotlibrc as well.
FONT_LISTS = (".cache/matplotlib/fontlist-*.json", ".cache/fontconfig/*")


@dataclass
class GuardedRun:
    """The result of a command under the guard."""

    returncode: int
    stdout: str
    stderr: str
    home: Path
    folder: Path
    temporary: Path
    sockets: list[str]  # "family 2 by python", …
    ended_s: float  # time.monotonic(), which all processes share

    def written(self) -> set[str]:
        """Return the files in the home folder, without lists of fonts."""
        files = (path for path in self.home.rglob("*") if not path.is_dir())
        names = {path.relative_to(self.home) for path in files}
        return {str(name) for name in names if not any(map(name.match, FONT_LISTS))}


def run_guarded(
    place: Path,
    *arguments: str,
    until_socket: bool = False,
    timeout_s: float = 120,
    **variables: str,
) -> GuardedRun:
    """Run Python under the guard with an empty home, and no variable but those given.

    Each call of socket() is recorded and fails with EACCES; with `until_socket` the first one ends
    the command. No variable of a CI is passed on: ONNX Runtime has no telemetry where it sees one.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("the guard needs Linux")
    home, folder, temporary = (place / name for name in ("home", "work", "tmp"))
    for path in (home, folder, temporary):
        path.mkdir(parents=True, exist_ok=True)
    environment = {
        "HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT),
        "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1", **variables,
    }  # fmt: skip
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-I", "-S", str(GUARD), str(theirs.fileno()), sys.executable]
    with ours, theirs, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            [*command, *arguments], pass_fds=[theirs.fileno()], env=environment, cwd=folder,
            stdin=subprocess.DEVNULL, stdout=out, stderr=err,
        )  # fmt: skip
        theirs.close()
        sockets: list[str] = []
        try:
            _, listeners, _, _ = socket.recv_fds(ours, 16, 1)
            if listeners:
                sockets = _refuse_sockets(listeners[0], process, until_socket, timeout_s)
            process.wait(10)
        finally:
            process.kill()
            process.wait()
        ended_s = time.monotonic()
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read().decode(), err.read().decode()
    if not listeners and process.returncode == UNAVAILABLE:
        pytest.skip(f"the guard needs seccomp: {stderr.strip()}")
    return GuardedRun(process.returncode, stdout, stderr, home, folder, temporary, sockets, ended_s)


def _refuse_sockets(
    listener: int, process: subprocess.Popen[bytes], until_socket: bool, timeout_s: float
) -> list[str]:
    """Answer the guard's listener until the command and its children have ended."""
    import fcntl

    receive, send = 0xC0502100, 0xC0182101  # SECCOMP_IOCTL_NOTIF_RECV, …_SEND
    sockets: list[str] = []
    poll = select.poll()
    poll.register(listener, select.POLLIN)
    ends = time.monotonic() + timeout_s
    while time.monotonic() < ends:
        events = poll.poll(100)
        if not events and process.poll() is None:
            continue
        if not events or not events[0][1] & select.POLLIN:
            break  # all processes have ended; kernels before 5.9 give no POLLHUP
        asked = bytearray(80)  # struct seccomp_notif
        try:
            fcntl.ioctl(listener, receive, asked)
            number, thread, family = struct.unpack_from("=QI20xI", asked)
            sockets.append(f"family {family} by {_name(thread)}")
            answer = struct.pack("=QqiI", number, 0, -errno.EACCES, 0)
            fcntl.ioctl(listener, send, bytearray(answer))
        except FileNotFoundError:
            continue  # the calling process has ended meanwhile
        if until_socket:
            process.kill()
    os.close(listener)
    return sockets


def _name(thread: int) -> str:
    try:
        return Path(f"/proc/{thread}/comm").read_text().strip()
    except OSError:
        return str(thread)


OPENS_SOCKETS = """
import ctypes, errno, socket, subprocess, sys

socket.socket(socket.AF_UNIX).close()
try:
    socket.socket(socket.AF_INET)
except PermissionError:
    print("Python")
libc = ctypes.CDLL(None, use_errno=True)
if libc.socket(socket.AF_INET6, socket.SOCK_DGRAM, 0) < 0 and ctypes.get_errno() == errno.EACCES:
    print("C")
try:
    socket.getaddrinfo("example.org", 443)
except OSError:
    print("name")
child = "import socket; socket.socket(socket.AF_INET)"
if b"PermissionError" in subprocess.run([sys.executable, "-c", child], capture_output=True).stderr:
    print("child")
"""

# ONNX Runtime as pip installs it
TELEMETRY = "import onnxruntime, time; print(time.monotonic(), flush=True); time.sleep(60)"

# All commands in one process, which then waits until it is old enough.
COMMANDS = """
import shlex, sys, time

from spt_explain.cli import main
from spt_explain.movies import parallel

parallel.START_S = 0.0  # --jobs 2 starts workers for a short movie too
for line in sys.argv[2:]:
    try:
        main(shlex.split(line))
    except SystemExit as left:
        assert not left.code, (line, left.code)
    if line == "doctor":
        assert "onnxruntime" in sys.modules
        imported = time.monotonic()
time.sleep(max(0.0, imported + float(sys.argv[1]) - time.monotonic()))
"""

LIBRARY = """
import sys, time

import spt_explain as spt
from spt_explain.resandi.backends.devices import probe_onnx_cuda

probe_onnx_cuda()
assert "onnxruntime" in sys.modules
imported = time.monotonic()
tracks = spt.simulate("BM", tracks=2, length=(20, 30), seed=1)
verdicts = spt.classify(tracks)
assert len(verdicts) == 2
assert len(spt.explain(tracks, verdicts, draws=5).tracks) == 2
time.sleep(max(0.0, imported + float(sys.argv[1]) - time.monotonic()))
"""

WORKERS = """
import multiprocessing, os, sys

import spt_explain
from joblib import Parallel, delayed

names = ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY")
if __name__ == "__main__":
    assert not {"onnxruntime", "torch", "pandas"} & set(sys.modules)
    print(*map(os.environ.get, names))
    print(*Parallel(2, backend="loky")(delayed(os.environ.get)(name) for name in names))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(*pool.map(os.getenv, names))
"""


@pytest.fixture(scope="module")
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.fixture(scope="module", autouse=True)
def commands(
    background: ThreadPoolExecutor, tmp_path_factory: pytest.TempPathFactory
) -> Future[GuardedRun]:
    """Run the commands, in the background too: they are what takes longest."""
    place = tmp_path_factory.mktemp("commands")
    (place / "work").mkdir()
    shutil.copy(ROOT / "recipes" / "quickstart-spots.tif", place / "work" / "movie.tif")
    return background.submit(
        run_guarded, place, "-c", COMMANDS, str(LIFE_S),
        "doctor",
        "weights list",
        "simulate BM --tracks 2 --length 20-30 --seed 1 -o tracks.csv",
        "classify tracks.csv",
        "explain tracks.csv --draws 5 --plot --report why.html",
        "track movie.tif --jobs 2",
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def telemetry(
    background: ThreadPoolExecutor, tmp_path_factory: pytest.TempPathFactory
) -> Future[GuardedRun]:
    """Run ONNX Runtime alone, in the background: its first socket takes 9 s."""
    place = tmp_path_factory.mktemp("telemetry")
    return background.submit(run_guarded, place, "-c", TELEMETRY, until_socket=True)


@pytest.fixture(scope="module", autouse=True)
def library(
    background: ThreadPoolExecutor, tmp_path_factory: pytest.TempPathFactory
) -> Future[GuardedRun]:
    """Run the Python API, in the background."""
    place = tmp_path_factory.mktemp("library")
    return background.submit(
        run_guarded, place, "-c", LIBRARY, str(LIFE_S), SPT_EXPLAIN_DATA=str(place / "data")
    )


def test_the_guard_records_every_socket(tmp_path: Path) -> None:
    done = run_guarded(tmp_path, "-c", OPENS_SOCKETS)
    assert (done.returncode, done.stdout.split()) == (0, ["Python", "C", "name", "child"])
    families = [int(line.split()[1]) for line in done.sockets]
    assert families[:2] == [socket.AF_INET, socket.AF_INET6]
    assert len(families) >= 4
    assert socket.AF_UNIX not in families


@pytest.mark.parametrize("user", ["0", None])
def test_workers_inherit_the_setting(tmp_path: Path, user: str | None) -> None:
    script = tmp_path / "script.py"
    script.write_text(WORKERS)
    theirs = {} if user is None else {"ORT_DISABLE_TELEMETRY": user}
    done = run_guarded(tmp_path, str(script), **theirs)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["1 1"] * 3


def test_a_user_may_keep_the_telemetry_of_hugging_face(tmp_path: Path) -> None:
    code = "import os, spt_explain; print(os.environ['HF_HUB_DISABLE_TELEMETRY'])"
    done = run_guarded(tmp_path, "-c", code, HF_HUB_DISABLE_TELEMETRY="0")
    assert done.stdout.strip() == "0"


def test_the_guard_records_the_telemetry_of_onnx_runtime(telemetry: Future[GuardedRun]) -> None:
    """Without the setting a device id is written at once, and a socket opened within `LIFE_S`."""
    done = telemetry.result()
    imported_s = float(done.stdout)
    if not done.written():
        pytest.skip("this ONNX Runtime has no telemetry")
    assert any(name.endswith("/.onnxruntime/deviceid") for name in done.written())
    assert done.sockets
    assert done.ended_s - imported_s < LIFE_S


def test_the_commands_open_no_socket_and_write_no_other_file(
    commands: Future[GuardedRun],
) -> None:
    done = commands.result()
    assert done.returncode == 0, done.stderr
    assert done.sockets == []
    assert done.written() == {
        ".cache/spt-explain/verified.json",
        ".local/share/spt-explain/last-classified.json",
    }
    assert {path.name for path in done.folder.iterdir()} == {
        "movie.tif", "movie.tracking.toml", "movie.tracks.csv", "movie.tracks.json", "tracks.csv",
        "tracks.json", "tracks.reasons", "tracks.verdicts.csv", "tracks.verdicts.json", "why.html",
    }  # fmt: skip
    assert list(done.temporary.iterdir()) == []


def test_the_library_opens_no_socket_and_writes_no_file(library: Future[GuardedRun]) -> None:
    done = library.result()
    assert done.returncode == 0, done.stderr
    assert done.sockets == []
    assert done.written() == {".cache/spt-explain/verified.json"}
    assert list(done.folder.iterdir()) == []
    assert list(done.temporary.iterdir()) == []
