"""A node is enrolled for real: cloud-init applied its seed, sshd and sudo let in, openssl asks."""

import base64
import json
import subprocess
import threading
from pathlib import Path

import pytest
from services.box import box_missing
from services.flashed import Flashed, Station, flashed
from services.office import run_simpul

from provisioning.authority.errors import TokenError
from provisioning.authority.tokens import token_hash, use_token
from provisioning.enrol.connection import pinned, run_on
from provisioning.enrol.enrol import Say, enrol, known_keys
from provisioning.enrol.errors import EnrolError, NotFlashedError
from provisioning.enrol.find import wait_for_node
from provisioning.inventory import Node
from provisioning.seed.seed import TOKEN_FILE, Seed, seed_node

pytestmark = pytest.mark.skipif(box_missing(), reason="needs root, cloud-init, sshd and sudo")
MADE_KEYS = ("/etc/simpul/identity/mqtt.key", "/etc/ssh/simpul/host_ed25519_key")
PROGRAM = "/opt/simpul/current/bin/simpul-node"


def secrets_of(seed: Seed) -> list[bytes]:
    """Return the token and a line of the private key that lie on the card."""
    config = json.loads(seed.files["user-data"].split(b"\n", 1)[1])
    (token,) = [each["content"] for each in config["write_files"] if each["path"] == TOKEN_FILE]
    key = config["ssh_keys"]["ed25519_private"].encode().splitlines()[3]
    return [base64.b64decode(token).strip(), token.encode(), key]


def log(node: Flashed) -> str:
    return node.box.read("/var/log/sshd.log").decode()


def test_the_first_boot_leaves_no_secret_for_others_to_read(node: Flashed) -> None:
    for secret in secrets_of(node.seed):
        assert node.box.holding(secret)
        for file in node.box.holding(secret):
            mode = int(node.box.run(f"stat -c %a '{file}'"), 8)
            on_fat = file == "/boot/firmware/user-data"
            assert on_fat or not mode & 0o077, file
            assert not file.endswith(".log")


def test_an_enrolled_node_keeps_nothing_of_its_seed(node: Flashed) -> None:
    size_bytes = int(node.box.run("stat -c %s /boot/firmware/user-data"))
    register = node.station.authority.register
    flashed_key = next(iter(register.host_keys("pasar-horas")))
    assert node.enrol().unscrubbed == ()
    assert list(register.host_keys("pasar-horas").values()) == ["confirmed"]
    assert flashed_key not in register.host_keys("pasar-horas")
    for secret in secrets_of(node.seed):
        assert node.box.holding(secret) == set()
    assert int(node.box.run("stat -c %s /boot/firmware/user-data")) == size_bytes
    for key in MADE_KEYS:
        assert node.box.run(f"stat -c '%U %a' {key}") == b"root 600\n"
    # cloud-init starts again without its seed and changes nothing.
    papers = node.box.run(f"sha256sum {' '.join(MADE_KEYS)} /etc/ssh/sshd_config.d/*")
    for stage in ("init --local", "init"):
        node.box.run(f"unshare --net cloud-init {stage}")
    assert node.box.run(f"sha256sum {' '.join(MADE_KEYS)} /etc/ssh/sshd_config.d/*") == papers
    assert node.box.read("/etc/hostname") == b"pasar-horas\n"


def test_no_secret_is_seen_in_arguments_logs_or_files(node: Flashed, tmp_path: Path) -> None:
    seen: set[bytes] = set()
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.002):
            for each in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(each.read_bytes())
                except OSError:
                    continue

    watcher = threading.Thread(target=look)
    watcher.start()
    node.enrol()
    done.set()
    watcher.join()
    assert any(each.startswith(b"ssh\0") for each in seen)
    assert any(b"enrol\0install" in each for each in seen)
    made = [node.box.read(key).splitlines()[-3] for key in MADE_KEYS]
    station = node.station
    for secret in (station.passphrase, *secrets_of(node.seed), *made):
        assert not any(secret in each for each in seen)
        # Nor does the station keep any: of the token its hash, of the node's keys nothing.
        for file in tmp_path.rglob("*"):
            assert not file.is_file() or secret not in file.read_bytes(), file
    assert token_hash(secrets_of(node.seed)[0].decode()) in station.authority.register.export_json()
    for secret, place in zip(made, MADE_KEYS, strict=True):
        assert node.box.holding(secret) == {place}


