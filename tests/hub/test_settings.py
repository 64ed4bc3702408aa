"""hub.toml: what is accepted, and what is said of a mistake."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import SettingsError
from hub.settings import HubSettings
from hub.settings_file import load_settings, parse_settings, read_secret

LEAST = '[broker]\nurls = ["mqtt://127.0.0.1:1883"]\n'


def test_the_broker_is_all_it_takes() -> None:
    settings = parse_settings(LEAST)
    assert settings.database.url.startswith("sqlite:////")
    assert settings.serve.address == "127.0.0.1"
    assert settings.public.hotspot_users_min == 5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "broker: this key is missing"),
        ("[broker]\n", "broker.urls: this key is missing"),
        (LEAST + "[database]\nurk = 1\n", "database.urk: this key is not known"),
        (LEAST + "[serve]\nport = 70000\n", "serve.port"),
        (LEAST + '[database]\nurl = "hub.db"\n', "database.url"),
        ('[broker]\nurls = ["tcp://x:1"]\n', "broker.urls"),
        ("[broker\n", "not valid TOML"),
        (LEAST + "[public]\nstale_seconds = 'x'\n", "public.stale_seconds"),
    ],
)
def test_a_mistake_is_named(text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said.replace(".", r"\.")) as caught:
        parse_settings(text, file="hub.toml")
    assert str(caught.value).startswith("hub.toml: ")


@given(st.text())
def test_garbage_is_a_settings_error(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_settings(text)


def test_a_file_that_is_absent_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "absent.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load_settings(tmp_path / "bytes.toml")


def test_a_secret_open_to_everybody_is_refused_and_never_quoted(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("rahasia\n")
    file.chmod(0o644)
    with pytest.raises(SettingsError, match="every user") as caught:
        read_secret(str(file))
    assert "rahasia" not in str(caught.value)
    file.chmod(0o640)
    assert read_secret(str(file)) == "rahasia"


def test_every_field_is_described() -> None:
    _, components = msgspec.json.schema_components([HubSettings])
    for name, component in components.items():
        for key, field in component["properties"].items():
            assert "description" in field or "$ref" in str(field), f"{name}.{key}"
