"""The agent's composition root: the only place that picks its adapters."""

import threading
from collections.abc import Callable
from pathlib import Path

from node.agent import Agent
from node.board.adapters import lines_of
from node.board.source import BoardSource
from node.board.status import Condition
from node.clock import SystemClock
from node.health.machine import Machine
from node.health.source import HealthSource
from node.settings import NodeSettings
from node.source import Source
from node.uplink.client_id import client_id_of


def run_agent(settings: NodeSettings, config: Path, stop: threading.Event) -> None:
    """Run the agent with the `settings` that stand in the file `config`, until `stop` is set.

    Raises SimpulError.
    """
    from node.uplink.paho_link import PahoLink  # noqa: PLC0415 - an adapter, chosen here

    clock = SystemClock()
    agent = Agent(
        settings,
        make_link=lambda: PahoLink(
            settings.uplink, client_id=client_id_of(settings.node.name, settings.uplink)
        ),
        clock=clock,
    )
    sources, snapshot = _sources(settings, config, agent, clock)
    identify = None
    if settings.board.adapter != "none":
        board = _board(settings, agent, clock)
        sources.append(board)
        identify = board.identify if settings.board.lamp_pin is not None else None
    agent.run(sources, stop, snapshot=snapshot, identify=identify)


def _board(settings: NodeSettings, agent: Agent, clock: SystemClock) -> BoardSource:
    def condition() -> Condition:
        return Condition(
            connected=agent.connected,
            ever_connected=agent.ever_connected,
            camera_fails=agent.failing("camera"),
        )

    return BoardSource(lines_of(settings.board), condition=condition, clock=clock)


def _sources(
    settings: NodeSettings, config: Path, agent: Agent, clock: SystemClock
) -> tuple[list[Source], Callable[[], None] | None]:
    machine = Machine(
        root=Path(settings.health.root_directory),
        state_directory=Path(settings.node.state_directory),
        clock=clock,
    )
    interval_seconds = settings.health.measure_interval_seconds
    sources: list[Source] = [
        HealthSource(machine, measure_interval_seconds=interval_seconds, extra=(agent.figures,))
    ]
    snapshot = None
    if settings.hotspot.adapter != "none":
        from node.hotspot.source import HotspotSource, open_radio  # noqa: PLC0415 - chosen here

        sources.append(HotspotSource(settings.hotspot, open_radio(settings, clock), clock=clock))
    if settings.camera.adapter != "none":
        from node.camera.source import CameraSource, camera_command  # noqa: PLC0415 - chosen here

        camera = CameraSource(settings.camera, camera_command(config), clock=clock)
        sources.append(camera)
        snapshot = camera.snapshot
    return sources, snapshot
