"""Releases for the node of a bench: small changes of the one it runs, signed by keys it trusts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from services.releases import Signers, changed_release

from hil_tests.bench.run import Bench
from node.install.manifest import MANIFEST_NAME, Manifest, decode_manifest

PROGRAM = "/opt/simpul/current/bin/simpul-node"
_PLACE = "/var/lib/simpul-bench.bundle"
_TRUST = "/etc/simpul/release-keys.toml"


@dataclass(frozen=True, slots=True)
class Done:
    """What the node's installer made of an order."""

    status: int
    outcome: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Office:
    """Who releases for the node, and what the node ran at first."""

    node: Bench
    folder: Path
    signers: Signers
    manifest: Manifest
    program: str = PROGRAM

    def give(self, files: Mapping[str, bytes], *, signed: bool = True) -> None:
        """Put a release on the node's disk: its first one, but with `files` and the next number."""
        keys = self.signers.keys[: 2 if signed else 1]
        bundle = self.folder / "release.bundle"
        had = self.ask("status").outcome["counter"]
        assert isinstance(had, int)
        counter = had + 1
        changed_release(self.manifest, bundle, files, counter=counter, signers=keys)
        self.node.strategy.shell.put(str(bundle), _PLACE)

    def install(self, *words: str) -> Done:
        """Have the node install what lies there, and keep it only once it is confirmed."""
        return self.ask(_PLACE, "--confirm-within", "900", "--patience", "240", *words)

    def ask(self, *words: str) -> Done:
        """Give the node's installer an order."""
        # A release is checked by itself: on a bench it finds its camera as the agent does.
        environment = "env $(systemctl show --property=Environment --value simpul-node)"
        command = " ".join((environment, self.program, "install", *words, "--json"))
        said, _, status = self.node.strategy.shell.run(command, timeout=900)
        found = next(line for line in said if line.startswith("{"))
        return Done(status, json.loads(found))

    def current(self) -> str:
        """Return the hash of the release that runs."""
        (link,) = self.node.command("readlink -f /opt/simpul/current")
        return str(link).rpartition("/")[2]


def open_office(node: Bench, folder: Path) -> Office:
    """Have the node trust new keys; return what releases are made with."""
    shell = node.strategy.shell
    shell.get(f"/opt/simpul/current/{MANIFEST_NAME}", str(folder / "manifest"))
    signers = Signers()
    (folder / "trust").write_bytes(signers.trust_text)
    shell.put(str(folder / "trust"), _TRUST)
    manifest = decode_manifest((folder / "manifest").read_bytes())
    return Office(node, folder, signers, manifest)
