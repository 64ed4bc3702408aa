"""The tasks `simpul image ...`: build, list, info, verify and boot card images."""

from pathlib import Path

import msgspec
from fabric import task
from invoke import Collection, Context
from rich.console import Console
from rich.table import Table

from provisioning.image.boot.tasks import boot
from provisioning.image.build import build_image, default_cache
from provisioning.image.bundle_tasks import bundle, bundle_keys, bundle_trust
from provisioning.image.describe import Description, encode, read_description, verify
from provisioning.image.emulation import ensure_arm64
from provisioning.image.errors import DefinitionError, ImageError
from provisioning.image.order import Order


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
        "address": "Where the image will be offered to rpi-imager.",
    },
)
def build(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    flavour: str = "debian",
    variant: str = "node",
    version: str = "0.0.0",
    output: str = "build/images",
    set: list[str] | None = None,  # noqa: A002 - the option's name
    mirror: list[str] | None = None,
    keyring: list[str] | None = None,
    address: str = "https://images.invalid",
) -> None:
    """Build a card image and what lies beside it."""
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
        address=address,
    )
    file = build_image(order, lambda line: console.print(line, markup=False, highlight=False))
    console.print(_summary(read_description(file)), markup=False, highlight=False)


@task(
    name="list",
    help={"folder": "Where images lie.", "json": "Print JSON."},
)
def list_images(
    _context: Context,
    folder: str = "build/images",
    json: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
) -> None:
    """List the images that were built."""
    found = [read_description(file) for file in _descriptions(Path(folder))]
    if json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())  # noqa: T201 - the answer
        return
    table = Table("image", "version", "flavour", "variant", "card MiB", "download MiB", "id")
    for each in found:
        card, download = each.image.size_bytes >> 20, each.compressed.size_bytes >> 20
        table.add_row(
            *(each.name, each.version, each.flavour, each.variant),
            *(str(card), str(download), each.image_id[:12]),
        )
    Console().print(table if found else f"no image in {folder}: simpul image build")


@task(
    positional=["image"],
    help={"image": "The image, or what lies beside it.", "json": "Print JSON."},
)
def info(
    _context: Context,
    image: str,
    json: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
) -> None:
    """Show what an image is."""
    description = read_description(_beside(Path(image)))
    if json:
        print(encode(description).decode())  # noqa: T201 - the answer
        return
    Console().print(_summary(description), markup=False, highlight=False)


@task(name="verify", positional=["image"], help={"image": "The image, or what lies beside it."})
def verify_image(_context: Context, image: str) -> None:
    """Compare an image and what lies beside it with its description."""
    file = _beside(Path(image))
    good = verify(file.parent, read_description(file))
    Console().print(f"good: {', '.join(good)}", markup=False, highlight=False)


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


def _descriptions(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.glob("*.json"))
        if not file.name.endswith((".spdx.json", ".rpi-imager.json"))
    ]


def _beside(image: Path) -> Path:
    """Return the description that lies beside any file of an image. Raises ImageError."""
    for suffix in (".img.zst", ".img", ".bmap", ".spdx.json", ".rpi-imager.json", ".json"):
        if image.name.endswith(suffix):
            file = image.with_name(image.name.removesuffix(suffix) + ".json")
            if file.exists():
                return file
    raise ImageError(f"{image}: no description NAME.json lies beside it; is it one of our images?")


def _summary(description: Description) -> str:
    return (
        f"{description.title}\n"
        f"  image   {description.image.size_bytes >> 20} MiB, {description.mapped_bytes >> 20} MiB"
        f" of it written to a card; SHA-256 {description.image.sha256}\n"
        f"  root    {description.root_bytes >> 20} MiB, {len(description.packages)} packages,"
        f" id {description.image_id}\n"
        f"  zst     {description.compressed.size_bytes >> 20} MiB\n"
        f"  agent   {description.agent_release or 'none'}\n"
        f"  boards  {', '.join(description.boards)}"
    )


image_tasks = Collection(
    "image",
    build,
    list_images,
    info,
    verify_image,
    boot,
    prepare,
    bundle,
    bundle_keys,
    bundle_trust,
)
image_tasks.__doc__ = "Build card images, look into them, boot them, and bundle them for updates."
