"""Resolves which layers an image consists of, lowest first, and the values of their variables."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from provisioning.image.definition import Flavour, Layer, read_flavour, read_layer
from provisioning.image.errors import DefinitionError


class Placed(Struct, frozen=True, kw_only=True):
    """A layer in its place: with its folder, all its packages and the values that hold."""

    layer: Layer
    folder: Path
    packages: tuple[str, ...]
    values: dict[str, str]


class Stack(Struct, frozen=True, kw_only=True):
    """Everything that defines one image."""

    flavour: Flavour
    variant: str
    layers: tuple[Placed, ...]


def resolve(images: Path, flavour: str, variant: str, given: Mapping[str, str]) -> Stack:
    """Return the stack; `given` maps `layer.variable` to a value. Raises DefinitionError."""
    defined = read_flavour(images, flavour)
    if variant not in defined.variants:
        known = ", ".join(sorted(defined.variants))
        raise DefinitionError(f"{flavour} has no variant {variant!r}: give one of {known}")
    names = defined.variants[variant]
    layers = [read_layer(images / "layers" / name) for name in names]
    _check_order(layers, where=f"{images / flavour}.toml: variants.{variant}")
    _check_given(layers, given)
    return Stack(
        flavour=defined,
        variant=variant,
        layers=tuple(
            Placed(
                layer=layer,
                folder=images / "layers" / layer.name,
                packages=layer.packages + layer.flavour_packages.get(flavour, ()),
                values={
                    name: given.get(f"{layer.name}.{name}", variable.default)
                    for name, variable in layer.variables.items()
                },
            )
            for layer in layers
        ),
    )


def _check_order(layers: Sequence[Layer], *, where: str) -> None:
    below: set[str] = set()
    for layer in layers:
        if layer.name in below:
            raise DefinitionError(f"{where}: {layer.name} is named twice")
        missing = [name for name in layer.requires if name not in below]
        if missing:
            raise DefinitionError(f"{where}: {layer.name} requires {missing[0]} below it")
        below.add(layer.name)


def _check_given(layers: Sequence[Layer], given: Mapping[str, str]) -> None:
    known = {
        f"{layer.name}.{name}": variable
        for layer in layers
        for name, variable in layer.variables.items()
    }
    for key, value in given.items():
        if key not in known:
            names = ", ".join(sorted(known)) or "none"
            raise DefinitionError(f"--set {key}: no such variable; there are: {names}")
        if not re.fullmatch(known[key].pattern, value):
            raise DefinitionError(
                f"--set {key}={value}: does not match {known[key].pattern!r}:"
                f" {known[key].description}"
            )
