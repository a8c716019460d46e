"""What the observations mean for each client. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from .clients import CLIENTS, Client
from .rules import Observation, Rule


class Verdict(Enum):
    """The values are for people, and stand in the JSON."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientVerdict:
    """What a client would say: the rules for which it fails, and those that make some use of it suffer."""

    client: Client
    fails: tuple[Rule, ...] = ()
    warns: tuple[Rule, ...] = ()

    @property
    def verdict(self) -> Verdict:
        if self.fails:
            return Verdict.FAIL
        return Verdict.WARN if self.warns else Verdict.PASS


def by_rule(observations: Iterable[Observation]) -> dict[Rule, tuple[Observation, ...]]:
    """What was seen of each rule, in the order of the rules; each observation once."""
    found: dict[Rule, dict[Observation, None]] = {}
    for observation in observations:
        found.setdefault(observation.rule, {})[observation] = None
    return {rule: tuple(found[rule]) for rule in Rule if rule in found}


def judge(broken: Iterable[Rule]) -> tuple[ClientVerdict, ...]:
    """The verdict of each client on a host that breaks these rules."""
    rules = list(broken)
    return tuple(
        ClientVerdict(
            client=client,
            fails=tuple(rule for rule in rules if rule.value.fails & client.habits),
            warns=tuple(
                rule for rule in rules if rule.value.warns & client.habits and not rule.value.fails & client.habits
            ),
        )
        for client in CLIENTS
    )


def concerned(verdicts: Iterable[ClientVerdict], rule: Rule) -> Mapping[Verdict, tuple[str, ...]]:
    """The names of the clients that fail for a rule, and of those that are warned."""
    known = list(verdicts)
    return {
        Verdict.FAIL: tuple(found.client.name for found in known if rule in found.fails),
        Verdict.WARN: tuple(found.client.name for found in known if rule in found.warns),
    }
