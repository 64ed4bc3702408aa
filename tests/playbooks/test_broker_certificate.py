"""What is said of a broker's certificate before the hub gets it, by the program of the role."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from services.program_file import load_program

import provisioning.authority.x509 as papers

FILE = Path(__file__).parents[2] / "playbooks/roles/mosquitto/files/judge.py"
NAMES = ["hub.example", "192.0.2.10", "2001:db8::10"]
Judge = Callable[..., tuple[str, list[str]]]


def public(key: ec.EllipticCurvePrivateKey) -> str:
    form = PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(Encoding.PEM, form).decode()


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judge:
    """Sign a certificate, and return the verdict on it."""
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(3)]
    authorities = [papers.make_authority(key, f"MQTT {at}") for at, key in enumerate(keys[:2])]

    def judged(
        *,
        days: int = 700,
        signed_by: int = 0,
        broker: str = "",
        believed: tuple[int, ...] = (0,),
        revoked: bool = False,
    ) -> tuple[str, list[str]]:
        # It begins yesterday, and hours of today are gone by.
        monkeypatch.setattr(papers, "CERTIFICATE_DAYS", days + 1)
        issuer = (authorities[signed_by], keys[signed_by])
        certificate = papers.sign_broker(keys[2].public_key(), NAMES, *issuer)
        (tmp_path / "broker.pem").write_bytes(papers.pem(certificate))
        now = datetime.now(UTC)
        took_back = [(certificate.serial_number, now)] if revoked else []
        lists = [
            papers.make_list(
                authorities[at], keys[at], took_back if at == signed_by else [], number=1, at=now
            )
            for at in believed
        ]
        (tmp_path / "mqtt.crl").write_bytes(b"".join(map(papers.pem, lists)))
        known = b"".join(papers.pem(authorities[at]) for at in believed)
        (tmp_path / "mqtt-ca.pem").write_bytes(known)
        said = load_program(FILE).judge(
            tmp_path / "broker.pem", broker or public(keys[2]), NAMES, tmp_path, 60
        )
        answer = json.loads(said)
        return answer["verdict"], answer["reasons"]

    return judged


def test_a_certificate_that_fits_is_fine(judge: Judge) -> None:
    assert judge() == ("fine", [])
    # The authority before last, as long as it is believed: nodes may not know the newest yet.
    assert judge(signed_by=0, believed=(0, 1)) == ("fine", [])


def test_one_for_another_key_is_unusable(judge: Judge) -> None:
    """A hub with a new disk has made a new one."""
    other = public(ec.generate_private_key(ec.SECP256R1()))
    assert judge(broker=other) == ("unusable", ["is for another key than the broker's"])


def test_one_for_other_names_is_unusable(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    signed = list(NAMES)
    monkeypatch.setattr(
        papers,
        "sign_broker",
        lambda key, _names, *issuer, real=papers.sign_broker: real(key, ["old.example"], *issuer),
    )
    verdict, (reason,) = judge()
    assert (verdict, reason) == ("unusable", f"is for old.example, not for {', '.join(signed)}")


def test_one_of_a_retired_authority_is_unusable(judge: Judge) -> None:
    assert judge(signed_by=1) == ("unusable", ["is of an authority that is not believed"])


@pytest.mark.parametrize("signed_by", [0, 1])
def test_one_that_is_revoked_is_unusable_and_its_key_too(judge: Judge, signed_by: int) -> None:
    verdict = judge(signed_by=signed_by, believed=(0, 1), revoked=True)
    assert verdict == ("unusable", ["is revoked, and its key with it"])


def test_one_that_was_revoked_with_the_disk_before_costs_no_second_key(judge: Judge) -> None:
    other = public(ec.generate_private_key(ec.SECP256R1()))
    reasons = ["is for another key than the broker's", "is revoked"]
    assert judge(broker=other, revoked=True) == ("unusable", reasons)


@pytest.mark.parametrize(("days", "verdict"), [(61, "fine"), (59, "due"), (-1, "unusable")])
def test_one_that_ends_is_renewed_in_time(judge: Judge, days: int, verdict: str) -> None:
    assert judge(days=days)[0] == verdict


def test_none_is_unusable(tmp_path: Path, judge: Judge) -> None:
    judge()
    for content, reason in ((None, "is missing"), (b"rubbish", "is none that can be read")):
        (tmp_path / "broker.pem").unlink()
        if content:
            (tmp_path / "broker.pem").write_bytes(content)
        said = load_program(FILE).judge(tmp_path / "broker.pem", "", NAMES, tmp_path, 60)
        assert json.loads(said) == {"verdict": "unusable", "reasons": [reason]}
        (tmp_path / "broker.pem").touch()
