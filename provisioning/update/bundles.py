"""Chooses the bundle for a node: made for its processor and Python, and no larger than needed."""

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from node.install.bundle import Bundle, read_bundle
from node.install.machine import Standing
from node.install.manifest import release_hash
from provisioning.release.pack import delta_name, make_delta
from provisioning.update.errors import NodeError, PlanError


class Choice(Struct, frozen=True):
    """A file to send, and the release that is in it."""

    file: Path
    release: str


class Catalog:
    """The bundles of one rollout, one for each kind of node, with deltas against older ones."""

    def __init__(self, bundles: Sequence[Path], bases: Sequence[Path], room: Path) -> None:
        """Read `bundles`; make a delta in `room` against every one of `bases` that fits.

        Raises PlanError, BundleError.
        """
        self._whole: dict[str, Choice] = {}
        self._deltas: dict[tuple[str, str], Choice] = {}
        for file in bundles:
            read = read_bundle(file)
            kind = _kind(read)
            if kind in self._whole:
                raise PlanError(f"{file}: a second bundle for {kind}; name one for each kind")
            self._whole[kind] = Choice(file, release_hash(read.manifest_text))
        if not self._whole:
            raise PlanError("no bundle; build and sign one: simpul release build")
        for base in map(read_bundle, bases):
            self._add_delta(base, room)

    @property
    def releases(self) -> dict[str, str]:
        """Kind of node -> the release it is to have."""
        return {kind: choice.release for kind, choice in self._whole.items()}

    @property
    def choices(self) -> list[Choice]:
        """All that nodes may be given."""
        return [*self._whole.values(), *self._deltas.values()]

    def choose(self, standing: Standing) -> Choice:
        """Return what a node that stands so is to be sent. Raises NodeError."""
        kind = f"{standing.platform}/{standing.python}"
        if kind not in self._whole:
            raise NodeError(f"is {kind}, and no bundle is for that; build one for it")
        return self._deltas.get((kind, standing.confirmed), self._whole[kind])

    def _add_delta(self, base: Bundle, room: Path) -> None:
        kind, name = _kind(base), release_hash(base.manifest_text)
        whole = self._whole.get(kind)
        if whole is None or whole.release == name:
            return
        # Named as `simpul release delta` names it: nodes that fetch by themselves ask for that.
        output = room / delta_name(whole.file, base.file)
        file = make_delta(whole.file, base.file, output)
        self._deltas[kind, name] = Choice(file, whole.release)


def _kind(bundle: Bundle) -> str:
    return f"{bundle.manifest.platform}/{bundle.manifest.python}"
