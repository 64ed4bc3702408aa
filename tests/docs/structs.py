"""Makes instances of any message model, for tests that hold for every message."""

import types
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st
from msgspec import Meta, Struct

_NUMBER_BOUNDS = {"ge": "min_value", "le": "max_value"}


def structs(model: type[Struct]) -> st.SearchStrategy[Any]:
    """Return a strategy for `model`; optional fields are given or left to their default."""
    hints = get_type_hints(model, include_extras=True)
    fields = msgspec.structs.fields(model)
    return st.fixed_dictionaries(
        {field.name: _values(hints[field.name]) for field in fields if field.required},
        optional={field.name: _values(hints[field.name]) for field in fields if not field.required},
    ).map(lambda given: model(**given))


def _values(kind: object, metas: Sequence[Meta] = ()) -> st.SearchStrategy[Any]:
    """Return a strategy for the annotation `kind`."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _values(arguments[0], [each for each in arguments[1:] if isinstance(each, Meta)])
    if origin in {Union, types.UnionType}:
        return st.one_of(_values(each, metas) for each in arguments)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:  # the contract has lists only: tuple[X, ...]
        return st.lists(_values(arguments[0]), max_size=3).map(tuple)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return structs(kind)
    return _scalars(kind, metas)


def _scalars(kind: type, metas: Sequence[Meta]) -> st.SearchStrategy[Any]:
    limits = {
        name: value
        for meta in metas
        for name in ("ge", "le", "pattern", "max_length")
        if (value := getattr(meta, name)) is not None
    }
    bounds = {_NUMBER_BOUNDS[name]: limits[name] for name in limits if name in _NUMBER_BOUNDS}
    if kind is str and "pattern" in limits:
        longest = limits.get("max_length", 1000)
        return st.from_regex(limits["pattern"], fullmatch=True).filter(
            lambda text: len(text) <= longest and not text.endswith("\n")
        )
    if kind is str:
        return st.text(max_size=limits.get("max_length", 30))
    if kind is int:
        return st.integers(**{"min_value": -(2**63), "max_value": 2**63 - 1, **bounds})
    if kind is float:
        return st.floats(allow_nan=False, allow_infinity=False, **bounds)
    plain = {
        bool: st.booleans(),
        type(None): st.none(),
        datetime: st.datetimes(timezones=st.just(UTC)),
    }
    return plain[kind]
