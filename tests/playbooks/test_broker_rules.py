"""What the broker lets whom say and keep, by the role's own rules at a real Mosquitto."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined
from services.mosquitto import Mosquitto, mosquitto_program

from node.messages import EVENTS, KINDS

ROLE = Path(__file__).parents[2] / "playbooks/roles/mosquitto"
VARS: dict[str, Any] = yaml.safe_load((ROLE / "vars/main.yml").read_text())
NODE = "taman-bunga"
MAY_BE_RETAINED = [f"simpul/1/{NODE}/{kind}" for kind in VARS["mosquitto_kinds"]]

pytestmark = pytest.mark.skipif(mosquitto_program() is None, reason="Mosquitto is not installed")


def render(text: str, **more: object) -> str:
    """Fill a template of the role as Ansible does."""
    jinja = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - no web page
    jinja.tests["match"] = lambda value, start: value.startswith(start)
    given = {**VARS, "ansible_managed": "", "mosquitto_operators": ["kantor"], **more}
    return jinja.from_string(text).render(given)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """Everybody by password here, as the collector is: who it is counts for the rules alone."""
    names = (NODE, "pasar-horas", "kantor", VARS["mosquitto_collector"])
    passwords = tmp_path / "passwords"
    passwords.write_text("".join(f"{name}:geheim\n" for name in names))
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True, capture_output=True)
    rules = [(ROLE / f"templates/{name}.acl.j2").read_text() for name in ("nodes", "local")]
    (tmp_path / "rules").write_text("".join(map(render, rules)))
    options = (f"password_file {passwords}", f"acl_file {tmp_path / 'rules'}")
    with Mosquitto(tmp_path / "broker", options=options) as broker:
        yield broker


def client(program: str, broker: Mosquitto, who: str, *words: str) -> str:
    """Run a client of the broker; return what it printed."""
    line = [program, "-h", "127.0.0.1", "-p", str(broker.port), "-u", who, "-P", "geheim", *words]
    done = subprocess.run(line, check=False, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def retain(broker: Mosquitto, topic: str, who: str = NODE) -> bool:
    """Have somebody leave a retained message; tell whether the broker let it."""
    words = ("-V", "mqttv5", "-q", "1", "-r", "-m", "{}", "-t", topic)
    return "Not authorized" not in client("mosquitto_pub", broker, who, *words)


def retained(broker: Mosquitto) -> set[str]:
    """Return the topics below which something is kept, as the collector sees them."""
    words = ("--retained-only", "-W", "2", "-F", "%t", "-t", "simpul/1/#", "-t", "simpul/release/#")
    said = client("mosquitto_sub", broker, VARS["mosquitto_collector"], *words)
    return {line for line in said.splitlines() if line.startswith("simpul/")}


def test_the_broker_knows_every_kind_of_the_contract_and_no_other() -> None:
    contract = {*KINDS, *(f"event/{name}" for name in EVENTS), "frame"}
    assert VARS["mosquitto_kinds"] == sorted(contract)


def test_a_node_keeps_nothing_that_the_contract_does_not_know(broker: Mosquitto) -> None:
    for topic in MAY_BE_RETAINED:
        assert retain(broker, topic), topic
    for kind in ("event/e1", "event/tamper/more", "more", "cmd"):
        assert not retain(broker, f"simpul/1/{NODE}/{kind}"), kind
    assert retained(broker) == {*MAY_BE_RETAINED}


def test_everything_that_is_kept_of_a_node_is_forgotten(broker: Mosquitto, tmp_path: Path) -> None:
    others = {"simpul/1/pasar-horas/state", "simpul/release/pasar-horas/report"}
    report, notice = (f"simpul/release/{NODE}/{kind}" for kind in ("report", "notice"))
    for topic in (*MAY_BE_RETAINED, report):
        assert retain(broker, topic)
    for topic in (notice, f"simpul/1/{NODE}/cmd"):
        assert retain(broker, topic, "kantor")
    # What an event was called before.
    assert retain(broker, f"simpul/1/{NODE}/event/rollback", VARS["mosquitto_collector"])
    for topic in others:
        assert retain(broker, topic, "pasar-horas")
    assert len(retained(broker)) == len(MAY_BE_RETAINED) + len(others) + 4
    (task,) = yaml.safe_load((ROLE / "tasks/forget.yml").read_text())
    script = render(task["ansible.builtin.shell"]["cmd"], mosquitto_local_port=broker.port)
    (tmp_path / "secret").write_text("geheim")
    script = script.replace("/etc/simpul/secrets/broker", str(tmp_path / "secret"))
    for forgotten in (len(MAY_BE_RETAINED) + 4, 0):
        done = subprocess.run(
            ["sh", "-c", script], check=True, env={"NODE": NODE}, capture_output=True, text=True
        )
        assert len(done.stdout.splitlines()) == forgotten, done.stdout
        assert retained(broker) == others


def test_who_would_fill_the_memory_is_put_out_and_the_others_go_on(tmp_path: Path) -> None:
    lines = (ROLE / "templates/simpul.conf.j2").read_text().splitlines()
    (line,) = [line for line in lines if "memory" in line]
    limit = render(line, mosquitto_memory_bytes_max=8_000_000)
    big = tmp_path / "big"
    big.write_bytes(bytes(1_000_000))
    with Mosquitto(tmp_path / "broker", options=(limit,)) as broker:
        said = [
            client("mosquitto_pub", broker, NODE, "-q", "1", "-r", "-f", str(big), "-t", f"t/{at}")
            for at in range(12)
        ]
        assert any(said), "everything was taken"
        assert client("mosquitto_pub", broker, "kantor", "-q", "1", "-m", "{}", "-t", "t") == ""


def test_the_session_of_who_never_comes_back_ends(tmp_path: Path) -> None:
    """A wrong line would keep the broker from starting; two weeks are not waited for."""
    lines = (ROLE / "templates/simpul.conf.j2").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("persistent_client_expiration ")]
    with Mosquitto(tmp_path / "broker", options=(line,)) as broker:
        assert client("mosquitto_pub", broker, NODE, "-q", "1", "-m", "{}", "-t", "t") == ""
