"""Writes what lies beside an image: compressed, mapped, listed, described."""

import os
from pathlib import Path

from provisioning.image.bmap import write_bmap
from provisioning.image.compress import compress
from provisioning.image.describe import (
    Description,
    disk_signature,
    encode,
    file_of,
    imager_entry,
)
from provisioning.image.order import Made, Order
from provisioning.image.sbom import parts_of, spdx
from provisioning.image.stack import Stack
from provisioning.image.steps import Steps


def write_products(order: Order, stack: Stack, made: Made, steps: Steps) -> Path:
    """Write everything beside `made.image`; return the description's file."""
    beside = made.image.parent
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH") or stack.flavour.epoch_seconds)
    with steps.step("bmap", "what a card must get"):
        bmap = beside / f"{order.name}.bmap"
        mapped_bytes = write_bmap(made.image, bmap)
    with steps.step("sbom", "every package, as SPDX"):
        parts = parts_of(made.root_tar)
        sbom = beside / f"{order.name}.spdx.json"
        sbom.write_text(spdx(parts, order.title, made.image_id, epoch), encoding="utf-8")
    with steps.step("compress", "zstd"):
        compressed = compress(made.image)
    with steps.step("describe", "for the flasher and for rpi-imager"):
        description = Description(
            name=order.name,
            title=order.title,
            flavour=order.flavour,
            variant=order.variant,
            version=order.version,
            image_id=made.image_id,
            agent_release=made.agent_release,
            boards=stack.flavour.boards,
            image=file_of(made.image),
            compressed=file_of(compressed),
            bmap=file_of(bmap),
            sbom=file_of(sbom),
            mapped_bytes=mapped_bytes,
            root_bytes=made.root_bytes,
            disk_signature=disk_signature(),
            packages={part.name: part.version for part in parts if part.kind == "deb"},
        )
        file = beside / f"{order.name}.json"
        file.write_bytes(encode(description))
        entry = imager_entry(description, order.address, epoch)
        (beside / f"{order.name}.rpi-imager.json").write_text(entry, encoding="utf-8")
    return file