def test_an_enrolled_node_renews_without_a_token(node: Flashed) -> None:
    node.enrol()
    before = node.box.read(MADE_KEYS[0])
    node.enrol()
    assert node.box.read(MADE_KEYS[0]) != before


def test_an_enrolment_cut_short_is_taken_up_again(node: Flashed) -> None:
    whole = node.box.read(PROGRAM)
    before, after = b'[ "$2" = request ] || exit 9\n', b'\n[ "$2" = request ] || exit 9\n'
    node.box.write(PROGRAM, whole.replace(b"\n", b"\n" + before, 1), mode=0o755)
    with pytest.raises(EnrolError, match="exit status 9"):
        node.enrol()
    # Installed, but the answer was lost with the cable.
    node.box.write(PROGRAM, whole.replace(b"exec ", b"").rstrip() + after, mode=0o755)
    with pytest.raises(EnrolError, match="exit status 9"):
        node.enrol()
    node.box.write(PROGRAM, whole, mode=0o755)
    assert node.enrol().unscrubbed == ()


def test_a_used_token_enrols_no_other_card(node: Flashed) -> None:
    token = secrets_of(node.seed)[0].decode()
    node.enrol()
    register = node.station.authority.register
    with pytest.raises(TokenError, match=r"pasar-horas: the token was used on .*flash the card"):
        use_token(register, "pasar-horas", token, "SHA256:another")
    with pytest.raises(TokenError, match="not one of this node"):
        use_token(register, "taman-bunga", token, "SHA256:another")


def test_a_copied_card_is_refused(node: Flashed, station: Station) -> None:
    """Both boot from one seed; the second to come is turned away, and the first keeps working."""
    node.enrol()
    register = station.authority.register
    register.record_host_key("pasar-horas", node.seed.host_public_key, "flashed")
    with flashed(station, Node(name="scratch")) as copy:
        copy.box.run(
            "rm -rf /var/lib/cloud /etc/ssh/ssh_host_*;"
            " kill $(cat /run/sshd.pid); rm -f /run/sshd.pid"
        )
        copy.box.boot(node.seed.files)
        copy.node = node.node
        with pytest.raises(TokenError, match="was used"):
            copy.enrol()
    assert [row["subject"] for row in register.rows("certificate")].count("pasar-horas") == 2


@pytest.mark.timeout(300)  # two nodes boot
def test_a_spare_card_leaves_the_running_node_alone_until_it_is_enrolled(
    node: Flashed, station: Station
) -> None:
    node.enrol()
    register = station.authority.register
    with flashed(station, node.node) as spare:
        # The one that runs is believed, and renews as ever, with a new key each time.
        assert look_at(node)[1] in register.host_keys("pasar-horas")
        said: list[str] = []
        enrol_aloud(node, said.append)
        assert any("its new card waits still" in line for line in said)
        assert sorted(register.host_keys("pasar-horas").values()) == ["confirmed", "flashed"]
        said.clear()
        enrol_aloud(spare, said.append)
        assert not any("waits still" in line for line in said)
        # Now it is the node, and the older one is nobody.
        assert [*register.host_keys("pasar-horas")] == [look_at(spare)[1]]
        with pytest.raises(EnrolError, match="nobody with its key"):
            look_at(node)


def enrol_aloud(node: Flashed, say: Say) -> None:
    """Enrol the node, and hear what is said meanwhile."""
    station = node.station
    signer = station.authority.unlock(station.passphrase, "mqtt", "ssh-host")
    _, shown = look_at(node)
    enrol(station.authority, signer, node.node, node.reach, shown=shown, say=say)


