"""Reads mask.toml: which regions of the frame nobody may see. Without a valid file, no picture."""

import re
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from node.camera.polygon import problem_of
from node.errors import MaskError, SettingsError
from node.settings_file import explain, parse_toml, read_text

_REGION_AT = re.compile(r" - at `\$\.region\[(?P<index>\d+)\][^`]*`$")
_REGION_HEADER = re.compile(r"\s*\[\[\s*[\"']?region[\"']?\s*\]\]")

_Coordinate = Annotated[float, Meta(ge=0, le=1)]


class Region(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[region]]: one area to blacken."""

    name: Annotated[
        str, Meta(min_length=1, max_length=80, description="What lies there, for a person.")
    ]
    polygon: Annotated[
        tuple[tuple[_Coordinate, _Coordinate], ...],
        Meta(
            max_length=256,
            description="Corners [x, y] in order around the area; 0..1 from the top left corner.",
        ),
    ]


class Mask(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything the mask file says."""

    region: Annotated[tuple[Region, ...], Meta(max_length=64, description="Areas to blacken.")] = ()
    nothing_to_mask: Annotated[
        bool,
        Meta(description="Must be true when there is no region: someone looked and decided so."),
    ] = False


def load_mask(file: Path) -> Mask:
    """Return the mask in `file`. Raises MaskError with file, line and next step."""
    try:
        text = read_text(file)
    except SettingsError as error:
        raise MaskError(f"{error}; without a valid mask file there is no picture") from error
    return parse_mask(text, file=str(file))


def parse_mask(text: str, *, file: str = "mask.toml") -> Mask:
    """Return the mask in `text` (TOML 1.0). Raises MaskError; `file` is for its message."""
    try:
        table = parse_toml(text, file=file)
        mask = msgspec.convert(table, Mask)
    except msgspec.ValidationError as error:
        raise MaskError(_explain(str(error), text, file=file)) from error
    except (SettingsError, OverflowError) as error:
        raise MaskError(str(error)) from error
    _check(mask, text, file=file)
    return mask


def _check(mask: Mask, text: str, *, file: str) -> None:
    if mask.region and mask.nothing_to_mask:
        raise MaskError(
            f"{file}: nothing_to_mask is true, but there are regions; remove one of the two"
        )
    if not mask.region and not mask.nothing_to_mask:
        raise MaskError(
            f"{file}: no [[region]]; if there is truly nothing to blacken, say so with "
            "`nothing_to_mask = true`"
        )
    for index, region in enumerate(mask.region):
        if problem := problem_of(region.polygon):
            where = _where(index, text, file=file)
            raise MaskError(f'{where}: region "{region.name}": polygon: {problem}')


def _explain(problem: str, text: str, *, file: str) -> str:
    """Return msgspec's problem with the line of the right region among several."""
    at = _REGION_AT.search(problem)
    said = explain(problem, text, file=file, model=Mask)
    if at is None:
        return said
    key_and_problem = said.partition(": ")[2]
    return f"{_where(int(at['index']), text, file=file)}: {key_and_problem}"


def _where(index: int, text: str, *, file: str) -> str:
    """Return file and line of the header of region `index` (from 0)."""
    headers = [n for n, line in enumerate(text.splitlines(), 1) if _REGION_HEADER.match(line)]
    return f"{file}:{headers[index]}" if index < len(headers) else file
