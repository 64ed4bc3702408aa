"""Words the models as JSON Schema 2020-12: the settings file, and every message of a node."""

from collections.abc import Mapping
from inspect import cleandoc
from typing import Any

import msgspec

from node.messages import KINDS, Command, Envelope, Replay, Snapshot, StillInfo
from node.settings import NodeSettings

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def node_schema() -> dict[str, Any]:
    """Return the schema of /etc/simpul/node.toml."""
    _, models = components([NodeSettings], "#/$defs/{name}")
    return {
        "$schema": _DIALECT,
        "$id": "urn:simpul:node-settings",
        **models.pop("NodeSettings"),
        "$defs": models,
    }


def messages_schema() -> dict[str, Any]:
    """Return the schema of every envelope; its $defs also hold StillInfo and Command."""
    template = "#/$defs/{name}"
    (*_, command), models = components([*models_of_messages(), Command], template)
    models["Command"] = {"title": "Command", "description": "What a node obeys.", **command}
    wrapped = {message_name(kind): enveloped(kind, template) for kind in KINDS}
    return {
        "$schema": _DIALECT,
        "$id": "urn:simpul:messages",
        "title": "Message",
        "description": "A message of a node: the envelope with the data that its kind names.",
        "oneOf": [{"$ref": template.format(name=name)} for name in wrapped],
        "$defs": {**wrapped, **models},
    }


def models_of_messages() -> list[type[msgspec.Struct]]:
    """Return the models of all that travels, in the order of the reference."""
    return [*KINDS.values(), Envelope, StillInfo, Replay, Snapshot]


def components(models: list[Any], template: str) -> tuple[list[Any], dict[str, Any]]:
    """Return a reference for each of `models`, and all schemas by name; `template` holds {name}."""
    references, schemas = msgspec.json.schema_components(models, ref_template=template)
    return list(references), {name: _tidy(schema) for name, schema in schemas.items()}


def enveloped(kind: str, template: str) -> dict[str, Any]:
    """Return the schema of an envelope whose `data` is the model of `kind`."""
    return {
        "title": message_name(kind),
        "description": f"The envelope of kind {kind}.",
        "allOf": [
            {"$ref": template.format(name="Envelope")},
            {
                "type": "object",
                "properties": {
                    "kind": {"const": kind},
                    "data": {"$ref": template.format(name=KINDS[kind].__name__)},
                },
            },
        ],
    }


def message_name(kind: str) -> str:
    """Return the name of an envelope with its data: "event/source-failed": SourceFailedMessage."""
    return f"{KINDS[kind].__name__}Message"


def _tidy(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {**schema, "description": cleandoc(schema["description"])}
