"""The playbooks as Ansible and ansible-lint read them, without any machine."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PLAYBOOKS = sorted(ROOT.glob("playbooks/*.yml"))


@pytest.mark.timeout(600)
def test_ansible_lint_has_nothing_to_say() -> None:
    line: list[str | Path] = [
        BIN / "ansible-lint",
        "--offline",
        "--profile=production",
        "--nocolor",
        "playbooks",
    ]
    done = subprocess.run(line, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(300)
def test_every_playbook_is_read() -> None:
    names = {playbook.stem for playbook in PLAYBOOKS}
    assert names == {"site", "hub", "update", "rollback", "verify", "decommission"}
    line: list[str | Path] = [BIN / "ansible-playbook", "--syntax-check", *PLAYBOOKS]
    done = subprocess.run(line, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr


def test_a_tag_of_a_role_reaches_what_the_role_includes() -> None:
    """What is included has no tags of its own: with --tags it would be left out, without a word."""
    for file in sorted(ROOT.glob("playbooks/roles/*/tasks/*.yml")):
        for task in yaml.safe_load(file.read_text()):
            if included := task.get("ansible.builtin.include_tasks"):
                assert included["apply"]["tags"], f"{file}: {task['name']}"


def test_every_shell_script_of_the_roles_is_clean() -> None:
    files = [ROOT / "tests/services/start_system", *ROOT.glob("playbooks/roles/*/files/*")]
    scripts = [file for file in files if file.read_bytes().startswith(b"#!/bin/sh")]
    names = {file.name for file in scripts}
    assert names == {
        "start_system",
        "backup",
        "restore",
        "forward",
        "lasting",
        "programs.sh",
        "units.sh",
        "ways.sh",
    }
    done = subprocess.run(["shellcheck", *scripts], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
