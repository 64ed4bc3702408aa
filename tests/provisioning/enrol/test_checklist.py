"""The technician's checklist: what is green and red, in both languages, in a real terminal."""

import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fcntl import ioctl
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console
from services.mosquitto import Mosquitto, mosquitto_program
from services.office import run_simpul
from services.talker import Talker

from node.messages import Camera, Health, State, Wifi
from provisioning.enrol.checklist import Check, all_good, checklist
from provisioning.enrol.show import checklist_json, checklist_table, picture
from provisioning.fleet import NodeView
from provisioning.register import Register

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WELL = Health(
    uplink_round_trip_seconds=0.02,
    uplink_loss_ratio=0.0,
    under_voltage_now=False,
    under_voltage_since_boot=False,
    cpu_temperature_celsius=51.0,
    clock_synced=True,
)


def view(
    *,
    online: bool = True,
    fitted: bool = True,
    still_age_s: float = 3,
    up: bool = True,
    **health: object,
) -> NodeView:
    return NodeView(
        node="pasar-horas",
        state=State(online=online, title="Pasar Horas", camera=fitted, hotspot=fitted),
        still_at=NOW - timedelta(seconds=still_age_s),
        health=msgspec.structs.replace(WELL, **health),
        wifi=Wifi(interface="wlan0", up=up, stations_count=0),
        camera=Camera(adapter="picamera2", running=True),
    )


def verdicts(seen: NodeView, *, confirmed: bool | None = True) -> dict[str, str]:
    checks = checklist(seen, now=NOW, view_confirmed=confirmed)
    return {check.key: check.verdict for check in checks}


def test_a_node_that_works_is_all_green() -> None:
    assert set(verdicts(view()).values()) == {"good"}
    assert all_good(checklist(view(), now=NOW, view_confirmed=True))


@pytest.mark.parametrize(
    ("seen", "key"),
    [
        (view(online=False), "online"),
        (NodeView(node="a"), "online"),
        (view(still_age_s=61), "camera"),
        (view(still_age_s=-86_400), "camera"),
        (msgspec.structs.replace(view(), still_clock_synced=False), "camera"),
        (view(up=False), "hotspot"),
        (view(uplink_round_trip_seconds=1.1), "uplink"),
        (view(uplink_loss_ratio=0.06), "uplink"),
        (view(under_voltage_now=True), "power"),
        (view(under_voltage_since_boot=True), "power"),
        (view(cpu_temperature_celsius=80.0), "temperature"),
        (view(clock_synced=False), "clock"),
    ],
)
def test_trouble_is_red_and_says_what_to_do(seen: NodeView, key: str) -> None:
    checks = checklist(seen, now=NOW, view_confirmed=True)
    (bad,) = [check for check in checks if check.key == key]
    assert bad.verdict == "bad"
    assert not all_good(checks)
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(checklist_table("pasar-horas", checks))
    text = console.export_text()
    assert f"✘ {bad.indonesian}: {bad.advice_indonesian}" in text
    assert f"{bad.english}: {bad.advice_english}" in text


def test_what_a_board_cannot_tell_is_yellow_and_what_is_not_fitted_grey() -> None:
    board = view(under_voltage_now=None, cpu_temperature_celsius=None)
    told = verdicts(board)
    assert (told["power"], told["temperature"]) == ("unknown",) * 2
    assert all_good(checklist(board, now=NOW, view_confirmed=True))
    bare = verdicts(view(fitted=False), confirmed=None)
    assert (bare["camera"], bare["view"], bare["hotspot"]) == ("absent",) * 3
    assert all_good(checklist(view(fitted=False), now=NOW, view_confirmed=None))


@pytest.mark.parametrize(
    ("seen", "confirmed", "keys"),
    [
        (msgspec.structs.replace(view(), wifi=None), True, {"hotspot"}),
        (view(uplink_round_trip_seconds=None), True, {"uplink"}),
        (view(), None, {"view"}),
        (view(clock_synced=None), True, {"clock"}),
        # Nothing was heard of the board, so that nobody knows what it can tell.
        (
            msgspec.structs.replace(view(), health=None),
            True,
            {"uplink", "power", "temperature", "clock"},
        ),
        (
            NodeView(node="a", state=State(online=True, hotspot=True)),
            None,
            {"hotspot", "uplink", "power", "temperature", "clock"},
        ),
    ],
)
def test_what_every_node_tells_and_was_not_seen_is_not_good(
    seen: NodeView,
    confirmed: bool | None,  # noqa: FBT001 - a case of the test
    keys: set[str],
) -> None:
    checks = checklist(seen, now=NOW, view_confirmed=confirmed)
    unseen = [check for check in checks if check.verdict == "unseen"]
    assert {check.key for check in unseen} == keys
    assert not all_good(checks)
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(checklist_table("pasar-horas", checks))
    text = console.export_text()
    assert text.count("belum terlihat / not seen") == len(keys)
    for check in unseen:
        assert f"✘ {check.indonesian}: {check.advice_indonesian}" in text
        assert f"{check.english}: {check.advice_english}" in text


