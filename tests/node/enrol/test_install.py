"""A node takes papers of its own keys only, whole or not at all, however often it is cut short."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from services.papers import make_authority

from node.enrol import files, install, request
from node.enrol.errors import EnrolError, PapersError
from node.enrol.install import Installed, Papers, read_papers
from node.enrol.places import Places
from node.enrol.request import Request, make_request
from provisioning.authority import ssh
from provisioning.authority.tokens import make_token, record_token, use_token
from provisioning.register import Register

P = ParamSpec("P")


class PowerCut(BaseException):
    """The cable was pulled."""


def run(*command: object, cwd: Path) -> None:
    subprocess.run(list(map(str, command)), check=True, capture_output=True, cwd=cwd)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    root = tmp_path / "root"
    for folder in ("etc/simpul/enrol", "etc/ssh", "boot/firmware", "var/lib/cloud/instances/i"):
        (root / folder).mkdir(parents=True)
    (root / "etc/hostname").write_text("pasar-horas\n")
    (root / "etc/simpul/enrol/token").write_text("a-token\n")
    (root / "etc/ssh/ssh_host_ed25519_key").write_text("the key of the card\n")
    (root / "boot/firmware/user-data").write_text("#cloud-config\n" + "secret " * 50)
    (root / "var/lib/cloud/instances/i/obj.pkl").write_text("secret")
    return Places(root)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    folder.mkdir()
    for name in ("mqtt", "other"):
        make_authority(folder, name)
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "host-ca", cwd=folder)
    return folder


def sign(desk: Path, asked: Request, *, authority: str = "mqtt", user: bool = False) -> Papers:
    """Sign as a station does, by openssl(1) and ssh-keygen(1)."""
    (desk / "csr").write_text(asked.mqtt_request)
    (desk / "host.pub").write_text(asked.ssh_host_key + "\n")
    ca = ("-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial")
    run("openssl", "x509", "-req", "-days", "2", *ca, "-in", "csr", "-out", "pem", cwd=desk)
    kind = () if user else ("-h",)
    run("ssh-keygen", "-q", "-s", "host-ca", "-I", "x", *kind, "-n", "a", "host.pub", cwd=desk)
    return Papers(
        mqtt_certificate=(desk / "pem").read_text(),
        mqtt_authority=(desk / "mqtt.pem").read_text(),
        ssh_host_certificate=(desk / "host-cert.pub").read_text(),
    )


def contents(places: Places) -> dict[str, bytes]:
    """Return every file in use; what only waits does not count."""
    return {
        str(file.relative_to(places.root)): file.read_bytes()
        for file in places.root.rglob("*")
        if file.is_file() and ".pending" not in file.name and not file.name.endswith(".new")
    }


def test_a_request_holds_no_private_key_and_waits_for_its_answer(places: Places) -> None:
    first, second = make_request(places), make_request(places)
    assert first.node == "pasar-horas"
    assert first.token == "a-token"  # noqa: S105 - of a test
    assert "PRIVATE" not in msgspec.json.encode(first).decode()
    # The same keys, so that an enrolment that was cut short goes on.
    assert second.ssh_host_key == first.ssh_host_key
    for key in (places.identity / "mqtt.key.pending", places.ssh / "host_ed25519_key.pending"):
        assert key.stat().st_mode & 0o777 == 0o600


def test_papers_are_installed_and_the_seed_is_ended(places: Places, desk: Path) -> None:
    size_bytes = (places.root / "boot/firmware/user-data").stat().st_size
    done = install.install(places, sign(desk, make_request(places)))
    assert done.unscrubbed == ()
    left = contents(places)
    assert b"secret" not in b"".join(left.values())
    assert "etc/simpul/enrol/token" not in left
    assert "etc/ssh/ssh_host_ed25519_key" not in left
    assert len(left["boot/firmware/user-data"]) == size_bytes
    assert left["boot/firmware/user-data"].startswith(b"#cloud-config\n")
    assert b"HostCertificate" in left["etc/ssh/sshd_config.d/20-simpul-host.conf"]
    assert not list(places.root.rglob("*.pending*"))
    assert places.mqtt_key.stat().st_mode & 0o777 == 0o600


def test_papers_that_do_not_fit_change_nothing(places: Places, desk: Path, tmp_path: Path) -> None:
    asked = make_request(places)
    good = sign(desk, asked)
    other = Places(tmp_path / "other")
    (other.root / "etc").mkdir(parents=True)
    (other.root / "etc/hostname").write_text("pasar-horas\n")
    foreign = sign(desk, make_request(other))
    before = contents(places)
    for bad, words in (
        ({"mqtt_certificate": foreign.mqtt_certificate}, "not of this node's key"),
        ({"mqtt_certificate": "garbage"}, "not of this node's key"),
        ({"mqtt_authority": (desk / "other.pem").read_text()}, "not of the authority"),
        ({"mqtt_authority": ""}, "not of the authority"),
        ({"ssh_host_certificate": foreign.ssh_host_certificate}, "not one of this node's"),
        ({"ssh_host_certificate": sign(desk, asked, user=True).ssh_host_certificate}, "not one"),
        ({"ssh_host_certificate": "garbage"}, "cannot be read"),
    ):
        with pytest.raises(PapersError, match=words):
            install.install(places, msgspec.structs.replace(good, **bad))
        assert contents(places) == before
    assert install.install(places, good).unscrubbed == ()


def test_a_cut_at_any_write_is_mended_by_the_next_enrolment(
    places: Places, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut at the first step, then at the second ...: every time the next call brings it to an end.

    What a cut leaves on the medium is the order of fsync and rename; this holds the order of steps.
    """
    steps = [0, 0]  # taken, allowed

    def counted(function: Callable[P, None]) -> Callable[P, None]:
        def step(*arguments: P.args, **named: P.kwargs) -> None:
            if steps[0] >= steps[1]:
                raise PowerCut
            steps[0] += 1
            function(*arguments, **named)

        return step

    token, register = make_token(), Register(desk / "register.db", who="test")
    record_token(register, "pasar-horas", token)
    places.token.write_text(token)

    def enrol() -> Installed:
        """Enrol as a station does, which takes a token again for the same host key only."""
        asked = make_request(places)
        shown = ssh.fingerprint(ssh.read_public(asked.ssh_host_key, asked.node))
        if asked.token:
            use_token(register, asked.node, asked.token, shown)
        return install.install(places, sign(desk, asked))

    for name in ("write_whole", "rename_whole", "remove_whole", "scrub"):
        monkeypatch.setattr(install, name, counted(getattr(files, name)))
    monkeypatch.setattr(request, "rename_whole", counted(files.rename_whole))
    cuts = 0
    while True:
        steps[:] = [0, cuts]
        try:
            enrol()
            break
        except PowerCut:
            cuts += 1
    assert cuts > 15
    assert not places.token.exists()
    steps[1] = 1000
    assert enrol().unscrubbed == ()
    assert b"secret" not in b"".join(contents(places).values())
    assert not list(places.root.rglob("*.pending*"))


