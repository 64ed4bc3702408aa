"""The camera is a process of its own: watched, killed when it hangs, and never left behind."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pytest
import simplejpeg
from msgspec import Struct
from services.waiting import until

from node import messages
from node.camera.check import check_camera
from node.camera.source import CameraSource, camera_command
from node.clock import FakeClock
from node.errors import CameraError, MaskError, SettingsError
from node.settings import Camera, Identity, NodeSettings, Uplink

MASK = '[[region]]\nname = "a"\npolygon = [[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]]\n'
PRELUDE = """
import sys, time
from node.camera.pipe import Figures, Still, encode_record
def say(record):
    sys.stdout.buffer.write(encode_record(record)); sys.stdout.buffer.flush()
def figures(count):
    say(Figures(frames_count=count, frames_dropped_count=0, newest_mono=time.monotonic(),
        width=64, height=48, simulated=True, masked_ratio=0.1))
def still(age=0.0):
    say(Still(jpeg=b"x", width=64, height=48, mono=time.monotonic() - age, simulated=True))
"""


@dataclass
class Ledger:
    """A sink that remembers."""

    measured: list[messages.Camera] = field(default_factory=list)
    frames: list[tuple[bytes, float]] = field(default_factory=list)

    def measure(self, kind: str, data: Struct) -> None:
        assert kind == "camera"
        assert isinstance(data, messages.Camera)
        self.measured.append(data)

    def event(self, name: str, data: Struct) -> None:
        raise NotImplementedError

    def frame(self, jpeg: bytes, *, width: int, height: int, mono: float, simulated: bool) -> None:
        assert width > 0
        assert height > 0
        assert simulated
        self.frames.append((jpeg, mono))


class Running:
    """A source in a thread."""

    def __init__(self, source: CameraSource) -> None:
        self.source = source
        self.sink = Ledger()
        self.stop = threading.Event()
        self.error: CameraError | None = None
        self.thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join(10)
        assert not self.thread.is_alive()

    def _run(self) -> None:
        try:
            self.source.run(self.sink, self.stop)
        except CameraError as error:
            self.error = error

    def failure(self) -> str:
        until(lambda: self.error is not None, "the failure")
        return str(self.error)


def scripted(script: str, **changes: float) -> CameraSource:
    """Return a source whose process is a few lines of Python."""
    settings = Camera(
        adapter="rendered",
        measure_interval_seconds=0.2,
        stall_seconds=1,
        **changes,  # type: ignore[arg-type]
    )
    program = PRELUDE + textwrap.dedent(script)
    return CameraSource(settings, [sys.executable, "-c", program], start_seconds=5)


@pytest.fixture
def node_toml(tmp_path: Path) -> Path:
    (tmp_path / "mask.toml").write_text(MASK)
    file = tmp_path / "node.toml"
    file.write_text(
        f"""
