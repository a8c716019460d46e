"""The pages for people: a front page, a page and a feed for each repository, a page for each remote of flatpak.

repository  pure: the record of a repository and what its deltas save -> all that its page shows
updates     pure: what an update downloads, whole and by deltas, as rows and as bars
attached    pure: signatures, SBOMs and what else is attached to an image
commands    pure: what a person copies into a terminal, for each client
summary     pure: the little that the front page shows of a repository
feed        pure: what became of the tags, newest first
rendered    all of it as HTML and Atom

Rule 1. A repository's page depends on its record, its savings, its remote and [site] alone; the front page on one
        summary for each repository. So who knows that these are the same need not make them again.
Rule 2. No page says anything of the time of a run: it changes when what is published changes.
Rule 3. Names, tags, labels and annotations are untrusted text: escaped throughout, and no script or style runs but
        those whose digests the page states.
Rule 4. Links are relative, and lead to files: pages work from a disk, below a path, and from a bucket.
"""

from collections.abc import Sequence

from ...config.values import Site
from ...deltas.savings import Saving, distinct
from ...history.ledger import Ledger
from ...keys import Key
from ..remotes import offered_remotes, remote_of
from .rendered import front_page, remote_pages, repository_files
from .summary import summary_of


def page_files(ledger: Ledger, found: Sequence[Saving], site: Site) -> dict[Key, bytes]:
    """All pages and feeds, by key. Raises TemplateError."""
    by_repository: dict[str, list[Saving]] = {}
    for saving in found:
        by_repository.setdefault(saving.repository, []).append(saving)
    files: dict[Key, bytes] = {}
    summaries = []
    for name, record in sorted(ledger.repositories.items()):
        savings = distinct(by_repository.get(name, ()))
        files |= repository_files(name, record, savings, remote_of(record, ledger), site)
        summaries.append(summary_of(name, record, savings))
    remotes = offered_remotes(ledger)
    return files | front_page(summaries, remotes, site) | remote_pages(remotes, site)
