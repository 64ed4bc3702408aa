"""The fleet authority on disk: three kinds of signing key, their generations and their papers.

Signing keys lie in a private folder, encrypted by the passphrase; everything public, and what was
issued, stands in the register. The newest generation of a kind signs; every generation that is
not retired is trusted, so that a rotation overlaps. Only a broker is signed by the oldest that is
trusted: nodes that have not heard of the newest believe it as well.
"""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509 as cryptography_x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from provisioning.authority import ssh, x509
from provisioning.authority.errors import AuthorityError
from provisioning.authority.key_files import new_keys
from provisioning.authority.keys import (
    KINDS,
    Generation,
    Kind,
    SigningKey,
    belongs,
    lock,
    open_key,
)
from provisioning.authority.signer import Signer
from provisioning.register import Register, as_text, now_text

AUTHORITY_DIRECTORY = Path("authority")
# How far the broker's clock may be behind the station's.
_CLOCK_SKEW = timedelta(minutes=5)


class Authority:
    """The authority in one folder, and the register it writes to."""

    def __init__(self, directory: Path, register: Register) -> None:
        """Name the places; nothing is opened or made."""
        self.directory = directory
        self.register = register

    def init(self, passphrase: bytes, *, name: str = "Simpul") -> None:
        """Make the first generation of every kind. Raises AuthorityError when there is one."""
        if self.generations():
            raise AuthorityError(f"{self.register.file} has an authority already; use rotate")
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AuthorityError(f"{error.filename}: {error.strerror}") from error
        self._make(dict.fromkeys(KINDS, 1), passphrase, name)

    def generations(self, kind: Kind | None = None) -> list[Generation]:
        """Return the generations, oldest first, of one kind or of all."""
        return [
            Generation(
                kind=row["kind"],  # type: ignore[arg-type]
                number=row["generation"],  # type: ignore[arg-type]
                public=str(row["public"]),
                retired=row["retired_at"] is not None,
            )
            for row in self.register.rows("authority")
            if kind in (None, row["kind"])
        ]

    def trusted(self, kind: Kind) -> list[Generation]:
        """Return the generations that are still believed, oldest first.

        Raises AuthorityError when there is no authority yet.
        """
        trusted = [each for each in self.generations(kind) if not each.retired]
        if not trusted:
            raise AuthorityError(
                f"{self.register.file} has no authority; run simpul authority init"
            )
        return trusted

    def rotate(self, kind: Kind, passphrase: bytes) -> Generation:
        """Make the next generation, which signs from now on; the older ones stay trusted."""
        newest = self.trusted(kind)[-1]
        self._unlock(newest, passphrase)  # one passphrase for all: a mistyped one must not slip in
        self._make({kind: newest.number + 1}, passphrase, "Simpul")
        return self.trusted(kind)[-1]

    def retire(self, kind: Kind) -> list[Generation]:
        """End the overlap: only the newest generation stays trusted. Return the retired ones."""
        *old, newest = self.trusted(kind)
        with self.register.transaction() as db:
            db.execute(
                "UPDATE authority SET retired_at = ?"
                " WHERE kind = ? AND generation < ? AND retired_at IS NULL",
                (now_text(), kind, newest.number),
            )
        return old

    def unlock(self, passphrase: bytes, *kinds: Kind, oldest: bool = False) -> Signer:
        """Return the signer of the newest generations, of all kinds or of those named.

        With `oldest` that of the oldest which are still trusted, for whoever is to be believed by
        nodes that were away. Opening a key takes tenths of a second by design.
        Raises PassphraseError, AuthorityError.
        """
        keys = {}
        for kind in kinds or KINDS:
            generation = self.trusted(kind)[0 if oldest else -1]
            keys[kind] = (generation, self._unlock(generation, passphrase))
        return Signer(self.register, keys)

    def revoke(self, subject: str, *, serial: str = "") -> int:
        """Take back every valid certificate of `subject` (or the one of `serial`); return how many.

        Without a serial the node's keys and its unused token are forgotten as well: a stolen box
        cannot be enrolled again. It takes effect where the lists of `publish` are installed.
        """
        # First: nothing more is signed for it then, and all that was signed is taken back below.
        if not serial and self.register.host_keys(subject):
            self.register.forget_host_keys(subject)
        with self.register.transaction() as db:
            cursor = db.execute(
                "UPDATE certificate SET revoked_at = ?, revoked_by = ?"
                " WHERE subject = ? AND revoked_at IS NULL AND (? = '' OR serial = ?)",
                (now_text(), self.register.who, subject, serial, serial),
            )
            if not serial:
                db.execute("DELETE FROM token WHERE node = ? AND used_at IS NULL", (subject,))
        return cursor.rowcount

    def publish(self, passphrase: bytes) -> dict[str, bytes]:
        """Return what brokers, nodes and stations need, by file name; nothing of it is secret.

        mqtt-ca.pem, mqtt.crl, ssh-user-ca.pub, ssh-known-hosts, ssh-revoked.krl.
        """
        lists = b""
        for generation in self.trusted("mqtt"):
            key = self._unlock(generation, passphrase)
            lists += self._mqtt_list(generation, key)
        return {
            "mqtt-ca.pem": self.bundle("mqtt"),
            "mqtt.crl": lists,
            "ssh-user-ca.pub": self.bundle("ssh-user"),
            "ssh-known-hosts": self.known_hosts(),
            "ssh-revoked.krl": self.krl(),
        }

    def bundle(self, kind: Kind) -> bytes:
        """Return the trusted generations of a kind as one file."""
        return "".join(each.public.rstrip() + "\n" for each in self.trusted(kind)).encode()

    def known_hosts(self) -> bytes:
        """Return the lines by which ssh(1) believes certified hosts (sshd(8), known_hosts)."""
        lines = [f"@cert-authority * {each.public}\n" for each in self.trusted("ssh-host")]
        return "".join(lines).encode()

    def krl(self) -> bytes:
        """Return OpenSSH's revocation list of technicians' and hosts' certificates."""
        kinds: tuple[Kind, Kind] = ("ssh-user", "ssh-host")
        revoked = {
            each.public: [int(serial) for serial, _ in self._revoked(each)]
            for kind in kinds
            for each in self.trusted(kind)
        }
        return ssh.make_krl(
            {line: serials for line, serials in revoked.items() if serials},
            number=sum(map(len, revoked.values())),
        )

    def _make(self, numbers: dict[Kind, int], passphrase: bytes, name: str) -> None:
        """Make generations and note them, all of them or none whenever it ends."""
        publics: dict[Kind, str] = {}
        secrets: dict[str, bytes] = {}
        for kind, number in numbers.items():
            if kind == "mqtt":
                curve = ec.generate_private_key(ec.SECP256R1())
                public = x509.pem(x509.make_authority(curve, f"{name} MQTT {number}")).decode()
                secret = lock(curve, passphrase)
            else:
                key = ed25519.Ed25519PrivateKey.generate()
                public, secret = ssh.public_line(key.public_key()), lock(key, passphrase)
            publics[kind] = public
            secrets[self._file(kind, number).name] = secret
        with (
            new_keys(self.directory, secrets, self.register.file) as keys,
            self.register.transaction() as db,
        ):
            for kind, number in numbers.items():
                self._note(db, kind, number, publics[kind])
            keys.settle()

    def _note(self, db: sqlite3.Connection, kind: Kind, number: int, public: str) -> None:
        made = db.execute(
            "SELECT who FROM authority WHERE kind = ? AND generation >= ?", (kind, number)
        ).fetchone()
        if made:
            raise AuthorityError(
                f"{self.register.file}: {kind} {number} was made meanwhile by {made['who']};"
                " nothing more was made; see simpul authority status"
            )
        db.execute(
            "INSERT INTO authority(kind, generation, at, who, public) VALUES (?,?,?,?,?)",
            (kind, number, now_text(), self.register.who, public),
        )

    def _unlock(self, generation: Generation, passphrase: bytes) -> SigningKey:
        file = self._file(generation.kind, generation.number)
        try:
            text = file.read_bytes()
        except OSError as error:
            raise AuthorityError(f"{file}: {error.strerror}; bring back the backup") from error
        key = open_key(text, passphrase, str(file))
        if not belongs(key, generation):
            raise AuthorityError(
                f"{file}: is another key than the one that {self.register.file} knows by this"
                " name; bring back the two of one backup"
            )
        return key

    def _file(self, kind: Kind, number: int) -> Path:
        return self.directory / f"{kind}-{number}.key"

    def _revoked(self, generation: Generation) -> list[tuple[str, str]]:
        with self.register.reading() as db:
            rows = db.execute(
                "SELECT serial, revoked_at FROM certificate"
                " WHERE kind = ? AND generation = ? AND revoked_at IS NOT NULL",
                (generation.kind, generation.number),
            ).fetchall()
        return [(row["serial"], row["revoked_at"]) for row in rows]

    def _mqtt_list(self, generation: Generation, key: SigningKey) -> bytes:
        authority = cryptography_x509.load_pem_x509_certificate(generation.public.encode())
        number, at = self._next_list(generation)
        revoked = [
            (int(serial), datetime.fromisoformat(since))
            for serial, since in self._revoked(generation)
        ]
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError(f"{self.directory}: the key of mqtt is of another kind")
        if at >= authority.not_valid_after_utc:
            raise AuthorityError(
                f"{self.directory}: the authority of mqtt ended on "
                f"{authority.not_valid_after_utc:%Y-%m-%d}, if this machine's clock is right"
            )
        return x509.pem(x509.make_list(authority, key, revoked, number=number, at=at))

    def _next_list(self, generation: Generation) -> tuple[int, datetime]:
        """Return number and time of the next list: later than the last, as OpenSSL prefers.

        But never later than now: a broker with a list of the future refuses everybody, and the last
        may be of a clock that was ahead.
        """
        now = datetime.now(UTC).replace(microsecond=0)
        at = now - _CLOCK_SKEW
        place = (generation.kind, generation.number)
        with self.register.transaction() as db:
            row = db.execute(
                "SELECT number, at FROM list WHERE kind = ? AND generation = ?", place
            ).fetchone()
            if row:
                later = datetime.fromisoformat(row["at"]) + timedelta(seconds=1)
                at = max(at, later) if later <= now else at
            number = row["number"] + 1 if row else 1
            db.execute(
                "INSERT OR REPLACE INTO list(kind, generation, number, at) VALUES (?,?,?,?)",
                (*place, number, as_text(at)),
            )
        return number, at