def test_a_view_that_is_not_confirmed_is_red() -> None:
    assert verdicts(view(), confirmed=False)["view"] == "bad"


@given(
    st.builds(
        view,
        online=st.booleans(),
        fitted=st.booleans(),
        up=st.booleans(),
        still_age_s=st.floats(-1e6, 1e6),
        uplink_round_trip_seconds=st.none() | st.floats(allow_nan=False),
        cpu_temperature_celsius=st.none() | st.floats(),
    )
)
def test_every_line_has_both_languages_and_an_advice(seen: NodeView) -> None:
    checks: list[Check] = checklist(seen, now=NOW, view_confirmed=None)
    assert len({check.key for check in checks}) == len(checks) == 8
    for check in checks:
        assert check.indonesian
        assert check.english
        if check.verdict in {"bad", "unseen"}:
            assert check.advice_indonesian
            assert check.advice_english
    told = json.loads(checklist_json("a", checks, good=all_good(checks)))
    assert len(told["checks"]) == 8


def jpeg() -> bytes:
    """Return a picture whose left half is red and whose right half is blue."""
    drawn = Image.new("RGB", (640, 360), (220, 20, 20))
    drawn.paste((20, 20, 220), (320, 0, 640, 360))
    out = io.BytesIO()
    drawn.save(out, "JPEG", quality=90)
    return out.getvalue()


def test_the_picture_is_drawn_in_its_colours() -> None:
    console = Console(width=40, record=True, file=io.StringIO(), color_system="truecolor")
    console.print(picture(jpeg(), console))
    assert set(console.export_text(clear=False)) <= {"▄", "▀", "\n", " "}
    lines = console.export_text(styles=True).rstrip("\n").split("\n")
    assert len(lines) == 11  # 40 columns wide, 22 or 23 pixels high, two of them in each line
    colours = re.findall(r"38;2;(\d+);\d+;(\d+)", lines[5])
    (left_red, left_blue), (right_red, right_blue) = colours[0], colours[-1]
    assert int(left_red) > 100 > int(left_blue)
    assert int(right_blue) > 100 > int(right_red)


@pytest.mark.parametrize("still", [b"", b"\xff\xd8\xff\xd9", b"GIF89a", jpeg()[:200]])
def test_a_broken_picture_is_a_sentence(still: bytes) -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(picture(still, console))
    assert "cannot be shown" in console.export_text()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if mosquitto_program() is None:
        pytest.skip("Mosquitto is not installed")
    with Mosquitto(tmp_path / "broker") as started:
        yield started


def speak(talker: Talker, stop: threading.Event) -> None:
    """Say all that a node says, again and again, as it does."""
    talker.birth()
    while not stop.is_set():
        talker.still(jpeg())
        talker.measure()
        talker.publish("health", msgspec.json.encode(talker.envelope("health", WELL, 1)))
        camera = Camera(adapter="picamera2", running=True)
        talker.publish("camera", msgspec.json.encode(talker.envelope("camera", camera, 2)))
        stop.wait(0.3)


@pytest.mark.parametrize(
    ("answer", "code", "words"), [("y", 0, "baik / good"), ("t", 3, "arahkan kamera ke jalan")]
)
def test_in_a_terminal_the_picture_is_shown_and_asked_about(
    broker: Mosquitto, tmp_path: Path, answer: str, code: int, words: str
) -> None:
    register = Register(tmp_path / "register.db")
    register.record_host_key("pasar-horas", "ssh-ed25519 A", "confirmed")
    stop = threading.Event()
    with Talker(broker.url, "pasar-horas") as talker:
        node = threading.Thread(target=speak, args=(talker, stop))
        node.start()
        shown, status = converse(broker.url, answer, register.file)
        stop.set()
        node.join()
    assert status == code, shown
    assert words in shown
    assert "Is this the right view? [y/t]" in shown
    assert "Arah kamera disetujui" in shown
    assert "▄" in shown
    assert "\x1b[38;" in shown
    assert register.view_confirmed("pasar-horas") is (answer == "y")


