"""The tasks `simpul image ...`: build, list, info, verify and boot card images."""

from pathlib import Path

from fabric import task
from invoke import Collection, Context
from rich.console import Console

from provisioning.image.boot.tasks import boot
from provisioning.image.build import Order, build_image, default_cache
from provisioning.image.bundle_tasks import bundle, bundle_keys, bundle_trust
from provisioning.image.emulation import ensure_arm64
from provisioning.image.errors import DefinitionError


@task(
    iterable=["set", "mirror", "keyring"],
    help={
        "flavour": "debian or raspios.",
        "variant": "node or bench.",
        "version": "Version that the image carries.",
        "output": "Folder for the image and what lies beside it.",
        "set": "layer.variable=value; may be given again.",
        "mirror": "source=address of a mirror; else this machine's own; may be given again.",
        "keyring": "source=file with the archive's keys; may be given again.",
    },
)
def build(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    flavour: str = "debian",
    variant: str = "node",
    version: str = "0",
    output: str = "build/images",
    set: list[str] | None = None,  # noqa: A002 - the option's name
    mirror: list[str] | None = None,
    keyring: list[str] | None = None,
) -> None:
    """Build a card image."""
    console = Console()
    order = Order(
        flavour=flavour,
        variant=variant,
        version=version,
        output=Path(output),
        cache=default_cache(),
        values=_pairs("set", set),
        mirrors=_pairs("mirror", mirror),
        keyrings=_pairs("keyring", keyring),
    )
    image = build_image(order, lambda line: console.print(line, markup=False, highlight=False))
    console.print(f"{image}", markup=False, highlight=False)


@task
def prepare(_context: Context) -> None:
    """Let this machine run arm64 programs, so that others may build without being root."""
    ensure_arm64()


def _pairs(option: str, given: list[str] | None) -> dict[str, str]:
    pairs = {}
    for each in given or []:
        key, equals, value = each.partition("=")
        if not equals:
            raise DefinitionError(f"--{option} {each}: give it as key=value")
        pairs[key] = value
    return pairs


image_tasks = Collection("image", build, prepare, boot, bundle, bundle_keys, bundle_trust)
