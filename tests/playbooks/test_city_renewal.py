"""A node's certificates are renewed before they end, and told when they are not."""

import subprocess
from typing import TYPE_CHECKING

import pytest
from services.debian_server import why_no_server
from services.namespaced import why_no_namespaces
from services.provisioned import NODE
from services.waiting import until

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
    city.system.run(
        *(
            "openssl",
            "req",
            "-x509",
            "-new",
            "-key",
            f"{IDENTITY}/mqtt.key",
            "-subj",
            f"/CN={NODE}",
        ),
        *("-days", str(days), "-out", f"{IDENTITY}/mqtt.pem"),
    )
    return number(city)


def number(city: "City") -> str:
    line = ("openssl", "x509", "-in", f"{IDENTITY}/mqtt.pem", "-noout", "-serial")
    return city.system.run(*line).stdout


def lasts(city: "City", days: int) -> bool:
    line = ("openssl", "x509", "-in", f"{IDENTITY}/mqtt.pem", "-noout", "-checkend")
    return city.system.run(*line, str(days * 86400), check=False).returncode == 0


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

    def online() -> bool:
        client = city.station.client("kantor")
        options = [word for pair in client.items() for word in pair]
        line = ["mosquitto_sub", "-h", "localhost", "-p", "8883", *options, "-W", "5"]
        line += ["-t", f"simpul/1/{NODE}/state", "-C", "1"]
        heard = subprocess.run([*city.system.network, *line], check=False, capture_output=True)
        return b'"online":true' in heard.stdout

    until(online, "the node at the broker by its new certificate", seconds=60)


def test_a_certificate_that_lasts_is_left_alone(city: "City") -> None:
    short = shorten(city, 70)
    played = city.play("site.yml", "--tags", "enrol")
    assert (played.status, played.changed) == (0, {NODE: 0}), played.said[-6000:]
    assert number(city) == short


def test_without_the_passphrase_it_is_told(city: "City") -> None:
    short = shorten(city, 20)
    played = city.play("site.yml", "--tags", "enrol", "-e", "enrol_passphrase_file=")
    assert (played.status, played.changed) == (0, {NODE: 0}), played.said[-6000:]
    assert f"The certificates of {NODE} end in" in played.said
    assert number(city) == short
    told = city.play("verify.yml", "--limit", NODE)
    assert told.status != 0
    assert "its certificates end in" in told.said


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
