"""A broker that keeps strangers out is told from none at all: the questions of verify.yml.

The tasks are those of the playbook, played on this machine.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from services.mosquitto import Mosquitto, mosquitto_program
from services.papers import make_authority, make_certificate
from services.ports import free_port

pytestmark = pytest.mark.skipif(mosquitto_program() is None, reason="Mosquitto is not installed")
VERIFY = Path(__file__).parents[2] / "playbooks/verify.yml"
ASKED = ("Knock at the collector's door without a password", "Ask the broker for its certificate")
ELSEWHERE = "127.0.0.2"


class Hub:
    """A broker with two doors, as the role gives it, and the questions about them."""

    def __init__(self, folder: Path, *, address: str, asks: bool = True) -> None:
        make_authority(folder, "ca")
        make_certificate(folder, "broker", authority="ca")
        (folder / "passwords").write_text("")
        self.folder = folder
        self.port = free_port()
        outer = (
            f"listener {self.port} {address}",
            f"cafile {folder / 'ca.pem'}",
            f"certfile {folder / 'broker.pem'}",
            f"keyfile {folder / 'broker.key'}",
            f"require_certificate {str(asks).lower()}",
        )
        options = ("allow_anonymous false", f"password_file {folder / 'passwords'}", *outer)
        self.broker = Mosquitto(folder / "broker", options=options)

    def asked(self, address: str) -> tuple[int, str]:
        """Play the two tasks; return how that ended, and what Ansible said."""
        _, hub = yaml.safe_load(VERIFY.read_text())
        play = {
            "hosts": "localhost",
            "connection": "local",
            "gather_facts": False,
            "vars": {key: text for key, text in hub["vars"].items() if "broker" in key}
            | {"ansible_python_interpreter": sys.executable, "verify_local_port": self.broker.port},
            "tasks": [task for task in hub["tasks"] if task["name"] in ASKED],
        }
        assert len(play["tasks"]) == len(ASKED)
        (self.folder / "play.yml").write_text(json.dumps([play]))
        told = {"mosquitto_address": address, "mosquitto_port": self.port}
        line = [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "play.yml"]
        done = subprocess.run(
            [*line, "-e", json.dumps(told)],
            check=False, cwd=self.folder, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path, address=ELSEWHERE)
    with made.broker:
        yield made


def test_a_broker_that_listens_at_one_address_is_asked_there(hub: Hub) -> None:
    status, said = hub.asked(ELSEWHERE)
    assert status == 0, said
    status, said = hub.asked("")
    assert status != 0, "nobody listens there, which is no refusal"


def test_nobody_is_no_refusal(hub: Hub) -> None:
    hub.broker.close()
    status, said = hub.asked(ELSEWHERE)
    assert status != 0, said
    assert ASKED[0] in said


@pytest.mark.timeout(300)
def test_a_broker_that_lets_everybody_in_is_found(tmp_path: Path) -> None:
    hub = Hub(tmp_path, address="127.0.0.1", asks=False)
    with hub.broker:
        status, said = hub.asked("")
    assert status != 0, said
    assert f"TASK [{ASKED[1]}]" in said
