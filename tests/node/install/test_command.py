"""`simpul-node install` as callers see it: exit status, JSON, words, and nothing left behind."""

import itertools
import json
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from services.http_files import serving
from services.http_scripts import answering, asked_from, head, ranges_of
from services.install_node import ALONE, AWAIT, Node
from services.releases import small_bundle

from node.install.bundle import read_bundle
from node.install.lock import held
from node.install.manifest import release_hash
from node.install.state import read_state, write_state
from node.install.steps import install, show
from node.install.tree import broken_files


def simpul_node(node: Node, *words: str) -> tuple[int, dict[str, object], str]:
    command = [sys.executable, "-m", "node", "install", *words, "--root", str(node.root), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_install_status_and_again(node: Node, tmp_path: Path) -> None:
    node.bundle(1)
    with serving(node.bundles) as port:
        (name,) = (each.name for each in node.bundles.glob("*.bundle"))
        url = f"http://127.0.0.1:{port}/{name}"
        code, first, _ = simpul_node(node, url)
        assert (code, first["status"], first["changed"]) == (0, "installed", True)
        code, again, _ = simpul_node(node, url)
    assert (code, again["status"], again["changed"]) == (0, "current", False)
    # Known by its hash, it is not even asked for.
    expected = ("--expect", node.running())
    code, again, _ = simpul_node(node, "http://127.0.0.1:9/gone.bundle", *expected)
    assert (code, again["status"], again["changed"]) == (0, "current", False)
    code, status, _ = simpul_node(node, "status")
    assert (code, status["status"], status["confirmed"]) == (0, "idle", node.running())
    assert not list(node.places.incoming.glob("*")), "downloads are not kept"
    assert not list(tmp_path.glob("**/*.new"))


def test_refusals_change_nothing_and_say_why(node: Node, tmp_path: Path) -> None:
    first = install(node.machine, node.bundle(5), ALONE)
    whole = node.bundle(6).read_bytes()
    refused = tmp_path / "refused.bundle"
    files, keys = {"bin/simpul-node": b"#!/bin/sh\n"}, node.signers.keys

    def tampered() -> bytes:
        changed = bytearray(whole)
        changed[-1] ^= 1
        return bytes(changed)

    cases = {
        "tampered": (tampered(), "object"),
        "truncated": (whole[:-100], "fetch it again"),
        "no bundle": (b"<html>404</html>", "not a release bundle"),
        "replayed": (node.bundle(4).read_bytes(), "has had 5; refused"),
        "under-signed": (
            small_bundle(tmp_path, files, counter=7, signers=keys[:1]).read_bytes(),
            "1 of 2 signatures needed",
        ),
        "settings": (
            node.bundle(8, check="echo camera.angel: unknown >&2; exit 2").read_bytes(),
            "camera.angel: unknown",
        ),
    }
    for name, (content, words) in cases.items():
        refused.write_bytes(content)
        code, said, stderr = simpul_node(node, str(refused))
        assert (code, said["status"], said["changed"]) == (3, "refused", False), name
        assert words in str(said["message"]), name
        assert words in stderr
        assert "Traceback" not in stderr
        assert node.running() == first.release
        assert not broken_files(node.places.current.resolve())
        assert not list(node.places.releases.glob(".*"))


def test_a_damaged_download_is_not_resumed(node: Node) -> None:
    bundle = node.bundle(1)
    whole = bundle.read_bytes()
    bundle.write_bytes(whole[:-1] + b"?")
    with serving(node.bundles) as port:
        url = f"http://127.0.0.1:{port}/{bundle.name}"
        assert simpul_node(node, url)[0] == 3
        bundle.write_bytes(whole)
        assert simpul_node(node, url)[0] == 0


def test_what_was_put_together_of_two_files_is_fetched_whole_before_it_is_refused(
    node: Node,
) -> None:
    """A server that answers ranges, whatever the file was before."""
    contents = [node.bundle(number).read_bytes() for number in (1, 2)]
    newer = release_hash(read_bundle(node.bundle(2)).manifest_text)
    turns = itertools.count()

    def careless(send: Callable[[bytes], None], request: bytes) -> None:
        turn = next(turns)
        ranges_of(contents[turn > 0], send, request, ETag='"1"')(400 if turn == 0 else None)

    with answering(careless) as server:
        code, said, _ = simpul_node(node, server.url, "--confirm-within=0", "--soak=0")
    assert (code, said["status"], said["release"]) == (0, "installed", newer)
    assert [asked_from(each) for each in server.requests] == [None, 400, None]


def test_what_was_sent_does_not_stay_also_where_it_is_of_no_use(node: Node) -> None:
    bundle = node.bundle(1)
    release = install(node.machine, bundle, ALONE).release
    incoming = node.places.incoming
    incoming.mkdir()
    sent = str(shutil.copy(bundle, incoming))
    assert simpul_node(node, sent, f"--expect={release}")[1]["status"] == "current"
    assert not list(incoming.iterdir())
    shutil.copy(bundle, incoming)
    with held(node.places.lock):
        assert simpul_node(node, f"file://{sent}")[1]["status"] == "busy"
    assert not list(incoming.iterdir())


def test_what_cannot_be_done_is_told_from_what_is_refused(node: Node, tmp_path: Path) -> None:
    code, said, _ = simpul_node(node, str(tmp_path / "no.bundle"))
    assert (code, said["status"]) == (1, "failed")
    code, said, _ = simpul_node(node, "confirm", "ab" * 32)
    assert (code, "is not on trial here" in str(said["message"])) == (1, True)
    code, said, _ = simpul_node(node, "confirm")
    assert (code, "Name the hash" in str(said["message"])) == (1, True)
    code, said, _ = simpul_node(node, "rollback")
    assert (code, "no earlier release" in str(said["message"])) == (1, True)
    node.places.home.mkdir(parents=True, exist_ok=True)
    node.places.state.write_text('{"phase": "flying"}')
    code, said, _ = simpul_node(node, str(node.bundle(1)))
    assert (code, "remove it and install a full bundle" in str(said["message"])) == (1, True)


def test_one_at_a_time(node: Node) -> None:
    bundle = node.bundle(1)
    with held(node.places.lock):
        code, said, _ = simpul_node(node, str(bundle))
    assert (code, said["status"]) == (5, "busy")
    assert simpul_node(node, str(bundle))[0] == 0


def test_no_download_keeps_a_trial_from_its_end(node: Node) -> None:
    """It may take hours, and who confirms or takes back has to get at the lock."""
    install(node.machine, node.bundle(1), ALONE)
    on_trial = node.bundle(2)
    release = install(node.machine, on_trial, AWAIT).release
    with answering(lambda send, _: send(head("404 Not Found"))) as server:
        for words in ([], [f"--expect={'ab' * 32}"]):
            code, said, _ = simpul_node(node, server.url, *words)
            assert (code, said["status"]) == (5, "busy")
            assert f"release {release[:16]} is on trial; confirm it" in str(said["message"])
        # Known to be the one on trial, it is not asked for either, nor refused.
        code, said, _ = simpul_node(node, server.url, f"--expect={release}")
        assert (code, said["status"], said["release"]) == (0, "trial", release)
    assert server.requests == []
    assert simpul_node(node, str(on_trial))[1]["status"] == "trial"
    # Once its time is over, it is in nobody's way.
    late = msgspec.structs.replace(read_state(node.places.state), deadline_s=0.0)
    write_state(node.places.state, late)
    with serving(node.bundles) as port:
        code, said, _ = simpul_node(node, f"http://127.0.0.1:{port}/{node.bundle(3).name}")
    assert (code, said["status"]) == (0, "installed")


@pytest.mark.parametrize("words", [["--soak", "-1", "x"], ["--soak", "nan", "x"], []])
def test_usage(words: list[str]) -> None:
    command = [sys.executable, "-m", "node", "install", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def loaded_by(program: str) -> set[str]:
    """Return the modules that Python has loaded once it has run `program`."""
    listed = f"import sys; {program}; print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", listed], check=True, capture_output=True, text=True
    )
    return {*done.stderr.split()}


