"""Whatever stands in node.toml: settings, or a sentence that says what to do."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from node.errors import SettingsError
from node.settings_file import load_settings, parse_settings

EXAMPLE = Path(__file__).parents[2] / "docs" / "reference" / "node.example.toml"
GOOD = """\
[node]
name = "pasar-horas"

[uplink]
brokers = [
  "mqtts://broker.example:8883",
]
"""


def _problem(text: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text)
    return str(caught.value)


def _node(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments], check=False, capture_output=True, text=True
    )


def test_two_tables_are_enough() -> None:
    settings = parse_settings(GOOD)
    assert settings.node.name == "pasar-horas"
    assert settings.camera.adapter == "none"
    assert not settings.simulated


@pytest.mark.parametrize(
    ("more", "place", "words"),
    [
        ("keepalive_second = 9", "9: uplink.keepalive_second", "is keepalive_seconds meant?"),
        ("zzz = 9", "9: uplink.zzz", "the keys are brokers, ca_file"),
        ("[camra]\nwidth = 64", "9: camra", "is camera meant?"),
        ("\n\n[camera]\nwidht = 64", "12: camera.widht", "is width meant?"),
        ("[camera]\nwidth = 65", "10: camera.width", "must be a multiple of 16"),
        ("[camera]\nwidth = '64'", "10: camera.width", "must be a whole number, not text"),
        ("[camera]\nwidth = 64.5", "10: camera.width", "must be a whole number, not a fraction"),
        ("[camera]\nadapter = 'usb'", "10: camera.adapter", "choices: none, picamera2, v4l2"),
        ("[camera]\nmask_file = 'a'", "10: camera.mask_file", "begin it with /"),
        ("[outbox]\nbytes_max = 1", "10: outbox.bytes_max", "must be at least 262144"),
        ("[outbox]\nbytes_max = 1" + "0" * 40, "10: outbox.bytes_max", "must be at most"),
        ("[outbox]\nage_max_hours = nan", "10: outbox.age_max_hours", "must be more than 0"),
        ("[outbox]\nage_max_hours = inf", "10: outbox.age_max_hours", "must be at most 8760"),
        ("[hotspot]\ninterface = 'a b'", "10: hotspot.interface", "a name such as wlan0"),
        ("keepalive_seconds = 4", "9: uplink.keepalive_seconds", "must be at least 5"),
        ("ca_file = 1979-05-27", "9: uplink.ca_file", "must be text in quotes, not date"),
        ("ca_file = ['a']", "9: uplink.ca_file", "must be text in quotes, not a list"),
        ('ca_file = "/a\\n"', "9: uplink.ca_file", "line break"),
        ('ca_file = "/a\\u0000b"', "9: uplink.ca_file", "control character"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_key(more: str, place: str, words: str) -> None:
    problem = _problem(f"{GOOD}\n{more}\n")
    assert problem.startswith(f"node.toml:{place}: ")
    assert words in problem
    assert "\n" not in problem


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        ("", "node.toml: node: ", "missing; add it"),
        (GOOD.replace("name =", "nam ="), "node.toml:", "nam"),
        (GOOD.replace('"pasar-horas"', '"Pasar Horas"'), "node.toml:2: node.name: ", "lower-case"),
        (GOOD.replace("pasar-horas", "a" * 64), "node.toml:2: node.name: ", "63 characters"),
        (GOOD.replace("horas", "horas\\n"), "node.toml:2: node.name: ", "line break"),
        (GOOD.replace("mqtts:", "https:"), "node.toml:5: uplink.brokers.0: ", "mqtts://host:port"),
        ('[node]\nname = "a"\n[uplink]\nbrokers = []', "node.toml:4: uplink.brokers: ", "at least"),
        ('[node]\nname = "a"\n[uplink]\n', "node.toml:3: uplink.brokers: ", "missing; add it"),
        ("node = 3\nuplink = 4", "node.toml:1: node: ", "must be a table"),
        (f"{GOOD}[uplink]", "node.toml:8: not valid TOML: ", "twice"),
        ("[node\nname = 3", "node.toml:1: not valid TOML: ", "end of a table"),
        ("a = " + "[" * 20_000, "node.toml: ", ""),
    ],
)
def test_a_broken_file_is_explained(text: str, start: str, words: str) -> None:
    problem = _problem(text)
    assert problem.startswith(start)
    assert words in problem
    assert "Expected `" not in problem
    assert "regex" not in problem


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    latin = tmp_path / "latin.toml"
    latin.write_bytes('title = "Pematang Siantar, café"'.encode("latin-1"))
    for file, words in (
        (tmp_path / "absent.toml", "No such file"),
        (tmp_path, "Is a directory"),
        (latin, "byte 30 is not UTF-8"),
    ):
        with pytest.raises(SettingsError) as caught:
            load_settings(file)
        assert str(caught.value).startswith(f"{file}: ")
        assert words in str(caught.value)


_NAMES = st.sampled_from(
    ["node", "uplink", "camera", "name", "brokers", "width", "adapter", "a b", "x", "[", "]", "é"]
)
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXTS, st.just("none")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.text() | st.from_regex(r'(\[[a-z. ]+\]\n|[a-z"]+ = ("[^"]*"|[0-9.]+|\[\])\n){0,6}'))
def test_any_text_is_a_settings_error(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^node\.toml"):
        parse_settings(text)


@given(st.dictionaries(_NAMES, st.dictionaries(_NAMES, _VALUES, max_size=4), max_size=4))
def test_any_toml_is_a_settings_error(tables: dict[str, dict[str, object]]) -> None:
    lines = []
    for name, table in tables.items():
        lines.append(f"[{json.dumps(name)}]")
        lines += [f"{json.dumps(key)} = {_toml(value)}" for key, value in table.items()]
    text = "\n".join(lines)
    with pytest.raises(SettingsError, match=r"^node\.toml[^\n]*\Z") as caught:
        parse_settings(text)
    assert "not valid TOML" not in str(caught.value)


def _toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(v)}" for key, v in value.items()) + "}"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value is None or value)


@given(st.binary())
def test_any_bytes_are_a_settings_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "garbage.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError):
        load_settings(file)


def test_check_says_good_or_where_the_mistake_is(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(GOOD.replace("[uplink]", f'state_directory = "{tmp_path}"\n[uplink]'))
    good = _node("check", file)
    assert (good.returncode, good.stderr) == (0, "")
    file.write_text(f"{GOOD}keepalive_second = 9\n")
    bad = _node("check", file)
    assert bad.returncode == 2
    assert bad.stderr.startswith(f"{file}:8: uplink.keepalive_second: ")
    assert "Traceback" not in bad.stderr
    assert _node("check", tmp_path / "absent").returncode == 2


def test_the_printed_schema_is_valid_and_takes_the_example() -> None:
    result = _node("schema")
    assert result.returncode == 0
    schema = json.loads(result.stdout)
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    example = tomllib.loads(EXAMPLE.read_text(encoding="utf-8"))
    validator.validate(example)
    assert not validator.is_valid({**example, "camra": {}})


@pytest.mark.parametrize("digits", [400, 5000])
def test_endless_numbers_are_refused(digits: int) -> None:
    text = "[node]\nname = 'a'\n[health]\nmeasure_interval_seconds = " + "9" * digits
    with pytest.raises(SettingsError, match=r"node\.toml"):
        parse_settings(text + "\n[uplink]\nbrokers = ['mqtt://a:1']\n")
