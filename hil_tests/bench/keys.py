"""Makes the keys of one run: an authority that the node is told to believe, and a certificate.

A node's sshd opens to certificates of its authority alone, so the bench brings one of its own.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from hil_tests.bench.errors import BenchError
from provisioning.seed.seed import PROVISIONER, AuthorityParts


@dataclass(frozen=True, slots=True)
class Keys:
    """What the bench enters with, and what the node needs to know of it."""

    private_key: Path
    """Its certificate lies beside it, where ssh(1) looks for it."""
    parts: AuthorityParts


def make_keys(folder: Path) -> Keys:
    """Write new keys into `folder`, which only this user may read. Raises BenchError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority, key, krl = folder / "authority", folder / "bench", folder / "revoked.krl"
    for each in (authority, key):
        _keygen("-t", "ed25519", "-N", "", "-C", "simpul-bench", "-f", str(each))
    public = f"{key}.pub"
    _keygen(
        *("-s", str(authority), "-I", "bench", "-n", PROVISIONER, "-V", "always:forever", public)
    )
    _keygen("-k", "-f", str(krl))
    authority_line = authority.with_suffix(".pub").read_bytes()
    return Keys(key, AuthorityParts(user_authority=authority_line, krl=krl.read_bytes()))


def _keygen(*words: str) -> None:
    try:
        done = subprocess.run(
            ["ssh-keygen", "-q", *words],  # noqa: S607 - OpenSSH's, wherever it is installed
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise BenchError("ssh-keygen is missing: apt install openssh-client") from error
    if done.returncode != 0:
        raise BenchError(f"ssh-keygen {words[0]}: {done.stderr.strip()}")
