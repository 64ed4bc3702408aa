"""The layout is one: what the builder writes is what the boot and updates read."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from provisioning.image import layout

UPDATE = Path(__file__).parents[3] / "images/layers/update/files/usr/lib/simpul"


def test_the_first_boot_selection_is_what_updates_understand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(UPDATE))
    choice = import_module("slot_boot.choice")
    assert choice.encode(choice.Choice()) == layout.AUTOBOOT
    assert len(layout.AUTOBOOT) == choice.SIZE_BYTES


@pytest.mark.parametrize("slot", ["a", "b"])
def test_the_kernels_arguments_can_be_given_to_the_other_slot(
    monkeypatch: pytest.MonkeyPatch, slot: str
) -> None:
    monkeypatch.syspath_prepend(str(UPDATE))
    own_words = import_module("slot_boot.own_words")
    words = ("console=tty1", "10", f"{'0' * 64}@{layout.ROOT_MIB << 20}")
    line = layout.cmdline("a", *words).encode()
    assert own_words.own_words(line, slot) == layout.cmdline(slot, *words).encode()
    assert len(line) < layout.CMDLINE_BYTES_MAX
    assert "slot_boot" in sys.modules
