"""Locks the ports between the store's parts: keys for reads and writes over HTTP, certificates for gRPC.

SeaweedFS opens seven ports in addition to S3's. They are on loopback, where every user of the machine can
connect. The keys and certificates are in `security.toml` in the store's working directory. Each start makes
new ones, so that none expires, and throws away the authority's key.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from local.private_files import write_private

_VALID = timedelta(days=3650)
_JWT_KEYS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")
_GRPC_PARTS = ("master", "volume", "filer", "s3", "client")


@dataclass(frozen=True)
class Certificates:
    """A key, its certificate, and the certificate of the authority that signed it, each in PEM format."""

    authority: str
    certificate: str
    key: str


def write_locks(directory: Path) -> None:
    """Writes `security.toml` and the files that it names into `directory`, readable by the owner alone."""
    made = make_certificates()
    files = {"authority.pem": made.authority, "certificate.pem": made.certificate, "key.pem": made.key}
    for name, text in files.items():
        write_private(directory / name, text)
    write_private(directory / "security.toml", _configuration())


def make_certificates() -> Certificates:
    """Makes an authority and one certificate of it, which all parts of the store share."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name, name = _name("UVR API's local store: authority"), _name("UVR API's local store")
    authority = _builder(authority_name, authority_name, authority_key.public_key())
    authority = authority.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    certificate = _builder(name, authority_name, key.public_key())
    return Certificates(
        _pem(authority.sign(authority_key, hashes.SHA256())),
        _pem(certificate.sign(authority_key, hashes.SHA256())),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


def _configuration() -> str:
    """Returns the text of `security.toml`. The files in it are found from the store's working directory."""
    lines = [f'[{section}]\nkey = "{secrets.token_urlsafe(30)}"' for section in _JWT_KEYS]
    lines.append('[grpc]\nca = "authority.pem"')
    for part in _GRPC_PARTS:
        lines.append(f"[grpc.{part}]")
        lines.append('cert = "certificate.pem"')
        lines.append('key = "key.pem"')
    return "\n".join(lines) + "\n"


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        # Valid in the past too, so that the store starts after the clock was set back.
        .not_valid_before(now - _VALID)
        .not_valid_after(now + _VALID)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
