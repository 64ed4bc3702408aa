"""Brings one bundle to a whole fleet with the tools that people use else, and measures each.

Every one does the same: a folder, the bundle, the node's own installer, a new connection, the
confirmation, tidying up. None of them goes in waves or looks at a node again.
"""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.node_fleet import NodeFleet
from services.spent import Meter, Spent

_INSTALL = "/opt/simpul/current/bin/simpul-node install"
_WISHES = "--confirm-within 300 --soak 1 --json"
_PLAY = f"""
- hosts: all
  gather_facts: false
  tasks:
    - name: Make a folder for the bundle
      ansible.builtin.file: {{path: /opt/simpul/incoming, state: directory, mode: "0700"}}
    - name: Bring the bundle
      ansible.builtin.copy:
        src: "{{{{ bundle }}}}"
        dest: /opt/simpul/incoming/new.bundle
        mode: "0600"
    - name: Install it
      ansible.builtin.command:
        cmd: {_INSTALL} /opt/simpul/incoming/new.bundle {_WISHES}
      register: outcome
    - name: Come in anew
      ansible.builtin.meta: reset_connection
    - name: Confirm it
      ansible.builtin.command:
        argv: [/opt/simpul/current/bin/simpul-node, install, confirm, "{{{{ release }}}}", --json]
      vars:
        release: "{{{{ (outcome.stdout | from_json).release }}}}"
    - name: Clean up
      ansible.builtin.file: {{path: /opt/simpul/incoming/new.bundle, state: absent}}
"""
_PULLED = f"""
- hosts: localhost
  gather_facts: false
  tasks:
    - name: Install it
      ansible.builtin.command:
        cmd: {_INSTALL} {{{{ playbook_dir }}}}/new.bundle {_WISHES}
    - name: Confirm it
      ansible.builtin.command:
        argv: [/opt/simpul/current/bin/simpul-node, install, confirm, "{{{{ release }}}}", --json]
"""
_DEPLOY = f"""
from pyinfra import host
from pyinfra.operations import files, server
files.directory(path="/opt/simpul/incoming", mode="700")
files.put(src=host.data.bundle, dest="/opt/simpul/incoming/new.bundle", mode="600")
server.shell(commands=["{_INSTALL} /opt/simpul/incoming/new.bundle {_WISHES}"])
server.shell(commands=["{_INSTALL} confirm " + host.data.release + " --json"])
files.file(path="/opt/simpul/incoming/new.bundle", present=False)
"""


class Peers:
    """The tools of one folder of programs (a venv's bin), for one fleet."""

    def __init__(self, fleet: NodeFleet, folder: Path) -> None:
        """Write inventories and plays into `folder`."""
        self._fleet = fleet
        self._folder = folder
        nodes = fleet.nodes.items()
        known = [f"[{node.address}]:{node.port} {node.host_key}" for _, node in nodes]
        (folder / "known").write_text("\n".join(known) + "\n")
        hosts = [
            f"{name} ansible_host={node.address} ansible_port={node.port}" for name, node in nodes
        ]
        (folder / "inventory.ini").write_text("\n".join(hosts) + "\n")
        (folder / "play.yml").write_text(_PLAY)
        (folder / "deploy.py").write_text(_DEPLOY)
        ways = {
            name: {
                "ssh_hostname": node.address,
                "ssh_port": node.port,
                "ssh_user": "root",
                "ssh_key": str(fleet.folder / "user"),
                "ssh_known_hosts_file": str(folder / "known"),
            }
            for name, node in nodes
        }
        (folder / "inventory.py").write_text(f"nodes = {list(ways.items())!r}\n")

    def ansible(self, bundle: Path, forks: int, *, pipelined: bool = True) -> Spent:
        """Run the play with the project's own Ansible."""
        return self._play(Path(sys.executable).parent, bundle, forks, pipelined=pipelined)

    def mitogen(self, programs: Path, bundle: Path, forks: int) -> Spent:
        """Run the play with Mitogen's strategy."""
        (plugins,) = programs.parent.glob("lib/python*/site-packages/ansible_mitogen/plugins")
        more = {
            "ANSIBLE_STRATEGY_PLUGINS": str(plugins / "strategy"),
            "ANSIBLE_STRATEGY": "mitogen_linear",
        }
        return self._play(programs, bundle, forks, more=more)

    def pyinfra(self, programs: Path, bundle: Path, release: str, parallel: int) -> Spent:
        """Run the deploy."""
        line = [str(programs / "pyinfra"), "-y", "--parallel", str(parallel), "inventory.py"]
        line += ["deploy.py", "--data", f"bundle={bundle}", "--data", f"release={release}"]
        return self._spent(line, dict(os.environ))

    def ansible_pull(self, bundle: Path, release: str, parallel: int) -> Spent:
        """Have each node clone a repository and play on itself, as a timer of its own would."""
        repository = self._folder / "repository"
        repository.mkdir()
        (repository / "local.yml").write_text(_PULLED)
        shutil.copy(bundle, repository / "new.bundle")
        git = ["git", "-c", "user.name=x", "-c", "user.email=x@invalid"]
        for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "x"]):
            subprocess.run([*git, *words], cwd=repository, check=True)
        order = (
            "HOME=/run ANSIBLE_HOME=/run/a LC_ALL=C.UTF-8"
            " ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3"
            f" {Path(sys.executable).parent}/ansible-pull -U file://{repository} -d /run/pulled"
            f" -i localhost, -c local -e release={release} local.yml"
        )

        def call(host: str, port: int) -> None:
            options = ["-i", str(self._fleet.folder / "user"), "-p", str(port)]
            options += ["-o", f"UserKnownHostsFile={self._folder / 'known'}", f"root@{host}"]
            done = subprocess.run(
                ["ssh", *options, order], check=False, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]

        meter = Meter(resource.RUSAGE_CHILDREN)
        with ThreadPoolExecutor(max_workers=parallel) as pool:
            nodes = self._fleet.nodes.values()
            list(pool.map(lambda node: call(node.address, node.port), nodes))
        return meter.read()

    def _play(
        self,
        programs: Path,
        bundle: Path,
        forks: int,
        *,
        pipelined: bool = True,
        more: dict[str, str] | None = None,
    ) -> Spent:
        line = [str(programs / "ansible-playbook"), "play.yml", "-i", "inventory.ini", "-u", "root"]
        line += ["-e", f"bundle={bundle}", "--forks", str(forks)]
        line += ["--private-key", str(self._fleet.folder / "user")]
        options = f"-o UserKnownHostsFile={self._folder / 'known'} -o ControlMaster=auto"
        environment = {
            **os.environ,
            "ANSIBLE_PIPELINING": str(int(pipelined)),
            "ANSIBLE_SSH_ARGS": f"{options} -o ControlPersist=60s",
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(self._folder / "c"),
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            "ANSIBLE_HOME": str(self._folder / "a"),
            **(more or {}),
        }
        return self._spent(line, environment)

    def _spent(self, line: Sequence[str], environment: dict[str, str]) -> Spent:
        meter = Meter(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            line, check=False, cwd=self._folder, env=environment, capture_output=True, text=True
        )
        spent = meter.read()
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        return spent
