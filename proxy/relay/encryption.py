"""TLS between a socket and the end of a session above it, and the contexts that the settings ask for."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

import structlog
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA256

from proxy.config import ClientTls, ServerTls, TlsMode
from proxy.errors import SettingsError
from proxy.wire.tls import ALPN, TlsStream

log = structlog.get_logger(__name__)

#: Called once: None if the connection is encrypted now, else why it is not.
OnHandshake = Callable[[TlsStream, OSError | None], None]
_HANDSHAKE_LOST: Final = "the other side closed the connection in the handshake"


class TlsTransport(asyncio.Protocol):
    """Protocol of the socket's transport, and transport of the protocol above.

    `protocol` gets plain bytes once the handshake is over. What goes wrong later cuts the connection.
    """

    def __init__(
        self, transport: asyncio.Transport, protocol: asyncio.Protocol, stream: TlsStream, shaken: OnHandshake
    ) -> None:
        self._transport, self._protocol, self._stream = transport, protocol, stream
        self._shaken: OnHandshake | None = shaken
        transport.set_protocol(self)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast(asyncio.Protocol, protocol)

    def begin(self, received: bytes = b"") -> None:
        """Start the handshake, with what has come of it already."""
        if received:
            self.data_received(received)
        else:
            self._do(self._stream.shake_hands)

    @property
    def binding(self) -> bytes | None:
        """What a login is bound to here: a hash of the other side's certificate; None if that cannot be told."""
        shown = self._stream.certificate
        try:
            return None if shown is None else _binding(x509.load_der_x509_certificate(shown))
        except (ValueError, UnsupportedAlgorithm):
            return None

    # ------------------------------------------------------------------ from the socket

    def data_received(self, data: bytes) -> None:
        plain = b""

        def receive() -> None:
            nonlocal plain
            plain = self._stream.receive(data)

        if not self._do(receive):
            return
        if plain:
            self._protocol.data_received(plain)
        if self._stream.ended and not self._transport.is_closing():
            self.eof_received()

    def eof_received(self) -> bool:
        self._report(ConnectionResetError(_HANDSHAKE_LOST))
        stays = bool(self._protocol.eof_received())
        if not stays:
            self._transport.close()
        return stays

    def connection_lost(self, exc: Exception | None) -> None:
        self._report(ConnectionResetError(_HANDSHAKE_LOST))
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    # ------------------------------------------------------------------ to the socket

    def write(self, data: bytes) -> None:
        self._do(lambda: self._stream.send(data))

    def write_eof(self) -> None:
        self._do(self._stream.end)
        self._transport.write_eof()

    def close(self) -> None:
        if self._stream.established and not self._transport.is_closing():
            self._do(self._stream.end)
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def is_reading(self) -> bool:
        return self._transport.is_reading()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    # ------------------------------------------------------------------ both

    def _do(self, step: Callable[[], None]) -> bool:
        """Take a step and send what comes of it; False if the connection had to be cut."""
        was = self._stream.established
        error: ssl.SSLError | None = None
        try:
            step()
        except ssl.SSLError as failure:
            error = failure
        if (data := self._stream.take()) and not self._transport.is_closing():
            self._transport.write(data)  # on failure the alert that says why
        if error is not None:
            self._report(error)
            self._transport.close()
            return False
        if self._stream.established and not was:
            self._report(None)
        return not self._transport.is_closing()

    def _report(self, error: OSError | None) -> None:
        if self._shaken is not None:
            shaken, self._shaken = self._shaken, None
            shaken(self._stream, error)


def client_handshake(refuse: Callable[[], None] | None) -> OnHandshake:
    """What comes of a client's handshake.

    Args:
        refuse: ends the connection; given for a client that began with TLS, which has to say in it what it speaks.
    """

    def shaken(stream: TlsStream, error: OSError | None) -> None:
        if error is not None:
            log.warning("client_tls_failed", reason=reason(error))
        elif refuse is not None and stream.alpn != ALPN:
            log.warning("client_tls_failed", reason=f"it begins with TLS and does not offer ALPN protocol {ALPN!r}")
            refuse()

    return shaken


def client_context(settings: ClientTls) -> ssl.SSLContext | None:
    """For connections of clients to the proxy; None if they are not to be encrypted.

    Raises:
        SettingsError: a file cannot be read, or is not what it should be.
    """
    if settings.sslmode is TlsMode.DISABLE:
        return None
    assert settings.cert_file is not None, "the settings say so"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_certificate(context, settings.cert_file, settings.key_file, "client_tls")
    if settings.ca_file is not None:
        _load_authorities(context, settings.ca_file, "client_tls.ca_file")
        context.verify_mode = ssl.CERT_REQUIRED if settings.sslmode.verifies else ssl.CERT_OPTIONAL
    return _usual(context)


def server_context(settings: ServerTls) -> ssl.SSLContext | None:
    """For the proxy's connections to PostgreSQL; None if they are not to be encrypted.

    Raises:
        SettingsError: a file cannot be read, or is not what it should be.
    """
    if settings.sslmode is TlsMode.DISABLE:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = settings.sslmode is TlsMode.VERIFY_FULL
    context.verify_mode = ssl.CERT_REQUIRED if settings.sslmode.verifies else ssl.CERT_NONE
    if settings.sslrootcert is not None:
        _load_authorities(context, settings.sslrootcert, "sslrootcert")
    elif settings.sslmode.verifies:
        context.load_default_certs()
    if settings.sslcert is not None:
        _load_certificate(context, settings.sslcert, settings.sslkey, "sslcert")
    return _usual(context)


def certificate_hash(file: Path) -> bytes:
    """What a login is bound to (RFC 5929, tls-server-end-point): a hash of the first certificate in the file."""
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    return _binding(certificate) or certificate.fingerprint(SHA256())


def _binding(certificate: x509.Certificate) -> bytes | None:
    """None where the signature has no hash of its own (Ed25519): RFC 5929 does not say what to bind to then."""
    algorithm = certificate.signature_hash_algorithm
    if algorithm is None:
        return None
    return certificate.fingerprint(SHA256() if algorithm.name in ("md5", "sha1") else algorithm)


def private_hash(file: Path) -> bytes:
    """A secret that all processes with this key have in common, and nobody else knows."""
    return hashlib.sha256(b"pgjanus mock secrets" + file.read_bytes()).digest()


def _usual(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # as PostgreSQL's ssl_min_protocol_version
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols([ALPN])
    return context


def _load_certificate(context: ssl.SSLContext, cert: Path, key: Path | None, option: str) -> None:
    def no_password() -> str:
        raise SettingsError(f"{option}: the key in {key or cert} has a password; store it without one")

    try:
        context.load_cert_chain(cert, key, no_password)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{option}: cannot use {cert} with {key or 'the key in it'}: {reason(error)}") from error


def _load_authorities(context: ssl.SSLContext, file: Path, option: str) -> None:
    try:
        context.load_verify_locations(file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"{option}: cannot use {file}: {reason(error)}") from error


def reason(error: OSError) -> str:
    """What went wrong, in OpenSSL's or the system's words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not to be trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'no certificate in PEM format'}"
    return error.strerror or str(error)
