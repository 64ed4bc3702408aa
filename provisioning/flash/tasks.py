"""The tasks `simpul cards`, `simpul flash`, `simpul station` and `simpul seed`."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from fabric import task
from invoke import Context
from rich.console import Console

from provisioning.authority.authority import AUTHORITY_DIRECTORY, Authority
from provisioning.command.errors import UsageError
from provisioning.flash.batch import Assignment, Batch, Station
from provisioning.flash.card import write_file
from provisioning.flash.choose import candidates
from provisioning.flash.choose import confirm as confirm_devices
from provisioning.flash.device import Device
from provisioning.flash.errors import StationError
from provisioning.flash.fat import find_fat
from provisioning.flash.guards import Policy
from provisioning.flash.journal import journal_directory
from provisioning.flash.kept import cache_directory
from provisioning.flash.run import Screen, report, run_batch, run_station, wait_for_cards
from provisioning.flash.screenings import SCREENINGS
from provisioning.flash.seed_files import write_seed
from provisioning.flash.settings import STATION_FILE, StationSettings, read_settings
from provisioning.flash.sheet import LabelSheet
from provisioning.flash.show import candidates_json, candidates_table, plan_table
from provisioning.flash.source import Source, open_source
from provisioning.flash.station import make_queue
from provisioning.inventory import INVENTORY_FILE, Node, find, nodes
from provisioning.register import REGISTER_FILE, Register
from provisioning.seed.seed import seed_node

_IMAGE_VARIABLE = "SIMPUL_IMAGE"
_GIB = 2**30
_HELP = {
    "node": "Its name in the inventory; several become several cards.",
    "image": f"Card image, compressed or not, its .bmap beside it; else ${_IMAGE_VARIABLE}.",
    "map": "The image's block map, when it lies elsewhere.",
    "screen": "Find fake capacity: none, quick, or full (writes and reads the whole card).",
    "inventory": f"Else {INVENTORY_FILE}.",
    "directory": f"Folder of the signing keys; else {AUTHORITY_DIRECTORY}.",
    "register": f"The register; else {REGISTER_FILE}.",
    "settings": f"Slots of the station; else {STATION_FILE}.",
    "cache": f"Folder for the decoded image; else {cache_directory()}.",
    "labels": "PDF to write the labels of the good cards to.",
    "allow-loop": "Count loop devices as cards: for tests only.",
    "json": "Print JSON.",
}


@task(help={each: _HELP[each] for each in ("settings", "allow-loop", "json")})
def cards(
    _context: Context,
    settings: str = str(STATION_FILE),
    allow_loop: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Show every disk of this machine, its port, and why it may not be written."""
    found = candidates(_policy(read_settings(Path(settings)), None, allow_loop=allow_loop))
    if json:
        print(candidates_json(found))  # noqa: T201 - the answer
        return
    Console().print(candidates_table(found))


