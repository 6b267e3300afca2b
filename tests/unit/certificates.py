"""Certificates for tests, made as they are needed: an authority, and what it vouches for."""

from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_FROM, _UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)


class Authority:
    """Vouches for servers at 127.0.0.1 or one of `hosts` and for clients; writes everything as PEM into a folder."""

    def __init__(self, folder: Path, name: str, *hosts: str) -> None:
        self._folder = folder
        self._hosts = hosts
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._certificate(self._name, self._key, None)
        # A comment that is not ASCII, as bundles of authorities have them.
        self.path = self._written(f"{name}.pem", "# Főtanúsítvány\n".encode() + _pem(certificate))

    def server(self) -> tuple[Path, Path]:
        """Certificate and key for 127.0.0.1 and the hosts."""
        return self._issued("server", ExtendedKeyUsageOID.SERVER_AUTH)

    def client(self, passphrase: bytes | None = None) -> tuple[Path, Path]:
        """Certificate and key for a client."""
        return self._issued("client", ExtendedKeyUsageOID.CLIENT_AUTH, passphrase)

    def _issued(self, what: str, usage: x509.ObjectIdentifier, passphrase: bytes | None = None) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, what)])
        certificate = self._certificate(subject, key, usage)
        encryption = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        name = f"{self.path.stem}-{what}{'-locked' if passphrase else ''}"
        return self._written(f"{name}.pem", _pem(certificate)), self._written(f"{name}.key", pem)

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, usage: x509.ObjectIdentifier | None
    ) -> x509.Certificate:
        """`usage` None: the authority's own. As complete as strict verification (Python 3.13) asks for."""
        own = usage is None
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number(), _FROM, _UNTIL)
            .add_extension(x509.BasicConstraints(ca=own, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(_key_usage(own), critical=True)
        )
        if usage is not None:
            names = [x509.IPAddress(ip_address("127.0.0.1")), *map(x509.DNSName, self._hosts)]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _written(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        return path


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_usage(authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
