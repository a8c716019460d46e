"""Whom a registry's host is believed to be, and who we are to it: one TLS context for each host."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base import TargetError
from .options import HTTPOptions


def tls_context(options: HTTPOptions, host: str) -> ssl.SSLContext:
    """The context for `host` (with its port, if its URL has one).

    Raises:
        TargetError: a certificate or a key cannot be read.
    """
    context = ssl.create_default_context()
    folders = [folder / host for folder in options.certificate_folders]
    authorities = [] if options.ca_file is None else [options.ca_file]
    for authority in (*authorities, *_files(folders, "*.crt")):
        with _readable(authority):
            context.load_verify_locations(authority)
    if options.client_cert is not None:
        with _readable(options.client_cert):
            context.load_cert_chain(options.client_cert, options.client_key)
    for certificate in _files(folders, "*.cert"):
        with _readable(certificate):
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


def _files(folders: list[Path], pattern: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(folder.glob(pattern))


@contextmanager
def _readable(certificate: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # of TLS, they are OSErrors too
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "it is not PEM"
        raise TargetError(
            f"{certificate}: cannot be used as a certificate ({reason}); it and its key must be readable PEM files"
        ) from error
