"""Builds an image from its definition: one call from layers to what a technician flashes."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from node.install.lay_down import lay_down
from provisioning.image.archive import fetch_packages, open_archives
from provisioning.image.emulation import ensure_arm64
from provisioning.image.pack import Identity, Packing, pack
from provisioning.image.stack import Stack, resolve
from provisioning.image.stages import Builder, build_root, plan
from provisioning.image.steps import Steps
from provisioning.release.build import Recipe, Target, build_release

PROJECT = Path(__file__).parents[2]


class Order(Struct, frozen=True, kw_only=True):
    """What is to be built, and with what."""

    flavour: str = "debian"
    variant: str = "node"
    version: str = "0"
    output: Path
    images: Path = PROJECT / "images"
    cache: Path
    values: Mapping[str, str] = {}
    mirrors: Mapping[str, str] = {}
    keyrings: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        """The image's file name, without suffix."""
        return f"simpul-{self.flavour}-{self.variant}-{self.version}"


def default_cache() -> Path:
    """Return where packages and stages are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simpul/image"


def build_image(order: Order, show: Callable[[str], None]) -> Path:
    """Build the raw image and return it. Raises DefinitionError, ArchiveError, BuildError."""
    stack = resolve(order.images, order.flavour, order.variant, order.values)
    ensure_arm64()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or stack.flavour.epoch_seconds)
    steps = Steps(order.output / f"{order.name}.logs", show)
    order.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=order.cache) as name:
        room = Path(name)
        with steps.step("archives", "what they hold now, and what is not in the cache yet"):
            archives = open_archives(
                stack.flavour, order.cache / stack.flavour.name, order.mirrors, order.keyrings
            )
            fetch_packages(archives, [each for layer in stack.layers for each in layer.packages])
        agent, agent_hash = _agent(stack, room, steps, order.version)
        builder = Builder(
            archives=archives,
            stages=order.cache / "stages",
            project=PROJECT,
            epoch_seconds=epoch,
            agent=agent,
            agent_hash=agent_hash,
        )
        stages = plan(builder, stack)
        root = build_root(builder, stages, steps)
        values = {
            f"{each.layer.name}.{key}": value
            for each in stack.layers
            for key, value in each.values.items()
        }
        identity = Identity(
            image_id=hashlib.sha256(f"{stages[-1].key} {order.version}".encode()).hexdigest()[:32],
            version=order.version,
            flavour=order.flavour,
            variant=order.variant,
        )
        packing = Packing(
            root_tar=root,
            room=room,
            identity=identity,
            epoch_seconds=epoch,
            console=values["kernel.console"],
            panic_seconds=values["kernel.panic_seconds"],
        )
        image = order.output / f"{order.name}.img"
        shutil.move(pack(packing, steps), image)
    return image


def _agent(stack: Stack, room: Path, steps: Steps, version: str) -> tuple[Path | None, str]:
    if not any(each.layer.agent for each in stack.layers):
        return None, ""
    tree = room / "agent"
    with steps.step("agent", "its release, as updates place it"):
        target = Target("aarch64", stack.flavour.python)
        recipe = Recipe(counter=1, version=version)
        (built,) = build_release(room / "release", recipe, [target], PROJECT)
        (tree / "opt/simpul").mkdir(parents=True)
        (tree / "etc/simpul").mkdir(parents=True)
        lay_down(built.bundle, tree)
    return tree, built.release
