"""Words the models as pages for people: one table for each TOML table and each message."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from node.messages import (
    COMMAND_BYTES_MAX,
    KINDS,
    PAYLOAD_BYTES_MAX,
    STILL_BYTES_MAX,
    Command,
    topic_of,
)
from provisioning.reference.asyncapi import RETAINED_KINDS
from provisioning.reference.schemas import components, models_of_messages, node_schema

_GENERATED = "<!-- Generated from the models by `make generate`; change the models instead. -->"
_PREFIX = "#/$defs/"
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "multipleOf": "multiple of {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "entries: at least {}",
    "pattern": "matches `{}`",
}
_Schema = Mapping[str, Any]


def settings_page() -> str:
    """Return settings.md: every key of node.toml."""
    schema = node_schema()
    lines = [
        "# Settings of a node",
        _GENERATED,
        (
            "One file, `/etc/simpul/node.toml` (TOML 1.0). A key that is not listed is refused. "
            "`simpul-node check FILE` tells whether the agent would run with a file; "
            "[node.example.toml](node.example.toml) is one to begin with, and "
            "[node.schema.json](node.schema.json) says the same to an editor."
        ),
    ]
    for key, value in schema["properties"].items():
        table = schema["$defs"][value["$ref"].removeprefix(_PREFIX)]
        _, _, purpose = table["description"].partition(": ")
        needed = "required" if key in schema["required"] else "optional"
        lines += [f"## `[{key}]`", f"{purpose[:1].upper()}{purpose[1:]} This table is {needed}."]
        lines.append("\n".join(_table(table)))
    return "\n\n".join(lines) + "\n"


def messages_page() -> str:
    """Return messages.md: every message, and the topic it travels on."""
    _, models = components([*models_of_messages(), Command], _PREFIX + "{name}")
    topics = "\n".join(_topic_rows())
    lines = [
        "# Messages of a node",
        _GENERATED,
        (
            "MQTT 3.1.1, QoS 1. The same as [JSON Schema](messages.schema.json) and as "
            "[AsyncAPI](asyncapi.json). A field that is absent is not known; a reader skips fields "
            "that it does not know."
        ),
        "## Topics",
        topics,
    ]
    for name, model in models.items():
        lines += [f"## {name}", model["description"], "\n".join(_table(model))]
    return "\n\n".join(lines) + "\n"


def _topic_rows() -> Iterator[str]:
    yield "| topic | data | retained | at most |"
    yield "|---|---|---|---|"
    for kind, model in KINDS.items():
        retained = "yes" if kind in RETAINED_KINDS else "no"
        name = model.__name__
        yield (
            f"| `{topic_of('<node>', kind)}` | [Envelope](#envelope) with "
            f"[{name}](#{name.lower()}) | {retained} | {PAYLOAD_BYTES_MAX:,} bytes |"
        )
    yield (
        f"| `{topic_of('<node>', 'frame')}` | JPEG with a note: [StillInfo](#stillinfo) | yes "
        f"| {STILL_BYTES_MAX:,} bytes |"
    )
    yield (
        f"| `{topic_of('<node>', 'cmd')}` (to the node) | [Replay](#replay) or "
        f"[Snapshot](#snapshot) | no | {COMMAND_BYTES_MAX:,} bytes |"
    )


def _table(schema: _Schema) -> Iterator[str]:
    yield "| key | type | default | meaning | limits |"
    yield "|---|---|---|---|---|"
    for key, field in schema["properties"].items():
        cells = (
            f"`{key}`",
            _type(field),
            "required" if key in schema["required"] else _default(field),
            field.get("description", ""),
            _limits(field),
        )
        escaped = " | ".join(cell.replace("|", r"\|") for cell in cells)
        yield f"| {escaped} |"


def _type(field: _Schema) -> str:
    if "$ref" in field:
        name = field["$ref"].removeprefix(_PREFIX)
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:  # an optional value: null is the same as absent
        return " or ".join(_type(each) for each in field["anyOf"] if each.get("type") != "null")
    if "enum" in field:
        return "one of " + ", ".join(f"`{each}`" for each in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    return str(field.get("format") or field.get("type", "any"))


def _default(field: _Schema) -> str:
    default = field.get("default")
    return "absent" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"


def _limits(field: _Schema) -> str:
    inner = [*field.get("anyOf", ()), *([field["items"]] if "items" in field else ())]
    return ", ".join(
        text.format(each[word])
        for each in (field, *inner)
        for word, text in _LIMITS.items()
        if word in each
    )
