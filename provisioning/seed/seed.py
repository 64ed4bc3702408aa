"""Makes the cloud-init NoCloud seed that gives a card the identity of its node.

What lies on the card's FAT, which anybody can read who holds the card: the token, good once and
for days, and an SSH host key by which the station recognises the node at its first boot. The node
replaces that key at enrolment and the seed is overwritten, so neither is worth stealing later.
Format: cloud-init's NoCloud data source and cloud-config; JSON is YAML (YAML 1.2, section 1.3).
"""

import base64
import json
import secrets
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from msgspec import Struct

from provisioning.authority import ssh
from provisioning.authority.authority import Authority
from provisioning.authority.tokens import VALID_HOURS, make_token, record_token
from provisioning.inventory import Node
from provisioning.seed.sshd import sshd_files

TECHNICIAN = "technician"
PROVISIONER = "provisioner"
TOKEN_FILE = "/etc/simpul/enrol/token"  # noqa: S105 - a path
_IDENTITY_BYTES = 6


class Seed(Struct, frozen=True, kw_only=True):
    """The files of a seed, and what the register keeps of it."""

    files: Mapping[str, bytes]
    host_public_key: str
    fingerprints: tuple[str, ...]


class AuthorityParts(Struct, frozen=True, kw_only=True):
    """What every node carries of the authority; all of it is public."""

    user_authority: bytes
    krl: bytes


def seed_node(authority: Authority, node: Node, *, valid_hours: float = VALID_HOURS) -> Seed:
    """Make a seed and note its token and host key in the register; no passphrase is needed.

    Raises AuthorityError when there is no authority yet.
    """
    parts = AuthorityParts(user_authority=authority.bundle("ssh-user"), krl=authority.krl())
    token = make_token()
    seed = make_seed(node, parts, token)
    record_token(authority.register, node.name, token, valid_hours=valid_hours)
    authority.register.record_host_key(node.name, seed.host_public_key, "flashed")
    return seed


def make_seed(node: Node, parts: AuthorityParts, token: str) -> Seed:
    """Return the seed of `node` with a new SSH host key. Writes nothing."""
    key = ed25519.Ed25519PrivateKey.generate()
    public = ssh.public_line(key.public_key())
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    config = _cloud_config(
        node, parts, token, {"ed25519_private": secret, "ed25519_public": public}
    )
    meta = {
        # Unique, so that a card flashed anew is a new instance; with a hyphen, as Raspberry Pi OS.
        "instance-id": f"simpul-{node.name}-{secrets.token_hex(_IDENTITY_BYTES)}",
        "local-hostname": node.name,
    }
    wired = {"match": {"name": "e*"}, "dhcp4": True, "optional": True}
    network = {"version": 2, "ethernets": {"wired": wired}}
    return Seed(
        files={
            "meta-data": _json(meta),
            "user-data": b"#cloud-config\n" + _json(config),
            "network-config": _json(network),
        },
        host_public_key=public,
        fingerprints=(ssh.fingerprint(key.public_key()),),
    )


def _cloud_config(
    node: Node, parts: AuthorityParts, token: str, host_key: dict[str, str]
) -> dict[str, object]:
    files = {
        **sshd_files(
            parts.user_authority, parts.krl, {TECHNICIAN: TECHNICIAN, "root": PROVISIONER}
        ),
        TOKEN_FILE: ("0600", token.encode() + b"\n"),
    }
    return {
        "hostname": node.name,
        "manage_etc_hosts": True,
        "users": [
            {
                "name": TECHNICIAN,
                "gecos": "Simpul technician",
                "groups": ["video", "systemd-journal"],
                "shell": "/bin/bash",
                "lock_passwd": True,
                "sudo": None,  # no rule at all: what a technician may do as root is listed below
            }
        ],
        "ssh_pwauth": False,
        "disable_root": False,  # enters by a certificate for provisioning, never by password
        "ssh_deletekeys": True,
        "ssh_keys": host_key,
        "ssh": {"emit_keys_to_console": False},
        "no_ssh_fingerprints": True,
        "write_files": [
            {
                "path": path,
                "owner": "root:root",
                "permissions": mode,
                "encoding": "b64",
                "content": base64.b64encode(content).decode(),
            }
            for path, (mode, content) in files.items()
        ],
        "runcmd": [
            ["systemctl", "enable", "--now", "ssh"],
            ["systemctl", "reload", "ssh"],
        ],
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
