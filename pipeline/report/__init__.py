"""Result values -> text for people, and JSON for programs.

Rule 1. The text is for reading and may change; of the JSON, members may be added, and `schema` changes with any other
        change. Sizes are in bytes, times in ISO 8601 with their zone.
Rule 2. What failed stands in the JSON too, but not in the text: the command line sends that to standard error.
Rule 3. Platforms, problems and the like are untrusted: in the text, none of them begins a line of its own or fills a
        screen. The JSON has them whole, as ASCII, so that nothing on its way to a terminal has to change it.

runs      what publish, plan, prune, remove and retract did, or would do
updates   what clients save by deltas, and which tags moved
checks    what verify and prune --reconcile found
listing   what is published
history   past runs
metrics   a publish, for Prometheus
pulls     what a pull did, or would do; what is in a bundle
hosts     what check found of a host
policies  what another policy would cost and save
lines     lines, tables, JSON
"""

from .checks import missing_keys, reconciliation_json, reconciliation_text, verification_json, verification_text
from .history import PastRuns, history_json, history_text, report_of
from .hosts import check_json, check_text
from .lines import to_json
from .listing import listing_json, repositories_text, repository_text
from .metrics import Measured, metrics_text
from .policies import what_if_json, what_if_text
from .pulls import bundle_json, bundle_text, pull_json, pull_text
from .runs import failures, outcome_json, plan_text, prune_text, publish_text, removal_text

__all__ = [
    "Measured",
    "PastRuns",
    "bundle_json",
    "bundle_text",
    "check_json",
    "check_text",
    "failures",
    "history_json",
    "history_text",
    "listing_json",
    "metrics_text",
    "missing_keys",
    "outcome_json",
    "plan_text",
    "prune_text",
    "publish_text",
    "pull_json",
    "pull_text",
    "reconciliation_json",
    "reconciliation_text",
    "removal_text",
    "report_of",
    "repositories_text",
    "repository_text",
    "to_json",
    "verification_json",
    "verification_text",
    "what_if_json",
    "what_if_text",
]
