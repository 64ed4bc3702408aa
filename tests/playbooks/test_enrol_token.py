"""A card's token is told by no task of the role that has it signed for; why it failed is told."""

import json
import subprocess
import sys
from pathlib import Path

import yaml

ROLE = Path(__file__).parents[2] / "playbooks/roles/enrol"
ASKED = ("Sign them on the controller", "Say why they were not signed")
TOKEN = "rahasia-kartu-42"  # noqa: S105 - of no card


def test_a_token_that_is_refused_is_not_shown(tmp_path: Path) -> None:
    """What Ansible shows is what its module writes to the journal: both heed no_log."""
    tasks = yaml.safe_load((ROLE / "tasks/enrol.yml").read_text())
    request = {"node": "n", "token": TOKEN, "mqtt_request": "", "ssh_host_key": ""}
    folders = ("authority_directory", "register", "passphrase_file", "published")
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {f"enrol_{name}": str(tmp_path / name) for name in folders}
        | {
            "ansible_python_interpreter": sys.executable,
            "role_path": str(ROLE),
            "enrol_request": {"stdout": json.dumps(request)},
        },
        "tasks": [task for task in tasks if task["name"] in ASKED],
    }
    assert play["tasks"]
    (tmp_path / "play.yml").write_text(json.dumps([play]))
    line = [Path(sys.executable).with_name("ansible-playbook"), "-i", "localhost,", "play.yml"]
    played = subprocess.run(
        [*line, "-vvv"], check=False, cwd=tmp_path, capture_output=True, text=True
    )
    said = played.stdout + played.stderr
    assert played.returncode != 0
    assert f"{tmp_path / 'register'} has no authority; run simpul authority init" in said
    assert TOKEN not in said
