"""The demonstration shows the main job with either broker and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.ports import free_port
from services.waiting import until

from node.messages import read_still_info

PLACES = {"adam-malik", "pasar-horas", "taman-bunga"}


class RunningDemo:
    """`simpul demo` as a person starts it."""

    def __init__(self, temporary: Path, *options: str, path: str | None = None) -> None:
        self.port = free_port()
        self.output = temporary / "output"
        environment = {**os.environ, "TMPDIR": str(temporary)}
        if path is not None:
            environment["SIMPUL_MOSQUITTO_PATH"] = path
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "provisioning", "demo", "--port", str(self.port), *options],
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
            )

    def text(self) -> str:
        return self.output.read_text()

    def cameras(self) -> list[dict[str, object]]:
        listing: dict[str, list[dict[str, object]]] = json.loads(self.get("cameras.json"))
        return listing["cameras"]

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
            content: bytes = answer.read()
            return content

    def await_pictures(self) -> None:
        until(
            lambda: "Ctrl-C ends it" in self.text() or self.process.poll() is not None,
            "the demonstration",
            seconds=60,
        )
        assert self.process.poll() is None, self.text()


@pytest.fixture
def temporary() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def programs(temporary: Path) -> set[str]:
    """Return the command lines of running programs that belong to a demonstration there."""
    listing = subprocess.run(
        ["ps", "-e", "-o", "args="], check=True, capture_output=True, text=True
    ).stdout
    return {line for line in listing.splitlines() if f"{temporary}/simpul-demo-" in line}


@pytest.mark.parametrize("broker", ["mosquitto", "embedded"])
def test_three_nodes_reach_the_page_and_nothing_is_left(temporary: Path, broker: str) -> None:
    demo = RunningDemo(temporary, path="/nonexistent" if broker == "embedded" else None)
    try:
        demo.await_pictures()
        cameras = demo.cameras()
        assert {camera["id"] for camera in cameras} == PLACES
        for camera in cameras:
            assert camera["state"] == "online"
            assert camera["simulated"] is True
            info = read_still_info(demo.get(str(camera["still"])))
            assert info.node == camera["id"]
            assert info.simulated
        assert b"<html" in demo.get("")
    finally:
        demo.process.send_signal(signal.SIGINT)
        demo.process.wait(20)
    assert demo.process.returncode == 0, demo.text()
    assert not programs(temporary)
    assert {file.name for file in temporary.iterdir()} == {"output"}


def test_a_killed_demonstration_takes_its_programs_along(temporary: Path) -> None:
    demo = RunningDemo(temporary)
    demo.await_pictures()
    demo.process.kill()
    demo.process.wait()
    until(lambda: not programs(temporary), "the end of its programs")


def test_a_taken_port_and_a_missing_clip_are_explained(temporary: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        result = _simpul("demo", "--port", port)
    assert result.returncode == 1
    assert f"port {port} is taken" in result.stderr
    result = _simpul("demo", "--video", str(temporary / "none.mp4"))
    assert result.returncode == 1
    assert "there is no such clip" in result.stderr
    assert "Traceback" not in result.stderr


def _simpul(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "provisioning", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
