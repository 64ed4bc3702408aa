"""What one role is told the others know: ports, names and folders have one place each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PLAY = """
- hosts: hub
  connection: local
  gather_facts: false
  roles:
    - {{role: mosquitto, tags: [never]}}
    - {{role: postgresql, tags: [never]}}
    - {{role: collector, tags: [never]}}
    - {{role: nginx, tags: [never]}}
    - {{role: backups, tags: [never]}}
  tasks:
    - ansible.builtin.debug:
        var: {name}
"""
REFUSED = """
- hosts: hub
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: {role}
"""


def play(folder: Path, text: str, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "inventory.ini").write_text("[hub]\npusat ansible_host=127.0.0.1\n")
    (folder / "play.yml").write_text(text)
    (folder / "ansible.cfg").write_text(
        f"[defaults]\ninventory = inventory.ini\nroles_path = {ROOT / 'playbooks/roles'}\n"
        f"library = {ROOT / 'playbooks/plugins/modules'}\ncallback_result_format = json\n"
    )
    line = [BIN / "ansible-playbook", "play.yml", "--check", *words]
    return subprocess.run(line, check=False, cwd=folder, capture_output=True, text=True)


def value(folder: Path, name: str, *words: str) -> object:
    done = play(folder, PLAY.format(name=name), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout[done.stdout.index("=> {") + 3 :]
    return json.JSONDecoder().raw_decode(said)[0][name]


@pytest.mark.parametrize(
    ("name", "told", "expected"),
    [
        ("collector_brokers", "mosquitto_local_port=1884", ["mqtt://127.0.0.1:1884"]),
        (
            "collector_database",
            "postgresql_database=kota",
            "postgresql://simpul-hub@/kota?host=/var/run/postgresql",
        ),
        ("backups_database", "postgresql_database=kota", "kota"),
        ("nginx_public_directory", "collector_public_directory=/srv/page", "/srv/page"),
    ],
)
def test_what_is_said_once_is_known_everywhere(
    tmp_path: Path, name: str, told: str, expected: object
) -> None:
    assert value(tmp_path, name, "-e", told) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("collector_brokers", ["mqtt://127.0.0.1:1883"]),
        ("collector_database", "postgresql://simpul-hub@/simpul?host=/var/run/postgresql"),
        ("backups_database", "simpul"),
        ("nginx_public_directory", "/var/lib/simpul-hub/public"),
    ],
)
def test_what_is_not_said_is_as_ever(tmp_path: Path, name: str, expected: object) -> None:
    assert value(tmp_path, name) == expected


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("collector", "collector_public_directory=/home/kota/page"),
        ("collector", "collector_public_directory=page"),
        ("collector", "collector_public_directory=/srv/../home/page"),
        ("backups", "backups_directory=/tmp/dumps"),
    ],
)
def test_a_folder_that_the_units_do_not_see_is_refused(
    tmp_path: Path, role: str, told: str
) -> None:
    done = play(tmp_path, REFUSED.format(role=role), "-e", told)
    assert done.returncode != 0
    assert "name a folder below one such as" in done.stdout


@pytest.mark.parametrize(
    ("role", "told"),
    [
        ("mosquitto", "mosquitto_names=pusat.example"),
        ("nginx", "nginx_names=pusat.example"),
        ("nginx", "nginx_trusted_proxies=192.0.2.0/24"),
        ("collector", "collector_brokers=mqtt://127.0.0.1:1883"),
    ],
)
def test_one_word_for_a_list_is_refused(tmp_path: Path, role: str, told: str) -> None:
    """It would be taken letter by letter."""
    done = play(tmp_path, REFUSED.format(role=role), "-e", told)
    assert done.returncode != 0
    assert "has to be a list" in done.stdout
