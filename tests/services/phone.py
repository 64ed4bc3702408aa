"""A phone of the guest: the bench's own phone.sh, which holds a radio in a network namespace."""

import subprocess
from pathlib import Path

_SCRIPT = Path(__file__).parents[2] / "hil_tests/bench/phone.sh"


class Phone:
    """One phone; it has no network before it joins one."""

    def __init__(self, name: str, *, phy: str) -> None:
        """Take the radio `phy` into a namespace called `name`; needs root."""
        self.name = name
        self.address = ""
        self._do("take", phy)
        self.mac = self._do("mac").strip()
        self.interface = self._do("radio").strip()

    def join(self, ssid: str) -> None:
        """Associate with `ssid` and take an address. Raises subprocess.CalledProcessError."""
        self.address = self._do("join", ssid).split()[-1]

    def associated(self) -> bool:
        """Tell whether there is a link."""
        return "Connected to" in self.run("iw", "dev", self.interface, "link")

    def leave(self) -> None:
        """Go out of range."""
        self._do("leave")

    def fetch(self, url: str) -> str | None:
        """Return what `url` holds; None when it is not reached."""
        return self._try("fetch", url)

    def connects(self, host: str, port: int) -> bool:
        """Tell whether a TCP connection to `host` comes about."""
        return self._try("connects", host, str(port)) is not None

    def serve(self, text: str) -> None:
        """Serve `text` at port 80, as a guest's own device might."""
        self._do("serve", text)

    def run(self, *command: str) -> str:
        """Run a command on the phone. Raises subprocess.CalledProcessError with what it said."""
        return run("ip", "netns", "exec", self.name, *command)

    def _do(self, *words: str) -> str:
        return run("sh", str(_SCRIPT), self.name, *words)

    def _try(self, *words: str) -> str | None:
        try:
            return self._do(*words)
        except subprocess.CalledProcessError:
            return None


def run(*command: str) -> str:
    """Run a command. Raises subprocess.CalledProcessError; what it said is a note on it."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        error = subprocess.CalledProcessError(done.returncode, command)
        error.add_note(done.stdout)
        raise error
    return done.stdout
