"""Signs bundles, one person after the other, and shows whether enough of them did."""

import base64
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from node.install.bundle import read_bundle, unpack_object
from node.install.manifest import release_hash
from node.install.signatures import Signature, Trust, key_id, statement, verify
from provisioning.release.keys import public_bytes
from provisioning.release.pack import replace_signatures


def sign_bundle(bundle: Path, key: Ed25519PrivateKey) -> tuple[Signature, ...]:
    """Add the signature of `key` to `bundle`; return all it has now. Raises BundleError.

    What is signed is the manifest's hash, so only a bundle whose objects are as it says is signed.
    """
    read = read_bundle(bundle)
    check_objects(bundle)
    name = key_id(public_bytes(key))
    value = key.sign(statement(release_hash(read.manifest_text)))
    others = [each for each in read.signatures if each.key != name]
    signatures = (*others, Signature(name, base64.b64encode(value).decode()))
    replace_signatures(bundle, signatures)
    return signatures


def verify_bundle(bundle: Path, trust: Trust) -> str:
    """Return the release's hash when `bundle` is whole and signed well enough.

    Raises BundleError, TrustError.
    """
    read = read_bundle(bundle)
    name = release_hash(read.manifest_text)
    verify(name, read.signatures, trust)
    check_objects(bundle)
    return name


def check_objects(bundle: Path) -> None:
    """Unpack every object of `bundle` to nowhere. Raises BundleError where one is not as named."""
    read = read_bundle(bundle)
    sizes = {each.sha256: each.size_bytes for each in read.manifest.files}
    for name in read.offsets:
        for _ in unpack_object(read, name, sizes[name]):
            pass
