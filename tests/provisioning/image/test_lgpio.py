"""lgpio is built of the source that uv.lock pins, for the node's processor and Python."""

from pathlib import Path

import pytest

from provisioning.image.build import default_cache
from provisioning.image.errors import BuildError
from provisioning.image.lgpio import lgpio_files, locked_pin

LOCK = Path(__file__).parents[3] / "uv.lock"
_ELF_AARCH64 = (183).to_bytes(2, "little")  # e_machine, elf(5)


def test_the_lock_names_the_source() -> None:
    pin = locked_pin(LOCK)
    assert pin.version == "0.2.2.0"
    assert len(bytes.fromhex(pin.sha256)) == 32


@pytest.mark.parametrize("text", ["", 'package = [{name = "lgpio"}]', "package ="])
def test_a_lock_without_it_is_told(tmp_path: Path, text: str) -> None:
    lock = tmp_path / "uv.lock"
    lock.write_text(text)
    with pytest.raises(BuildError, match="no source distribution of lgpio"):
        locked_pin(lock)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_it_is_built_for_the_node() -> None:
    folder, key = lgpio_files(LOCK, "3.13", default_cache())
    module = folder / "_lgpio.cpython-313-aarch64-linux-gnu.so"
    assert module.read_bytes()[18:20] == _ELF_AARCH64
    assert "def gpiochip_open(" in (folder / "lgpio.py").read_text()
    assert lgpio_files(LOCK, "3.13", default_cache()) == (folder, key)
