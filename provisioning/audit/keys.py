"""Signs with the operator's own SSH key, from a file or the agent, as ssh(1) would use it."""

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko
from msgspec import Struct

from provisioning.audit.errors import KeyMissingError

_RSA = "ssh-rsa"
_RSA_SIGNATURE = "rsa-sha2-512"  # RFC 8332
_CERTIFICATE = "-cert-v01@openssh.com"


class SigningKey(Struct, frozen=True):
    """A public key (`ssh-ed25519 AAAA...`), and who signs with its private one."""

    public: str
    sign: Callable[[bytes], bytes]


def operator_key(identity: str = "") -> SigningKey:
    """Return the key in the file `identity`, or the agent's first. Raises KeyMissingError.

    A key under a passphrase is taken from the agent, which has it unlocked.
    """
    with _agent_keys() as held:
        publics = list(held)
    if not identity:
        if not publics:
            raise KeyMissingError(
                "no SSH key to sign the audit log with; name yours with --identity, or ssh-add it"
            )
        return _of_agent(publics[0])
    file = Path(identity).expanduser()
    try:
        key = paramiko.PKey.from_path(file)
    except (TypeError, ValueError, OSError, paramiko.SSHException) as error:
        wanted = _public_beside(file)
        if wanted in publics:
            return _of_agent(wanted)
        raise KeyMissingError(f"{file}: {error}; under a passphrase? Then ssh-add it") from error
    return SigningKey(_public(key), lambda data: _signature(key, data))


def is_signed(public: str, data: bytes, signature: bytes) -> bool:
    """Tell whether the private key of `public` signed `data`; False for what is no key at all.

    Paramiko reads over wrong lengths and what comes behind, so both have to be as it writes them.
    """
    try:
        kind, text = public.split()[:2]
        key = paramiko.PKey.from_type_string(kind, base64.b64decode(text, validate=True))
        if key.get_base64() != text or not _is_exact(signature):
            return False
        return bool(key.verify_ssh_sig(data, paramiko.Message(signature)))
    except (ValueError, IndexError, TypeError, paramiko.SSHException, paramiko.UnknownKeyType):
        return False


def _is_exact(signature: bytes) -> bool:
    """Tell whether it is two strings (RFC 4253, section 6.6) and nothing else."""
    read, written = paramiko.Message(signature), paramiko.Message()
    for _ in range(2):
        written.add_string(read.get_string())
    return bool(written.asbytes() == signature)


def fingerprint(public: str) -> str:
    """Return the fingerprint as the register keeps it; empty for what is no key at all."""
    try:
        kind, text = public.split()[:2]
        key = paramiko.PKey.from_type_string(kind, base64.b64decode(text, validate=True))
    except (ValueError, paramiko.SSHException, paramiko.UnknownKeyType):
        return ""
    return str(key.fingerprint).rstrip("=")


@contextmanager
def _agent_keys() -> Iterator[dict[str, paramiko.PKey]]:
    agent = paramiko.Agent()
    try:
        keys = [key for key in agent.get_keys() if not key.get_name().endswith(_CERTIFICATE)]
        yield {_public(key): key for key in keys}
    finally:
        agent.close()


def _of_agent(public: str) -> SigningKey:
    def sign(data: bytes) -> bytes:
        with _agent_keys() as held:
            if public not in held:
                raise KeyMissingError("the SSH agent let go of your key; ssh-add it again")
            return _signature(held[public], data)

    return SigningKey(public, sign)


def _signature(key: paramiko.PKey, data: bytes) -> bytes:
    made = key.sign_ssh_data(data, _RSA_SIGNATURE if key.get_name() == _RSA else None)
    # An agent's key gives bytes, one of a file a message.
    return made if isinstance(made, bytes) else bytes(made.asbytes())


def _public(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def _public_beside(file: Path) -> str:
    try:
        return " ".join(file.with_name(f"{file.name}.pub").read_text(encoding="utf-8").split()[:2])
    except (OSError, UnicodeDecodeError):
        return ""
