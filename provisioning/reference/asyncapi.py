"""Words the contract as an AsyncAPI 3.0 document, from the node's point of view.

Source: the AsyncAPI specification 3.0.0 and its MQTT bindings 0.2.0. Schemas are referenced with
`allOf`, as AsyncAPI's own dialect (JSON Schema draft 07) ignores what stands beside a `$ref`.
"""

from typing import Any

from node.messages import (
    KINDS,
    NODE_NAME_PATTERN,
    STILL_BYTES_MAX,
    TOPIC_ROOT,
    Replay,
    Snapshot,
    topic_of,
)
from provisioning.reference.schemas import (
    components,
    enveloped,
    message_name,
    models_of_messages,
)

RETAINED_KINDS = frozenset({"state", "frame"})
"""What the broker keeps for those who come later."""

_SCHEMAS = "#/components/schemas/{name}"
_COMMANDS = (Replay, Snapshot)
_DESCRIPTION = """\
MQTT 3.1.1, QoS 1. Delivery is at least once: who stores, stores by (node, boot, seq). `seq` has no
holes within a boot; a hole is filled by the command `replay`. A field that is absent is not known.
Readers skip fields that they do not know."""


def asyncapi() -> dict[str, Any]:
    """Return the document."""
    _, schemas = components(models_of_messages(), _SCHEMAS)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Simpul: what a node says and hears",
            "version": f"{TOPIC_ROOT.rpartition('/')[2]}.0.0",
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            **{_channel_name(kind): _kind_channel(kind) for kind in KINDS},
            "frame": _channel("frame", "The newest public still.", ["Frame"]),
            "cmd": _channel("cmd", "Commands for the node.", [each.__name__ for each in _COMMANDS]),
        },
        "operations": {
            **{f"send-{_channel_name(kind)}": _send(kind) for kind in (*KINDS, "frame")},
            "receive-cmd": {
                **_operation("receive", "cmd"),
                "reply": {"channel": {"$ref": "#/channels/reply"}},
            },
        },
        "components": {
            "parameters": {
                "node": {"description": f"Name of the node; it matches {NODE_NAME_PATTERN}"}
            },
            "messages": {
                **{message_name(kind): _kind_message(kind) for kind in KINDS},
                "Frame": _frame_message(),
                **{each.__name__: _command_message(each.__name__) for each in _COMMANDS},
            },
            "schemas": schemas,
        },
    }


def _channel_name(kind: str) -> str:
    return kind.replace("/", "-")


def _channel(kind: str, summary: str, messages: list[str]) -> dict[str, Any]:
    return {
        "address": topic_of("{node}", kind),
        "summary": summary,
        "parameters": {"node": {"$ref": "#/components/parameters/node"}},
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
    }


def _kind_channel(kind: str) -> dict[str, Any]:
    return _channel(kind, _summary(kind), [message_name(kind)])


def _summary(kind: str) -> str:
    return (KINDS[kind].__doc__ or "").partition("\n")[0]


def _send(kind: str) -> dict[str, Any]:
    return _operation("send", _channel_name(kind), retain=kind in RETAINED_KINDS)


def _operation(action: str, channel: str, *, retain: bool = False) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "bindings": {"mqtt": {"qos": 1, "retain": retain, "bindingVersion": "0.2.0"}},
    }


def _kind_message(kind: str) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": kind,
        "title": message_name(kind),
        "summary": _summary(kind),
        "contentType": "application/json",
        "payload": enveloped(kind, _SCHEMAS),
    }
    if kind == "reply":
        message["correlationId"] = {"location": "$message.payload#/data/id"}
    return message


def _frame_message() -> dict[str, Any]:
    return {
        "name": "frame",
        "title": "Frame",
        "summary": "A JPEG that says in its first comment segment when and where it was taken.",
        "description": (
            "The segment (COM, ITU-T T.81) holds the word `simpul`, a space, and JSON as "
            f"{_SCHEMAS.format(name='StillInfo')} says. At most {STILL_BYTES_MAX} bytes."
        ),
        "contentType": "image/jpeg",
        "payload": {"type": "string", "format": "binary", "maxLength": STILL_BYTES_MAX},
    }


def _command_message(name: str) -> dict[str, Any]:
    return {
        "name": name.lower(),
        "title": name,
        "contentType": "application/json",
        "correlationId": {"location": "$message.payload#/id"},
        "payload": {"$ref": _SCHEMAS.format(name=name)},
    }
