"""A node's certificates are renewed before they end, and told when they are not."""

import subprocess
from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import NODE
from services.waiting import until

import provisioning.authority.x509 as papers

if TYPE_CHECKING:
    from conftest import City

WHY_NOT = why_no_server() or why_no_namespaces()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT),
    pytest.mark.timeout(1200),
]
IDENTITY = "/etc/simpul/identity"


def shorten(city: "City", days: int) -> str:
    """Give the node a certificate of its own key that ends in some days; return its number."""
    asked = ("openssl", "req", "-new", "-key", f"{IDENTITY}/mqtt.key", "-subj", f"/CN={NODE}")
    request = city.system.run(*asked).stdout.encode()
    with pytest.MonkeyPatch.context() as patch:
        # Two days more: certificates begin yesterday, and today has begun.
        patch.setattr(papers, "CERTIFICATE_DAYS", days + 2)
        signed = city.station.signer().mqtt_client(NODE, request).decode()
    city.system.run("sh", "-ec", 'printf "%s" "$1" > "$2"', "sh", signed, f"{IDENTITY}/mqtt.pem")
    return number(city)


def number(city: "City") -> str:
    line = ("openssl", "x509", "-in", f"{IDENTITY}/mqtt.pem", "-noout", "-serial")
    return city.system.run(*line).stdout


def lasts(city: "City", days: int) -> bool:
    line = ("openssl", "x509", "-in", f"{IDENTITY}/mqtt.pem", "-noout", "-checkend")
    return city.system.run(*line, str(days * 86400), check=False).returncode == 0


def online(city: "City") -> bool:
    client = city.station.client("kantor")
    options = [word for pair in client.items() for word in pair]
    line = ["mosquitto_sub", "-h", "localhost", "-p", "8883", *options, "-W", "5"]
    line += ["-t", f"simpul/1/{NODE}/state", "-C", "1"]
    heard = subprocess.run([*city.system.network, *line], check=False, capture_output=True)
    return b'"online":true' in heard.stdout


def issuer(city: "City") -> str:
    line = ("openssl", "x509", "-in", f"{IDENTITY}/mqtt.pem", "-noout", "-issuer")
    return city.system.run(*line).stdout.strip()


def enrol(city: "City", *words: str) -> int:
    """Play what a rotation is brought to a node by; return how much it changed."""
    played = city.play("site.yml", "--tags", "enrol", *words)
    assert played.status == 0, played.said[-6000:]
    return played.changed[NODE]


def test_a_certificate_that_ends_soon_is_renewed(city: "City") -> None:
    start = ("systemctl", "show", "-PInvocationID", "simpul-node")
    before = city.system.run(*start).stdout
    shorten(city, 50)
    played = city.play("site.yml", "--tags", "enrol")
    assert played.status == 0, played.said[-6000:]
    assert lasts(city, 700)
    assert city.system.run(*start).stdout != before, "the agent goes on with the old one"
    again = city.play("site.yml", "--tags", "enrol")
    assert (again.status, again.changed) == (0, {NODE: 0}), again.said[-6000:]

    until(lambda: online(city), "the node at the broker by its new certificate", seconds=60)


def test_a_certificate_that_lasts_is_left_alone(city: "City") -> None:
    short = shorten(city, 70)
    played = city.play("site.yml", "--tags", "enrol")
    assert (played.status, played.changed) == (0, {NODE: 0}), played.said[-6000:]
    assert number(city) == short


@pytest.mark.long
def test_without_the_passphrase_it_is_told(city: "City") -> None:
    short = shorten(city, 20)
    played = city.play("site.yml", "--tags", "enrol", "-e", "enrol_passphrase_file=")
    assert (played.status, played.changed) == (0, {NODE: 0}), played.said[-6000:]
    assert f"The certificates of {NODE} end in" in played.said
    assert number(city) == short
    told = city.play("verify.yml", "--limit", NODE)
    assert told.status != 0
    assert "its certificates end in" in told.said


@pytest.mark.long
def test_a_certificate_of_another_key_is_replaced(city: "City") -> None:
    shorten(city, 700)
    key = f"{IDENTITY}/mqtt.key"
    city.system.run(
        "sh",
        "-ec",
        f"cat {key} > /run/old; openssl ecparam -genkey -noout -name prime256v1 > {key}",
    )
    told = city.play("verify.yml", "--limit", NODE)
    assert told.status != 0
    played = city.play("site.yml", "--tags", "enrol")
    assert (played.status, played.changed[NODE] > 0) == (0, True), played.said[-6000:]
    verified = city.play("verify.yml", "--limit", NODE)
    assert verified.status == 0, verified.said[-6000:]


@pytest.mark.long
def test_a_rotation_loses_no_node(city: "City") -> None:
    """As keep-the-authority.md has it; all the while the broker shows what nodes believe."""
    authority, broker = city.station.authority, ("hub.yml", "--tags", "mosquitto")
    old = issuer(city)
    authority.rotate("mqtt", (city.station.folder / "passphrase").read_bytes().strip())
    early = city.play("site.yml", "--tags", "enrol")
    assert (early.status, early.changed) == (0, {NODE: 0}), "nothing is published yet"
    city.station.publish()
    told = city.play("verify.yml", "--limit", NODE)
    assert told.status != 0
    assert "is not the mqtt-ca.pem that is published" in " ".join(told.said.split())
    assert city.play(*broker).status == 0
    # Without the passphrase it learns whom to believe, and is told of the rest.
    told = city.play("site.yml", "--tags", "enrol", "-e", "enrol_passphrase_file=")
    assert (told.status, told.changed) == (0, {NODE: 2}), told.said[-6000:]
    assert "end with the authority that signed them" in " ".join(told.said.split())
    assert issuer(city) == old
    told = city.play("verify.yml", "--limit", NODE)
    assert told.status != 0
    assert "are of an older authority" in " ".join(told.said.split())
    assert enrol(city) > 0
    assert issuer(city) != old
    assert city.play("verify.yml", "--limit", NODE).status == 0
    assert enrol(city) == 0
    until(lambda: online(city), "the node at the broker amid the rotation", seconds=60)
    authority.retire("mqtt")
    city.station.publish()
    assert city.play(*broker).status == 0
    until(lambda: online(city), "the node at the broker's new certificate", seconds=60)
    assert enrol(city) > 0, "it believes the older one still"
    assert enrol(city) == 0
    until(lambda: online(city), "the node at the broker in the end", seconds=60)
    verified = city.play("verify.yml")
    assert verified.status == 0, verified.said[-6000:]


@pytest.mark.long
def test_what_a_play_that_was_cut_off_left_is_taken_up(city: "City") -> None:
    start = ("systemctl", "show", "-PInvocationID", "simpul-node")
    before = city.system.run(*start).stdout
    city.system.run("touch", "/var/lib/misc/simpul-pending-enrol")
    assert enrol(city) > 0
    assert city.system.run(*start).stdout != before
    assert enrol(city) == 0
