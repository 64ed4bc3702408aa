"""Has a card image at hand for tests: the one that was named, or one built and kept.

`python -m hil_tests.bench.image VARIANT ...` builds what is not there yet.
"""

import hashlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from hil_tests.bench.errors import BenchError
from hil_tests.bench.kernel_modules import gpio_module, thermal_module
from hil_tests.bench.lock import cache_folder
from node.messages import SimpulError
from provisioning.image.build import build_image, default_cache
from provisioning.image.describe import read_description
from provisioning.image.order import PROJECT, Order

_VERSION = "0.0.0"
# All that an image is made of: its definition, the agent, the builder, and what is locked.
_INPUTS = (
    *(
        "images",
        "node",
        "provisioning/image",
        "provisioning/release",
        "provisioning/seekable.py",
        "tests/guest/virtual_camera",
    ),
    *("pyproject.toml", "uv.lock"),
)


def image_for_bench(
    given: Path | None, *, variant: str, show: Callable[[str], None] = lambda _line: None
) -> Path:
    """Return the raw image `given`, else one of `variant` built from this tree; `show` is told how.

    Building takes minutes; an image of this very tree that was built before is taken from the
    cache, and so are the layers of one that has changed. Raises BenchError.
    """
    if given is not None:
        if not given.is_file():
            raise BenchError(f"{given}: no such image; build one by `simpul image build`")
        return given
    folder = cache_folder() / "images"
    order = Order(variant=variant, version=_VERSION, output=folder, cache=default_cache())
    image, stamp = folder / f"{order.name}.img", folder / f"{order.name}.tree"
    key = tree_key(PROJECT)
    if image.exists() and stamp.exists() and stamp.read_text() == key:
        return image
    try:
        described = build_image(order, show)
        stamp.write_text(key)
        return described.parent / read_description(described).image.name
    except (SimpulError, OSError) as error:
        raise BenchError(f"the image cannot be built: {error}") from error


def tree_key(project: Path) -> str:
    """Name what the image is made of, Debian's packages excepted."""
    digest = hashlib.sha256()
    for file in _files(project):
        digest.update(f"{file.relative_to(project)} {file.stat().st_mode}\n".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _files(project: Path) -> Iterator[Path]:
    for name in _INPUTS:
        place = project / name
        found = sorted(place.rglob("*")) if place.is_dir() else [place]
        yield from (each for each in found if each.is_file() and "__pycache__" not in each.parts)


def main(variants: Sequence[str]) -> int:
    """Have an image of each variant at hand, and its bench's modules; return the exit code."""
    try:
        for variant in variants:
            image = image_for_bench(None, variant=variant, show=_say)
            if variant == "bench":
                _build_modules(image)
    except BenchError as error:
        _say(f"error: {error}")
        return 1
    return 0


def _build_modules(image: Path) -> None:
    """Have the modules at hand that a virtual bench loads into this image's kernel."""
    for package in read_description(image.with_suffix(".json")).packages:
        if release := re.fullmatch(r"linux-image-(\d.*)", package):
            gpio_module(release[1])
            thermal_module(release[1])


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
