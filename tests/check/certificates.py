"""Certificates for tests, made by openssl: of an authority that nobody knows, or of one that is given."""

import ssl
import subprocess
from pathlib import Path

from ..conftest import require_tool


def self_signed(folder: Path, name: str = "127.0.0.1", *, is_expired: bool = False) -> tuple[Path, ssl.SSLContext]:
    """The file of a new certificate for the address `name`, and a server's context with it."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *(
                require_tool("openssl"),
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
            ),
            *("-days", "2", "-subj", "/CN=deltapress tests", "-addext", f"subjectAltName=IP:{name}"),
            *("-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    if is_expired:  # a new one cannot be, but one that is signed again
        again = f"openssl x509 -signkey {key.name} -days -1 -in {certificate.name} -out {certificate.name}"
        subprocess.run(again.split(), cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return certificate, context
