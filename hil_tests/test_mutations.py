"""Broken on purpose, a node fails the suite: each mutation must make its own check fail.

Run by `make hil-mutations` alone, on the virtual bench.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from hil_tests.bench.protocols import PhonesProtocol
from hil_tests.bench.run import RESTART_HOTSPOT, Bench
from hil_tests.checks import check_isolated, check_masked, join_all, next_frame
from hil_tests.cuts import found_after_cuts, installed, recorded
from hil_tests.releases import open_office

pytestmark = [pytest.mark.mutation, pytest.mark.needs("ssh")]
_CODE = "/opt/simpul/current/lib/python3.*/site-packages/node"
_STATES_MAX = 120  # of which a tenth shows it
# In memory: an installer whose own file is changed says so, and installs nothing.
_WITHOUT_FSYNC = (
    "/opt/simpul/current/bin/python -P -B -c 'import os, runpy; os.fsync = lambda handle: None;"
    ' runpy.run_module("node", run_name="__main__", alter_sys=True)\''
)


@contextmanager
def mutated(node: Bench, file: str, old: str, new: str) -> Iterator[None]:
    """Change one line of the agent on the node; put it back afterwards."""
    path = f"{_CODE}/{file}"
    node.command(f"cp -p {path} /var/lib/simpul-bench.good")
    node.command(f"grep -qE '{old}' {path} && sed -Ei 's/{old}/{new}/' {path}")
    try:
        yield
    finally:
        node.command(f"cp -p /var/lib/simpul-bench.good {path}")


@pytest.mark.needs("camera")
def test_a_mask_that_is_left_out_is_seen(node: Bench) -> None:
    with mutated(node, "camera/mask.py", r"y\[area\.top.*", "pass"):
        node.command("systemctl restart simpul-node")
        mark = node.traffic.count()
        next_frame(node, mark)
        with pytest.raises(AssertionError, match="a masked pixel left the node"):
            check_masked(next_frame(node))
    node.command("systemctl restart simpul-node")
    next_frame(node)
    check_masked(next_frame(node))


@pytest.mark.needs("hotspot")
def test_guests_that_are_not_isolated_are_seen(node: Bench) -> None:
    phones = node.target.get_driver(PhonesProtocol)
    settings = "/etc/simpul/node.toml"
    node.command(f"sed -i 's/^ssid = /isolate_guests = false\\nssid = /' {settings}")
    node.command(RESTART_HOTSPOT)
    try:
        addresses = join_all(phones)
        with pytest.raises(AssertionError, match="a guest reached another one"):
            check_isolated(phones, addresses)
    finally:
        for name in phones.names():
            phones.leave(name)
        node.command(f"sed -i '/^isolate_guests/d' {settings}; {RESTART_HOTSPOT}")


@pytest.mark.needs("powercut")
def test_an_installer_without_fsync_is_seen(node: Bench, tmp_path: Path) -> None:
    with recorded(node, tmp_path) as card:
        office = replace(open_office(node, tmp_path), program=_WITHOUT_FSYNC)
        during = installed(office, card)
    seen = found_after_cuts(card, during, tmp_path, _STATES_MAX)
    assert [what for what in seen if what != "whole"], seen
