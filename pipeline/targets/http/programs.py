"""The door of subprocess for credential helpers, `docker-credential-NAME get` (docker-credential-helpers, README)."""

import json
import re
import subprocess
from typing import Final

from ..base import TargetError

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SECONDS: Final = 60
_NOT_FOUND: Final = "credentials not found"


def ask_helper(name: str, server: str) -> tuple[str, str] | None:
    """User and secret that the helper `name` keeps for `server`; None where it knows none.

    Raises:
        TargetError: there is no such program, or it fails.
    """
    program = f"docker-credential-{name}"
    if not _NAME.fullmatch(name):
        raise TargetError(f"{name[:40]!r} is no name of a credential helper; correct credHelpers or credsStore")
    try:
        done = subprocess.run([program, "get"], input=server.encode(), capture_output=True, timeout=_SECONDS)
    except OSError as error:
        raise TargetError(
            f"the credential helper {program} for {server} cannot be run ({error.strerror}); install it, or take it "
            "out of credHelpers or credsStore"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise TargetError(f"the credential helper {program} did not answer for {server} in {_SECONDS} s") from error
    if done.returncode:
        if _NOT_FOUND in done.stdout.decode(errors="replace").lower():
            return None
        raise TargetError(f"the credential helper {program} failed for {server} (it ended with {done.returncode})")
    try:
        answer = json.loads(done.stdout)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, TypeError, KeyError):
        raise TargetError(f"the credential helper {program} gave no user and secret for {server}") from None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise TargetError(f"the credential helper {program} gave no user and secret for {server}")
    return (user, secret) if secret else None
