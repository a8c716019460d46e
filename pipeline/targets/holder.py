"""Who holds a lock: what is written beside it, for the person who finds it held.

Rule. The record only informs. Nothing decides by it whether a lock is held, since anybody may have written it.
"""

import os
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

_MAX_HOST: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """A publisher. `since` is the time of its run, with a time zone."""

    host: str
    pid: int
    since: datetime

    @classmethod
    def this_process(cls, now: datetime) -> Self:
        return cls(host=socket.gethostname(), pid=os.getpid(), since=now)

    @classmethod
    def from_dict(cls, record: object) -> Self | None:
        """Read what `to_dict` made; None for anything else, because the file may be torn or foreign."""
        match record:
            case {"host": str(host), "pid": int(pid), "since": str(since)}:
                try:
                    time = datetime.fromisoformat(since)
                except ValueError:
                    return None
            case _:
                return None
        # The host goes into a message: printable and short, or it could forge other lines of a log.
        if not host.isprintable() or len(host) > _MAX_HOST or time.tzinfo is None:
            return None
        return cls(host=host, pid=pid, since=time)

    def to_dict(self) -> dict[str, str | int]:
        return {"host": self.host, "pid": self.pid, "since": self.since.isoformat()}

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.since.isoformat(timespec='seconds')}"
