"""The tasks `simpul release ...`; each hands over to the module that does the work."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from fabric import task
from invoke import Collection, Context
from rich.console import Console

from node.install.bundle import read_bundle
from node.install.manifest import release_hash
from node.install.signatures import read_trust, verify
from provisioning.release.build import (
    TARGETS,
    Recipe,
    build_release,
    counter_of,
    parse_target,
    version_of,
)
from provisioning.release.errors import BuildError, SigningError
from provisioning.release.hub import build_hub_release
from provisioning.release.keys import load_key, make_key, read_passphrase, trust_of
from provisioning.release.pack import delta_name, make_delta
from provisioning.release.show import facts_of, facts_table
from provisioning.release.sign import sign_bundle, verify_bundle

_HERE = Path(__file__).parents[2]
_DEFAULT_TARGET = "aarch64/3.13"
_HUB_TARGET = "x86_64/3.13"
_HELP = {
    "bundle": "A release's bundle.",
    "json": "Print JSON.",
    "keys": "release-keys.toml, which says whose signatures count.",
    "passphrase-file": "File with the key's passphrase, which nobody else may read; else asked.",
}


def _help(*names: str) -> dict[str, str]:
    return {name: _HELP[name] for name in names}


@task(
    iterable=["target"],
    help=_help("json")
    | {
        "output": "Folder for the bundles.",
        "target": f"Processor and Python, such as {_DEFAULT_TARGET}; repeatable; or all.",
        "counter": "Rises with every release; else the number of commits.",
        "name": "The version people read; else the project's.",
        "lean": "Leave PyAV out (two thirds of all bytes): no RTSP or USB camera but by Debian's.",
        "bytecode": "Compile here; needs the target's Python version on this machine.",
    },
)
def build(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    target: Sequence[str] | None = None,
    output: str = "releases",
    counter: int = 0,
    name: str = "",
    lean: bool = False,  # noqa: FBT001, FBT002 - as above
    bytecode: bool = False,  # noqa: FBT001, FBT002 - as above
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Build unsigned bundles of the agent for other machines, reproducibly."""
    asked = target or [_DEFAULT_TARGET]
    targets = TARGETS if "all" in asked else tuple(map(parse_target, asked))
    recipe = Recipe(
        counter=counter or counter_of(_HERE),
        version=name or version_of(_HERE),
        video=not lean,
        bytecode=bytecode,
    )
    built = build_release(Path(output), recipe, targets, _HERE)
    if json:
        _say(msgspec.json.encode(built, enc_hook=str).decode())
        return
    for each in built:
        _say(f"{each.release}  {each.bundle}  {each.bundle_bytes / 1e6:.1f} MB")
    _say("unsigned; next: simpul release sign")


@task(
    help={
        "output": "Folder for the bundle.",
        "target": "Processor and Python of the hub.",
        "counter": "Rises with every release; else the number of commits.",
        "name": "The version people read; else the project's.",
    },
)
def hub(
    _context: Context,
    target: str = _HUB_TARGET,
    output: str = "releases",
    counter: int = 0,
    name: str = "",
) -> None:
    """Build an unsigned bundle of the hub: collector, public page, and the installer."""
    built = build_hub_release(
        Path(output),
        parse_target(target),
        _HERE,
        counter=counter or counter_of(_HERE),
        version=name or version_of(_HERE),
    )
    _say(f"{built.release}  {built.bundle}  {built.bundle_bytes / 1e6:.1f} MB")
    _say("unsigned; next: simpul release sign")


@task(
    positional=["file"],
    help=_help("passphrase-file") | {"file": "File for the private key; .pub is put beside it."},
)
def keygen(_context: Context, file: str, passphrase_file: str = "") -> None:
    """Make a key that signs releases; one for each person, never shared."""
    passphrase = read_passphrase(_file(passphrase_file), file, new=True)
    _say(f"{make_key(Path(file), passphrase)}  {file}.pub")


@task(
    positional=["public"],
    iterable=["public"],
    help={
        "public": "The public keys (.pub).",
        "threshold": "How many of them must sign a release.",
        "output": "File for the nodes' /etc/simpul/release-keys.toml; else the terminal.",
    },
)
def keys(
    _context: Context, public: Sequence[str] | None = None, threshold: int = 2, output: str = ""
) -> None:
    """Write whose signatures nodes shall trust, and how many they need."""
    if not public:
        raise SigningError("no public key is named; `simpul release keys a.pub b.pub`")
    text = trust_of([Path(each) for each in public], threshold)
    if not output:
        _say(text.decode().rstrip())
        return
    try:
        Path(output).write_bytes(text)
    except OSError as error:
        raise SigningError(f"{output}: {error.strerror}") from error
    _say(f"wrote {output}; every node gets it as /etc/simpul/release-keys.toml")


@task(
    positional=["bundle"],
    help=_help("passphrase-file")
    | {"bundle": "A bundle, or a folder of them.", "key": "Your private key; see keygen."},
)
def sign(_context: Context, bundle: str, key: str, passphrase_file: str = "") -> None:
    """Add your signature to bundles, once all they hold is as they say."""
    named = Path(bundle)
    bundles = sorted(named.glob("*.bundle")) if named.is_dir() else [named]
    if not bundles:
        raise SigningError(f"{named}: no bundle in that folder; build one first")
    private = load_key(Path(key), read_passphrase(_file(passphrase_file), key))
    for each in bundles:
        count = len(sign_bundle(each, private))
        _say(f"{each}: {count} signature{'s' if count > 1 else ''}")


@task(positional=["bundle"], help=_help("bundle", "json", "keys"))
def info(
    _context: Context,
    bundle: str,
    keys: str = "",
    json: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
) -> None:
    """Show what a bundle is for, holds and weighs, and who signed it."""
    facts = facts_of(read_bundle(Path(bundle)))
    if json:
        _say(msgspec.json.encode(facts).decode())
    else:
        Console().print(facts_table(facts))
    if keys:
        read = read_bundle(Path(bundle))
        verify(release_hash(read.manifest_text), read.signatures, read_trust(Path(keys)))


@task(positional=["bundle"], help=_help("bundle", "keys"))
def check(_context: Context, bundle: str, keys: str) -> None:
    """Exit 0 only when a bundle is whole and enough trusted keys signed it."""
    _say(f"{verify_bundle(Path(bundle), read_trust(Path(keys)))}  good")


@task(
    positional=["bundle", "base"],
    help=_help("bundle")
    | {"base": "Bundle of the release that nodes have already.", "output": "The delta's file."},
)
def delta(_context: Context, bundle: str, base: str, output: str = "") -> None:
    """Write only what a release adds to another one, with the signatures it has."""
    whole = Path(bundle)
    file = Path(output) if output else whole.with_name(delta_name(whole, Path(base)))
    if file in {whole, Path(base)}:
        raise BuildError(f"{file}: would replace what it is made of; choose another --output")
    make_delta(whole, Path(base), file)
    share = file.stat().st_size / whole.stat().st_size
    _say(f"{file}: {file.stat().st_size / 1e6:.3f} MB, {share:.1%} of the whole")


release_tasks = Collection("release")
release_tasks.__doc__ = (
    "Build releases of the agent, sign them by several people, and look into them."
)
for each in (build, hub, keygen, keys, sign, info, delta):
    release_tasks.add_task(each)
release_tasks.add_task(check, name="verify")


def _file(name: str) -> Path | None:
    return Path(name) if name else None


def _say(text: str) -> None:
    print(text)  # noqa: T201 - the command's answer
