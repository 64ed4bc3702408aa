"""The tasks `simpul authority ...`; each hands over to the module that does the work."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from fabric import task
from invoke import Collection, Context
from rich.console import Console
from rich.table import Table

from provisioning.authority import ssh
from provisioning.authority.authority import AUTHORITY_DIRECTORY, Authority
from provisioning.authority.errors import AuthorityError, RequestError
from provisioning.authority.files import PRIVATE, PUBLIC, write_whole
from provisioning.authority.keys import KINDS, Kind
from provisioning.authority.passphrase import read_passphrase
from provisioning.register import REGISTER_FILE, TABLES, Register
from provisioning.seed.seed import PROVISIONER, TECHNICIAN

_HELP = {
    "directory": f"Folder of the signing keys; else {AUTHORITY_DIRECTORY}.",
    "register": f"The register; else {REGISTER_FILE}.",
    "passphrase-file": "File with the passphrase, which nobody else may read; else it is asked.",
    "dry-run": "Say what would be done, and do nothing.",
    "json": "Print JSON.",
    "output": "Folder for what brokers, nodes and stations need.",
}


def _help(*names: str) -> dict[str, str]:
    return {name: _HELP[name] for name in ("directory", "register", *names)}


@task(help=_help("passphrase-file", "dry-run"))
def init(
    _context: Context,
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    passphrase_file: str = "",
    dry_run: bool = False,  # noqa: FBT001, FBT002 - an option of the command line
) -> None:
    """Make the fleet authority: one signing key each for MQTT, SSH hosts and SSH users."""
    if dry_run:
        _say(f"would make {', '.join(KINDS)} in {directory} and note them in {register}")
        return
    authority = _authority(directory, register)
    authority.init(read_passphrase(_file(passphrase_file), new=True))
    _say(f"made in {directory}; keep a copy of that folder and {register} elsewhere")


@task(help=_help("json"))
def status(
    _context: Context,
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    json: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Show the generations of the signing keys, and how many papers each has out."""
    authority = _authority(directory, register)
    papers = authority.register.rows("certificate")
    rows = [
        {
            "kind": each.kind,
            "generation": each.number,
            "retired": each.retired,
            "issued": len(mine := [row for row in papers if _of(row, each.kind, each.number)]),
            "revoked": sum(row["revoked_at"] is not None for row in mine),
        }
        for each in authority.generations()
    ]
    if json:
        print(msgspec.json.encode(rows).decode())  # noqa: T201 - the command's answer
        return
    if not rows:
        raise AuthorityError(f"{register}: no authority yet; run simpul authority init")
    table = Table("kind", "generation", "trusted", "issued", "revoked")
    for row in rows:
        trusted = "[dim]retired[/dim]" if row["retired"] else "[green]yes[/green]"
        cells = (row["kind"], row["generation"], trusted, row["issued"], row["revoked"])
        table.add_row(*map(str, cells))
    Console().print(table)


