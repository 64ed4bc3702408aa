"""Opens one bench of the environment file, and tells before anything moves what is wrong there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labgrid import Environment, Target
from labgrid.exceptions import (
    InvalidConfigError,
    NoDriverFoundError,
    NoSupplierFoundError,
    RegistrationError,
)

from hil_tests.bench import protocols
from hil_tests.bench.errors import BenchError
from hil_tests.bench.features import FEATURES

FILE = Path(__file__).parents[1] / "benches.yaml"
# Feature -> the protocol that tests reach it by: a bench that claims one must have the driver.
# What every bench needs (power, card, console, shell) its strategy binds, or does not start.
_DRIVERS: Mapping[str, Any] = {
    "hotspot": protocols.PhonesProtocol,
    "hands": protocols.HandsProtocol,
    "uplink": protocols.UplinkProtocol,
    "heat": protocols.HeatProtocol,
}

_BROKEN = (
    *(InvalidConfigError, RegistrationError, NoSupplierFoundError),
    *(KeyError, TypeError, ValueError),
)


def bench_names(file: Path = FILE) -> list[str]:
    """Return the benches of the environment file. Raises BenchError."""
    return sorted(_environment(file).config.get_targets())


def open_bench(name: str, file: Path = FILE) -> Target:
    """Return the labgrid target `name`, every driver of it instantiated and bound; none is active.

    Raises BenchError when it is unknown, or claims what it has no driver for.
    """
    environment = _environment(file)
    if name not in environment.config.get_targets():
        known = ", ".join(sorted(environment.config.get_targets()))
        raise BenchError(f"there is no bench {name} in {file}; the benches are {known}")
    try:
        target = environment.get_target(name)
    except _BROKEN as error:
        raise BenchError(f"{file}: bench {name}: {error}") from error
    if problems := _problems(target, features_of(target)):
        raise BenchError("\n".join(f"{file}: bench {name}: {problem}" for problem in problems))
    return target


def features_of(target: Target) -> set[str]:
    """Return the features that the environment file lists for the target."""
    entry = target.env.config.get_targets()[target.name]
    return set(entry.get("features", []))


def _environment(file: Path) -> Environment:
    try:
        return Environment(str(file))
    except (InvalidConfigError, OSError, ImportError) as error:
        raise BenchError(f"{file}: {error}") from error


def _problems(target: Target, features: set[str]) -> list[str]:
    problems = [
        f"feature {name} is not known; the features are {', '.join(FEATURES)}"
        for name in sorted(features - FEATURES.keys())
    ]
    for feature in sorted(features & _DRIVERS.keys()):
        wanted = _DRIVERS[feature]
        try:
            target.get_driver(wanted, activate=False)
        except NoDriverFoundError:
            problems.append(f"feature {feature} needs a driver with {wanted.__name__}; add one")
    try:
        target.get_strategy()
    except NoDriverFoundError:
        problems.append("it has no NodeStrategy; add one")
    return problems
