"""The way back into a node, and the follower, are valid as the roles write them."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined

ROLES = Path(__file__).parents[2] / "playbooks/roles"
UNITS = {
    "simpul-sshd-back.service": "hardening",
    "simpul-sshd-back.timer": "hardening",
    "simpul-follow.service": "follow",
}


def rendered(role: str, name: str, *, hosts_count: int = 1) -> str:
    given: dict[str, Any] = {
        "ansible_managed": "Ansible managed",
        "ansible_play_hosts_all": [f"n{number}" for number in range(hosts_count)],
    }
    for kind in ("defaults", "vars"):
        file = ROLES / role / kind / "main.yml"
        given |= yaml.safe_load(file.read_text()) if file.exists() else {}
    text = (ROLES / role / "templates" / f"{name}.j2").read_text()
    plain = Environment(undefined=StrictUndefined, keep_trailing_newline=True)  # noqa: S701 - no page
    # Twice: a variable may itself be made of others.
    return plain.from_string(plain.from_string(text).render(given)).render(given)


@pytest.mark.parametrize("unit", UNITS)
def test_the_unit_is_valid(unit: str, tmp_path: Path) -> None:
    for name, role in UNITS.items():
        text = rendered(role, name).replace("/opt/simpul/current/bin/simpul-node", "/bin/true")
        (tmp_path / name).write_text(text)
    line = ["systemd-analyze", "--no-pager", "verify", "--man=no", tmp_path / unit]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert unit not in done.stderr, done.stderr


def test_many_nodes_have_time_to_be_proven_one_after_the_other() -> None:
    """Every task waits for all of them: else the old ways in come back amid a play over many."""
    assert "\nOnActiveSec=186\n" in rendered("hardening", "simpul-sshd-back.timer")
    assert "\nOnActiveSec=780\n" in rendered("hardening", "simpul-sshd-back.timer", hosts_count=100)


def test_the_script_is_clean(tmp_path: Path) -> None:
    script = tmp_path / "back.sh"
    script.write_text(rendered("hardening", "simpul-sshd-back.sh"))
    done = subprocess.run(["shellcheck", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_it_runs_until_it_is_taken_away() -> None:
    """A transient timer would be lost by the very power cut that it is for."""
    service = rendered("hardening", "simpul-sshd-back.service")
    assert "\nWantedBy=multi-user.target\n" in service
    assert "\nBefore=ssh.service\n" in service, "nobody finds the door shut after a boot"


def test_it_brings_back_all_that_decides_who_comes_in() -> None:
    kept = yaml.safe_load((ROLES / "hardening/vars/main.yml").read_text())["hardening_kept"]
    assert {*kept} == {
        "etc/ssh/sshd_config.d/05-simpul.conf",
        "etc/ssh/sshd_config.d/10-simpul.conf",
        "etc/ssh/simpul/user-ca.pub",
        "etc/ssh/simpul/principals",
    }


def test_what_is_kept_does_not_close_the_root_when_it_comes_back(tmp_path: Path) -> None:
    """Whatever umask root has, the folder is what / becomes."""
    tasks = yaml.safe_load((ROLES / "hardening/tasks/way_in.yml").read_text())
    (task,) = [task for task in tasks if task["name"] == "Keep what sshd believes now"]
    script = task["ansible.builtin.shell"]["cmd"]
    script = script.replace("{{ hardening_kept | join(' ') }}", "etc/file etc/none")
    script = script.replace("/etc/ssh/simpul-back", f"{tmp_path}/back")
    script = script.replace("cd /\n", f"cd {tmp_path}/root\n").replace("sync\n", "")
    for folder in ("back", "root/etc"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "root/etc/file").write_text("believed")
    subprocess.run(["sh", "-c", script], check=True, umask=0o077)
    assert (tmp_path / "back/before").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "back/before/etc/file").read_text() == "believed"
