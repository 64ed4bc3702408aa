"""Inside the guest, under systemd: the agent's own unit reaches lamp and contacts by lgpio.

Named on pytest's command line by tests/node/hotspot/access_point/test_in_guest.py.
"""

import json
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from services.gpio_sim import GpioSim
from services.phone import run
from services.ports import free_port, wait_for_port
from services.waiting import until

NODE, LAMP = "simpul-node.service", "simpul-lamp.service"
LAMP_PIN, BUTTON_PIN, TAMPER_PIN = 17, 27, 22
SETTINGS = Path("/etc/simpul/node.toml")
PI = "/run/cpuinfo"  # what a Pi's kernel says of itself, in the units' own /proc
EVENTS = Path("/run/board-events")


def journal(unit: str) -> str:
    return run("journalctl", "--no-pager", "-b", "-o", "cat", "-u", unit)


def lamp_is(sim: GpioSim, *, lit: bool) -> bool:
    return sim.is_high(LAMP_PIN) == lit


@pytest.fixture(scope="module")
def sim() -> Iterator[GpioSim]:
    with GpioSim() as sim:
        run("udevadm", "settle")
        for unit in (LAMP, NODE):
            drop_in = Path(f"/etc/systemd/system/{unit}.d/board.conf")
            drop_in.parent.mkdir(parents=True)
            chip = f"Environment=SIMPUL_LAMP_CHIP={sim.chip}"
            drop_in.write_text(f"[Service]\n{chip}\nBindReadOnlyPaths={PI}:/proc/cpuinfo\n")
        run("systemctl", "daemon-reload")
        yield sim


def test_the_lamp_says_that_the_node_is_not_provisioned(sim: GpioSim) -> None:
    SETTINGS.unlink(missing_ok=True)
    run("systemctl", "start", LAMP)
    for lit in (True, False, True):
        until(partial(lamp_is, sim, lit=lit), journal(LAMP), seconds=20)
    assert "not-provisioned" in journal(LAMP)


@pytest.fixture(scope="module")
def broker(sim: GpioSim) -> Iterator[int]:
    """Start a broker, somebody who writes down events, and the agent's unit, taking the lamp."""
    port = free_port()
    config = Path("/run/board-broker.conf")
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    mosquitto = subprocess.Popen(["mosquitto", "-c", str(config)], stderr=subprocess.DEVNULL)
    wait_for_port(port)
    with EVENTS.open("w") as out:
        command = ["mosquitto_sub", "-p", str(port), "-t", "simpul/1/taman-bunga/event/#"]
        listener = subprocess.Popen(command, stdout=out)
    SETTINGS.write_text(
        f'[node]\nname = "taman-bunga"\n[uplink]\nbrokers = ["mqtt://127.0.0.1:{port}"]\n'
        f'[board]\nadapter = "gpiozero"\nchip = {sim.chip}\nlamp_pin = {LAMP_PIN}\n'
        f"button_pin = {BUTTON_PIN}\ntamper_pin = {TAMPER_PIN}\n"
    )
    run("systemctl", "start", NODE)
    yield port
    run("systemctl", "stop", NODE)
    for process in (listener, mosquitto):
        process.terminate()
        process.wait(10)


def events() -> list[tuple[str, dict[str, object]]]:
    told = [json.loads(line) for line in EVENTS.read_text().splitlines()]
    return [(each["kind"], each["data"]) for each in told]


def test_contacts_become_events_at_the_broker(sim: GpioSim, broker: int) -> None:
    assert broker
    expected: list[tuple[str, dict[str, object]]] = [("event/tamper", {"opened": True})]

    def told() -> bool:
        return events() == expected

    until(told, f"the open box to be told: {journal(NODE)}", seconds=60)
    sim.drive(TAMPER_PIN, high=False)
    expected.append(("event/tamper", {"opened": False}))
    until(told, "the closed box to be told", seconds=20)
    sim.drive(BUTTON_PIN, high=False)
    expected.append(("event/button", {"press": "long"}))
    until(told, "the long press to be told", seconds=20)
    sim.drive(BUTTON_PIN, high=True)


def test_identify_makes_the_lamp_blink(sim: GpioSim, broker: int) -> None:
    command = '{"command":"identify","id":"a","seconds":20}'
    run("mosquitto_pub", "-p", str(broker), "-t", "simpul/1/taman-bunga/cmd", "-m", command)
    until(lambda: "the lamp says: identify" in journal(NODE), journal(NODE), seconds=20)
    for lit in (True, False, True, False):
        until(partial(lamp_is, sim, lit=lit), "the lamp", seconds=5)
