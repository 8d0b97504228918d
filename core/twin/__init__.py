"""A digital twin of reservoir landslides: daily truth and what a C-band radar sees of it.

Profile fidelity: 24 nodes from bank to head scarp, six of them observed; no images. Everything is
drawn from a site's seed. Models and rules must not import this package: they are judged on it.
"""

from core.lags import lag_days
from core.twin.radar import Observed, observe
from core.twin.seeds import SEED_RANGES
from core.twin.simulation import simulate
from core.twin.truth import Kind, Truth, fingerprint

__all__ = [
    "SEED_RANGES",
    "Kind",
    "Observed",
    "Truth",
    "fingerprint",
    "lag_days",
    "observe",
    "simulate",
]
