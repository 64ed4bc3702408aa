"""Hands an enrolled node over to the playbook that sets it up and starts its agent."""

import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from provisioning.enrol.connection import Reach, Trust, ssh_options
from provisioning.enrol.errors import EnrolError
from provisioning.inventory import Node

PLAYBOOK_FILE = Path("playbooks/site.yml")
_ACCOUNT = "root"


def provision(playbook: Path, inventory: Path, node: Node, reach: Reach, trust: Trust) -> None:
    """Run `playbook` for this node alone, over connections that believe `trust` only.

    What Ansible says goes to standard error. Raises EnrolError when it fails.
    """
    where = {
        "ansible_host": reach.host,
        "ansible_port": reach.port,
        "ansible_user": _ACCOUNT,
    }
    line = [
        *(sys.executable, "-m", "ansible", "playbook", str(playbook)),
        *("--inventory", str(inventory), "--limit", node.name),
        *("--extra-vars", msgspec.json.encode(where).decode()),
    ]
    with tempfile.TemporaryDirectory() as folder, ssh_options(reach, node.name, trust) as options:
        shared = [*options, "-o", f"ControlPath={folder}/%C"]  # one login for all tasks
        kept = [*shared, "-o", "ControlMaster=auto", "-o", "ControlPersist=60s"]
        environment = {
            **os.environ,
            "ANSIBLE_SSH_ARGS": shlex.join(kept),
            "ANSIBLE_PIPELINING": "1",
        }
        done = subprocess.run(line, check=False, env=environment, stdout=sys.stderr)
        end = ["-O", "exit", "-p", str(reach.port), "-l", _ACCOUNT, "--", reach.host]
        subprocess.run(["ssh", *shared, *end], check=False, capture_output=True)  # noqa: S607 - on PATH
    if done.returncode != 0:
        raise EnrolError(
            f"{node.name}: {playbook} ended with {done.returncode}; what is wrong stands above."
            " It logs in as root: was your key certified with --provisioner?"
            f" Then run simpul enrol {node.name} again"
        )
