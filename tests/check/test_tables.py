"""The tables are complete: every rule is tried, every remedy has advice, every habit is somebody's and matters."""

from typing import Final

import pytest

from pipeline.check.advice import Remedy, advice
from pipeline.check.answers import Answer
from pipeline.check.clients import CLIENTS, Habit
from pipeline.check.rules import Rule
from pipeline.check.servers import ServerKind, recognised
from pipeline.check.verdict import Verdict, judge

from .defects import LISTED, MORE

# tried in test_connection: what no defect of an answer brings about
ELSEWHERE: Final = {Rule.CERTIFICATE, Rule.PLAIN_HTTP, Rule.REDIRECT_TO_HTTP, Rule.CATALOG}


def test_every_rule_is_tried() -> None:
    tried = {case.rule for case in (*LISTED, *MORE)}
    also = {rule for case in (*LISTED, *MORE) for rule in case.others}
    assert tried | also | ELSEWHERE == set(Rule)


def test_every_habit_is_a_clients_and_matters() -> None:
    assert {habit for client in CLIENTS for habit in client.habits} == set(Habit)
    assert {habit for rule in Rule for habit in rule.value.fails | rule.value.warns} == set(Habit)


@pytest.mark.parametrize("remedy", Remedy, ids=str)
def test_there_is_advice_for_every_kind_of_server(remedy: Remedy) -> None:
    assert all(len(advice(remedy, kind)) > 20 for kind in ServerKind)


def test_rules_are_told_apart() -> None:
    assert len({rule.value for rule in Rule}) == len(list(Rule))


def test_a_client_that_fails_for_a_rule_is_not_warned_of_it() -> None:
    for client in judge(Rule):
        assert not set(client.fails) & set(client.warns)


def test_nothing_broken_is_a_pass() -> None:
    assert {client.verdict for client in judge([])} == {Verdict.PASS}
    assert {client.verdict for client in judge([Rule.FLATPAK_TYPE])} == {Verdict.PASS}


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"server": "nginx/1.22.1"}, ServerKind.NGINX),
        ({"server": "Apache/2.4.62 (Debian)"}, ServerKind.APACHE),
        ({"server": "Caddy"}, ServerKind.CADDY),
        ({"server": "AmazonS3", "x-amz-request-id": "1"}, ServerKind.S3),
        ({"server": "AmazonS3", "x-amz-cf-id": "1", "via": "1.1 x.cloudfront.net"}, ServerKind.CLOUDFRONT),
        ({"server": "cloudflare", "cf-ray": "1-FRA"}, ServerKind.CLOUDFLARE),
        ({"server": "GitHub.com"}, ServerKind.GITHUB_PAGES),
        ({"server": "SimpleHTTP/0.6 Python/3.11.2"}, ServerKind.PYTHON),
        ({"server": "Werkzeug/3.1.3 Python/3.11.2"}, ServerKind.SERVE),
        ({}, ServerKind.OTHER),
    ],
)
def test_a_server_is_known_by_its_headers(headers: dict[str, str], kind: ServerKind) -> None:
    assert recognised([Answer(method="GET", path="/v2/", status=200, headers=tuple(headers.items()))]) is kind
