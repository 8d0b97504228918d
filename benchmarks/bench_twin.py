"""The digital twin, and the service's own filter and rules run over it, in site-years a second.

Simulated: truth of every day, then what the radar sees of it. Scored: the same sites filtered,
put to the shipped rules and counted. There is no peer. The design asks for hundreds of site-years
a second, because thresholds come from tens of thousands of them.
"""

from __future__ import annotations

from benchmarks.frame import Table, best, rate
from core.twin import SEED_RANGES, Kind, observe, simulate
from services.alerting.thresholds import load_table
from services.compose import shipped_table
from services.scoring import score
from services.scoring.levels import rule_levels
from services.scoring.pool import FLANK_PIXELS, NOISE, YEARS, filtered
from services.scoring.voters import voting_rules


def run(quick: bool) -> list[Table]:
    """Half the sites quiet, half failing, of the calibration seeds."""
    sites = 6 if quick else 256
    seeds = SEED_RANGES["calibration"][:sites]
    kinds = [Kind.QUIET if n % 2 else Kind.FAILING for n in range(sites)]
    rules = voting_rules(load_table(shipped_table()))
    truth_s, truth = best(lambda: simulate(seeds, kinds, years=YEARS), repeats=1)
    seen_s, seen = best(lambda: observe(truth, noise="radar", flank_pixels=FLANK_PIXELS), repeats=1)
    filter_s, pool = best(lambda: filtered(truth, seen, NOISE), repeats=1)
    score_s, _ = best(lambda: score.score(pool, rule_levels(pool, rules)), repeats=1)
    years = sites * YEARS
    rows = tuple(
        (name, f"{seconds:.2f}", rate(years, seconds))
        for name, seconds in (
            ("truth", truth_s),
            ("observed", seen_s),
            ("simulated, both", truth_s + seen_s),
            ("filtered", filter_s),
            ("rules and scores", score_s),
            ("scored, from seed to score", truth_s + seen_s + filter_s + score_s),
        )
    )
    title = f"Twin, {sites} sites of {YEARS} years in one batch"
    return [Table(title, ("work", "seconds", "site-years a second"), rows)]
