"""The generated reference: up to date, valid, and true of what nodes really send."""

import json
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from docs.structs import structs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator, FormatChecker

from node.messages import (
    EVENTS,
    KINDS,
    Command,
    Envelope,
    Replay,
    Snapshot,
    State,
    StillInfo,
    encode,
    parse_topic,
)
from node.settings import NodeSettings
from node.settings_file import load_settings
from provisioning.reference import documents, generate, outdated

_DIRECTORY = Path(__file__).parents[2] / "docs" / "reference"
_SLOW = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)


@cache
def _document(name: str) -> dict[str, Any]:
    return json.loads((_DIRECTORY / name).read_text(encoding="utf-8"))


@cache
def _messages(definition: str = "") -> Draft202012Validator:
    schema = _document("messages.schema.json")
    if definition:
        schema = {"$defs": schema["$defs"], "$ref": f"#/$defs/{definition}"}
    return Draft202012Validator(schema, format_checker=FormatChecker())


@cache
def _asyncapi_payload(name: str) -> Draft7Validator:
    document = _document("asyncapi.json")
    payload = document["components"]["messages"][name]["payload"]
    return Draft7Validator({"components": document["components"], **payload})


def _enveloped(envelope: Envelope, kind: str, data: msgspec.Struct) -> bytes:
    return encode(msgspec.structs.replace(envelope, kind=kind, data=msgspec.Raw(encode(data))))


_ENVELOPES = st.builds(
    Envelope,
    node=st.from_regex("^[a-z0-9]{1,9}(-[a-z0-9]{1,9})?", fullmatch=True),
    boot=st.from_regex("[0-9a-f]{16}", fullmatch=True),
    seq=st.integers(0, 2**63 - 1),
    at=st.datetimes(timezones=st.timezones()),
    mono=st.floats(0, 1e9),
    clock_synced=st.booleans(),
    historical=st.booleans(),
    kind=st.just("state"),
    data=st.just(msgspec.Raw(b"{}")),
)


def test_the_reference_is_what_the_models_say() -> None:
    assert outdated(_DIRECTORY) == []


def test_generating_twice_changes_nothing_and_a_stale_file_is_named(tmp_path: Path) -> None:
    assert {file.name for file in generate(tmp_path / "new")} == set(documents())
    assert generate(tmp_path / "new") == []
    stale = tmp_path / "new" / "settings.md"
    stale.write_text("old")
    command = [sys.executable, "-m", "provisioning.reference", "--check", tmp_path / "new"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 1
    assert str(stale) in result.stderr
    assert stale.read_text() == "old"
    assert generate(tmp_path / "new") == [stale]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize("name", ["node.schema.json", "messages.schema.json"])
def test_schemas_are_valid_json_schema(name: str) -> None:
    Draft202012Validator.check_schema(_document(name))


@pytest.mark.parametrize("kind", KINDS)
@_SLOW
@given(data=st.data(), envelope=_ENVELOPES)
def test_every_message_that_a_node_can_send_fits_its_schemas(
    kind: str, data: st.DataObject, envelope: Envelope
) -> None:
    payload = json.loads(_enveloped(envelope, kind, data.draw(structs(KINDS[kind]))))
    name = f"{KINDS[kind].__name__}Message"
    _messages().validate(payload)
    _messages(name).validate(payload)
    _asyncapi_payload(name).validate(payload)


@_SLOW
@given(structs(StillInfo))
def test_every_note_of_a_still_fits_its_schema(info: StillInfo) -> None:
    _messages("StillInfo").validate(json.loads(encode(info)))


@_SLOW
@given(st.one_of(structs(Replay), structs(Snapshot)))
def test_every_command_fits_its_schemas(command: Command) -> None:
    payload = json.loads(encode(command))
    _messages("Command").validate(payload)
    _asyncapi_payload(type(command).__name__).validate(payload)


@_SLOW
@given(data=st.data(), envelope=_ENVELOPES)
def test_the_data_of_another_kind_does_not_fit(data: st.DataObject, envelope: Envelope) -> None:
    state = data.draw(structs(State))
    payload = json.loads(_enveloped(envelope, "event/source-failed", state))
    assert not _messages().is_valid(payload)
    assert not _asyncapi_payload("SourceFailedMessage").is_valid(payload)


def test_a_command_that_is_not_in_the_list_does_not_fit() -> None:
    assert not _messages("Command").is_valid({"command": "shell", "id": "1"})
    assert not _messages("Command").is_valid({"command": "snapshot", "id": "1", "run": "ls"})


def test_the_asyncapi_document_names_every_topic_once() -> None:
    document = _document("asyncapi.json")
    addresses = [each["address"] for each in document["channels"].values()]
    kinds = {parse_topic(each.replace("{node}", "a"))[1] for each in addresses}
    assert kinds == {*KINDS, *(f"event/{name}" for name in EVENTS), "frame", "cmd"}
    assert len(kinds) == len(addresses)


def test_the_asyncapi_document_says_what_is_retained() -> None:
    retained = {
        each["channel"]["$ref"].rpartition("/")[2]
        for each in _document("asyncapi.json")["operations"].values()
        if each["bindings"]["mqtt"]["retain"]
    }
    assert retained == {"state", "frame"}


def test_every_reference_in_the_documents_leads_somewhere() -> None:
    for name in ("asyncapi.json", "messages.schema.json", "node.schema.json"):
        document = _document(name)
        for reference in _references(document):
            target = document
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]


def _references(node: object) -> list[str]:
    if isinstance(node, list):
        return [reference for each in node for reference in _references(each)]
    if not isinstance(node, dict):
        return []
    own = [value for key, value in node.items() if key == "$ref"]
    return own + [each for value in node.values() for each in _references(value)]


def test_the_example_is_accepted_by_the_agent_and_by_the_schema() -> None:
    file = _DIRECTORY / "node.example.toml"
    example = load_settings(file)
    validator = Draft202012Validator(_document("node.schema.json"))
    validator.validate(tomllib.loads(file.read_text(encoding="utf-8")))
    validator.validate(json.loads(encode(example)))


def test_every_key_is_in_the_settings_page_and_every_field_in_the_messages_page() -> None:
    page = (_DIRECTORY / "settings.md").read_text(encoding="utf-8")
    for table in msgspec.structs.fields(NodeSettings):
        assert f"## `[{table.name}]`" in page
        for field in msgspec.structs.fields(table.type):
            assert f"\n| `{field.name}` |" in page
    page = (_DIRECTORY / "messages.md").read_text(encoding="utf-8")
    for model in (*KINDS.values(), Envelope, StillInfo, Replay, Snapshot):
        assert f"\n## {model.__name__}\n" in page
        for field in msgspec.structs.fields(model):
            assert f"\n| `{field.name}` |" in page
