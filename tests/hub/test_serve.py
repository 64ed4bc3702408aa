"""The demo's web server: what it hands out, how, and what it does not."""

import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import ServeError
from hub.serve import find_file, serve

SITE = Path(__file__).parents[2] / "hub" / "public" / "site"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Serve a public directory beside a secret, and return the port."""
    (tmp_path / "secret.jpg").write_text("secret")
    public = tmp_path / "public"
    (public / "stills").mkdir(parents=True)
    (public / "cameras.json").write_text('{"cameras": []}')
    (public / "private.txt").write_text("secret")
    (public / "stills" / "pasar-horas.jpg").write_bytes(b"\xff\xd8\xff\xd9")
    stop, ready, urls = threading.Event(), threading.Event(), []

    def tell(url: str) -> None:
        urls.append(url)
        ready.set()

    thread = threading.Thread(
        target=serve,
        args=(public,),
        kwargs={"address": "127.0.0.1", "port": 0, "stop": stop, "ready": tell},
    )
    thread.start()
    assert ready.wait(10)
    yield int(urls[0].rstrip("/").rsplit(":", 1)[1])
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


def ask(
    port: int, path: str, *, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, dict(answer.headers), content


@pytest.mark.parametrize(
    ("path", "kind", "cache"),
    [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/page.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/style.css", "text/css; charset=utf-8", "no-cache"),
        ("/favicon.svg", "image/svg+xml", "no-cache"),
        ("/cameras.json", "application/json", "max-age=2"),
        ("/stills/pasar-horas.jpg?v=1", "image/jpeg", "public, max-age=86400, immutable"),
    ],
)
def test_each_file_has_its_type_cache_and_guards(
    port: int, path: str, kind: str, cache: str
) -> None:
    status, headers, content = ask(port, path)
    assert status == 200
    assert headers["Content-Type"] == kind
    assert headers["Cache-Control"] == cache
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert int(headers["Content-Length"]) == len(content) > 0
    assert ask(port, path, method="HEAD")[2] == b""
    again = ask(port, path, headers={"If-None-Match": headers["ETag"]})
    assert (again[0], again[2]) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.jpg",
        "/stills/../../secret.jpg",
        "/stills/..%2f..%2fsecret.jpg",
        "/stills/%2e%2e/%2e%2e/secret.jpg",
        "/stills/",
        "/stills",
        "/private.txt",
        "/stills/.pasar-horas.jpg.new",
        "//etc/passwd",
        "/stills/absent.jpg",
        "/site/index.html",
        "/stills/a.jpg%00",
    ],
)
def test_nothing_else_is_handed_out(port: int, path: str) -> None:
    status, _, content = ask(port, path)
    assert (status, content) == (404, b"404\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading_is_possible(port: int, method: str) -> None:
    assert ask(port, "/", method=method)[0] == 501


@given(st.text())
def test_no_path_leads_out_of_the_two_directories(path: str) -> None:
    public = Path("/srv/public")
    found = find_file(path, site=SITE, public=public)
    assert found is None or found[0].parent in {SITE, public, public / "stills"}


def test_a_port_in_use_is_a_stated_error(port: int, tmp_path: Path) -> None:
    with pytest.raises(ServeError, match=str(port)):
        serve(tmp_path, address="127.0.0.1", port=port, stop=threading.Event())
