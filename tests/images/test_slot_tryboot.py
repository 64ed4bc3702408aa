"""A trial that the kernel cannot ask the firmware for is refused before anything is noted."""

from pathlib import Path

import pytest
from slot_boot.errors import RefusedError
from slot_boot.tryboot import check_tryboot


def board(root: Path, model: str, *, vcio: bool) -> Path:
    (root / "proc/device-tree").mkdir(parents=True)
    (root / "proc/device-tree/model").write_bytes(f"{model}\0".encode())
    (root / "dev").mkdir()
    if vcio:
        (root / "dev/vcio").touch()
    return root


def test_a_pi_with_debians_kernel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"Raspberry Pi 4 Model B Rev 1\.5: this kernel cannot"):
        check_tryboot(board(tmp_path, "Raspberry Pi 4 Model B Rev 1.5", vcio=False))


def test_a_pi_with_its_own_kernel_is_not(tmp_path: Path) -> None:
    check_tryboot(board(tmp_path, "Raspberry Pi Zero 2 W Rev 1.0", vcio=True))


@pytest.mark.parametrize("model", ["linux,dummy-virt", ""])
def test_an_emulated_board_is_not(tmp_path: Path, model: str) -> None:
    check_tryboot(board(tmp_path, model, vcio=False))
    check_tryboot(tmp_path / "nothing")
