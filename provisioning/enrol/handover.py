"""Hands an enrolled node over to the playbook that sets it up and starts its agent."""

import os
import shlex
import subprocess
import sys
import tempfile
from itertools import chain
from pathlib import Path

from provisioning.enrol.connection import Reach, Trust, ssh_options
from provisioning.enrol.errors import EnrolError
from provisioning.inventory import Node

PLAYBOOK_FILE = Path("playbooks/site.yml")
_ACCOUNT = "root"


def provision(playbook: Path, inventory: Path, node: Node, reach: Reach, trust: Trust) -> None:
    """Run `playbook` for this node alone, over connections that believe `trust` only.

    What Ansible says goes to standard error. Raises EnrolError when it fails.
    """
    line = [
        *(sys.executable, "-m", "ansible", "playbook", str(playbook)),
        *("--inventory", str(inventory), "--limit", node.name),
        *("--extra-vars", f"ansible_user={_ACCOUNT}"),
    ]
    with tempfile.TemporaryDirectory() as folder, ssh_options(reach, node.name, trust) as options:
        # Told to ssh, whose first word counts: a variable given here would count for the hub too.
        where = {
            "HostName": reach.host.replace("%", "%%"),
            "Port": reach.port,
            "User": _ACCOUNT,
            "ControlPath": f"{folder}/%C",  # one login for all tasks
        }
        shared = [*options, *chain(*(("-o", f"{key}={value}") for key, value in where.items()))]
        kept = [*shared, "-o", "ControlMaster=auto", "-o", "ControlPersist=60s"]
        environment = {
            **os.environ,
            "ANSIBLE_SSH_ARGS": shlex.join(kept),
            "ANSIBLE_PIPELINING": "1",
        }
        done = subprocess.run(line, check=False, env=environment, stdout=sys.stderr)
        end = ["ssh", *shared, "-O", "exit", "--", node.name]
        subprocess.run(end, check=False, capture_output=True)
    if done.returncode != 0:
        raise EnrolError(
            f"{node.name}: {playbook} ended with {done.returncode}; what is wrong stands above."
            " It logs in as root: was your key certified with --provisioner?"
            f" Then run simpul enrol {node.name} again"
        )
