"""Lists the files by which a node's sshd believes the fleet authority, as seeds carry them too."""

from collections.abc import Mapping
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from provisioning.seed.sshd import sshd_files

DOCUMENTATION = """
name: sshd
short_description: files of sshd that believe the fleet authority
description:
  - Gives a path, a mode, and either the content or the published file that it is a copy of.
options:
  _terms:
    description: Folder that simpul authority publish wrote.
    required: true
    type: list
    elements: path
  accounts:
    description: Account -> principal that a certificate must name.
    type: dict
    required: true
"""
_AUTHORITY = "ssh-user-ca.pub"
_REVOKED = "ssh-revoked.krl"


class LookupModule(LookupBase):  # type: ignore[misc] # Ansible has no types
    """The plugin, as Ansible loads it."""

    def run(
        self, terms: list[str], variables: dict[str, object] | None = None, **options: object
    ) -> list[dict[str, str]]:
        """Return one entry for each file. Raises AnsibleError where nothing was published."""
        self.set_options(var_options=variables, direct=options)
        return _files(Path(terms[0]), self.get_option("accounts"))


def _files(published: Path, accounts: Mapping[str, str]) -> list[dict[str, str]]:
    try:
        authority = (published / _AUTHORITY).read_bytes()
        revoked = (published / _REVOKED).read_bytes()
    except OSError as error:
        raise AnsibleError(
            f"{error.filename}: {error.strerror}; run simpul authority publish"
        ) from error
    entries = []
    for path, (mode, content) in sshd_files(authority, revoked, accounts).items():
        entry = {"path": path, "mode": mode}
        # The list of revoked keys is binary, which no variable can hold.
        if content == revoked:
            entry["src"] = str(published / _REVOKED)
        else:
            entry["content"] = content.decode()
        entries.append(entry)
    return entries
