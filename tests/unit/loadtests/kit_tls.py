"""A certificate for 127.0.0.1 that nobody but these tests trusts, made when first asked for."""

from __future__ import annotations

import atexit
import shutil
import ssl
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import pytest


@cache
def certificate() -> tuple[Path, Path]:
    """Return the files of the certificate and of its key. Skips the test where there is no openssl to make them."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on this machine to make a certificate with")
    folder = Path(tempfile.mkdtemp(prefix="reliability-tls-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    cert, key = folder / "cert.pem", folder / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


@cache
def http2_context() -> ssl.SSLContext:
    """Return what a server needs to speak HTTP/2 over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate())
    context.set_alpn_protocols(["h2"])
    return context