def test_the_same_papers_may_come_twice(places: Places, desk: Path) -> None:
    papers = sign(desk, make_request(places))
    install.install(places, papers)
    before = contents(places)
    assert install.install(places, papers).unscrubbed == ()
    assert contents(places) == before
    assert places.host_key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("empty", [("",), (".pub",), ("", ".pub")])
def test_a_host_key_that_a_cut_left_empty_is_made_again(
    places: Places, empty: tuple[str, ...]
) -> None:
    make_request(places)
    for ending in empty:
        (places.ssh / f"host_ed25519_key.pending{ending}").write_bytes(b"")
    assert_a_whole_host_key(places)


@pytest.mark.parametrize("made", [0, 1, 2])
def test_a_host_key_is_there_only_once_it_is_whole(
    places: Places, monkeypatch: pytest.MonkeyPatch, made: int
) -> None:
    """Cut before the first rename, before the second, and before the third (MQTT's is one)."""
    left = iter(range(made))

    def rename_whole(old: Path, new: Path) -> None:
        if next(left, None) is None:
            raise PowerCut
        files.rename_whole(old, new)

    with monkeypatch.context() as until_the_cut:
        until_the_cut.setattr(request, "rename_whole", rename_whole)
        with pytest.raises(PowerCut):
            make_request(places)
    assert not (places.ssh / "host_ed25519_key.pending").exists()
    # What had not settled yet may be empty, under the other name.
    for unsettled in places.ssh.glob("*.new*"):
        unsettled.write_bytes(b"")
    assert_a_whole_host_key(places)
    assert not list(places.ssh.glob("*.new*"))


def assert_a_whole_host_key(places: Places) -> None:
    shown = make_request(places).ssh_host_key
    assert make_request(places).ssh_host_key == shown
    key = places.ssh / "host_ed25519_key.pending"
    own = subprocess.run(
        ["ssh-keygen", "-y", "-f", key], check=True, capture_output=True, text=True
    )
    assert own.stdout.split()[:2] == shown.split()[:2]


def test_a_node_without_a_name_says_so(places: Places) -> None:
    places.hostname.write_text("Localhost!\n")
    with pytest.raises(EnrolError, match="no node's name; flash the card again"):
        make_request(places)
    places.hostname.unlink()
    with pytest.raises(EnrolError, match="hostname: No such file"):
        make_request(places)


def test_papers_without_a_key_are_refused(places: Places, desk: Path, tmp_path: Path) -> None:
    papers = sign(desk, make_request(places))
    empty = Places(tmp_path / "empty")
    with pytest.raises(EnrolError, match="no key waits for these papers"):
        install.install(empty, papers)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_papers_or_refused(text: bytes) -> None:
    with pytest.raises(PapersError):
        read_papers(text)
