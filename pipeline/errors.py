"""The root of the project's errors, and the exit codes.

Rule 1. Every error that a user can meet derives from `DeltapressError`, lives beside the code that raises it, and reads
        as one clear line: which file, which key or digest, what is wrong, what to do.
Rule 2. The class says which exit code the error means; only `pipeline.cli` exits.
"""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns. Documented in the README; never renumbered."""

    SUCCESS = 0
    INTERNAL = 1
    BAD_CONFIGURATION = 2
    BAD_INPUT = 3
    TARGET_FAILED = 4
    PARTLY_DONE = 5
    VERIFICATION_FAILED = 6
    INTERRUPTED = 130


class DeltapressError(Exception):
    """The root. `exit_code` is what the command returns when the error ends it."""

    exit_code: ExitCode = ExitCode.BAD_INPUT


class InternalError(DeltapressError):
    """A mistake of ours, which was met inside one repository and stays there. Its `__cause__` says where."""

    exit_code = ExitCode.INTERNAL

    def __init__(self, error: Exception) -> None:
        super().__init__(f"internal error: {type(error).__name__}: {error}; please report it, with what -v adds")
        self.__cause__ = error
