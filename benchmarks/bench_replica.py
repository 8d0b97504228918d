"""A published protocol on interpolated daily labels, replayed on simulated slopes.

Not an operational score: the label of a day between two acquisitions contains the later one. The
published network (MUSEnet, Guo et al. 2023), its comparators and rules of one line are scored
against that label and against the true motion. A full run keeps its figures in
`services/scoring/replica/results.json`, from which the page of scores is made.
"""

from __future__ import annotations

from importlib.util import find_spec

from benchmarks.frame import LeftOutError, Table
from services.scoring.replica.stack import SITE_SEEDS

NEEDED = ("torch", "sklearn", "statsmodels")


def run(quick: bool) -> list[Table]:
    """With `quick` one site and networks that are hardly trained: kept nowhere."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise LeftOutError(f"{', '.join(missing)} not installed")
    from services.scoring.replica.measure import measure
    from services.scoring.replica.network import Training
    from services.scoring.replica.table import notes, save, sections

    if quick:
        replica = measure(SITE_SEEDS[:1], Training(training_epochs=1, site_days=64))
    else:
        replica = measure(progress=True)
        save(replica)
    tables = [Table(*section) for section in sections(replica)]
    return [*tables[:-1], tables[-1]._replace(notes=notes(replica))]