def test_the_agent_does_not_carry_the_installer() -> None:
    modules = loaded_by("import node.__main__, node.run")
    assert "node.agent" in modules
    assert not {each for each in modules if each.startswith("node.install")}


def test_the_installer_does_not_carry_the_agent(tmp_path: Path) -> None:
    """An update starts it four times on a small computer."""
    words = ["install", "status", "--json", f"--root={tmp_path}"]
    modules = loaded_by(f"from node.__main__ import main; main({words!r})")
    assert "node.install.steps" in modules
    assert not modules & {"node.agent", "paho", "urllib.request", "importlib.metadata"}


def test_who_asks_meanwhile_is_told_that_an_installer_is_at_work(node: Node) -> None:
    machine = node.machine
    assert show(machine).busy is False
    with held(machine.places.lock):
        assert show(machine).busy is True
    assert show(machine).busy is False


def test_who_looks_for_a_moment_keeps_no_installer_out(node: Node) -> None:
    lock = node.machine.places.lock
    lock.parent.mkdir(parents=True, exist_ok=True)
    looking = threading.Event()

    def look() -> None:
        with held(lock):
            looking.set()
            threading.Event().wait(0.1)

    onlooker = threading.Thread(target=look)
    onlooker.start()
    assert looking.wait(10)
    with held(lock):
        onlooker.join()


def test_what_was_sent_for_nothing_before_does_not_stay(node: Node) -> None:
    incoming = node.places.incoming
    incoming.mkdir(parents=True)
    (incoming / "older.bundle").write_bytes(b"half of a release")
    (incoming / "installer").write_bytes(b"of a playbook that is under way")
    sent = str(shutil.copy(node.bundle(1), incoming))
    words = ("--confirm-within=0", "--soak=0")
    assert simpul_node(node, sent, *words)[1]["status"] == "installed"
    assert [each.name for each in incoming.iterdir()] == ["installer"]
