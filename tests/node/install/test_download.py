"""No server fills a card, holds the installer for ever, or has two files taken for one."""

import itertools
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from services.http_scripts import answering, asked_from, head, ranges_of
from services.loop_cards import needs_loop
from services.small_disk import MIB, mounted

from node.install import download
from node.install.errors import FetchError, InstallError
from node.install.fetch import fetch

Send = Callable[[bytes], None]
CONTENT, OTHER = os.urandom(50_000), os.urandom(60_000)


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 0.01)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk on which four MiB and what is kept free find room."""
    with mounted("-t", "tmpfs", "-o", "size=20m", "tmpfs", at=tmp_path / "small") as disk:
        yield disk


def endless(send: Send, _: bytes) -> None:
    send(head("200 OK"))
    while True:
        send(bytes(65_536))


def large(send: Send, request: bytes) -> None:
    ranges_of(bytes(8 * MIB), send, request, ETag='"1"')(None)


def growing(send: Send, request: bytes) -> None:
    """Send three MiB of eight, and then the rest from another file that is larger still."""
    start = asked_from(request)
    ranges_of(bytes((3 if start is None else 8) * MIB), send, request, ETag='"1"')(
        2 * MIB if start is None else None
    )


@needs_loop
@pytest.mark.parametrize(("answer", "count"), [(endless, 1), (large, 1), (growing, 2)])
def test_what_does_not_fit_is_refused_once_and_nothing_of_it_stays(
    small: Path, answer: Callable[[Send, bytes], None], count: int
) -> None:
    with (
        answering(answer) as server,
        pytest.raises(InstallError, match=r"incoming: \d+ MiB free, \d+ MiB needed"),
    ):
        fetch(server.url, small / "incoming")
    assert len(server.requests) == count
    assert not list((small / "incoming").iterdir())


@needs_loop
def test_a_disk_that_is_full_is_not_tried_again(tmp_path: Path) -> None:
    options = "size=20m,nr_inodes=2"  # the root and a folder; none for a file
    with (
        mounted("-t", "tmpfs", "-o", options, "tmpfs", at=tmp_path / "few") as disk,
        answering(large) as server,
        pytest.raises(InstallError, match="No space left on device"),
    ):
        fetch(server.url, disk / "incoming")
    assert len(server.requests) == 1


def test_what_is_larger_than_a_bundle_can_be_does_not_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_BUNDLE_BYTES_MAX", 1000)
    with answering(endless) as server, pytest.raises(FetchError, match="more than 1000 bytes"):
        fetch(server.url, tmp_path / "incoming")
    assert len(server.requests) == 1
    assert not list((tmp_path / "incoming").iterdir())


def drip(send: Send, start: bytes) -> None:
    send(start)
    while True:
        send(b"x")
        threading.Event().wait(0.01)


def drip_content(send: Send, _: bytes) -> None:
    drip(send, head("200 OK", Content_Length=10**6))


def drip_head(send: Send, _: bytes) -> None:
    drip(send, b"HTTP/1.1 200 OK\r\nServer: ")


def one_byte_each(send: Send, request: bytes) -> None:
    begun = asked_from(request) or 0
    ranges_of(bytes(10**6), send, request, ETag='"1"', Padding="x" * 5000)(begun + 1)


@pytest.mark.parametrize("answer", [drip_content, drip_head, one_byte_each])
def test_a_server_that_sends_next_to_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: Callable[[Send, bytes], None]
) -> None:
    monkeypatch.setattr("node.install.pace.GRACE_S", 0.3)
    with (
        answering(answer) as server,
        pytest.raises(FetchError, match=r"too slow.*; try again, it will be resumed"),
    ):
        fetch(server.url, tmp_path / "incoming")


def test_however_fast_it_comes_there_is_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.install.pace.LONGEST_S", 0.3)
    with answering(endless) as server, pytest.raises(FetchError, match="too slow"):
        fetch(server.url, tmp_path / "incoming")


@pytest.mark.parametrize("to", ["ftp://127.0.0.1:9/x", "file:///etc/passwd", "data:,x"])
def test_a_redirection_elsewhere_than_http_is_refused(tmp_path: Path, to: str) -> None:
    def elsewhere(send: Send, _: bytes) -> None:
        send(head("302 Found", Location=to, Content_Length=0))

    with answering(elsewhere) as server, pytest.raises(FetchError) as refused:
        fetch(server.url, tmp_path / "incoming")
    assert to in str(refused.value)
    assert len(server.requests) == 1


def test_a_redirection_is_followed(tmp_path: Path) -> None:
    def onward(send: Send, request: bytes) -> None:
        if b"/a.bundle " in request:
            send(head("302 Found", Location="/b.bundle", Content_Length=0))
        else:
            ranges_of(CONTENT, send, request)(None)

    with answering(onward) as server:
        assert fetch(server.url, tmp_path / "incoming").file.read_bytes() == CONTENT


BEFORE, AT = "Mon, 01 Jan 2024 00:00:00 GMT", "Mon, 01 Jan 2024 00:10:00 GMT"


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({"ETag": '"a"', "Last_Modified": BEFORE, "Date": AT}, '"a"'),
        ({"ETag": 'W/"a"', "Last_Modified": BEFORE, "Date": AT}, BEFORE),
        ({"Last_Modified": BEFORE, "Date": AT}, BEFORE),
        # It may have changed again within that second (RFC 9110, 8.8.2.2).
        ({"Last_Modified": AT, "Date": AT}, None),
        ({"Last_Modified": BEFORE}, None),
        ({"Last_Modified": BEFORE, "Date": f"Mon, 01 Jan {10**20} 00:00:00 GMT"}, None),
        ({"ETag": 'W/"a"'}, None),
        ({}, None),
    ],
)
def test_only_what_is_known_to_be_the_same_is_resumed(
    tmp_path: Path, headers: dict[str, str], condition: str | None
) -> None:
    turns = itertools.count()

    def cut_off_once(send: Send, request: bytes) -> None:
        ranges_of(CONTENT, send, request, **headers)(400 if next(turns) == 0 else None)

    with answering(cut_off_once) as server:
        fetched = fetch(server.url, tmp_path / "incoming")
    assert fetched.file.read_bytes() == CONTENT
    assert fetched.resumed == (condition is not None)
    again = server.requests[1]
    if condition is None:
        assert asked_from(again) is None
    else:
        assert asked_from(again) == 400
        assert f"\r\nIf-Range: {condition}\r\n".encode() in again