[node]
name = "taman-bunga"
[uplink]
brokers = ["mqtt://127.0.0.1:1"]
[camera]
adapter = "rendered"
width = 320
height = 192
frames_per_second = 20
still_interval_seconds = 0.3
mask_file = "{tmp_path / "mask.toml"}"
"""
    )
    return file


@pytest.fixture
def real(node_toml: Path) -> CameraSource:
    settings = Camera(adapter="rendered", measure_interval_seconds=0.2, stall_seconds=5)
    return CameraSource(settings, camera_command(node_toml))


def test_stills_and_measurements_arrive(real: CameraSource) -> None:
    with Running(real) as running:
        until(lambda: len(running.sink.frames) >= 3, "stills")
        until(lambda: len(running.sink.measured) >= 2, "measurements")
    newest = running.sink.measured[-1]
    assert newest.running
    assert newest.simulated
    assert newest.frame_age_seconds is not None
    assert newest.frame_age_seconds < 5
    assert newest.frames_per_second
    assert newest.masked_ratio
    picture = simplejpeg.decode_jpeg(running.sink.frames[0][0])
    assert picture.shape == (192, 320, 3)
    assert not picture[:38, :64].any()
    stamps = [mono for _, mono in running.sink.frames]
    assert stamps == sorted(set(stamps))


def test_a_snapshot_comes_at_once(node_toml: Path) -> None:
    text = node_toml.read_text().replace("interval_seconds = 0.3", "interval_seconds = 3600")
    node_toml.write_text(text)
    source = CameraSource(Camera(adapter="rendered"), camera_command(node_toml))
    with pytest.raises(CameraError, match="not running"):
        source.snapshot()
    with Running(source) as running:
        until(lambda: len(running.sink.frames) == 1, "the first still")
        source.snapshot()
        until(lambda: len(running.sink.frames) == 2, "the snapshot")


def test_a_camera_that_hangs_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    source = scripted(
        f"""
        import os, signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        open({str(pid_file)!r}, "w").write(str(os.getpid()))
        figures(1)
        while True: time.sleep(60)
        """
    )
    with Running(source) as running:
        assert "no new frame" in running.failure()
        assert running.sink.measured[-1].running is False
    assert not Path(f"/proc/{pid_file.read_text()}").exists()


# Whom another process traces does not end for its parent before the tracer lets go (ptrace(2)).
HOLD = """
import ctypes, sys
PTRACE_SEIZE = 0x4206
refused = ctypes.CDLL(None).ptrace(PTRACE_SEIZE, int(sys.argv[1]), None, None)
print("refused" if refused else "held", flush=True)
sys.stdin.read()
"""


@contextmanager
def held(pid: str) -> Iterator[None]:
    """Keep a process from ending, within the `with` block, as a driver that hangs does."""
    command = [sys.executable, "-c", HOLD, pid]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield


def test_a_process_that_cannot_be_ended_is_told_and_none_is_started_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.camera.child._KILLED_SECONDS", 0.5)
    pids = tmp_path / "pids"
    pids.touch()
    source = scripted(
        f"""
        import os, select
        with open({str(pids)!r}, "a") as file:
            print(os.getpid(), file=file)
        while not select.select([sys.stdin], [], [], 0.1)[0]:
            figures(1)
        time.sleep(60)
        """
    )
    with Running(source) as running:
        until(lambda: bool(pids.read_text()), "the process")
        with held(pids.read_text().strip()):
            source.snapshot()
            assert "only a restart of the whole node helps" in running.failure()
            assert running.sink.measured[-1].running is False
            with Running(source) as again:
                assert "only a restart of the whole node helps" in again.failure()
            assert len(pids.read_text().split()) == 1
    with Running(source):
        until(lambda: len(pids.read_text().split()) == 2, "the next process")


def test_a_camera_without_a_first_frame_is_killed() -> None:
    settings = Camera(adapter="rendered", stall_seconds=1)
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with Running(CameraSource(settings, command, start_seconds=1)) as running:
        assert "no first frame" in running.failure()


class HurryingClock(FakeClock):
    """A clock on which minutes pass with every look."""

    def mono(self) -> float:
        self.advance(500)
        return super().mono()


def test_each_slow_start_has_the_next_take_longer_until_one_succeeds(tmp_path: Path) -> None:
    settings, ready = Camera(adapter="rendered"), tmp_path / "ready"
    program = f"{PRELUDE}\nimport os\nif os.path.exists({str(ready)!r}): figures(1)\n"
    command = [sys.executable, "-c", f"{program}else: time.sleep(60)"]
    source = CameraSource(settings, command, clock=HurryingClock(), start_seconds=1000)

    def failure() -> str:
        with Running(source) as running:
            return running.failure()

    for limit_seconds in (1000, 2000, 4000, 4000):
        assert f"(at most {limit_seconds} s)" in failure()
    ready.touch()
    assert "first frame" not in failure(), "it ended by itself"
    ready.unlink()
    assert "(at most 1000 s)" in failure()


def test_an_old_still_is_never_shown_as_new() -> None:
    source = scripted(
        """
        for count in range(10000):
            figures(count)
            still(age=100)
            time.sleep(0.02)
        """
    )
    with Running(source) as running:
        until(lambda: len(running.sink.measured) >= 2, "measurements")
    assert running.sink.frames == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("print('libcamera says hello'); sys.stdout.flush(); time.sleep(60)", "something else"),
        ("sys.stderr.write('no camera on the cable\\n'); sys.exit(1)", "no camera on the cable"),
        ("import os; os.kill(os.getpid(), 9)", "camera process"),
    ],
)
def test_a_broken_process_is_explained(script: str, words: str) -> None:
    with Running(scripted(script)) as running:
        assert words in running.failure()


def test_many_restarts_leave_nothing_behind() -> None:
    source = scripted("figures(1); still(); sys.exit(1)")

    def open_descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def run_once() -> None:
        with Running(source) as running:
            running.failure()

    run_once()
    before = open_descriptors()
    for _ in range(15):
        run_once()
    assert open_descriptors() <= before
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children]
    assert not [name for name in names if b"encode_record" in name]


def test_the_camera_ends_with_its_agent(node_toml: Path) -> None:
    program = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen({list(camera_command(node_toml))!r},"
        " stdin=subprocess.PIPE, stdout=subprocess.DEVNULL);"
        "print(child.pid, flush=True); time.sleep(60)"
    )
    agent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert agent.stdout is not None
    camera_pid = int(agent.stdout.readline())
    agent.kill()
    agent.wait()
    agent.stdout.close()

    def gone() -> bool:
        with suppress(OSError):
            return ") Z" in Path(f"/proc/{camera_pid}/stat").read_text()
        return True

    until(gone, "the end of the camera")


def test_the_parent_stays_light() -> None:
    program = (
        "import sys, node.camera.source;"
        "sys.exit(bool({'numpy', 'av', 'simplejpeg'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


class TestCheck:
    """`simpul-node check` finds before the pole what would fail on it."""

    @pytest.fixture
    def mask(self, tmp_path: Path) -> str:
        file = tmp_path / "mask.toml"
        file.write_text(MASK)
        return str(file)

    def check(self, **camera: str) -> None:
        check_camera(
            NodeSettings(
                node=Identity(name="a"),
                uplink=Uplink(brokers=("mqtt://a:1",)),
                camera=Camera(**camera),  # type: ignore[arg-type]
            )
        )

    def test_a_sound_camera(self, mask: str) -> None:
        self.check(adapter="rendered", mask_file=mask)
        self.check(adapter="video", source="rtsp://camera.example/1", mask_file=mask)

    @pytest.mark.parametrize(
        ("adapter", "source", "words"),
        [
            ("video", "", "missing"),
            ("video", "/nonexistent.mp4", "No such file"),
            ("video", "/", "is no file"),
            ("v4l2", "/etc/hostname", "is no device"),
            ("picamera2", "", "python3-picamera2"),
        ],
    )
    def test_a_source_that_cannot_be(
        self, mask: str, adapter: str, source: str, words: str
    ) -> None:
        with pytest.raises(SettingsError, match=words):
            self.check(adapter=adapter, source=source, mask_file=mask)

    def test_a_mask_that_cannot_be(self, tmp_path: Path) -> None:
        with pytest.raises(MaskError):
            self.check(adapter="rendered", mask_file=str(tmp_path / "none.toml"))
