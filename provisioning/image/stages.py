"""Builds the root, layer by layer; each layer's result is kept, and named by all that went into it.

A layer is installed on the result of the layers below it and nothing else, whether that was built
now or found in the cache, so both ways lead to the same bytes.
"""

import hashlib
import json
import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path

import msgspec
from msgspec import Struct

from provisioning.image.archive import Archives, resolve_packages
from provisioning.image.native import lend, take_back
from provisioning.image.overlay import overlay_files, write_overlay
from provisioning.image.stack import Placed, Stack
from provisioning.image.steps import Steps, run

_FORMAT = "4"  # raised when this module builds the same inputs differently
_RESULTS_KEPT = 3
_FAILED_PACKAGE = re.compile(r"dpkg: error processing (?:package|archive) (?P<name>\S+)")


class Stage(Struct, frozen=True, kw_only=True):
    """One layer with the key of its result."""

    placed: Placed
    key: str
    excluded: tuple[str, ...]
    files: Mapping[str, tuple[int, bytes]]
    """Taken when the key was: what is built is what is named, though somebody edits meanwhile."""
    script: bytes


class Builder(Struct, frozen=True, kw_only=True):
    """What all stages of one build share."""

    archives: Archives
    stages: Path
    """Results, by key."""
    project: Path
    epoch_seconds: int
    python: str
    """The flavour's Python, as "3.13"."""
    agent: Path | None = None
    """A tree that holds the agent's release as it lies on a node."""
    agent_hash: str = ""


def plan(builder: Builder, stack: Stack) -> list[Stage]:
    """Return the stages of `stack` with their keys. Raises ArchiveError, DefinitionError."""
    stages: list[Stage] = []
    key = hashlib.sha256(
        f"{_FORMAT} {stack.flavour.architecture} {builder.epoch_seconds}".encode()
    ).hexdigest()
    excluded: tuple[str, ...] = ()
    for placed, resolved in zip(stack.layers, _resolved(builder, stack), strict=True):
        excluded += placed.layer.exclude
        files = overlay_files(placed, builder.project)
        script = placed.folder / "run"
        stage = Stage(
            placed=placed,
            key=key,
            excluded=excluded,
            files=files,
            script=script.read_bytes() if script.exists() else b"",
        )
        key = _key(stage, builder, resolved)
        stages.append(msgspec.structs.replace(stage, key=key))
    return stages


def _resolved(builder: Builder, stack: Stack) -> list[list[str]]:
    """Return what the packages of each layer and of those below come to; apt is asked at once."""
    sums = accumulate((placed.packages for placed in stack.layers), initial=())
    asked = [
        names if placed.packages else ()
        for placed, names in zip(stack.layers, list(sums)[1:], strict=True)
    ]
    with ThreadPoolExecutor() as pool:
        return list(
            pool.map(
                lambda names: resolve_packages(builder.archives, names) if names else [], asked
            )
        )


def built_already(builder: Builder, stages: Sequence[Stage]) -> int:
    """Return how many of `stages` need not be built: the highest in the cache, and all below."""
    return max(
        (index for index, each in enumerate(stages, 1) if _tar(builder, each).exists()), default=0
    )


def build_root(
    builder: Builder, stages: Sequence[Stage], native: Path | None, steps: Steps
) -> Path:
    """Build what is not in the cache; return the tar of the whole root.

    `native` holds the programs that are lent meanwhile, if any. Raises BuildError.
    """
    builder.stages.mkdir(parents=True, exist_ok=True)
    done = built_already(builder, stages)
    for stage in stages[:done]:
        steps.cached(f"layer {stage.placed.layer.name}")
    for index, stage in enumerate(stages[done:], done):
        below = _tar(builder, stages[index - 1]) if index else None
        _build(builder, stage, below, native, steps)
    for stage in stages:
        _forget_older(builder, stage)
    return _tar(builder, stages[-1])


def _forget_older(builder: Builder, stage: Stage) -> None:
    """Keep this result of the layer and the few used last; each takes half a gigabyte."""
    tar = _tar(builder, stage)
    if tar.exists():
        tar.touch()
    results = builder.stages.glob(f"{stage.placed.layer.name}-*.tar")
    for each in sorted(results, key=lambda file: file.stat().st_mtime)[:-_RESULTS_KEPT]:
        each.unlink(missing_ok=True)  # another build may have been quicker