def look_at(node: Flashed) -> tuple[str, str]:
    """Return address and key at which the node is found, asked once."""
    keys = known_keys(node.station.authority.register, node.node)
    return wait_for_node(node.node, keys, address="127.0.0.1", port=node.box.port, timeout_s=0)


def test_a_late_token_is_refused(station: Station) -> None:
    with flashed(station, Node(name="pasar-horas"), valid_hours=0) as late:
        with pytest.raises(TokenError, match=r"the token ended on .*flash the card again"):
            late.enrol()
        # Nothing was signed, and a new seed of the same node is all it takes.
        subjects = {row["subject"] for row in station.authority.register.rows("certificate")}
        assert subjects == {"ayu"}


def test_an_impostor_at_the_address_is_not_spoken_to(node: Flashed) -> None:
    register = node.station.authority.register
    seed_node(node.station.authority, node.node)  # a newer card: the older key counts no more
    with pytest.raises(EnrolError, match="nobody with its key"):
        wait_for_node(
            node.node,
            known_keys(register, node.node),
            address="127.0.0.1",
            port=node.box.port,
            timeout_s=0,
        )
    assert "Accepted publickey" not in log(node)


def test_a_card_nobody_flashed_here_is_refused(station: Station) -> None:
    with pytest.raises(NotFlashedError, match="simpul flash taman-bunga"):
        known_keys(station.authority.register, Node(name="taman-bunga"))


def test_a_revoked_node_must_be_flashed_again(node: Flashed) -> None:
    node.enrol()
    assert node.station.authority.revoke("pasar-horas") == 2
    with pytest.raises(NotFlashedError):
        node.enrol()


def test_a_box_whose_papers_were_taken_back_one_by_one_cannot_renew_after_all(
    node: Flashed, tmp_path: Path
) -> None:
    node.enrol()
    register = node.station.authority.register
    papers = [row for row in register.rows("certificate") if row["subject"] == "pasar-horas"]
    for paper in papers:
        revoked = run_simpul(
            tmp_path, "authority", "revoke", "pasar-horas", "--serial", paper["serial"]
        )
        assert revoked.returncode == 0, revoked.stderr
    revoked = run_simpul(tmp_path, "authority", "revoke", "pasar-horas")
    assert revoked.returncode == 0, revoked.stderr
    assert "0 certificates, 0 tokens and 1 host keys" in revoked.stdout
    with pytest.raises(NotFlashedError):
        node.enrol()


def test_a_revocation_amid_an_enrolment_counts(node: Flashed) -> None:
    """Whoever signs just then finds the node's keys gone, and does not bring them back."""
    register = node.station.authority.register

    def revoke(line: str) -> None:
        if "installs its certificates" in line:
            node.station.authority.revoke("pasar-horas")

    with pytest.raises(NotFlashedError):
        enrol_aloud(node, revoke)
    assert register.host_keys("pasar-horas") == {}


def test_a_technician_is_root_for_the_enrolment_only(node: Flashed) -> None:
    trust = pinned("pasar-horas", node.seed.host_public_key, node.station.authority.krl())
    assert run_on(node.reach, "pasar-horas", trust, ["id", "-un"]) == b"technician\n"
    for command in ("id", f"{PROGRAM} enrol request more", f"{PROGRAM} agent", f"cat {TOKEN_FILE}"):
        with pytest.raises(EnrolError, match="a password is required"):
            run_on(node.reach, "pasar-horas", trust, ["sudo", "-n", *command.split()])


def test_nobody_comes_in_by_password_or_plain_key(node: Flashed, tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "plain"], check=True
    )
    public = (tmp_path / "plain.pub").read_bytes()
    for home, account in (("/root", "root"), ("/home/technician", "technician")):
        node.box.write(f"{home}/.ssh/authorized_keys", public, mode=0o600)
        tried = subprocess.run(
            [
                *("ssh", "-F", "/dev/null", "-o", "StrictHostKeyChecking=no", "-i"),
                *(tmp_path / "plain", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"),
                *("-p", str(node.box.port), "-l", account, "127.0.0.1", "true"),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        assert "Permission denied (publickey)" in tried.stderr
