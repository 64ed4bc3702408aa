"""What the roles say that they take is what models and defaults say."""

from pathlib import Path

import msgspec
import pytest
import yaml

from node.settings import NodeSettings
from provisioning.reference.argument_specs import ROLES, argument_specs, roles, roles_page
from provisioning.reference.write import outdated_argument_specs

AGENT = next(role for role in roles() if role.name == "agent")


def fields(model: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.name: field for field in msgspec.structs.fields(model)}


def test_the_files_are_what_the_models_say() -> None:
    assert outdated_argument_specs() == []


def test_every_key_of_the_settings_is_a_variable_of_the_agent() -> None:
    expected = {
        f"agent_{table}_{key}"
        for table, field in fields(NodeSettings).items()
        for key in fields(field.type)
    }
    assert expected == {option.name for option in AGENT.options} - {"agent_mask"}


def test_the_template_knows_every_table() -> None:
    known = yaml.safe_load((ROLES / "agent/vars/main.yml").read_text())["agent_tables"]
    assert known == list(fields(NodeSettings))


def test_what_the_models_demand_is_demanded() -> None:
    assert [option.name for option in AGENT.options if option.required] == ["agent_uplink_brokers"]


@pytest.mark.parametrize("role", roles(), ids=lambda role: role.name)
def test_every_variable_is_explained(role: object) -> None:
    (text,) = (text for file, text in argument_specs().items() if file.parts[-3] == role.name)
    spec = yaml.safe_load(text)["argument_specs"]["main"]
    assert spec["short_description"].endswith(".")
    for name, option in spec["options"].items():
        assert all(option["description"]), f"{name}: a comment above it in the defaults is missing"
        assert f"| `{name}` |" in roles_page()


def test_a_new_default_is_noticed(tmp_path: Path) -> None:
    folder = tmp_path / "lamp/defaults"
    folder.mkdir(parents=True)
    text = (
        "---\n# Lights the lamp.\n\n# How often it\n# blinks, in Hz.\nlamp_rate: 2\nlamps: [left]\n"
    )
    (folder / "main.yml").write_text(text)
    (role,) = roles(tmp_path)
    assert (role.name, role.purpose) == ("lamp", "Lights the lamp.")
    rate, lamps = role.options
    assert (rate.kind, rate.given, rate.description) == ("int", 2, "How often it blinks, in Hz.")
    assert (lamps.kind, lamps.elements, lamps.description) == ("list", "str", "")
