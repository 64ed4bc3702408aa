"""Has the bench's card image at hand: the one that was named, or one built and kept."""

from pathlib import Path

import zstandard

from hil_tests.bench.errors import BenchError
from hil_tests.bench.lock import cache_folder
from provisioning.image.build import build_image, default_cache
from provisioning.image.describe import read_description
from provisioning.image.errors import ImageError
from provisioning.image.order import Order


def image_for_bench(given: Path | None, *, variant: str) -> Path:
    """Return the raw image `given`, else one of `variant` built from this tree.

    Building takes minutes; what did not change since is taken from the image cache. Raises
    BenchError.
    """
    if given is not None:
        if not given.is_file():
            raise BenchError(f"{given}: no such image; build one by `simpul image build`")
        return given
    order = Order(
        flavour="debian",
        variant=variant,
        version="0.0.0",
        output=cache_folder() / "images",
        cache=default_cache(),
        values={},
        mirrors={},
        keyrings={},
        address="https://images.invalid",
    )
    try:
        described = build_image(order, lambda _line: None)
        return _unpacked(described.parent / read_description(described).image.name)
    except (ImageError, OSError) as error:
        raise BenchError(f"the bench's image cannot be built: {error}") from error


def _unpacked(image: Path) -> Path:
    """Return `image`, unpacked when it lies there compressed only. Raises OSError."""
    packed = image.with_name(f"{image.name}.zst")
    if not image.exists() or image.stat().st_mtime < packed.stat().st_mtime:
        with packed.open("rb") as source, image.open("wb") as target:
            zstandard.ZstdDecompressor().copy_stream(source, target)
    return image
