"""Reads layers and flavours: an image's parts, as small TOML files with described variables.

A layer is a folder `images/layers/NAME` with `layer.toml`, a tree `files/` that is copied over the
root, and a script `run` that is called with the root's path once packages and files are there.
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from provisioning.image.errors import DefinitionError

_NAME = r"^[a-z][a-z0-9-]{0,31}\Z"
_PACKAGE = r"^[a-z0-9][a-z0-9+.-]+\Z"  # Debian policy 5.6.1
_VARIABLE = r"^[a-z][a-z0-9_]{0,47}\Z"
_MODE = r"^0[0-7]{3}\Z"
_AT = re.compile(r" - at `\$(?P<path>[^`]*)`$")

Name = Annotated[str, Meta(pattern=_NAME)]
Package = Annotated[str, Meta(pattern=_PACKAGE)]


class Variable(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value that a builder may change; `pattern` is matched against the whole of it."""

    description: Annotated[str, Meta(min_length=10)]
    default: str
    pattern: Annotated[str, Meta(min_length=1)]


class Layer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One concern of an image."""

    name: Name
    description: Annotated[str, Meta(min_length=10)]
    requires: tuple[Name, ...] = ()
    """Layers that must lie below this one."""
    packages: tuple[Package, ...] = ()
    flavour_packages: dict[Name, tuple[Package, ...]] = {}
    """Further packages under one flavour."""
    variables: dict[Annotated[str, Meta(pattern=_VARIABLE)], Variable] = {}
    templates: tuple[str, ...] = ()
    """Files in which `@variable@` is replaced."""
    modes: dict[str, Annotated[str, Meta(pattern=_MODE)]] = {}
    """Modes other than 0644 and 0755, by path."""
    project_files: dict[str, str] = {}
    """Files out of the project's own tree: path in the image -> path in the tree."""
    agent: bool = False
    """Lays the agent's release down."""
    exclude: tuple[str, ...] = ()
    """Paths that dpkg does not unpack (path-exclude, dpkg(1)); for this and all layers above."""


class Source(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An archive of packages."""

    name: Name
    origin: str
    label: str
    suites: Annotated[tuple[str, ...], Meta(min_length=1)]
    components: Annotated[tuple[str, ...], Meta(min_length=1)]
    fingerprints: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[0-9A-F]{40}\Z")], ...], Meta(min_length=1)
    ]
    """Whose signatures count: fingerprints (RFC 4880, 12.2) of the archive's keys."""
    keyring: Annotated[str, Meta(pattern="^/")]
    """Where this machine keeps these keys; a setting can name another file."""
    pin_priority: Annotated[int, Meta(ge=1, le=1000)] = 500


class Flavour(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One family of images."""

    name: Name
    description: Annotated[str, Meta(min_length=10)]
    architecture: Literal["arm64"]
    python: Annotated[str, Meta(pattern=r"^3\.[0-9]{1,2}\Z")]
    epoch_seconds: Annotated[int, Meta(ge=946684800, le=4102444800)]
    """No file in the image is younger (SOURCE_DATE_EPOCH)."""
    boards: Annotated[tuple[str, ...], Meta(min_length=1)]
    sources: Annotated[tuple[Source, ...], Meta(min_length=1)]
    variants: Annotated[dict[Name, tuple[Name, ...]], Meta(min_length=1)]
    """Variant -> its layers, lowest first."""


def read_layer(folder: Path) -> Layer:
    """Return the layer in `folder`. Raises DefinitionError naming file and key."""
    file = folder / "layer.toml"
    layer = _read(file, Layer)
    problem = next(_layer_problems(folder, layer), None)
    if problem is not None:
        raise DefinitionError(f"{file}: {problem}")
    return layer


def read_flavour(images: Path, name: str) -> Flavour:
    """Return the flavour `name` defined in the folder `images`. Raises DefinitionError."""
    known = sorted(file.stem for file in images.glob("*.toml"))
    if name not in known:
        raise DefinitionError(f"flavour {name!r} is not known: give one of {', '.join(known)}")
    file = images / f"{name}.toml"
    flavour = _read(file, Flavour)
    if flavour.name != name:
        raise DefinitionError(f"{file}: name: {flavour.name!r} does not fit the file's name")
    return flavour


def _layer_problems(folder: Path, layer: Layer) -> Iterator[str]:
    if layer.name != folder.name:
        yield f"name: {layer.name!r} does not fit the folder's name"
    if layer.name in layer.requires:
        yield f"requires: {layer.name} cannot require itself"
    yield from _path_problems(folder / "files", layer)
    yield from _variable_problems(layer)
    yield from _template_problems(folder / "files", layer)


def _path_problems(files: Path, layer: Layer) -> Iterator[str]:
    for key, paths in (("templates", layer.templates), ("modes", tuple(layer.modes))):
        for path in paths:
            if not (files / path).is_file() and path not in layer.project_files:
                yield f"{key}: there is no files/{path}"
    for path in (*layer.project_files, *layer.project_files.values()):
        if path.startswith("/") or ".." in path.split("/"):
            yield f"project_files: {path}: give a path without a leading / and without .."


def _variable_problems(layer: Layer) -> Iterator[str]:
    for name, variable in layer.variables.items():
        try:
            fits = re.fullmatch(variable.pattern, variable.default)
        except re.error as error:
            yield f"variables.{name}.pattern: no regular expression: {error}"
            continue
        if not fits:
            yield (
                f"variables.{name}.default: {variable.default!r} does not match"
                f" {variable.pattern!r}"
            )


def _template_problems(files: Path, layer: Layer) -> Iterator[str]:
    used = set()
    for path in layer.templates:
        if (files / path).is_file():
            used |= set(re.findall(r"@([a-z][a-z0-9_]*)@", (files / path).read_text("utf-8")))
    for name in sorted(used - set(layer.variables)):
        yield f"templates: @{name}@ is used, but variables.{name} is not described"


_T = TypeVar("_T", bound=Struct)


def _read(file: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(tomllib.loads(file.read_text("utf-8")), kind)
    except OSError as error:
        raise DefinitionError(f"{file}: cannot be read: {error.strerror}") from error
    except msgspec.ValidationError as error:
        text = str(error)
        place = _AT.search(text)
        key = place["path"].lstrip(".") if place else ""
        raise DefinitionError(f"{file}: {key + ': ' if key else ''}{_AT.sub('', text)}") from error
    except ValueError as error:
        raise DefinitionError(f"{file}: not valid TOML: {error}") from error
