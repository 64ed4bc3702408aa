"""A bundle comes over a link that breaks without a byte sent twice, and what fails is said."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.http_files import BreakingLink, serving
from services.papers import make_authority, make_certificate
from services.ports import free_port, wait_for_port

from node.install import download
from node.install.errors import FetchError
from node.install.fetch import fetch
from node.install.incoming import Fetched, discard

CONTENT = os.urandom(700_000)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "a.bundle").write_bytes(CONTENT)
    with serving(folder) as port:
        yield port


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_PAUSE_S", 0.01)


def linked(server: int, *limits: int) -> BreakingLink:
    return BreakingLink(server, list(limits))


def test_a_whole_download(server: int, tmp_path: Path) -> None:
    file = fetch(f"http://127.0.0.1:{server}/a.bundle", tmp_path / "incoming").file
    assert file.read_bytes() == CONTENT
    assert file.parent == tmp_path / "incoming"


def test_a_breaking_link_is_resumed_and_sends_nothing_twice(server: int, tmp_path: Path) -> None:
    link = linked(server, 100_000, 1_000, 300_000)
    try:
        file = fetch(f"http://127.0.0.1:{link.port}/a.bundle", tmp_path / "incoming").file
    finally:
        link.close()
    assert file.read_bytes() == CONTENT
    assert len(link.requests) == 4
    assert b"Range: bytes=" in link.requests[1]
    # Beside the content only the heads of four answers.
    assert link.passed_bytes < len(CONTENT) + 4 * 500


def test_what_an_earlier_call_fetched_is_kept(server: int, tmp_path: Path) -> None:
    link = linked(server, 200_000, *[0] * 5)
    url = f"http://127.0.0.1:{link.port}/a.bundle"
    try:
        with pytest.raises(FetchError, match="try again, it will be resumed"):
            fetch(url, tmp_path / "incoming")
        before_bytes = link.passed_bytes
        assert fetch(url, tmp_path / "incoming").file.read_bytes() == CONTENT
    finally:
        link.close()
    assert link.passed_bytes - before_bytes < len(CONTENT) - 190_000


def test_a_part_is_resumed_only_while_the_file_is_the_same(server: int, tmp_path: Path) -> None:
    link = linked(server, 200_000, *[0] * 5)
    url = f"http://127.0.0.1:{link.port}/a.bundle"
    try:
        with pytest.raises(FetchError):
            fetch(url, tmp_path / "incoming")
        (tag,) = (tmp_path / "incoming").glob("*.etag")
        fetch(url, tmp_path / "incoming")
    finally:
        link.close()
    assert f"If-Range: {tag.read_text()}".encode() in link.requests[-1]


def test_only_one_download_is_kept(server: int, tmp_path: Path) -> None:
    (tmp_path / "served/b.bundle").write_bytes(b"b")
    incoming = tmp_path / "incoming"
    fetch(f"http://127.0.0.1:{server}/a.bundle", incoming)
    file = fetch(f"http://127.0.0.1:{server}/b.bundle", incoming).file
    assert [each for each in incoming.iterdir() if each.suffix == ".bundle"] == [file]
    discard(file, incoming)
    assert not list(incoming.iterdir())


def test_a_local_file_stays_where_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.bundle"
    file.write_bytes(b"a")
    for source in (str(file), f"file://{file}"):
        assert fetch(source, tmp_path / "incoming") == Fetched(file)
    discard(file, tmp_path / "incoming")
    assert file.exists()


def test_https_is_checked_against_the_fleet_authority(tmp_path: Path) -> None:
    make_authority(tmp_path, "fleet")
    make_certificate(tmp_path, "hub", authority="fleet")
    (tmp_path / "a.bundle").write_bytes(CONTENT)
    port = free_port()
    command = ["openssl", "s_server", "-WWW", "-quiet", "-accept", f"127.0.0.1:{port}"]
    command += ["-cert", "hub.pem", "-key", "hub.key"]
    server = subprocess.Popen(
        command, cwd=tmp_path, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"https://127.0.0.1:{port}/a.bundle"
    try:
        wait_for_port(port)
        with pytest.raises(FetchError, match="certificate verify failed"):
            fetch(url, tmp_path / "incoming")
        file = fetch(url, tmp_path / "incoming", ca=tmp_path / "fleet.pem").file
    finally:
        server.kill()
        server.wait()
    assert file.read_bytes() == CONTENT


def test_failures_are_explained(server: int, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="404 Not Found"):
        fetch(f"http://127.0.0.1:{server}/no.bundle", tmp_path / "incoming")
    with pytest.raises(FetchError, match=r"Connection refused.*try again"):
        fetch(f"http://127.0.0.1:{free_port()}/a.bundle", tmp_path / "incoming")
    with pytest.raises(FetchError, match="no such file, nor an address of http or https"):
        fetch("ftp://127.0.0.1/a.bundle", tmp_path / "incoming")
    with pytest.raises(FetchError, match="holds no certificates"):
        fetch("https://127.0.0.1/a.bundle", tmp_path, ca=tmp_path / "no.pem")


def test_more_than_a_bundle_can_be_is_refused(
    server: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_BUNDLE_BYTES_MAX", 1000)
    with pytest.raises(FetchError, match="more than 1000 bytes; refused"):
        fetch(f"http://127.0.0.1:{server}/a.bundle", tmp_path / "incoming")


@pytest.mark.parametrize("host", ["[bad", "a" * 70 + ".lan", "a..lan"])
def test_an_address_that_can_be_none_is_said(tmp_path: Path, host: str) -> None:
    with pytest.raises(FetchError, match="no address of http or https"):
        fetch(f"http://{host}/a.bundle", tmp_path / "incoming")
