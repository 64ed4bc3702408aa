"""Builds an image from its definition: one call from layers to what a technician flashes."""

import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from node.install.lay_down import lay_down
from provisioning.image.archive import Archives, alone, fetch_packages, open_archives
from provisioning.image.emulation import ensure_arm64
from provisioning.image.lgpio import lgpio_files
from provisioning.image.native import gather, needs_loan
from provisioning.image.order import PROJECT, Made, Order
from provisioning.image.pack import Identity, Packing, pack
from provisioning.image.products import write_products
from provisioning.image.room import own_room
from provisioning.image.stack import Stack, resolve
from provisioning.image.stages import Builder, build_root, built_already, plan
from provisioning.image.steps import Steps
from provisioning.release.build import Recipe, Target, build_release


def default_cache() -> Path:
    """Return where packages and stages are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "simpul/image"


def build_image(order: Order, show: Callable[[str], None]) -> Path:
    """Build the image and what lies beside it; return its description.

    Raises DefinitionError, ArchiveError, ToolError, BuildError.
    """
    stack = resolve(order.images, order.flavour, order.variant, order.values)
    ensure_arm64()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or stack.flavour.epoch_seconds)
    steps = Steps(order.output / f"{order.name}.logs", show)
    with (
        own_room(order.cache) as room,
        ThreadPoolExecutor(1) as beside,
    ):
        room.chmod(0o755)  # an unprivileged build enters it under another user id
        has_agent = any(each.layer.agent for each in stack.layers)
        lines = beside.submit(_lgpio, stack, steps, order) if has_agent else None
        archives = _archives(order, stack, steps)
        agent, release, agent_hash = _agent(stack, room, steps, order, lines)
        builder = Builder(
            archives=archives,
            stages=order.cache / "stages",
            project=PROJECT,
            epoch_seconds=epoch,
            python=stack.flavour.python,
            agent=agent,
            agent_hash=agent_hash,
        )
        with steps.step("plan", "which layers have changed"):
            stages = plan(builder, stack)
        native = None
        if needs_loan() and built_already(builder, stages) < len(stages):
            native = _native(order, stack, room, steps)
        root = build_root(builder, stages, native, steps)
        image_id = hashlib.sha256(f"{stages[-1].key} {order.version}".encode()).hexdigest()[:32]
        packing = Packing(
            root_tar=root,
            room=room,
            identity=Identity(
                image_id=image_id,
                version=order.version,
                flavour=order.flavour,
                variant=order.variant,
            ),
            epoch_seconds=epoch,
            console=_value(stack, "kernel", "console"),
            panic_seconds=_value(stack, "kernel", "panic_seconds"),
        )
        image = order.output / f"{order.name}.img"
        shutil.move(pack(packing, steps), image)
        root_bytes = (room / "root.erofs").stat().st_size
        made = Made(
            image=image,
            root_tar=root,
            root_bytes=root_bytes,
            image_id=image_id,
            agent_release=release,
        )
        return write_products(order, stack, made, steps)


def _archives(order: Order, stack: Stack, steps: Steps) -> Archives:
    room = order.cache / stack.flavour.name
    with (
        steps.step("archives", "what they hold now, and what is not in the cache yet"),
        alone(room),
    ):
        archives = open_archives(stack.flavour, room, order.mirrors, order.keyrings)
        fetch_packages(archives, [each for layer in stack.layers for each in layer.packages])
    return archives


def _native(order: Order, stack: Stack, room: Path, steps: Steps) -> Path:
    flavour = stack.flavour
    with steps.step("native", "this machine's own programs, lent while arm64 is set up"):
        packages = order.cache / f"{flavour.name}-native"
        with alone(packages):
            return gather(flavour, packages, room / "native", order.mirrors, order.keyrings)


def _value(stack: Stack, layer: str, name: str) -> str:
    return next(each.values[name] for each in stack.layers if each.layer.name == layer)


def _lgpio(stack: Stack, steps: Steps, order: Order) -> tuple[Path, str]:
    with steps.step("lgpio", "what gpiozero needs, for a Python that no wheel is made for"):
        return lgpio_files(PROJECT / "uv.lock", stack.flavour.python, order.cache)


def _agent(
    stack: Stack, room: Path, steps: Steps, order: Order, lines: Future[tuple[Path, str]] | None
) -> tuple[Path | None, str, str]:
    """Return what the agent's layer lays down, its release, and what names all of it."""
    if lines is None:
        return None, "", ""
    tree, python = room / "agent", stack.flavour.python
    with steps.step("agent", "its release, as updates place it"):
        recipe = Recipe(counter=1, version=order.version)
        target = Target("aarch64", python)
        (built,) = build_release(room / "release", recipe, [target], PROJECT)
        (tree / "opt/simpul").mkdir(parents=True)
        (tree / "etc/simpul").mkdir(parents=True)
        lay_down(built.bundle, tree)
    files, key = lines.result()
    shutil.copytree(files, tree / f"usr/local/lib/python{python}/dist-packages")
    return tree, built.release, f"{built.release} {key}"
