"""Makes small releases and the keys that sign them, by the desk's own code, for tests."""

import base64
import hashlib
import platform
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import structs

from node.install.bundle import read_bundle, write_bundle
from node.install.manifest import File, Manifest, encode_manifest
from node.install.signatures import Trust, encode_trust
from provisioning.release.keys import public_bytes
from provisioning.release.pack import pack_tree
from provisioning.release.sign import sign_bundle

PLATFORM = cast('Literal["aarch64", "x86_64"]', platform.machine())
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"lib/python{PYTHON}/site-packages"


@dataclass(frozen=True, slots=True)
class Signers:
    """Three people who sign releases, of whom two must."""

    keys: tuple[Ed25519PrivateKey, ...] = field(
        default_factory=lambda: tuple(Ed25519PrivateKey.generate() for _ in range(3))
    )

    @property
    def trust(self) -> Trust:
        """What nodes are told of them."""
        return trust_in(self.keys)

    @property
    def trust_text(self) -> bytes:
        """The file of a node that says so."""
        return encode_trust(self.trust)


def trust_in(keys: Sequence[Ed25519PrivateKey], threshold: int = 2) -> Trust:
    """Return the trust in `keys` of which `threshold` must sign."""
    return Trust(threshold, tuple(base64.b64encode(public_bytes(key)).decode() for key in keys))


def small_bundle(
    output: Path,
    files: Mapping[str, bytes],
    *,
    counter: int = 1,
    signers: Sequence[Ed25519PrivateKey] = (),
    python: str = PYTHON,
    machine: Literal["aarch64", "x86_64"] = PLATFORM,
) -> Path:
    """Pack `files` (those below bin/ are programs) as a release in `output`, and sign it."""
    tree = output / f"tree-{counter}"
    for path, content in files.items():
        file = tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if path.startswith("bin/") else 0o644)
    empty = Manifest(version="0.0.0", counter=counter, platform=machine, python=python, files=())
    bundle = pack_tree(tree, output, empty).bundle
    for each in signers:
        sign_bundle(bundle, each)
    return bundle


def changed_bundle(
    base: Path,
    output: Path,
    files: Mapping[str, bytes],
    *,
    counter: int,
    signers: Sequence[Ed25519PrivateKey],
) -> Path:
    """Write a delta to `base` in which `files` have other content, and sign it."""
    return changed_release(
        read_bundle(base).manifest, output, files, counter=counter, signers=signers
    )


def changed_release(
    manifest: Manifest,
    output: Path,
    files: Mapping[str, bytes],
    *,
    counter: int,
    signers: Sequence[Ed25519PrivateKey],
) -> Path:
    """As above, of the release that `manifest` is of."""
    contents = {hashlib.sha256(content).hexdigest(): content for content in files.values()}
    changed = {
        path: File(path=path, size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        for path, content in files.items()
    }
    kept = tuple(each for each in manifest.files if each.path not in files)
    newer = structs.replace(manifest, counter=counter, files=(*kept, *changed.values()))
    packed = {name: zlib.compress(content) for name, content in contents.items()}
    with output.open("wb") as out:
        write_bundle(out, encode_manifest(newer), (), packed)
    for each in signers:
        sign_bundle(output, each)
    return output
