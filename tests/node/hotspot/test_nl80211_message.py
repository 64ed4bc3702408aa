"""The agent gets pyroute2's message class without the weight of pyroute2."""

import subprocess
import sys

import pytest

from node.clock import FakeClock
from node.errors import SettingsError
from node.hotspot.source import open_radio
from node.settings import Hotspot, Identity, NodeSettings, Uplink


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_only_the_part_that_is_needed_gets_loaded() -> None:
    code = (
        "import sys, threading, node.hotspot.nl80211_radio;"
        "print('pyroute2.ndb.main' in sys.modules, 'pyroute2.iproute' in sys.modules,"
        " threading.active_count())"
    )
    assert run(code) == "False False 1"


@pytest.mark.parametrize(
    "first", ["import node.hotspot.nl80211_radio, pyroute2", "import pyroute2"]
)
def test_others_may_use_all_of_pyroute2_before_and_after(first: str) -> None:
    code = (
        f"{first}; import node.hotspot.nl80211_parse as ours;"
        "from pyroute2.netlink.nl80211 import nl80211cmd as theirs;"
        "print(pyroute2.IPRoute.__name__, ours._MESSAGE is theirs)"
    )
    assert run(code) == "IPRoute True"


def test_a_missing_pyroute2_is_told_with_a_next_step(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nl80211_radio", "nl80211_parse", "nl80211_message"):
        monkeypatch.delitem(sys.modules, f"node.hotspot.{name}", raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyroute2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    settings = NodeSettings(
        node=Identity(name="pasar-horas"),
        uplink=Uplink(brokers=("mqtt://127.0.0.1:1883",)),
        hotspot=Hotspot(adapter="nl80211"),
    )
    with pytest.raises(SettingsError, match=r"hotspot.adapter: .*pyroute2; install"):
        open_radio(settings, FakeClock())
