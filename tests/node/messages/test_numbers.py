"""Every whole number of the contract is bounded: a hostile figure is refused, not computed with."""

from collections.abc import Iterator

import msgspec

from node.messages import KINDS, Command, Envelope, StillInfo


def unbounded(schema: object, place: str) -> Iterator[str]:
    """Yield where an integer has no least or no greatest value."""
    if isinstance(schema, dict):
        if schema.get("type") == "integer" and not {"minimum", "maximum"} <= schema.keys():
            yield place
        for name, inner in schema.items():
            yield from unbounded(inner, f"{place}.{name}")
    elif isinstance(schema, list):
        for inner in schema:
            yield from unbounded(inner, place)


def test_every_whole_number_is_bounded() -> None:
    _, models = msgspec.json.schema_components([*KINDS.values(), Command, Envelope, StillInfo])
    assert [*unbounded(models, "")] == []
