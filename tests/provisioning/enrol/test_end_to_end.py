"""`simpul enrol` from the first boot to the checklist: sshd, Ansible, Mosquitto with TLS, agent."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.box import box_missing
from services.flashed import Flashed, Station
from services.mosquitto import Mosquitto, mosquitto_program
from services.office import Office, at_broker, run_simpul

pytestmark = pytest.mark.skipif(
    box_missing() or mosquitto_program() is None,
    reason="needs root, cloud-init, sshd, sudo and Mosquitto",
)
SETTINGS = """\
[node]
name = "pasar-horas"
title = "Pasar Horas"
state_directory = "/var/lib/simpul"

[uplink]
brokers = ["{broker}"]
ca_file = "/etc/simpul/identity/ca.pem"
certificate_file = "/etc/simpul/identity/mqtt.pem"
key_file = "/etc/simpul/identity/mqtt.key"

[camera]
adapter = "rendered"
mask_file = "/etc/simpul/mask.toml"
still_interval_seconds = 1
measure_interval_seconds = 1

[hotspot]
adapter = "simulated"
measure_interval_seconds = 1

[health]
measure_interval_seconds = 1
"""
INVENTORY = """\
[pasar]
pasar-horas

[nodes:children]
pasar

[nodes:vars]
ansible_python_interpreter=/usr/bin/python3
"""
MASK = "nothing_to_mask = true\n"
PLAYBOOK = """\
- name: Set the node up
  hosts: nodes
  gather_facts: false
  tasks:
    - name: Make the state directory
      ansible.builtin.file:
        path: /var/lib/simpul
        state: directory
        mode: "0700"
    - name: Write the settings, checked by the agent itself
      ansible.builtin.copy:
        src: "{{ playbook_dir }}/node.toml"
        dest: /etc/simpul/node.toml
        mode: "0644"
    - name: Write the mask
      ansible.builtin.copy:
        src: "{{ playbook_dir }}/mask.toml"
        dest: /etc/simpul/mask.toml
        mode: "0644"
    - name: Check the settings
      ansible.builtin.command: /opt/simpul/current/bin/simpul-node check /etc/simpul/node.toml
      changed_when: false
    - name: Start the agent
      ansible.builtin.shell: >-
        setsid --fork /opt/simpul/current/bin/simpul-node agent
        --config /etc/simpul/node.toml > /var/log/agent.log 2>&1 < /dev/null
      changed_when: true
"""


@pytest.fixture
def office(station: Station, tmp_path: Path) -> Office:
    (tmp_path / "inventory.ini").write_text(INVENTORY)
    (tmp_path / "site.yml").write_text(PLAYBOOK)
    (tmp_path / "mask.toml").write_text(MASK)
    return Office(tmp_path, station.passphrase, names=("127.0.0.1",))


@pytest.fixture
def broker(office: Office) -> Iterator[Mosquitto]:
    with office.broker() as made:
        yield made


@pytest.mark.timeout(300)  # a boot, a playbook and a birth; on a busy machine they take their time
def test_from_the_first_boot_to_the_checklist(
    node: Flashed, office: Office, broker: Mosquitto
) -> None:
    access = office.access(broker)
    (office.folder / "node.toml").write_text(SETTINGS.format(broker=access.url))
    asked = (*at_broker(access), "--settle", 0, "--timeout", 120, "--json")
    done = office.simpul(
        *("enrol", "pasar-horas", "--address", "127.0.0.1", "--port", node.box.port),
        *("--identity", node.station.key, "--passphrase-file", "passphrase"),
        *("--playbook", "site.yml", *asked),
    )
    assert done.returncode in {0, 3}, done.stderr
    told = json.loads(done.stdout)
    verdicts = {check["key"]: check["verdict"] for check in told["checks"]}
    # This machine's own clock, heat and power are told as they are.
    for key in ("online", "camera", "hotspot", "uplink"):
        assert verdicts[key] == "good", told
    assert told["good"] == (done.returncode == 0)
    assert "is known by its certificate" in done.stderr
    assert "u'pasar-horas'" in (broker.directory / "mosquitto.log").read_text()
    again = office.simpul("checklist", "pasar-horas", *asked)
    assert json.loads(again.stdout)["node"] == "pasar-horas", again.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("pasar-horsa",), "did you mean pasar-horas?"),
        (("pasar-horas", "--playbook", "none.yml"), "none.yml: no such file"),
        (("pasar-horas", "--port", 70000), "--port 70000: choose 1 to 65535"),
        (("pasar-horas", "--passphrase-file", "none"), "none: No such file"),
        (("pasar-horas", "--passphrase-file", "wrong"), "not opened by this passphrase"),
        (("pasar-horas", "--passphrase-file", "open"), "chmod 600"),
        (("pasar-horas", "--passphrase-file", "passphrase", "--timeout", 0), "nobody with its key"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_done(
    station: Station, tmp_path: Path, arguments: tuple[object, ...], words: str
) -> None:
    (tmp_path / "inventory.ini").write_text("[nodes]\npasar-horas ansible_host=127.0.0.1\n")
    station.authority.register.record_host_key("pasar-horas", "ssh-ed25519 AAAA", "flashed")
    for name, content, mode in (
        ("passphrase", station.passphrase, 0o600),
        ("wrong", b"kuda lumping tidur", 0o600),
        ("open", station.passphrase, 0o644),
    ):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(mode)
    none = () if "--playbook" in arguments else ("--playbook", "")
    done = run_simpul(tmp_path, "enrol", *arguments, *none)
    assert done.returncode == 1
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert station.authority.register.rows("certificate")[-1]["subject"] == "ayu"


def test_a_dry_run_touches_nothing(station: Station, tmp_path: Path) -> None:
    (tmp_path / "inventory.ini").write_text("[nodes]\npasar-horas\n")
    register = station.authority.register
    register.record_host_key("pasar-horas", "ssh-ed25519 AAAA", "flashed")
    before = register.export_json()
    done = run_simpul(tmp_path, "enrol", "pasar-horas", "--playbook", "", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would look for pasar-horas" in done.stdout
    assert register.export_json() == before
