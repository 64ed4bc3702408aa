"""Puts a release into a system that is not running, such as a card image: no root, no emulation."""

from pathlib import Path

from node.durable import point, replace_file
from node.install.bundle import read_bundle
from node.install.manifest import release_hash
from node.install.places import Places
from node.install.signatures import Trust, verify
from node.install.state import State, encode_state
from node.install.tree import lay_tree


def lay_down(bundle: Path, root: Path, *, trust: Trust | None = None) -> str:
    """Install `bundle` below `root` as its current and confirmed release; return its hash.

    The same steps as on a running node, without a service to restart. With `trust` the signatures
    are verified first. Raises BundleError, TrustError, InstallError.
    """
    places, read = Places(root), read_bundle(bundle)
    name = release_hash(read.manifest_text)
    if trust is not None:
        verify(name, read.signatures, trust)
    lay_tree(read, places)
    point(places.current, f"releases/{name}")
    point(places.confirmed, f"releases/{name}")
    state = State(counter=read.manifest.counter, confirmed=name)
    replace_file(places.state, encode_state(state))
    return name
