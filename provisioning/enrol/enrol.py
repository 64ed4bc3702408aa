"""Enrols one node: finds it, has it ask, signs, installs, and believes it by certificate after.

Every step may be repeated: a cable pulled half-way costs a second call, never a second card.
"""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

import msgspec
from msgspec import Struct

from provisioning.authority import ssh
from provisioning.authority.authority import Authority
from provisioning.authority.signer import Signer
from provisioning.authority.tokens import use_token
from provisioning.enrol.connection import Reach, Trust, pinned, run_on
from provisioning.enrol.errors import EnrolError, NotFlashedError
from provisioning.inventory import Node
from provisioning.register import KeyState, Register

_RELOAD_TIMEOUT_S = 20.0
_RELOAD_PAUSE_S = 0.2
_T = TypeVar("_T")
Say = Callable[[str], None]


class Request(Struct, frozen=True, kw_only=True):
    """What a node hands over (`simpul-node enrol request`)."""

    node: str
    token: str
    mqtt_request: str
    ssh_host_key: str


class Installed(Struct, frozen=True, kw_only=True):
    """What a node says after `simpul-node enrol install`."""

    unscrubbed: tuple[str, ...] = ()


def known_keys(register: Register, node: Node) -> dict[str, KeyState]:
    """Return the host keys that a node may show now. Raises NotFlashedError when there is none."""
    keys = register.host_keys(node.name)
    if not keys:
        raise NotFlashedError(
            f"{node.name}: no card of it was written here; run simpul flash {node.name}"
        )
    return keys


def enrol(
    authority: Authority, signer: Signer, node: Node, reach: Reach, *, shown: str, say: Say
) -> Installed:
    """Give the `node` that shows the host key `shown` its certificates; return what it installed.

    Raises EnrolError when it cannot be reached or is another, NotFlashedError or RevokedError when
    it is revoked, TokenError, RequestError.
    """
    krl = authority.krl()
    trust = pinned(node.name, shown, krl)
    runs = _runs_already(authority.register, node, shown, say)
    say(f"{node.name}: membuat kuncinya sendiri / makes its own keys")
    text = run_on(reach, node.name, trust, [*reach.program, "enrol", "request"])
    request = _read(text, Request, node)
    flashed = _state(authority.register, node, shown) == "flashed"
    papers = sign(authority, signer, node, request, flashed=flashed)
    new_key = _two_words(request.ssh_host_key)
    # Before it is installed: after a cable pulled half-way the node may show either key.
    state: KeyState = "renewed" if runs else "signed"
    authority.register.record_host_key(node.name, new_key, state)
    say(f"{node.name}: memasang sertifikat / installs its certificates")
    text = run_on(reach, node.name, trust, [*reach.program, "enrol", "install"], papers)
    installed = _read(text, Installed, node)
    _believe(reach, node, Trust(known_hosts=authority.known_hosts(), krl=krl))
    _state(authority.register, node, new_key)  # a revocation meanwhile counts
    authority.register.record_host_key(node.name, new_key, "confirmed")
    say(f"{node.name}: dikenal dari sertifikatnya / is known by its certificate")
    return installed


def _runs_already(register: Register, node: Node, shown: str, say: Say) -> bool:
    """Tell whether it is the node that runs, not one from the card that was flashed last."""
    runs = _state(register, node, shown) in {"confirmed", "renewed"}
    if runs and "flashed" in register.host_keys(node.name).values():
        say(
            f"{node.name}: yang menjawab simpul yang sudah terdaftar; kartu barunya masih menunggu"
            " / the node that runs already answers and is renewed; its new card waits still"
        )
    return runs


def _state(register: Register, node: Node, key: str) -> KeyState:
    """Return the state of a key that the node has shown. Raises NotFlashedError, EnrolError."""
    state = known_keys(register, node).get(key)
    if state is None:
        raise EnrolError(
            f"{node.name}: a card was flashed for it meanwhile, and the key that answers is not its"
            f" key; put the new card in, and run simpul enrol {node.name} again"
        )
    return state


def sign(
    authority: Authority, signer: Signer, node: Node, request: Request, *, flashed: bool
) -> bytes:
    """Return the papers for a request, as JSON for `simpul-node enrol install`.

    A node that shows a key which was signed before renews without a token. Raises TokenError,
    RequestError, EnrolError for a request in another's name, RevokedError for a revoked node.
    """
    if request.node != node.name:
        raise EnrolError(
            f"{node.name}: the machine there says it is {request.node!r}; is it the right card?"
        )
    used_by = ssh.fingerprint(ssh.read_public(request.ssh_host_key, node.name))
    if request.token or flashed:
        use_token(authority.register, node.name, request.token, used_by)
    papers = {
        "mqtt_certificate": signer.mqtt_client(node.name, request.mqtt_request.encode()).decode(),
        "mqtt_authority": authority.bundle("mqtt").decode(),
        "ssh_host_certificate": signer.ssh_host(node.name, request.ssh_host_key),
    }
    return msgspec.json.encode(papers)


def _believe(reach: Reach, node: Node, trust: Trust) -> None:
    """Connect again, trusting nothing but the authority; sshd needs a moment to reload."""
    end_mono = time.monotonic() + _RELOAD_TIMEOUT_S
    pause = threading.Event()
    while True:
        try:
            run_on(reach, node.name, trust, ["true"])
        except EnrolError:
            if time.monotonic() > end_mono:
                raise
            pause.wait(_RELOAD_PAUSE_S)
        else:
            return


def _read(text: bytes, model: type[_T], node: Node) -> _T:
    try:
        return msgspec.json.decode(text, type=model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EnrolError(f"{node.name}: answers what no node answers: {error}") from error


def _two_words(line: str) -> str:
    return " ".join(line.split()[:2])
