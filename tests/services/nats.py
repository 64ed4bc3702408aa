"""Runs a cluster of three NATS servers with JetStream and MQTT, whose members may be killed."""

import json
import shutil
import subprocess
import threading
import urllib.error
import urllib.request
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Self

from services.ports import free_ports, wait_for_port

SERVERS = 3
_POLLS = 300
_POLL_SECONDS = 0.1


def nats_program() -> str | None:
    """Return the path of the server, or None when it is not installed."""
    return shutil.which("nats-server", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")


class NatsCluster:
    """Three servers, three replicas of everything; each with its own ports and store."""

    def __init__(self, directory: Path, *, ack_wait_seconds: int = 5) -> None:
        """Write the configuration to `directory`.

        `ack_wait_seconds` is after how long a message without acknowledgement comes again.
        """
        program = nats_program()
        if program is None:
            raise FileNotFoundError("NATS is not installed: apt-get install nats-server")
        self._program = program
        self._directory = directory
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        ports = iter(free_ports(4 * SERVERS))
        self.ports, self._monitors, clients, routes = (
            list(islice(ports, SERVERS)) for _ in range(4)
        )
        self.urls = [f"mqtt://127.0.0.1:{port}" for port in self.ports]
        directory.mkdir(parents=True, exist_ok=True)
        for index in range(SERVERS):
            peers = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
            self._file(index).write_text(
                f"""
server_name: simpul-{index}
listen: "127.0.0.1:{clients[index]}"
http: "127.0.0.1:{self._monitors[index]}"
jetstream {{ store_dir: "{directory}/store-{index}", max_mem: 64MB, max_file: 1GB }}
cluster {{ name: simpul, listen: "127.0.0.1:{routes[index]}", routes: [{peers}] }}
mqtt {{
  listen: "127.0.0.1:{self.ports[index]}"
  ack_wait: "{ack_wait_seconds}s"
  max_ack_pending: 1024
  stream_replicas: {SERVERS}
}}
"""
            )

    def __enter__(self) -> Self:
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            for index in range(SERVERS):
                self.start(index)
            self.wait_until_healthy()
            on_failure.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill every member that runs."""
        for index in list(self._processes):
            self.kill(index)

    def start(self, index: int) -> None:
        """Start a member on the same ports and store; it joins by itself."""
        with self._log(index).open("ab") as log:
            self._processes[index] = subprocess.Popen(
                [self._program, "-c", str(self._file(index))], stdout=log, stderr=log
            )
        try:
            wait_for_port(self.ports[index], attempts=_POLLS)
        except TimeoutError as error:
            told = self._log(index).read_text(errors="replace")[-2000:]
            raise TimeoutError(f"member {index} does not serve MQTT; it said:\n{told}") from error

    def kill(self, index: int) -> None:
        """Kill a member with SIGKILL."""
        process = self._processes.pop(index)
        process.kill()
        process.wait()

    def running(self) -> list[int]:
        """Return the members that were started and not killed."""
        return sorted(self._processes)

    def wait_until_healthy(self) -> None:
        """Return once every running member says that its JetStream is in step with the others."""
        for _ in range(_POLLS):
            if all(self._healthy(index) for index in self._processes) and self._has_leader():
                return
            threading.Event().wait(_POLL_SECONDS)
        raise TimeoutError("the cluster does not become healthy; see its logs")

    def wait_until_serving(self) -> None:
        """Return once every running member takes part again; under load none is ever in step."""
        for _ in range(_POLLS):
            serving = (
                self._get(index, "healthz?js-enabled-only=true").get("status") == "ok"
                for index in self._processes
            )
            if all(serving) and self._has_leader():
                return
            threading.Event().wait(_POLL_SECONDS)
        raise TimeoutError("the cluster does not serve; see its logs")

    def _healthy(self, index: int) -> bool:
        return self._get(index, "healthz").get("status") == "ok"

    def _has_leader(self) -> bool:
        member = next(iter(self._processes))
        meta = self._get(member, "jsz").get("meta_cluster")
        return isinstance(meta, dict) and bool(meta.get("leader"))

    def _get(self, index: int, path: str) -> dict[str, object]:
        url = f"http://127.0.0.1:{self._monitors[index]}/{path}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                content = json.load(answer)
        except (urllib.error.URLError, OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def _log(self, index: int) -> Path:
        return self._directory / f"server-{index}.log"

    def _file(self, index: int) -> Path:
        return self._directory / f"server-{index}.conf"