def speak_without_stills(talker: Talker, stop: threading.Event, kept_at: datetime) -> None:
    """Say all that a node says whose camera sends nothing more; its last still is at the broker."""
    talker.birth()
    talker.still(jpeg(), at=kept_at)
    while not stop.is_set():
        talker.measure()
        talker.publish("health", msgspec.json.encode(talker.envelope("health", WELL, 1)))
        camera = Camera(adapter="picamera2", running=False)
        talker.publish("camera", msgspec.json.encode(talker.envelope("camera", camera, 2)))
        stop.wait(0.3)


@pytest.mark.parametrize("age_s", [30 * 86_400, 55])
def test_nobody_is_asked_about_a_picture_that_the_broker_kept(
    broker: Mosquitto, tmp_path: Path, age_s: int
) -> None:
    """Neither about last month's, nor about one that is new, and of the pole before this one."""
    register = Register(tmp_path / "register.db")
    register.record_host_key("pasar-horas", "ssh-ed25519 A", "confirmed")
    stop = threading.Event()
    with Talker(broker.url, "pasar-horas") as talker:
        kept_at = datetime.now(UTC) - timedelta(seconds=age_s)
        node = threading.Thread(target=speak_without_stills, args=(talker, stop, kept_at))
        node.start()
        shown, status = converse(broker.url, "y", register.file)
        stop.set()
        node.join()
    assert status == 3, shown
    assert "right view?" not in shown
    assert "▄" not in shown
    assert "View confirmed: look at the picture" in shown
    assert register.rows("view") == []


def converse(url: str, answer: str, register: Path) -> tuple[str, int]:
    """Run `simpul checklist` in a terminal of 120 x 50 and answer its question."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(ROOT)
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        words = ["checklist", "pasar-horas", "--broker", url, "--settle", "0"]
        words.append(f"--register={register}")
        os.execv(  # noqa: S606 - no shell
            sys.executable, [sys.executable, "-m", "provisioning", *words]
        )
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
    shown = b""
    try:
        while more := os.read(terminal, 65_536):
            shown += more
            if b"[y/t] " in shown and answer:
                os.write(terminal, answer.encode() + b"\n")
                answer = ""
    except OSError:  # the other side is closed
        pass
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    return shown.decode(), os.waitstatus_to_exitcode(status)


def test_a_node_that_stays_silent_is_red(broker: Mosquitto) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "provisioning", "checklist", "pasar-horas"),
            *("--timeout", "0.5", "--broker", broker.url, "--json"),
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["checks"][0] | {"value": ""} == {
        "key": "online",
        "indonesian": "Tersambung ke pusat",
        "english": "Connected to the hub",
        "verdict": "bad",
        "value": "",
        "advice_indonesian": "periksa kabel jaringan dan alamat broker",
        "advice_english": "look at the network cable and the broker's address",
    }


def asked(url: str, folder: Path, *words: object) -> tuple[int, dict[str, str], bool]:
    """Return the exit status of `simpul checklist --json`, its verdicts, and whether it is good."""
    options = ("--broker", url, "--register", folder / "register.db", "--json")
    done = run_simpul(ROOT, "checklist", "pasar-horas", *options, *words)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    verdicts = {check["key"]: check["verdict"] for check in told["checks"]}
    return done.returncode, verdicts, told["good"]


def test_a_birth_alone_is_not_enough(broker: Mosquitto, tmp_path: Path) -> None:
    with Talker(broker.url, "pasar-horas") as talker:
        talker.birth(camera=False)
        code, told, good = asked(broker.url, tmp_path, "--timeout", 1, "--settle", 0)
    assert (code, good) == (3, False)
    assert told == {
        "online": "good",
        "camera": "absent",
        "view": "absent",
        **dict.fromkeys(("hotspot", "uplink", "power", "temperature", "clock"), "unseen"),
    }


@pytest.mark.parametrize(("confirmed", "code"), [(False, 3), (True, 0)])
def test_a_view_is_confirmed_once_and_not_waited_for(
    broker: Mosquitto,
    tmp_path: Path,
    confirmed: bool,  # noqa: FBT001 - a case of the test
    code: int,
) -> None:
    """Where nobody can be asked, the register's word counts; more time would not bring it."""
    if confirmed:
        Register(tmp_path / "register.db").record_view("pasar-horas", "0" * 64)
    stop = threading.Event()
    with Talker(broker.url, "pasar-horas") as talker:
        node = threading.Thread(target=speak, args=(talker, stop))
        node.start()
        # Far longer than this test may take.
        ended = asked(broker.url, tmp_path, "--timeout", 1000, "--settle", 1000)
        stop.set()
        node.join()
    assert ended[0] == code, ended
    assert ended[1] == {
        **dict.fromkeys(ended[1], "good"),
        "view": "good" if confirmed else "unseen",
    }
    assert ended[2] is confirmed
    assert confirmed or not (tmp_path / "register.db").exists()
