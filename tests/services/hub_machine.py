"""Runs the hub's roles on one small machine: broker, database and web server, without a release.

The station is that of services.provisioned; its inventory's node is the same machine by another
sshd, which can be put out alone.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from cryptography import x509
from services.debian_server import server_root
from services.namespaced import NamespacedSystem
from services.provisioned import HUB, NODE, ROOT, Played, Station

NODE_PORT = 2222
TAGS = ("--tags", "mosquitto,postgresql,nginx")
# What the release would bring, and what a node's own sshd and service are.
_MORE = f"""
site=opt/simpul/current/lib/python3.13/site-packages/hub/public/site
mkdir -p $site
echo '<title>Simpul</title>' > $site/index.html
cat > etc/systemd/system/node-ssh.service <<'UNIT'
[Service]
ExecStart=/usr/sbin/sshd -D -p {NODE_PORT} -o PidFile=none
[Install]
WantedBy=multi-user.target
UNIT
mkdir -p etc/systemd/system/multi-user.target.wants
ln -s ../node-ssh.service etc/systemd/system/multi-user.target.wants/node-ssh.service
"""


class HubMachine:
    """The machine and its station; both are there within the `with` block."""

    def __init__(self, folder: Path) -> None:
        """Make the station below `folder`."""
        self.station = Station(folder / "station")
        host_vars = self.station.folder / f"host_vars/{NODE}.yml"
        host_vars.write_text(f"{host_vars.read_text()}ansible_port: {NODE_PORT}\n")
        self.system = NamespacedSystem(
            server_root(), folder / "system", prepare=self.station.prepare + _MORE
        )

    def __enter__(self) -> Self:
        self.system.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.system.close()

    def play(self, playbook: str, *words: str) -> Played:
        """Run a playbook on the machine."""
        return self.station.play(playbook, *words, within=self.system.network)

    def cut_off(self, playbook: str, *words: str, at: str) -> str:
        """Run a playbook and interrupt it as its task `at` begins; return what it had said."""
        folder = self.station.folder
        line = [*self.system.network, str(Path(sys.executable).with_name("ansible-playbook"))]
        line += [str(ROOT / "playbooks" / playbook), "-i", str(folder / "inventory.ini")]
        environment = {
            **os.environ,
            "ANSIBLE_HOME": str(folder / "a"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "c"),
            "ANSIBLE_NOCOLOR": "1",
            "PYTHONUNBUFFERED": "1",
        }
        said = ""
        with subprocess.Popen(
            [*line, f"--private-key={self.station.key}", *words],
            cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as playing:  # fmt: skip
            assert playing.stdout
            for said_line in playing.stdout:
                said += said_line
                if said_line.startswith(f"TASK [{at}]"):
                    playing.send_signal(signal.SIGINT)
                    break
            said += playing.stdout.read()
        assert f"TASK [{at}]" in said, said[-6000:]
        assert "RUNNING HANDLER" not in said, said[-6000:]
        return said

    def shown(self, unit: str, key: str) -> str:
        """Return a property of a unit (systemctl show)."""
        return self.system.run("systemctl", "show", "-P", key, unit).stdout.strip()

    def served(self) -> x509.Certificate:
        """Return the certificate that the broker shows."""
        line = ["openssl", "s_client", "-connect", "127.0.0.1:8883"]
        done = subprocess.run(
            [*self.system.network, *line], check=False, capture_output=True, input=b"", timeout=30
        )
        assert b"BEGIN CERTIFICATE" in done.stdout, done.stderr
        return x509.load_pem_x509_certificate(done.stdout[done.stdout.index(b"-----BEGIN") :])

    def mosquitto(self, program: str, client: dict[str, str], *words: str) -> int:
        """Run a client of the broker over TLS, as nodes do; return how it ended."""
        options = [word for pair in client.items() for word in pair]
        line = [program, "-h", "localhost", "-p", "8883", *options, *words]
        return subprocess.run(
            [*self.system.network, *line], check=False, capture_output=True, timeout=60
        ).returncode

    @property
    def broker_paper(self) -> Path:
        """The broker's certificate at the station."""
        return self.station.folder / f"published/broker-{HUB}.pem"
