"""A node finds the hub by whatever the city's inventory calls it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("hub", "broker"),
    [
        ("pusat ansible_host=pusat.example", "mqtts://pusat.example:8883"),
        ("pusat ansible_host=192.0.2.10", "mqtts://192.0.2.10:8883"),
        ("pusat ansible_host=2001:db8::10", "mqtts://[2001:db8::10]:8883"),
        ("pusat ansible_host=pusat.example mosquitto_port=8884", "mqtts://pusat.example:8884"),
    ],
)
def test_the_broker_of_a_hub(tmp_path: Path, hub: str, broker: str) -> None:
    (tmp_path / "group_vars").symlink_to(ROOT / "group_vars")
    (tmp_path / "inventory.ini").write_text(
        f"[pasar]\npasar-horas\n[nodes:children]\npasar\n[hub]\n{hub}\n"
    )
    line = [Path(sys.executable).with_name("ansible"), "pasar-horas", "-i", "inventory.ini"]
    line += ["-m", "ansible.builtin.debug", "-a", "var=agent_uplink_brokers"]
    done = subprocess.run(line, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    brokers = json.loads(done.stdout.partition("=>")[2])["agent_uplink_brokers"]
    assert brokers == [broker]
