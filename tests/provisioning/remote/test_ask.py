"""Nodes are asked over a real broker, and answer by their real agents."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from services.agent import AgentProcess
from services.mosquitto import Mosquitto, mosquitto_program
from services.waiting import until

from node.messages import read_still_info
from node.settings import Board, Camera
from provisioning.__main__ import main
from provisioning.audit.verify import read_log
from provisioning.authority.authority import Authority
from provisioning.fleet import Fleet
from provisioning.listen import BrokerAccess, listening

pytestmark = [
    pytest.mark.skipif(mosquitto_program() is None, reason="mosquitto is not installed"),
    pytest.mark.timeout(300),
]
INVENTORY = "[pasar]\npasar-horas\n[taman]\ntaman-bunga\n[nodes:children]\npasar\ntaman\n"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Run a broker with two nodes: one with camera and lamp, one with neither."""
    folder = tmp_path_factory.mktemp("ask")
    with Mosquitto(folder / "broker") as broker:
        full = AgentProcess(folder / "full", "pasar-horas", [broker.url])
        mask = folder / "mask.toml"
        mask.write_text("nothing_to_mask = true\n")
        full.write(
            camera=Camera(adapter="rendered", width=320, height=192, mask_file=str(mask)),
            board=Board(adapter="simulated", lamp_pin=17),
        )
        with full, AgentProcess(folder / "bare", "taman-bunga", [broker.url]):
            fleet = Fleet()
            access = BrokerAccess(url=broker.url)
            with listening(access, ("state", "frame"), fleet.hear):
                until(lambda: len(fleet.nodes) == 2, "both births", seconds=90)
                until(
                    lambda: fleet.nodes["pasar-horas"].still_at is not None, "a still", seconds=90
                )
            yield broker


@pytest.fixture
def options(
    broker: Mosquitto, authority: Authority, passphrase: bytes, tmp_path: Path
) -> list[str]:
    """Make a station with a certified technician; return the options that name it."""
    key = tmp_path / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(words, check=True)
    signer = authority.unlock(passphrase, "ssh-user")
    signer.technician("ayu", (tmp_path / "key.pub").read_text(), ["technician"], 8)
    (tmp_path / "inventory.ini").write_text(INVENTORY)
    return [
        f"--inventory={tmp_path / 'inventory.ini'}",
        f"--register={authority.register.file}",
        f"--audit={tmp_path / 'audit.jsonl'}",
        f"--identity={key}",
        f"--broker={broker.url}",
    ]


def test_a_picture_is_taken_now_and_saved(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        assert main(["snapshot", "pasar-horas", f"--output={folder}", *options]) == 0
        assert "pasar-horas: gambar / picture: " in capsys.readouterr().out
    first, second = (
        read_still_info(file.read_bytes()).at for file in sorted(tmp_path.glob("?/*.jpg"))
    )
    assert second > first


def test_a_lamp_blinks_and_who_has_none_says_so(
    options: list[str],
    authority: Authority,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["identify", "pasar-horas", "--seconds=1", *options]) == 0
    assert "lampu berkedip / its lamp blinks, 1 s" in capsys.readouterr().out
    assert main(["identify", "pasar-horas", "taman-bunga", "--seconds=1", *options]) == 3
    assert "taman-bunga: tidak bisa / it cannot: this node has no lamp" in capsys.readouterr().out
    assert main(["snapshot", "taman-bunga", *options]) == 3
    log = read_log(tmp_path / "audit.jsonl", authority.register.rows("certificate"))
    assert {(each.signed_by, each.problem) for each in log.entries} == {("ayu", "")}
    failed = [each.deed for each in log.entries if each.deed.outcome not in {"", "done"}]
    assert [(deed.action, deed.nodes) for deed in failed] == [
        ("identify", ("taman-bunga",)),
        ("snapshot", ("taman-bunga",)),
    ]


def test_who_is_silent_is_told_in_time(
    options: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory = tmp_path / "inventory.ini"
    inventory.write_text(INVENTORY.replace("taman-bunga", "jalan-sutomo"))
    assert main(["identify", "jalan-sutomo", "--within=1", *options]) == 3
    assert "jalan-sutomo: tidak menjawab / no answer within 1 s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["identify"], "which node? Name it"),
        (["identify", "pasar-hors"], "did you mean pasar-horas?"),
        (["snapshot", "pasar-horas", "--broker=mqtt://127.0.0.1:1"], "is the broker running"),
        (["snapshot", "pasar-horas", "--output=/no/such"], "No such file or directory"),
    ],
)
def test_what_is_wrong_is_told(
    options: list[str], words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([words[0], *words[1:2], *options, *words[2:]]) in {1, 3}
    shown = capsys.readouterr()
    assert told in shown.out + shown.err


def test_without_the_audit_log_nothing_is_done(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for word in options if not word.startswith("--audit")]
    assert main(["identify", "pasar-horas", "--audit=/no/such/log", *options]) == 3
    assert "nothing is done without the audit log" in capsys.readouterr().out


def test_a_deed_is_told_as_json(
    options: list[str], authority: Authority, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["identify", "pasar-horas", "--seconds=1", *options])
    capsys.readouterr()
    words = [f"--file={tmp_path / 'audit.jsonl'}", f"--register={authority.register.file}"]
    assert main(["audit", "--json", *words]) == 0
    begun, ended = msgspec.json.decode(capsys.readouterr().out)
    assert (begun["deed"]["outcome"], ended["deed"]["outcome"]) == ("", "done")
