"""Makes small signed archives of Debian packages in a folder, for apt to read."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Package:
    """A package that holds nothing."""

    name: str
    version: str = "1"
    depends: str = ""
    essential: bool = False


@dataclass(slots=True)
class Signer:
    """An OpenPGP key of its own, in `folder`."""

    folder: Path
    fingerprint: str = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(mode=0o700)
        self._gpg("--quick-generate-key", "Archive (test)", "ed25519", "sign", "never")
        listed = self._gpg("--list-keys", "--with-colons")
        lines = [line.split(":") for line in listed.decode().splitlines()]
        self.fingerprint = next(line[9] for line in lines if line[0] == "fpr")

    def keyring(self) -> Path:
        """Write the public key, binary, and return the file."""
        file = self.folder / "keyring.gpg"
        file.write_bytes(self._gpg("--export"))
        return file

    def sign(self, release: Path) -> None:
        """Write InRelease beside `release`."""
        text = self._gpg("--clearsign", "--output", "-", str(release))
        release.with_name("InRelease").write_bytes(text)

    def close(self) -> None:
        """Stop the agent that gpg started."""
        subprocess.run(["gpgconf", "--homedir", str(self.folder), "--kill", "all"], check=True)

    def _gpg(self, *arguments: str) -> bytes:
        command = ["gpg", "--homedir", str(self.folder), "--batch", "--quiet", "--yes"]
        command += ["--pinentry-mode", "loopback", "--passphrase", ""]
        return subprocess.run([*command, *arguments], check=True, capture_output=True).stdout


def make_archive(
    folder: Path, signer: Signer, suites: Sequence[str], packages: Sequence[Package], origin: str
) -> str:
    """Make an archive in `folder` whose suites all hold `packages`; return its address."""
    label = origin
    pool = folder / "pool"
    pool.mkdir(parents=True)
    index = "\n".join(_build(pool, package) for package in packages)
    for suite in suites:
        for component in ("main", "non-free-firmware"):
            binary = folder / f"dists/{suite}/{component}/binary-arm64"
            binary.mkdir(parents=True)
            (binary / "Packages").write_text(index if component == "main" else "")
        root = folder / f"dists/{suite}"
        files = sorted(file for file in root.rglob("Packages"))
        sums = "".join(
            f" {hashlib.sha256(file.read_bytes()).hexdigest()} {file.stat().st_size}"
            f" {file.relative_to(root)}\n"
            for file in files
        )
        (root / "Release").write_text(
            f"Origin: {origin}\nLabel: {label}\nSuite: {suite}\nCodename: {suite}\n"
            "Date: Thu, 01 Jan 2026 00:00:00 UTC\nArchitectures: arm64\n"
            f"Components: main non-free-firmware\nSHA256:\n{sums}"
        )
        signer.sign(root / "Release")
    return folder.as_uri().replace("file://", "copy:")


def _build(pool: Path, package: Package) -> str:
    tree = pool / f"{package.name}.tree"
    (tree / "DEBIAN").mkdir(parents=True)
    control = (
        f"Package: {package.name}\nVersion: {package.version}\nArchitecture: arm64\n"
        f"Maintainer: Test <test@example.invalid>\nDescription: nothing\n"
        + (f"Depends: {package.depends}\n" if package.depends else "")
        + ("Essential: yes\n" if package.essential else "")
    )
    (tree / "DEBIAN/control").write_text(control)
    file = pool / f"{package.name}_{package.version}_arm64.deb"
    command = ["dpkg-deb", "--build", "--root-owner-group", str(tree), str(file)]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "0"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return (
        f"{control}Filename: pool/{file.name}\nSize: {file.stat().st_size}\n"
        f"SHA256: {hashlib.sha256(file.read_bytes()).hexdigest()}\n"
    )
