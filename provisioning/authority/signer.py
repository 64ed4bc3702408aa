"""Signs what nodes, brokers and technicians ask for, with the authority's unlocked keys."""

from datetime import UTC, datetime

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import SSHCertificate
from cryptography.x509 import Certificate, load_pem_x509_certificate

from provisioning.authority import ssh, x509
from provisioning.authority.errors import AuthorityError
from provisioning.authority.keys import Generation, Kind, SigningKey
from provisioning.register import Register, as_text, now_text, refuse_revoked


class Signer:
    """The unlocked authority: signs, and notes in the register what it signed before giving it.

    For a node that is revoked nothing is noted, nor given: RevokedError.
    """

    def __init__(self, register: Register, keys: dict[Kind, tuple[Generation, SigningKey]]) -> None:
        """Take a generation of each kind with its private key."""
        self._register = register
        self._keys = keys

    def mqtt_client(self, node: str, request: bytes) -> bytes:
        """Return the PEM certificate for a request that `node` made. Raises RequestError."""
        authority, key = self._mqtt()
        certificate = x509.sign_client(x509.read_request(request, node), node, authority, key)
        self._note_x509(node, certificate)
        return x509.pem(certificate)

    def mqtt_broker(self, names: list[str], request: bytes) -> bytes:
        """Return the PEM certificate of a broker known by `names`, the first as its CN."""
        authority, key = self._mqtt()
        public = x509.read_request(request, names[0])
        certificate = x509.sign_broker(public, names, authority, key)
        self._note_x509(names[0], certificate)
        return x509.pem(certificate)

    def ssh_host(self, node: str, public_key: str) -> str:
        """Return the certificate of a node's SSH host key, in one line. Raises RequestError."""
        key = ssh.read_public(public_key, node)
        certificate = ssh.sign_host(key, node, self._ssh("ssh-host"))
        self._note_ssh("ssh-host", node, certificate, ssh.fingerprint(key))
        return certificate.public_bytes().decode()

    def technician(self, who: str, public_key: str, principals: list[str], hours: float) -> str:
        """Return a short-lived certificate of a technician's SSH key, in one line."""
        key = ssh.read_public(public_key, who)
        certificate = ssh.sign_technician(
            key, who, principals, hours, authority=self._ssh("ssh-user")
        )
        self._note_ssh("ssh-user", who, certificate, ssh.fingerprint(key))
        return certificate.public_bytes().decode()

    def _mqtt(self) -> tuple[Certificate, ec.EllipticCurvePrivateKey]:
        generation, key = self._keys["mqtt"]
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise AuthorityError("the key of mqtt is of another kind; bring back the backup")
        return load_pem_x509_certificate(generation.public.encode()), key

    def _ssh(self, kind: Kind) -> ed25519.Ed25519PrivateKey:
        _, key = self._keys[kind]
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise AuthorityError(f"the key of {kind} is of another kind; bring back the backup")
        return key

    def _note_x509(self, subject: str, certificate: Certificate) -> None:
        ends_at = certificate.not_valid_after_utc
        self._note(
            "mqtt", certificate.serial_number, subject, x509.fingerprint(certificate), ends_at
        )

    def _note_ssh(
        self, kind: Kind, subject: str, certificate: SSHCertificate, fingerprint: str
    ) -> None:
        ends_at = datetime.fromtimestamp(certificate.valid_before, UTC)
        self._note(kind, certificate.serial, subject, fingerprint, ends_at)

    def _note(
        self, kind: Kind, serial: int, subject: str, fingerprint: str, ends_at: datetime
    ) -> None:
        generation, _ = self._keys[kind]
        row = (
            *(kind, generation.number, str(serial), now_text(), self._register.who),
            *(subject, fingerprint, as_text(ends_at)),
        )
        with self._register.transaction() as db:
            refuse_revoked(db, subject)
            db.execute(
                "INSERT INTO certificate(kind, generation, serial, at, who, subject, fingerprint,"
                " not_after) VALUES (?,?,?,?,?,?,?,?)",
                row,
            )
