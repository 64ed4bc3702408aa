"""The command `simpul-node`: each of its parts is loaded only when it is asked for."""

import argparse
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from node.errors import SettingsError
from node.messages import SimpulError
from node.settings import NodeSettings
from node.settings_file import load_settings
from node.stop import stop_on_signal

_DEFAULT_FILE = Path("/etc/simpul/node.toml")
_EXIT_FAILED = 1
_EXIT_BAD_SETTINGS = 2


def main(arguments: list[str] | None = None) -> int:
    """Run `simpul-node`; return its exit status: 0 well, 1 failed, 2 bad settings or usage."""
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(words).parse_args(words)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s"
    )
    try:
        return int(options.command(options))
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command speaks to its terminal
        return _EXIT_BAD_SETTINGS
    except SimpulError as error:
        print(error, file=sys.stderr)  # noqa: T201 - as above
        return _EXIT_FAILED


def _parser(words: list[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="simpul-node", description="The agent of a Simpul node.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> None:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        if name == "check":
            sub.add_argument("config", nargs="?", type=Path, default=_DEFAULT_FILE, metavar="FILE")
        elif name != "schema":
            sub.add_argument("--config", type=Path, default=_DEFAULT_FILE, metavar="FILE")

    add("agent", _agent, "Run the agent.")
    add("camera", _camera, "Run the camera process; the agent starts it by itself.")
    add("check", _check, "Check a settings file; exit 0 only when the agent would run with it.")
    add("schema", _schema, "Print the JSON Schema of the settings file.")
    _add_enrol(commands.add_parser("enrol", help="One step of an enrolment; the station calls it."))
    _add_hotspot(commands.add_parser("hotspot", help="Configure the access point's programs."))
    _add_install(
        commands.add_parser("install", help="Install, confirm or take back a release."), words
    )
    _add_lamp(
        commands.add_parser("lamp", help="Show one pattern on the lamp, without an agent."), words
    )
    return parser


def _add_hotspot(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    render = actions.add_parser("render", help="Write the checked files into DIR.")
    render.add_argument("directory", type=Path, metavar="DIR")
    apply = actions.add_parser("apply", help="Write the files in use; restart what they change.")
    for sub, command in ((render, _hotspot_render), (apply, _hotspot_apply)):
        sub.set_defaults(command=command)
        sub.add_argument("--config", type=Path, default=_DEFAULT_FILE, metavar="FILE")


def _add_enrol(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(command=_enrol)
    parser.add_argument(
        "step",
        choices=("request", "install"),
        help="request: make the keys, print what is to be signed; install: read the papers.",
    )


def _add_install(parser: argparse.ArgumentParser, words: list[str]) -> None:
    if words[:1] != ["install"]:
        return
    from node.install.command import add_arguments, run  # noqa: PLC0415 - not in the agent

    add_arguments(parser)
    parser.set_defaults(command=run)


def _add_lamp(parser: argparse.ArgumentParser, words: list[str]) -> None:
    if words[:1] != ["lamp"]:
        return
    from node.board.status import Status  # noqa: PLC0415 - only this command needs it

    parser.set_defaults(command=_lamp)
    parser.add_argument("status", choices=[each.words for each in Status])
    parser.add_argument("--pin", type=int, required=True, help="GPIO of the lamp, 2 to 27.")
    parser.add_argument("--chip", type=int, default=0, help="N of /dev/gpiochipN.")
    parser.add_argument("--active-low", action="store_true", help="The lamp is wired to 3.3 V.")


def _agent(options: argparse.Namespace) -> int:
    from node.run import run_agent  # noqa: PLC0415 - a tenth of a second that no other command needs

    run_agent(load_settings(options.config), options.config, stop_on_signal())
    return 0


def _camera(options: argparse.Namespace) -> int:
    from node.camera.process import run_camera_process  # noqa: PLC0415 - numpy stays out of the agent

    return run_camera_process(options.config)


def _hotspot_render(options: argparse.Namespace) -> int:
    from node.hotspot.access_point.files import render  # noqa: PLC0415 - only this command needs it

    for name in render(load_settings(options.config).hotspot, options.directory):
        print(options.directory / name)  # noqa: T201 - a command speaks to its terminal
    return 0


def _hotspot_apply(options: argparse.Namespace) -> int:
    from node.hotspot.access_point.apply import apply  # noqa: PLC0415 - only this command needs it

    for what in apply(load_settings(options.config).hotspot):
        print(what)  # noqa: T201 - as above
    return 0


def _enrol(options: argparse.Namespace) -> int:
    from node.enrol.command import run  # noqa: PLC0415 - only this command needs it

    return run(options.step)


def _lamp(options: argparse.Namespace) -> int:
    from node.board.adapters import lines_of, parse_board  # noqa: PLC0415 - only this command needs it
    from node.board.lamp import show_until  # noqa: PLC0415 - as above
    from node.board.status import Status  # noqa: PLC0415 - as above
    from node.clock import SystemClock  # noqa: PLC0415 - as above

    values = {"lamp_pin": options.pin, "chip": options.chip, "lamp_active_low": options.active_low}
    board = parse_board({"adapter": "gpiozero", **values})
    status = next(each for each in Status if each.words == options.status)
    show_until(lines_of(board)(lambda: None), status, stop_on_signal(), SystemClock())
    return 0


def _check(options: argparse.Namespace) -> int:
    from node.check import check  # noqa: PLC0415 - only this command needs it

    check(load_settings(options.config))
    print(f"{options.config}: good")  # noqa: T201 - a command speaks to its terminal
    return 0


def _schema(_options: argparse.Namespace) -> int:
    import json  # noqa: PLC0415 - only this command needs it

    import msgspec  # noqa: PLC0415 - as above

    print(json.dumps(msgspec.json.schema(NodeSettings), indent=2))  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main())