@task(
    positional=["kind"],
    help=_help("passphrase-file", "dry-run")
    | {"kind": ", ".join(KINDS), "finish": "End the overlap: believe the newest only."},
)
def rotate(
    _context: Context,
    kind: str,
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    passphrase_file: str = "",
    finish: bool = False,  # noqa: FBT001, FBT002 - as above
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Make the next signing key of a kind; the older ones stay believed until --finish."""
    authority = _authority(directory, register)
    known = _kind(kind)
    newest = authority.trusted(known)[-1].number
    if dry_run:
        plan = f"retire all before {newest}" if finish else f"make {known} {newest + 1}"
        _say(f"would {plan}")
    elif finish:
        _say(f"retired: {len(authority.retire(known))}; publish, and roll out the files")
    else:
        made = authority.rotate(known, read_passphrase(_file(passphrase_file)))
        _say(f"{known} {made.number} signs from now on; publish, and roll out the files")


@task(
    positional=["subject"],
    help=_help("dry-run") | {"subject": "Node or technician.", "serial": "Only this certificate."},
)
def revoke(
    _context: Context,
    subject: str,
    serial: str = "",
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Take back certificates, the unused token and the host keys of a node or technician."""
    authority = Authority(Path(directory), _written(register))
    valid = [
        row
        for row in authority.register.rows("certificate")
        if row["subject"] == subject and row["revoked_at"] is None and serial in ("", row["serial"])
    ]
    waiting = [
        row
        for row in authority.register.rows("token")
        if row["node"] == subject and row["used_at"] is None and not serial
    ]
    keys = authority.register.host_keys(subject)
    if not valid and not waiting and (serial or not keys):
        raise AuthorityError(f"{subject}: nothing valid to take back; see simpul authority export")
    what = f"{len(valid)} certificates"
    named = []
    if not serial:
        what += f", {len(waiting)} tokens and {len(keys)} host keys"
        named = [f"  host key {_shown(key)} ({state})" for key, state in keys.items()]
    said = "\n".join([f"{what} of {subject}", *named])
    if dry_run:
        _say(f"would take back {said}")
        return
    authority.revoke(subject, serial=serial)
    _say(f"took back {said}")
    if serial and keys:
        _say(
            f"its host keys are believed still, so that it may renew: to shut it out altogether,"
            f" simpul authority revoke {subject}"
        )
    _say("run simpul authority publish, and roll out the lists")


@task(help=_help("passphrase-file", "output", "dry-run"))
def publish(
    _context: Context,
    output: str = "published",
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    passphrase_file: str = "",
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Write the public parts and revocation lists for brokers, nodes and stations."""
    if dry_run:
        _say(f"would write the public parts and revocation lists to {output}")
        return
    authority = _authority(directory, register)
    files = authority.publish(read_passphrase(_file(passphrase_file)))
    _write({Path(output, name): content for name, content in files.items()})
    _say(f"wrote {', '.join(files)} to {output}")


@task(
    positional=["name", "key"],
    help=_help("passphrase-file", "dry-run")
    | {
        "name": "Who it is; stands in the log of every node.",
        "key": "Public key (id_ed25519.pub); the certificate is written beside it.",
        "hours": "How long it opens nodes; at most 24.",
        "provisioner": "Also for provisioning (root on the nodes).",
    },
)
def technician(  # noqa: PLR0913, PLR0917 - the options of a command line
    _context: Context,
    name: str,
    key: str,
    hours: float = 8.0,
    provisioner: bool = False,  # noqa: FBT001, FBT002 - as above
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    passphrase_file: str = "",
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Certify a technician's SSH key for some hours."""
    public = _read(Path(key))
    certificate_file = Path(key).with_name(Path(key).name.removesuffix(".pub") + "-cert.pub")
    if dry_run:
        _say(f"would certify {key} as {name} for {hours:g} h in {certificate_file}")
        return
    passphrase = read_passphrase(_file(passphrase_file))
    # In a rotation only the oldest generation is believed by every node, until it ends.
    signer = _authority(directory, register).unlock(passphrase, "ssh-user", oldest=True)
    principals = [TECHNICIAN, PROVISIONER] if provisioner else [TECHNICIAN]
    certificate = signer.technician(name, public, principals, hours)
    _write({certificate_file: certificate.encode() + b"\n"})
    _say(f"wrote {certificate_file}, good for {hours:g} h")


@task(
    positional=["request", "names"],
    iterable=["names"],
    help=_help("passphrase-file", "dry-run")
    | {
        "request": "Certificate request (PEM) made at the broker; its CN is the first name.",
        "names": "Host names and addresses of the broker.",
        "output": "File for the certificate (PEM).",
    },
)
def broker(  # noqa: PLR0913, PLR0917 - as above
    _context: Context,
    request: str,
    names: Sequence[str] | None = None,
    output: str = "broker.pem",
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    passphrase_file: str = "",
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Certify a broker from its request; its key never leaves it either.

    The oldest generation that is believed signs it: in a rotation, nodes may not know the newest.
    """
    if not names:
        raise AuthorityError("no name; write the broker's host name, then its other names")
    asked = _read(Path(request)).encode()
    if dry_run:
        _say(f"would certify {request} for {', '.join(names)} in {output}")
        return
    passphrase = read_passphrase(_file(passphrase_file))
    signer = _authority(directory, register).unlock(passphrase, "mqtt", oldest=True)
    certificate = signer.mqtt_broker(list(names), asked)
    _write({Path(output): certificate})
    _say(f"wrote {output}")


@task(
    positional=["name", "request"],
    help=_help("passphrase-file", "dry-run")
    | {
        "name": "Who it is to the broker, such as collector or office-ayu; no node's name.",
        "request": "Certificate request (PEM) with this CN; its key stays where it was made.",
        "output": "File for the certificate (PEM); else NAME.pem.",
    },
)
def client(  # noqa: PLR0913, PLR0917 - as above
    _context: Context,
    name: str,
    request: str,
    output: str = "",
    directory: str = str(AUTHORITY_DIRECTORY),
    register: str = str(REGISTER_FILE),
    passphrase_file: str = "",
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Certify a client of the broker that is no node: the collector, a station, a colleague."""
    file = Path(output or f"{name}.pem")
    asked = _read(Path(request)).encode()
    authority = _authority(directory, register)
    if authority.register.host_keys(name):
        raise AuthorityError(f"{name} is a node; simpul enrol {name} certifies it")
    if dry_run:
        _say(f"would certify {request} for {name} in {file}")
        return
    signer = authority.unlock(read_passphrase(_file(passphrase_file)), "mqtt")
    _write({file: signer.mqtt_client(name, asked)})
    _say(f"wrote {file}")


@task(
    help={
        "register": _HELP["register"],
        "table": f"CSV of one table ({', '.join(TABLES)}); else JSON of all.",
        "output": "File, readable by you only; else the terminal.",
        "dry-run": _HELP["dry-run"],
    }
)
def export(
    _context: Context,
    table: str = "",
    output: str = "",
    register: str = str(REGISTER_FILE),
    dry_run: bool = False,  # noqa: FBT001, FBT002 - as above
) -> None:
    """Print or write the register: cards, keys, tokens (hashes only) and certificates."""
    opened = _written(register)
    text = opened.export_csv(table) if table else opened.export_json() + "\n"
    if dry_run:
        _say(f"would write {len(text)} characters to {output or 'the terminal'}")
    elif output:
        _write({Path(output): text.encode()}, mode=PRIVATE)
    else:
        print(text, end="")  # noqa: T201 - the command's answer


authority_tasks = Collection("authority")
authority_tasks.__doc__ = "Keep the authority that every node, broker and technician is known by."
for each in (init, status, rotate, revoke, publish, technician, broker, client, export):
    authority_tasks.add_task(each)


def _authority(directory: str, register: str) -> Authority:
    return Authority(Path(directory), Register(Path(register)))


def _written(register: str) -> Register:
    """Return a register to look into, which somebody has written already."""
    opened = Register(Path(register))
    if not opened.exists:
        raise AuthorityError(
            f"{register}: no register yet; run simpul authority init, or name one with --register"
        )
    return opened


def _shown(public_key: str) -> str:
    """Return the fingerprint of a host key, as ssh shows it at a login."""
    try:
        return ssh.fingerprint(ssh.read_public(public_key, ""))
    except RequestError:
        return public_key


def _file(name: str) -> Path | None:
    return Path(name) if name else None


def _kind(word: str) -> Kind:
    for kind in KINDS:
        if kind == word:
            return kind
    raise AuthorityError(f"{word!r} is no kind of signing key; choose {', '.join(KINDS)}")


def _of(row: dict[str, object], kind: Kind, number: int) -> bool:
    return row["kind"] == kind and row["generation"] == number


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AuthorityError(f"{file}: cannot be read: {error}") from error


def _write(files: dict[Path, bytes], *, mode: int = PUBLIC) -> None:
    try:
        for file, content in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(file, content, mode=mode)
    except OSError as error:
        raise AuthorityError(f"{error.filename}: {error.strerror}; may you write there?") from error


def _say(text: str) -> None:
    print(text)  # noqa: T201 - the command's answer
