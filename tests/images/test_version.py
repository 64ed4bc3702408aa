"""A node refuses a bundle older than what it runs, by Semantic Versioning's own order."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slot_boot.errors import VersionError
from slot_boot.version import rank, refusal

# Section 11 of the specification, and short forms between.
RISING = [
    "0",
    "0.9.1",
    "1.0.0-alpha",
    "1.0.0-alpha.1",
    "1.0.0-alpha.beta",
    "1.0.0-beta",
    "1.0.0-beta.2",
    "1.0.0-beta.11",
    "1.0.0-rc.1",
    "1.0.0",
    "1.0.10",
    "1.2",
    "2.1.1",
    "10.0.0",
]


def release(tmp_path: Path, version: str) -> Path:
    file = tmp_path / "os-release"
    file.write_text(f'ID=debian\nVERSION_ID="13"\nIMAGE_VERSION="{version}"\n')
    return file


def test_versions_rise_as_the_specification_says() -> None:
    shuffled = [*RISING[1::2], *reversed(RISING[::2])]
    assert sorted(shuffled, key=rank) == RISING
    assert len({rank(each) for each in RISING}) == len(RISING)


@pytest.mark.parametrize("short", ["1", "1.0", "1.0.0+build.7"])
def test_short_forms_and_builds_are_the_same_version(short: str) -> None:
    assert rank(short) == rank("1.0.0")


@given(st.text())
def test_any_text_is_ranked_or_refused(text: str) -> None:
    try:
        assert rank(text) >= rank("0-0")
    except VersionError as error:
        assert "is no version" in str(error)  # noqa: PT017 - any text may or may not be one


@pytest.mark.parametrize("bundle", ["1.4.0", "1.4.1-rc.1", "2"])
def test_the_same_and_anything_newer_is_installed(tmp_path: Path, bundle: str) -> None:
    assert refusal(bundle, release(tmp_path, "1.4.0")) == ""


@pytest.mark.parametrize("bundle", ["1.3.9", "1.4.0-rc.1", "0"])
def test_anything_older_is_refused(tmp_path: Path, bundle: str) -> None:
    assert f"{bundle} is older than 1.4.0" in refusal(bundle, release(tmp_path, "1.4.0"))


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    assert "'' is no version" in refusal("", release(tmp_path, "1.4.0"))
    assert "'yesterday' is no version" in refusal("1", release(tmp_path, "yesterday"))
    assert "cannot be read" in refusal("1", tmp_path / "absent")
    (tmp_path / "empty").write_text("ID=debian\n")
    assert "no IMAGE_VERSION=" in refusal("1", tmp_path / "empty")
