"""Would real clients be happy with this host? It is asked as they ask, and nothing is believed that it says.

    address      where it is
    connection   requests, within bounds; urllib3
    answers      what came
    survey       what of the host is looked at
    probes/      one kind of request each: observations
    clients      what each client does
    rules        what that needs of a host, and why
    verdict      observations and rules -> pass, warn, fail for each client
    servers, advice   what to change, by the kind of the server
    apply        every listed delta, tried
    run          all of it: check()

Rule 1. A client, a rule, a probe and a piece of advice are each an entry in one table.
Rule 2. The host is not trusted: what is read of it is bounded in number, size and time, and what is left out is said.
"""

from .address import Address
from .run import Check, check

__all__ = ["Address", "Check", "check"]