@task(
    positional=["node"],
    iterable=["node", "device", "confirm"],
    help={
        **_HELP,
        "device": "Device to write, one for each node; else every card that is there.",
        "confirm": "Token of a device, as shown, for scripts; else it is asked for.",
        "to": "Write a new file instead of a card.",
        "dry-run": "Say what would be written, and write nothing.",
    },
)
def flash(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    node: list[str] | None = None,
    device: list[str] | None = None,
    confirm: list[str] | None = None,
    image: str = "",
    map: str = "",  # noqa: A002 - the option's name
    to: str = "",
    screen: str = "quick",
    labels: str = "",
    inventory: str = str(INVENTORY_FILE),
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    settings: str = str(STATION_FILE),
    cache: str = "",
    allow_loop: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Write a verified card for each node; exit 0 all good, 3 some are not, 1 none was begun."""
    _need(node)
    console = Console(stderr=json)
    slots = read_settings(Path(settings))
    # The image first: it is decoded while the inventory is read and the person is asked.
    with _open(image, map, cache) as source:
        named = find(node or (), nodes(Path(inventory)))
        find_fat(source)  # of no use without: said before anybody puts in a card
        policy = _policy(slots, source, allow_loop=allow_loop)
        if to:
            planned = [_to_file(named, Path(to).absolute(), source)]
        else:
            there = wait_for_cards(policy, device or (), len(named), console, patient=not dry_run)
            pairs = zip(named, there, strict=True)
            planned = [Assignment(node=a, device=b, slot=slots.slot_of(b)) for a, b in pairs]
        console.print(plan_table([(each.slot, each.node.name, each.device) for each in planned]))
        if dry_run:
            return
        batch = Batch(source, _station(directory, register, screen, policy))
        shown = _screen(console, labels, quiet=json)
        if not to:
            confirm_devices([each.device for each in planned], console.input, confirm or ())
        status = run_batch(batch, planned, shown)
        report(batch, shown, status, json=json)


@task(
    positional=["node"],
    iterable=["node"],
    help={**_HELP, "dry-run": "Say which slots would be served for which nodes, and end."},
)
def station(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    node: list[str] | None = None,
    image: str = "",
    map: str = "",  # noqa: A002 - the option's name
    screen: str = "quick",
    labels: str = "",
    inventory: str = str(INVENTORY_FILE),
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    settings: str = str(STATION_FILE),
    cache: str = "",
    allow_loop: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Make every card that is put into a pinned slot the next of these nodes; exits as flash."""
    _need(node)
    named = find(node or (), nodes(Path(inventory)))
    slots = read_settings(Path(settings), required=True)
    console = Console(stderr=json)
    if dry_run:
        pinned = ", ".join(f"{slot} ({port})" for slot, port in slots.slots.items())
        console.print(f"would serve the slots {pinned} for {' '.join(each.name for each in named)}")
        return
    with _open(image, map, cache) as source:
        policy = _policy(slots, source, allow_loop=allow_loop)
        batch = Batch(source, _station(directory, register, screen, policy))
        shown = _screen(console, labels, quiet=json)
        queue = make_queue(named, candidates(policy))
        status = run_station(batch, queue, slots, policy, shown)
        report(batch, shown, status, json=json)


@task(
    positional=["node"],
    help={
        **{each: _HELP[each] for each in ("node", "inventory", "directory", "register")},
        "to": "Folder to write to: the mounted FAT of a card that another program has written.",
        "dry-run": "Say what would be written, and write nothing.",
    },
)
def seed(
    _context: Context,
    node: str,
    to: str = "",
    inventory: str = str(INVENTORY_FILE),
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    dry_run: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
) -> None:
    """Give a card that another program has written (Raspberry Pi Imager) its node's seed."""
    (chosen,) = find([node], nodes(Path(inventory)))
    folder = Path(to)
    try:
        is_folder = bool(to) and folder.is_dir()
    except OSError as error:
        raise UsageError(
            f"--to {to!r}: {error.strerror}; name the mounted FAT of the card"
        ) from error
    if not is_folder:
        raise UsageError(f"--to {to!r} is no folder; name the mounted FAT of the card")
    if dry_run:
        print(f"would write the seed of {node} to {folder}")  # noqa: T201 - the answer
        return
    made = seed_node(Authority(Path(directory), Register(Path(register))), chosen)
    write_seed(folder, made.files)
    print(f"{node}: wrote {', '.join(made.files)}; unmount the card before you pull it")  # noqa: T201 - as above


def _need(names: Sequence[str] | None) -> None:
    if not names:
        raise UsageError("no node is named; which one shall the card become?")


def _open(image: str, map_file: str, cache: str) -> Source:
    named = image or os.environ.get(_IMAGE_VARIABLE, "")
    if not named:
        raise StationError(f"no image; name one with --image, or in ${_IMAGE_VARIABLE}")
    try:
        named.encode()
    except UnicodeEncodeError as error:  # of options this is said before
        raise UsageError(f"${_IMAGE_VARIABLE}: {named!r} is no text in UTF-8") from error
    return open_source(
        Path(named),
        map_file=Path(map_file) if map_file else None,
        cache=Path(cache) if cache else cache_directory(),
    )


def _screen(console: Console, labels: str, *, quiet: bool) -> Screen:
    return Screen(console, LabelSheet(Path(labels) if labels else None), quiet=quiet)


def _policy(settings: StationSettings, source: Source | None, *, allow_loop: bool) -> Policy:
    return Policy(
        size_min_bytes=source.map.image_bytes if source else 1,
        size_max_bytes=int(settings.size_max_gib * _GIB),
        allow_loop=allow_loop,
    )


def _station(directory: str, register: str, screen: str, policy: Policy) -> Station:
    """Return what the cards have in common, all of it looked at before anything is written."""
    screening = next((each for each in SCREENINGS if each == screen), None)
    if screening is None:
        raise StationError(f"--screen {screen!r}: choose {', '.join(SCREENINGS)}")
    if shutil.which("mcopy") is None:
        raise StationError("mcopy is missing: apt-get install mtools")
    opened = Register(Path(register))
    authority = Authority(Path(directory), opened)
    authority.bundle("ssh-user")  # raises now, not after the first card, when there is none
    return Station(
        seeds=lambda node: seed_node(authority, node),
        register=opened,
        journals=journal_directory(),
        screening=screening,
        policy=policy,
    )


def _to_file(named: list[Node], file: Path, source: Source) -> Assignment:
    if len(named) != 1:
        raise StationError(f"{len(named)} nodes for one file; name one node with --to")
    device = Device(
        name=str(file), number="", bus="other", model="file", size_bytes=source.map.image_bytes
    )
    return Assignment(node=named[0], device=device, slot="file", write=write_file)
