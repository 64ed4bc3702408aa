"""Writes how a node's sshd believes the fleet authority, and nobody else (sshd_config(5))."""

from collections.abc import Mapping

DIRECTORY = "/etc/ssh/simpul"
_CONFIG = f"""\
# Only certificates of the fleet authority open this node.
TrustedUserCAKeys {DIRECTORY}/user-ca.pub
AuthorizedPrincipalsFile {DIRECTORY}/principals/%u
RevokedKeys {DIRECTORY}/revoked.krl
AuthorizedKeysFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
X11Forwarding no
"""
# Whole command lines without any word of the caller's: sudoers(5) compares them exactly.
REBOOT = "/usr/bin/systemctl reboot"
_PROGRAM = "/opt/simpul/current/bin/simpul-node"
_SUDOERS = f"""\
technician ALL=(root) NOPASSWD: {_PROGRAM} enrol request, {_PROGRAM} enrol install
technician ALL=(root) NOPASSWD: {REBOOT}
"""


def sshd_files(
    user_authority: bytes, krl: bytes, principals: Mapping[str, str]
) -> dict[str, tuple[str, bytes]]:
    """Return path -> (mode, content); `principals`: account -> who a certificate must name."""
    files = {
        "/etc/ssh/sshd_config.d/10-simpul.conf": ("0644", _CONFIG.encode()),
        f"{DIRECTORY}/user-ca.pub": ("0644", user_authority),
        f"{DIRECTORY}/revoked.krl": ("0644", krl),
        "/etc/sudoers.d/simpul-enrol": ("0440", _SUDOERS.encode()),
    }
    for account, principal in principals.items():
        files[f"{DIRECTORY}/principals/{account}"] = ("0644", f"{principal}\n".encode())
    return files
