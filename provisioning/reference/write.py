"""Puts every generated document into its file, or tells which files have gone stale."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from provisioning.reference.argument_specs import argument_specs, roles_page
from provisioning.reference.asyncapi import asyncapi
from provisioning.reference.pages import messages_page, settings_page
from provisioning.reference.schemas import messages_schema, node_schema


def documents() -> dict[str, str]:
    """Return every generated document by its file name; the same models give the same text."""
    return {
        "asyncapi.json": _json(asyncapi()),
        "messages.md": messages_page(),
        "messages.schema.json": _json(messages_schema()),
        "node.schema.json": _json(node_schema()),
        "roles.md": roles_page(),
        "settings.md": settings_page(),
    }


def generate(directory: Path) -> list[Path]:
    """Write the documents to `directory`, made when missing; return the files that changed.

    Raises OSError when the directory cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    changed = outdated(directory)
    texts = documents()
    for file in changed:
        file.write_text(texts[file.name], encoding="utf-8")
    return changed


def outdated(directory: Path) -> list[Path]:
    """Return the files of `directory` that are missing or differ from what `generate` writes."""
    return [
        directory / name for name, text in documents().items() if _differs(directory, name, text)
    ]


def generate_argument_specs() -> list[Path]:
    """Write what each Ansible role takes beside its tasks; return the files that changed."""
    texts = argument_specs()
    changed = outdated_argument_specs()
    for file in changed:
        file.parent.mkdir(exist_ok=True)
        file.write_text(texts[file], encoding="utf-8")
    return changed


def outdated_argument_specs() -> list[Path]:
    """Return the roles' argument specs that differ from what the models and defaults say."""
    return [
        file for file, text in argument_specs().items() if _differs(file.parent, file.name, text)
    ]


def _differs(directory: Path, name: str, text: str) -> bool:
    file = directory / name
    return not file.is_file() or file.read_bytes() != text.encode()


def _json(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