def _build(
    builder: Builder, stage: Stage, below: Path | None, native: Path | None, steps: Steps
) -> None:
    layer = stage.placed.layer
    count = len(stage.placed.packages)
    with (
        steps.step(f"layer {layer.name}", f"{count} packages; {layer.description}") as log,
        tempfile.TemporaryDirectory(prefix="simpul-stage-", dir=builder.stages) as name,
    ):
        room = Path(name)
        room.chmod(0o755)  # an unprivileged build enters it under another user id
        write_overlay(
            stage.files,
            room / "overlay.tar",
            epoch_seconds=builder.epoch_seconds,
            further=builder.agent if layer.agent else None,
        )
        if stage.script:
            (room / "run").write_bytes(stage.script)
            (room / "run").chmod(0o755)
        result = room / "root.tar"
        run(
            _mmdebstrap(builder, stage, below, native, room),
            log,
            environment={
                "SOURCE_DATE_EPOCH": str(builder.epoch_seconds),
                "TMPDIR": name,
                "INITRD": "No",  # made once, by the layer that closes the root
                **{f"SIMPUL_{key.upper()}": value for key, value in stage.placed.values.items()},
            },
            explain=lambda said: _explain(said, layer.name),
        )
        result.replace(_tar(builder, stage))


def _mmdebstrap(
    builder: Builder, stage: Stage, below: Path | None, native: Path | None, work: Path
) -> list[str]:
    room, packages = builder.archives, stage.placed.packages
    command = ["mmdebstrap", f"--mode={'root' if os.geteuid() == 0 else 'unshare'}", "--verbose"]
    command += ["--skip=cleanup/apt"]  # it would leave folders behind, whose depends on the builder
    command += [f"--architectures={room.architecture}", "--format=tar", "--skip=update"]
    command += [f"--variant={'custom' if below else 'essential'}"]
    command += ['--aptopt=APT::Install-Recommends "false"']
    command += [f"--dpkgopt=path-exclude={path}" for path in stage.excluded]
    command += ["--dpkgopt=force-confold", "--dpkgopt=force-unsafe-io"]
    if below is None and packages:
        command += [f"--include={','.join(packages)}"]
    setup: list[str] = []
    extract: list[str] = []
    customize: list[str] = []
    if below is not None:
        unpack = "tar --extract --numeric-owner --preserve-permissions --exclude='./dev/*'"
        setup.append(f'{unpack} --xattrs --xattrs-include="*" -C "$1" -f {_quoted(below)}')
    # The kernel lets nobody but root link what is another's (protected_hardlinks, proc_sys_fs(5)).
    bring = "cp -l" if os.geteuid() == 0 else "cp --reflink=auto"
    setup += [
        f'cp {_quoted(room.lists)}/*_* "$1/var/lib/apt/lists/"',
        'mkdir -p "$1/var/cache/apt/archives/partial"',
        f'{bring} {_quoted(room.packages)}/*.deb "$1/var/cache/apt/archives/"',
    ]
    if native is not None:
        # The lowest layer has no program to replace before the essential packages are unpacked.
        (extract if below is None else setup).append(lend(native, builder.python))
    if below is not None and packages:
        customize.append(_install(packages))
    customize.append(
        f'tar --extract --preserve-permissions -C "$1" -f {_quoted(work / "overlay.tar")}'
    )
    if stage.script:
        customize.append(f'{_quoted(work / "run")} "$1"')
    if native is not None:
        customize.append(take_back(builder.python))
    customize.append('rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*')
    command += [f"--setup-hook={hook}" for hook in setup]
    command += [f"--extract-hook={hook}" for hook in extract]
    command += [f"--customize-hook={hook}" for hook in customize]
    return [*command, "", str(work / "root.tar"), str(room.sources)]


def _install(packages: Sequence[str]) -> str:
    """Return how mmdebstrap itself installs, for a root that it did not begin."""
    return (
        'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get --yes -o Dir::Bin::dpkg=env'
        " -o DPkg::Options::=--unset=TMPDIR -o DPkg::Options::=dpkg"
        f' -o DPkg::Chroot-Directory="$1" install {" ".join(packages)}'
    )


def _key(stage: Stage, builder: Builder, resolved: Sequence[str]) -> str:
    """Return the key of `stage`, which until now has that of the one below."""
    placed = stage.placed
    inputs = {
        "below": stage.key,
        "packages": placed.packages,
        "resolved": resolved,
        "values": placed.values,
        "exclude": placed.layer.exclude,
        "files": {
            path: (mode, hashlib.sha256(content).hexdigest())
            for path, (mode, content) in sorted(stage.files.items())
        },
        "run": stage.script.decode("utf-8"),
        "agent": builder.agent_hash if placed.layer.agent else "",
    }
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _tar(builder: Builder, stage: Stage) -> Path:
    return builder.stages / f"{stage.placed.layer.name}-{stage.key[:24]}.tar"


def _explain(said: str, layer: str) -> str:
    package = _FAILED_PACKAGE.search(said)
    if package:
        # The archive's file name begins with the package's.
        name = Path(package["name"]).name.partition("_")[0]
        return f"layer {layer}: the package {name} cannot be set up:"
    return f"layer {layer} failed:"


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
