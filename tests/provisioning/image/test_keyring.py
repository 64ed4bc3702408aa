"""Archive keys are pinned by fingerprint: what is not named does not count."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioning.image.definition import read_flavour
from provisioning.image.errors import ArchiveError
from provisioning.image.keyring import pinned

IMAGES = Path(__file__).parents[3] / "images"
DEBIAN = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def test_the_pinned_keys_of_debian_are_in_its_keyring() -> None:
    for source in read_flavour(IMAGES, "debian").sources:
        kept = pinned(Path(source.keyring), source.fingerprints)
        assert 0 < len(kept) < DEBIAN.stat().st_size


def test_only_what_is_named_is_kept(tmp_path: Path) -> None:
    fingerprint = "41587F7DB8C774BCCF131416762F67A0B2C39DE4"
    one = tmp_path / "one.gpg"
    one.write_bytes(pinned(DEBIAN, [fingerprint]))
    assert pinned(one, [fingerprint]) == one.read_bytes()
    with pytest.raises(ArchiveError, match="which the definition pins"):
        pinned(one, ["04B54C3CDCA79751B16BC6B5225629DF75B188BD"])


def test_a_missing_keyring_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="--keyring"):
        pinned(tmp_path / "absent.gpg", ["0" * 40])


@given(st.binary(max_size=200))
def test_no_bytes_of_a_keyring_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.mktemp("keyring") / "a.gpg"
    file.write_bytes(data)
    with pytest.raises(ArchiveError):
        pinned(file, ["0" * 40])
