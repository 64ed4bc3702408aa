"""Is the first process of a node in namespaces: sshd, the agent, and what systemd does for them.

A stand-in where systemd itself cannot run; the agent, its sd_notify(3), the installer and sshd are
the real ones. Called as `node_init.py SSHD_CONFIG`; as `systemctl` or `systemd-run` it asks it.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

SOCKET = "/run/node-init"
NOTIFY = "/run/node-notify"
UNIT = "simpul-node.service"
COMMAND = "/opt/simpul/current/bin/simpul-node"
READY_S = 40.0
RESTART_S = 1.0
# As MemoryMax= of the unit ends an agent that eats memory.
MEMORY_BYTES = 3 << 30


class Agent:
    """The one unit: Type=notify, Restart=always."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        self.restarts = 0
        self.ready = threading.Event()
        self.told_us = 0

    def start(self) -> None:
        self.ready.clear()
        self.told_us = 0
        with Path("/run/agent.log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    *("prlimit", f"--as={MEMORY_BYTES}"),
                    *(COMMAND, "agent", "--config", "/etc/simpul/node.toml"),
                ],
                start_new_session=True,
                env={**os.environ, "NOTIFY_SOCKET": NOTIFY, "WATCHDOG_USEC": "60000000"},
                stdout=log,
                stderr=log,
            )

    def stop(self) -> None:
        with self.lock:
            self.wanted = False
            if self.process is not None:
                self.process.terminate()
                try:
                    self.process.wait(10)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
                self.end_rest()

    def end_rest(self) -> None:
        """Kill what the agent left running, as systemd does by the control group."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def restart(self) -> bool:
        self.stop()
        with self.lock:
            self.restarts = 0
            self.start()
            self.wanted = True
        end_s = time.monotonic() + READY_S
        while not self.ready.wait(0.05):
            if self.alive() is False or time.monotonic() > end_s:
                return False
        return True

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def supervise(self) -> None:
        while True:
            time.sleep(RESTART_S)
            with self.lock:
                if self.wanted and not self.alive():
                    self.end_rest()
                    self.restarts += 1
                    self.start()

    def listen(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.bind(NOTIFY)
            while True:
                state = channel.recv(4096)
                self.told_us = int(time.monotonic() * 1e6)
                if b"READY=1" in state:
                    self.ready.set()

    def shown(self) -> dict[str, object]:
        active = self.alive() and self.ready.is_set()
        return {
            "LoadState": "loaded",
            "ActiveState": "active" if active else "activating" if self.wanted else "inactive",
            "Result": "success" if active else "exit-code",
            "MainPID": self.process.pid if self.process and self.alive() else 0,
            "NRestarts": self.restarts,
            "WatchdogUSec": "1min",
            "WatchdogTimestampMonotonic": self.told_us,
        }


def answer(agent: Agent, timers: dict[str, threading.Timer], words: list[str]) -> tuple[int, str]:
    verb = words[0]
    if verb == "show":
        return 0, "\n".join(f"{key}={value}" for key, value in agent.shown().items())
    if verb == "restart":
        return (0, "") if agent.restart() else (1, "")
    if verb == "stop":
        if UNIT in words:
            agent.stop()
        for name in words[1:]:
            if timer := timers.pop(name.removesuffix(".timer"), None):
                timer.cancel()
        return 0, ""
    if verb == "systemd-run":
        options = [word for word in words[1:] if word.startswith("--")]
        named = dict(word.removeprefix("--").partition("=")[::2] for word in options)
        command = [word for word in words[1:] if not word.startswith("--")]
        timer = threading.Timer(float(named["on-active"]), subprocess.run, [command])
        timers[named["unit"]] = timer
        timer.start()
        return 0, ""
    return 1, f"{verb}: not here"


def serve(connection: socket.socket, agent: Agent, timers: dict[str, threading.Timer]) -> None:
    with connection, connection.makefile("rb") as lines:
        code, text = answer(agent, timers, json.loads(lines.readline()))
        connection.sendall(json.dumps([code, text]).encode())


def keep_sshd(config: str) -> None:
    """Run sshd, and start it again whenever it ends: Restart=always."""
    while True:
        subprocess.run(["/usr/sbin/sshd", "-D", "-E", "/run/sshd.log", "-f", config], check=False)
        time.sleep(RESTART_S)


def ask(words: list[str]) -> int:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.connect(SOCKET)
        channel.sendall(json.dumps(words).encode() + b"\n")
        with channel.makefile("rb") as lines:
            code, text = json.loads(lines.read())
    sys.stdout.write(text)
    return int(code)


def main() -> int:
    name = Path(sys.argv[0]).name
    if name == "systemctl":
        return ask(sys.argv[1:])
    if name == "systemd-run":
        return ask(["systemd-run", *sys.argv[1:]])
    agent, timers = Agent(), dict[str, threading.Timer]()
    for work in (agent.listen, agent.supervise, partial(keep_sshd, sys.argv[1])):
        threading.Thread(target=work, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if Path(COMMAND).exists():
        agent.restart()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(SOCKET)
        listener.listen(8)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=serve, args=(connection, agent, timers), daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
