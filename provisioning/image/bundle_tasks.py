"""The tasks `simpul image bundle...`: keys, trust, and signed bundles for nodes in the field."""

import datetime as dt
from pathlib import Path

from fabric import task
from invoke import Context

from provisioning.image.bundle import BundleOrder, make_bundle
from provisioning.image.bundle import compatible as compatible_of
from provisioning.image.bundle_keys import make_keys, read_keys, trust_value
from provisioning.image.describe import read_description


@task(
    positional=["image"],
    help={
        "image": "Card image (.img), raw; its slot A is what the bundle holds.",
        "version": "A node installs nothing older than what it runs; else the image's own.",
        "keys": "Folder that `simpul image bundle-keys` made.",
        "compatible": "Which images take it; else those of the image's flavour and variant.",
        "output": "The bundle; else beside the image, with the suffix .raucb.",
    },
)
def bundle(
    _context: Context,
    image: str,
    keys: str,
    version: str = "",
    compatible: str = "",
    output: str = "",
) -> None:
    """Make a signed bundle, which nodes install into their other slot."""
    if not (version and compatible):
        described = read_description(Path(image).with_suffix(".json"))
        version = version or described.version
        compatible = compatible or compatible_of(described.flavour, described.variant)
    order = BundleOrder(
        image=Path(image),
        version=version,
        compatible=compatible,
        keys=read_keys(Path(keys)),
        output=Path(output) if output else Path(image).with_suffix(".raucb"),
    )
    print(make_bundle(order))  # noqa: T201 - the command's answer


@task(positional=["folder"], help={"folder": "New folder; nobody else may enter it."})
def bundle_keys(_context: Context, folder: str) -> None:
    """Make the keys that sign bundles."""
    keys = make_keys(Path(folder), dt.datetime.now(dt.UTC))
    print(f"build images with: --set update.trust={trust_value(keys)}")  # noqa: T201 - as above


@task(positional=["folder"], help={"folder": "Folder that `simpul image bundle-keys` made."})
def bundle_trust(_context: Context, folder: str) -> None:
    """Print what images are built with to trust these keys (--set update.trust=...)."""
    print(trust_value(read_keys(Path(folder))))  # noqa: T201 - the command's answer
