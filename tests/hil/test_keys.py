"""The bench enters a node by the certificate that it brings, and by nothing else."""

import subprocess
from pathlib import Path

import pytest
from services.sshd import Sshd, sshd_missing

from hil_tests.bench.keys import make_keys
from provisioning.seed.seed import PROVISIONER


@pytest.mark.skipif(sshd_missing(), reason="needs root and openssh-server")
def test_a_node_opens_to_the_benchs_certificate(tmp_path: Path) -> None:
    keys, stranger = make_keys(tmp_path / "bench"), make_keys(tmp_path / "other")
    parts = keys.parts
    node = Sshd(tmp_path / "node", parts.user_authority, parts.krl, PROVISIONER)
    node.make_host_key()
    with node as sshd:
        assert log_in(keys.private_key, sshd) == "root\n"
        assert log_in(stranger.private_key, sshd) == ""


def log_in(private_key: Path, sshd: Sshd) -> str:
    options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "BatchMode=yes"]
    command = ["ssh", "-F", "none", "-q", "-i", str(private_key), "-p", str(sshd.port)]
    command += [word for option in options for word in ("-o", option)]
    done = subprocess.run(
        [*command, "root@127.0.0.1", "whoami"], capture_output=True, text=True, check=False
    )
    return done.stdout
