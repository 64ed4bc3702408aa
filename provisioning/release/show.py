"""Shows what is in a bundle, so that nobody signs or rolls out something unseen."""

from collections import Counter

from msgspec import Struct
from rich.table import Table

from node.install.bundle import Bundle
from node.install.manifest import release_hash

_HEAVIEST_COUNT = 6


class Facts(Struct, frozen=True, kw_only=True):
    """What people and programs want to know of a bundle; sizes in bytes."""

    release: str
    version: str
    counter: int
    platform: str
    python: str
    files: int
    unpacked_bytes: int
    bundle_bytes: int
    whole: bool
    signed_by: tuple[str, ...]
    heaviest_bytes: dict[str, int]


def facts_of(bundle: Bundle) -> Facts:
    """Return the facts of `bundle`; `whole` is false for a delta."""
    manifest = bundle.manifest
    weights: Counter[str] = Counter()
    for each in manifest.files:
        parts = each.path.split("/")
        weights[parts[3] if len(parts) > 4 else each.path] += each.size_bytes  # noqa: PLR2004 - lib/pythonX/site-packages/NAME/...
    return Facts(
        release=release_hash(bundle.manifest_text),
        version=manifest.version,
        counter=manifest.counter,
        platform=manifest.platform,
        python=manifest.python,
        files=len(manifest.files),
        unpacked_bytes=manifest.size_bytes,
        bundle_bytes=bundle.file.stat().st_size,
        whole={each.sha256 for each in manifest.files if each.sha256} == {*bundle.offsets},
        signed_by=tuple(each.key for each in bundle.signatures),
        heaviest_bytes=dict(weights.most_common(_HEAVIEST_COUNT)),
    )


def facts_table(facts: Facts) -> Table:
    """Return the facts as people read them."""
    table = Table("", "", show_header=False)
    heaviest = (f"{name} {size / 1e6:.1f} MB" for name, size in facts.heaviest_bytes.items())
    for row in (
        ("release", facts.release),
        ("version", f"{facts.version}, counter {facts.counter}"),
        ("for", f"{facts.platform}, Python {facts.python}"),
        ("files", f"{facts.files}, {facts.unpacked_bytes / 1e6:.1f} MB unpacked"),
        ("bundle", f"{facts.bundle_bytes / 1e6:.1f} MB, {'whole' if facts.whole else 'a delta'}"),
        ("signed by", ", ".join(facts.signed_by) or "nobody"),
        ("heaviest", ", ".join(heaviest)),
    ):
        table.add_row(*row)
    return table
