"""Asks the archives, on the building machine and before anything is built: which packages, fetched.

apt itself solves, verifies and fetches, with a configuration of its own that the machine's own apt
has no part in. What is fetched stays in the cache for the next build.
"""

import fcntl
import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from provisioning.image.definition import Flavour, Source
from provisioning.image.errors import ArchiveError, ToolError
from provisioning.image.keyring import pinned

ESSENTIAL = "?essential"
_INSTALL = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) ", re.MULTILINE)
_NO_PACKAGE = re.compile(
    r"^E: (?:Unable to locate package |Package '?)(?P<name>[^\s']+)", re.MULTILINE
)
_MIRROR_VARIABLE = "SIMPUL_MIRROR_{}"


class Archives(Struct, frozen=True, kw_only=True):
    """The archives of one flavour, as this machine reaches them."""

    room: Path
    architecture: str

    @property
    def sources(self) -> Path:
        """The sources, in apt's deb822 form."""
        return self.room / "simpul.sources"

    @property
    def lists(self) -> Path:
        """What the archives hold."""
        return self.room / "lists"

    @property
    def packages(self) -> Path:
        """Packages that were fetched."""
        return self.room / "archives"


@contextmanager
def alone(room: Path) -> Iterator[None]:
    """Wait until no other build asks the archives in `room` (flock(2)), and hold them."""
    room.mkdir(parents=True, exist_ok=True)
    with (room / "lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_archives(
    flavour: Flavour,
    room: Path,
    mirrors: Mapping[str, str],
    keyrings: Mapping[str, str],
    *,
    architecture: str = "",
) -> Archives:
    """Write apt's configuration into `room` and read what the archives hold now.

    `mirrors` and `keyrings` name addresses and files by a source's name; `architecture` is
    Debian's word for another one than the flavour's. Raises ArchiveError.
    """
    archives = Archives(room=room, architecture=architecture or flavour.architecture)
    for folder in ("lists/partial", "archives/partial", "state", "keys"):
        (room / folder).mkdir(parents=True, exist_ok=True)
    (room / "state/status").touch()  # nothing is installed; apt's lock lies beside it
    stanzas = []
    for source in flavour.sources:
        key = room / "keys" / f"{source.name}.gpg"
        key.write_bytes(
            pinned(Path(keyrings.get(source.name, source.keyring)), source.fingerprints)
        )
        address = mirrors.get(source.name) or _mirror(source)
        stanzas.append(stanza(source, address, key, archives.architecture))
    archives.sources.write_text("\n".join(stanzas), encoding="utf-8")
    preferences = "\n".join(_pin(each) for each in flavour.sources)
    (room / "preferences").write_text(preferences, encoding="utf-8")
    # A list that cannot be had is a warning to apt; to us it is the end.
    _apt(archives, "update", "--error-on=any")
    return archives


def stanza(source: Source, address: str, key: Path, architecture: str) -> str:
    """Return `source` in apt's deb822 form (sources.list(5))."""
    return (
        f"Types: deb\nURIs: {address}\nSuites: {' '.join(source.suites)}\n"
        f"Components: {' '.join(source.components)}\nArchitectures: {architecture}\n"
        f"Signed-By: {key}\n"
    )


def resolve_packages(archives: Archives, names: Sequence[str]) -> list[str]:
    """Return `name=version` of everything that `names` bring, sorted. Raises ArchiveError."""
    said = _apt(archives, "install", "--simulate", ESSENTIAL, *names)
    return sorted(f"{each['name']}={each['version']}" for each in _INSTALL.finditer(said))


def fetch_packages(archives: Archives, names: Sequence[str]) -> None:
    """Fetch everything that `names` bring into the cache. Raises ArchiveError."""
    _apt(archives, "install", "--download-only", ESSENTIAL, *names)


def package_files(archives: Archives, packages: Sequence[str]) -> Iterator[Path]:
    """Yield the files of `packages`, given as `name=version`. Raises ArchiveError."""
    for package in packages:
        name, version = package.split("=", 1)
        # apt's own naming: the colon of an epoch is quoted.
        found = next(archives.packages.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"), None)
        if found is None:
            raise ArchiveError(f"{archives.packages}: {package} was not fetched; build again")
        yield found


def machine_mirrors() -> dict[tuple[str, str], str]:
    """Return the addresses that this machine's own apt uses, by (origin, label)."""
    form = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    try:
        done = subprocess.run(
            ["apt-get", "indextargets", "--format", form],  # noqa: S607 - from PATH
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolError("apt-get is missing: build images on Debian or a child of it") from error
    found: dict[tuple[str, str], str] = {}
    for line in done.stdout.splitlines():
        origin, label, address = line.split("|", 2)
        found.setdefault((origin, label), address)
    return found


def _mirror(source: Source) -> str:
    variable = _MIRROR_VARIABLE.format(source.name.upper().replace("-", "_"))
    address = os.environ.get(variable) or machine_mirrors().get((source.origin, source.label))
    if not address:
        raise ArchiveError(
            f"no mirror of {source.name} ({source.label}) is known to this machine:"
            f" run apt-get update, or give --mirror {source.name}=ADDRESS, or set {variable}"
        )
    return address


def _pin(source: Source) -> str:
    return (
        f"Package: *\nPin: release o={source.origin},l={source.label}\n"
        f"Pin-Priority: {source.pin_priority}\n"
    )


def _apt(archives: Archives, *arguments: str) -> str:
    room = archives.room
    options = {
        "APT::Architecture": archives.architecture,
        "APT::Architectures": archives.architecture,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "APT::Get::Assume-Yes": "true",
        "Acquire::Languages": "none",
        "Acquire::Retries": "3",
        "Dir::Etc::sourcelist": str(archives.sources),
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Etc::preferences": str(room / "preferences"),
        "Dir::Etc::preferencesparts": "/dev/null",
        "Dir::State": str(room / "state"),
        "Dir::State::lists": str(archives.lists),
        "Dir::State::status": str(room / "state/status"),
        "Dir::Cache": str(room),
        # Containers often turn these off; to ask seven times without them takes half a minute.
        "Dir::Cache::pkgcache": str(room / "pkgcache.bin"),
        "Dir::Cache::srcpkgcache": str(room / "srcpkgcache.bin"),
        "Dir::Cache::archives": str(archives.packages),
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    done = subprocess.run(
        ["apt-get", *words, *arguments],  # noqa: S607 - from PATH
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
    if done.returncode:
        raise ArchiveError(explain(done.stderr))
    return done.stdout


def explain(said: str) -> str:
    """Return one clear message for what apt said when it failed."""
    missing = _NO_PACKAGE.search(said)
    if missing:
        return f"no archive of this flavour holds the package {missing['name']}"
    errors = [line[3:] for line in said.splitlines() if line.startswith(("E: ", "W: "))]
    fetch = next((line for line in errors if "Failed to fetch" in line), "")
    if fetch:
        return f"a mirror failed: {fetch.strip()}; try again, or name another with --mirror"
    unmet = re.findall(r"^ (\S+ : Depends: .*)$", said, re.MULTILINE)
    return f"apt: {(unmet or errors or [said.strip()[-300:]])[0].strip()}"
