"""What `check` found of a host, as text within 100 columns and as JSON."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from ..check import Check
from ..check.advice import advice
from ..check.rules import Observation, Rule
from ..check.verdict import ClientVerdict, Verdict, concerned
from ..quantities import format_size
from ..text import one_line
from .lines import count

WIDTH: Final = 100
_SHOWN: Final = 3  # observations of a rule
_MAX_DETAIL: Final = 300  # characters
_MARGIN: Final = 11
_HEX: Final = re.compile(r"([0-9a-f]{12})[0-9a-f]{50,}")


def check_text(found: Check) -> str:
    """A table of the clients, then each rule that is broken: where, why it matters, what to change."""
    named = f"{found.server.value} (Server: {found.server_header})" if found.server_header else found.server.value
    work = f"{count(found.requests, 'request')} and {format_size(found.bytes)}"
    lines = [
        *_wrapped(f"{found.address} is {named}."),
        *_wrapped(f"Looked at {', '.join(found.repositories)} with {work}."),
        *(line for text in found.left_out for line in _wrapped(text)),
    ]
    if found.applied is not None:
        lines += _wrapped(f"Applied {count(found.applied.deltas, 'delta')} to the old layers.")
    lines += ["", *_table(found.clients)]
    advised: dict[str, Rule] = {}
    for rule, observations in found.broken.items():
        first = advised.setdefault(advice(rule.value.remedy, found.server), rule)
        lines += ["", *_rule(found, rule, observations, advised_at=first)]
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
        because = [", ".join(rule.label for rule in rules) for rules in (found.fails, found.warns) if rules]
        head = f"  {found.client.name.ljust(width)}  {found.verdict.value}  "
        yield from _wrapped("; warned: ".join(because), head=head) or [head.rstrip()]


def _rule(found: Check, rule: Rule, observations: Sequence[Observation], *, advised_at: Rule) -> Iterator[str]:
    """`advised_at` is the first rule with the same advice, which stands there alone."""
    yield from _wrapped(f"{rule.label}: {_who(concerned(found.clients, rule))}")
    yield from _labelled("needed", rule.value.needs)
    for observation in observations[:_SHOWN]:
        seen = f"{observation.path} {one_line(observation.detail, most=_MAX_DETAIL)}"
        yield from _labelled("here", _HEX.sub(r"\1…", seen))
    if len(observations) > _SHOWN:
        yield from _labelled("", f"and {len(observations) - _SHOWN:,} more")
    yield from _labelled("why", rule.value.why)
    change = advice(rule.value.remedy, found.server) if advised_at is rule else f"as for {advised_at.label}"
    yield from _labelled("change", change)
    if rule is Rule.PLAIN_HTTP:
        for client in found.clients:
            yield from _labelled("", f"{client.client.name}: {client.client.insecure}")


def _who(who: Mapping[Verdict, Sequence[str]]) -> str:
    fails, warned = ("; ".join(who[verdict]) for verdict in (Verdict.FAIL, Verdict.WARN))
    parts = [f"fails {fails}"] if fails else []
    parts += [f"warns {warned}"] if warned else []
    return " / ".join(parts) or "a note"


def _labelled(label: str, text: str) -> list[str]:
    return _wrapped(text, head=f"  {label}:".ljust(_MARGIN) if label else " " * _MARGIN)


def _wrapped(text: str, *, head: str = "") -> list[str]:
    """Lines of at most WIDTH characters, also where a word is longer; none for an empty text."""
    indent = " " * len(head) or "  "
    shown = textwrap.wrap(one_line(text), WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False)
    return shown if text else []


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
