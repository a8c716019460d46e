"""The result of a check: text for people, within 100 columns, and JSON for programs.

Rule. As in `report`: what a host says stands in no line of its own, and fills no screen. The JSON has all of it.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..quantities import format_size
from ..text import one_line
from .advice import advice
from .connection import MAX_REQUESTS
from .rules import Observation, Rule
from .run import Check
from .verdict import ClientVerdict, Verdict, concerned

WIDTH: Final = 100
_SHOWN: Final = 3  # observations of a rule
_MAX_DETAIL: Final = 300  # characters


def check_text(found: Check) -> str:
    """A table of the clients, then each rule that is broken: where, why it matters, what to change."""
    named = f"{found.server.value} (Server: {found.server_header})" if found.server_header else found.server.value
    looked = ", ".join(found.repositories)
    lines = [
        *_wrapped(f"{found.address} is {named}."),
        *_wrapped(
            f"Looked at {looked} with {found.requests:,} requests (of {MAX_REQUESTS:,} at most, without deltas) and "
            f"{format_size(found.bytes)}."
        ),
        *(line for text in found.left_out for line in _wrapped(text)),
    ]
    if found.applied is not None:
        count = found.applied.deltas
        lines += _wrapped(f"Applied {count:,} delta{'' if count == 1 else 's'} to the old layers.")
    lines += ["", *_table(found.clients)]
    for rule, observations in found.broken.items():
        lines += ["", *_rule(found, rule, observations)]
    if not found.broken:
        lines += ["", "Nothing is wrong."]
    return "\n".join(lines)


def check_json(found: Check) -> dict[str, Any]:
    """All of it. `clients[].fails` and `.warns` name members of `rules`; a rule with neither is a note."""
    return {
        "exit_code": int(found.exit_code),
        "url": str(found.address),
        "server": {"kind": found.server.value, "header": found.server_header},
        "repositories": list(found.repositories),
        "requests": found.requests,
        "bytes": found.bytes,
        "left_out": list(found.left_out),
        "deltas_applied": None if found.applied is None else found.applied.deltas,
        "clients": [
            {
                "name": client.client.name,
                "verdict": client.verdict.value,
                "fails": [rule.label for rule in client.fails],
                "warns": [rule.label for rule in client.warns],
            }
            for client in found.clients
        ],
        "rules": [_rule_json(found, rule, observations) for rule, observations in found.broken.items()],
    }


def _table(clients: Sequence[ClientVerdict]) -> Iterator[str]:
    width = max(len(found.client.name) for found in clients)
    for found in clients:
        because = [", ".join(rule.label for rule in found.fails)] if found.fails else []
        if found.warns:
            because.append(f"warned: {', '.join(rule.label for rule in found.warns)}")
        head = f"  {found.client.name.ljust(width)}  {found.verdict.value}  "
        yield from textwrap.wrap(
            "; ".join(because) or "",
            WIDTH,
            initial_indent=head,
            subsequent_indent=" " * len(head),
            break_on_hyphens=False,
        ) or [head.rstrip()]


def _rule(found: Check, rule: Rule, observations: Sequence[Observation]) -> Iterator[str]:
    who = concerned(found.clients, rule)
    yield from _wrapped(f"{rule.label}: {_who(who)}", indent="")
    yield from _labelled("needed", rule.value.needs)
    for observation in observations[:_SHOWN]:
        yield from _labelled("here", f"{observation.path} {one_line(observation.detail, most=_MAX_DETAIL)}")
    if len(observations) > _SHOWN:
        yield from _labelled("", f"and {len(observations) - _SHOWN:,} more")
    yield from _labelled("why", rule.value.why)
    yield from _labelled("change", advice(rule.value.remedy, found.server))
    if rule is Rule.PLAIN_HTTP:
        for client in found.clients:
            yield from _labelled("", f"{client.client.name}: {client.client.insecure}")


def _who(who: Mapping[Verdict, Sequence[str]]) -> str:
    parts = [f"{verdict.value} for {'; '.join(names)}" for verdict, names in who.items() if names]
    return ". ".join(parts) or "note"


def _labelled(label: str, text: str) -> list[str]:
    head = f"  {label}:".ljust(11) if label else " " * 11
    return textwrap.wrap(one_line(text), WIDTH, initial_indent=head, subsequent_indent=" " * 11, break_on_hyphens=False)


def _wrapped(text: str, *, indent: str = "") -> list[str]:
    return textwrap.wrap(one_line(text), WIDTH, subsequent_indent=f"{indent}  ", break_on_hyphens=False)


def _rule_json(found: Check, rule: Rule, observations: Sequence[Observation]) -> dict[str, Any]:
    who = concerned(found.clients, rule)
    return {
        "rule": rule.label,
        "needs": rule.value.needs,
        "why": rule.value.why,
        "source": rule.value.source,
        "change": advice(rule.value.remedy, found.server),
        "fails": list(who[Verdict.FAIL]),
        "warns": list(who[Verdict.WARN]),
        "seen": [{"path": observation.path, "detail": observation.detail} for observation in observations],
    }
