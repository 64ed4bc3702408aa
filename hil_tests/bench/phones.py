"""Phones as radios in network namespaces of a Linux machine: the node's own kernel or a helper."""

import shlex
from pathlib import Path

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.driver.exception import ExecutionError
from labgrid.protocol import CommandProtocol

from hil_tests.bench.protocols import PhonesProtocol

_SCRIPT = Path(__file__).with_name("phone.sh")
_PLACE = "/var/lib/simpul-phone.sh"  # programs below /run are not executed
_JOIN_SECONDS = 300.0
_INTERNET_URL = "http://198.18.0.10/"


@target_factory.reg_driver
@attr.s(eq=False)
class NamespacePhones(Driver, PhonesProtocol):
    """Runs phone.sh on the machine that has the radios; each phone takes its own."""

    bindings = {"command": CommandProtocol}  # noqa: RUF012 - labgrid's way to say it
    radios: dict[str, str] = attr.ib(
        default=attr.Factory(lambda: {"phone1": "phy1", "phone2": "phy2"}),
        validator=attr.validators.instance_of(dict),
    )

    internet_url: str = attr.ib(default=_INTERNET_URL, validator=attr.validators.instance_of(str))
    internet_interface: str = attr.ib(default="", validator=attr.validators.instance_of(str))
    """Where given, a namespace of this machine stands for the internet behind this interface."""

    def on_activate(self) -> None:
        """Bring the script, and give each phone its radio."""
        text = shlex.quote(_SCRIPT.read_text(encoding="ascii"))
        self.command.run_check(f"printf %s {text} > {_PLACE} && chmod 755 {_PLACE}", timeout=120)
        for name, radio in self.radios.items():
            self._do(name, "take", radio)
        if self.internet_interface:
            self._do("internet", "internet", self.internet_interface)

    def names(self) -> list[str]:
        """Return the phones there are."""
        return list(self.radios)

    def uplink(self) -> str:
        """Return the interface of the namespace that stands for the internet, if there is one."""
        return self.internet_interface

    def internet(self) -> str:
        """Return a URL of the internet side."""
        return self.internet_url

    @Driver.check_active
    def join(self, phone: str, ssid: str) -> str:
        """Associate and take an address. Raises TimeoutError."""
        try:
            return self._do(phone, "join", ssid)[-1]
        except ExecutionError as error:
            raise TimeoutError(f"{phone}: {error}") from error

    @Driver.check_active
    def leave(self, phone: str) -> None:
        """Go out of reach."""
        self._do(phone, "leave")

    @Driver.check_active
    def fetch(self, phone: str, url: str) -> str | None:
        """Return what `url` holds; None when it is not reached."""
        try:
            return "\n".join(self._do(phone, "fetch", url))
        except ExecutionError:
            return None

    @Driver.check_active
    def connects(self, phone: str, host: str, port: int) -> bool:
        """Tell whether a TCP connection comes about."""
        try:
            self._do(phone, "connects", host, str(port))
        except ExecutionError:
            return False
        return True

    @Driver.check_active
    def serve(self, phone: str, text: str) -> None:
        """Serve `text` at port 80 of the phone."""
        self._do(phone, "serve", text)

    def _do(self, phone: str, *words: str) -> list[str]:
        command = " ".join(shlex.quote(word) for word in (_PLACE, phone, *words))
        said: list[str] = self.command.run_check(command, timeout=_JOIN_SECONDS)
        return said
