"""The public page keeps nobody's address, and tells a street of phones from one who abuses it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.debian_server import server_root, why_no_server
from services.namespaced import why_no_namespaces
from services.web_server import WebServer

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT), pytest.mark.timeout(300)]
PHONES = Path(__file__).parents[1] / "services/phones.py"
STILLS = 12
TLS = {
    "nginx_certificate": "/etc/nginx/page.pem",
    "nginx_certificate_key": "/etc/nginx/page.key",
    "nginx_http_port": 8080,
}
CITIZEN = "192.0.2.77"
COLLECTOR = 1234  # a user's number


@pytest.fixture
def behind_proxy(tmp_path: Path) -> Iterator[WebServer]:
    """Give the server in plain http, behind a proxy on the same machine."""
    trusted = {"nginx_trusted_proxies": ["127.0.0.0/8"], "nginx_http_port": 8080}
    with WebServer(server_root(), tmp_path, stills=STILLS, **trusted) as server:
        yield server


def looked(server: WebServer, *, phones: int, views: int = 1) -> dict[str, int]:
    """Return status -> how often it was the answer to these phones, who share an address."""
    words = (sys.executable, str(PHONES), "http://127.0.0.1:8080", str(phones), str(views))
    said = server.run(*words, str(STILLS)).stdout
    return {status: int(count) for status, _, count in (x.partition("=") for x in said.split())}


@pytest.mark.parametrize("port", [443, 8443])
def test_https_keeps_no_address_and_redirects_to_its_port(tmp_path: Path, port: int) -> None:
    strict = {"nginx_requests_per_second": 1, "nginx_connections_per_address": 1}
    with WebServer(
        server_root(), tmp_path, stills=1, nginx_https_port=port, **TLS, **strict
    ) as server:
        secure = f"https://127.0.0.1:{port}"
        shown = "" if port == 443 else f":{port}"
        where = f"https://127.0.0.1{shown}/?a=b"
        assert server.curl("http://127.0.0.1:8080/?a=b") == f"308 {where}"
        assert server.curl(f"{secure}/").startswith("200")
        for path in ("/favicon.ico", "/stills/n9.jpg", "/" + "a" * 300, "/.git"):
            assert server.curl(f"{secure}{path}").startswith("404"), path
        assert server.curl("--data", "x" * 2000, f"{secure}/").startswith("4")
        statuses = {server.curl(f"{secure}/cameras.json")[:3] for _ in range(30)}
        assert statuses == {"200", "429"}
        head = server.run("curl", "-sI", "http://127.0.0.1:8080/").stdout
        assert "nginx/" not in head
        logged = server.logs()
    assert logged, "nginx has its folder of logs"
    assert {name for name, text in logged.items() if "127.0.0.1" in text} == set(), logged


def test_what_a_proxy_tells_is_not_kept_either(behind_proxy: WebServer) -> None:
    told = ("--header", f"X-Forwarded-For: {CITIZEN}")
    assert behind_proxy.curl(*told, "http://127.0.0.1:8080/favicon.ico").startswith("404")
    assert behind_proxy.curl(*told, "http://127.0.0.1:8080/cameras.json").startswith("200")
    assert not any(CITIZEN in text for text in behind_proxy.logs().values())


def test_a_refusal_is_not_kept_for_a_day(behind_proxy: WebServer) -> None:
    def kept(path: str) -> bool:
        head = behind_proxy.run("curl", "-sI", f"http://127.0.0.1:8080/{path}").stdout
        return "immutable" in head

    assert kept("stills/n1.jpg")
    assert not kept("stills/n99.jpg")


def test_a_new_still_is_never_the_former_one(behind_proxy: WebServer) -> None:
    """Its address is new, and what is there is kept for a day."""
    still = behind_proxy.root() / "var/lib/simpul-hub/public/stills/n1.jpg"

    def shown(number: int) -> str:
        address = f"http://127.0.0.1:8080/stills/n1.jpg?v={number}"
        return behind_proxy.run("curl", "-sf", address).stdout

    for number in range(30):
        part = still.with_name(".part")
        part.write_text(f"still {number}")
        part.rename(still)
        assert shown(number) == f"still {number}"


def test_whoever_has_the_collector_cannot_show_files_of_others(behind_proxy: WebServer) -> None:
    """By links in its folder, or in place of a folder."""
    root, here = behind_proxy.root(), "http://127.0.0.1:8080"
    public = root / "var/lib/simpul-hub/public"

    def link(name: str, goal: str, owner: int) -> None:
        (public / name).unlink(missing_ok=True)
        (public / name).symlink_to(goal)
        os.lchown(public / name, owner, owner)

    (root / "etc/n9.jpg").write_text("another's")
    for name in ("cameras.json", "stills/n2.jpg"):
        link(name, "/etc/n9.jpg", owner=COLLECTOR)
        assert behind_proxy.curl(f"{here}/{name}").startswith("403"), name
    link("stills/n2.jpg", "/etc/n9.jpg", owner=0)  # who owns the file may show it
    assert behind_proxy.curl(f"{here}/stills/n2.jpg").startswith("200")
    (public / "stills").rename(public / "before")
    for owner, status in ((COLLECTOR, "403"), (0, "200")):
        link("stills", "/etc", owner)
        assert behind_proxy.curl(f"{here}/stills/n9.jpg").startswith(status), owner


@pytest.mark.parametrize("public", ["/var/lib/simpul-hub/public", "/srv/page/"])
def test_an_administrators_link_to_a_larger_disk_is_followed(tmp_path: Path, public: str) -> None:
    """One that leads to the collector's folder; those within it are judged as ever."""
    given = {"nginx_public_directory": public, "nginx_http_port": 8080}
    with WebServer(server_root(), tmp_path, stills=1, **given) as server:
        root, here = server.root(), "http://127.0.0.1:8080"
        made, disk = root / "var/lib/simpul-hub", root / "mnt/disk"
        collected = made if made.name in public else made / "public"
        collected.rename(disk)
        for file in (disk, *disk.rglob("*")):
            os.chown(file, COLLECTOR, COLLECTOR)
        link = root / "srv/page" if "srv" in public else made
        link.symlink_to("/mnt/disk")
        page = disk / "public" if link == made else disk
        for name in ("cameras.json", "stills/n1.jpg"):
            assert server.curl(f"{here}/{name}").startswith("200"), name
        (root / "etc/stills").mkdir()
        for file in (root / "etc/n9.jpg", root / "etc/stills/n9.jpg"):
            file.write_text("another's")
        (page / "stills/n2.jpg").symlink_to("/etc/n9.jpg")
        os.lchown(page / "stills/n2.jpg", COLLECTOR, COLLECTOR)
        assert server.curl(f"{here}/stills/n2.jpg").startswith("403")
        if link != made:
            return
        page.rename(disk / "before")  # its parent is the collector's too
        page.symlink_to("/etc")
        os.lchown(page, COLLECTOR, COLLECTOR)
        assert server.curl(f"{here}/stills/n9.jpg").startswith("403")


def test_phones_behind_one_address_are_served(behind_proxy: WebServer) -> None:
    files = 6 + STILLS
    assert looked(behind_proxy, phones=30) == {"200": 30 * files}


def test_one_who_abuses_the_page_is_held_back_and_nobody_else(behind_proxy: WebServer) -> None:
    statuses = looked(behind_proxy, phones=30, views=20)
    assert statuses["429"] > 100, statuses
    told = ("--header", f"X-Forwarded-For: {CITIZEN}")
    assert behind_proxy.curl(*told, "http://127.0.0.1:8080/cameras.json").startswith("200")


def test_behind_a_proxy_that_is_not_named_nobody_is_limited(tmp_path: Path) -> None:
    """All citizens have its address."""
    with WebServer(server_root(), tmp_path, stills=STILLS, nginx_http_port=8080) as server:
        assert looked(server, phones=30, views=10).keys() == {"200"}
