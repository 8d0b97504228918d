"""Teach intervals and the gate their beginnings: `python -m services.scoring.fit_priors`.

All models forecast the last year of the development slopes under radar noise; what comes of it
ships as one file. To be made anew when a model changes.
"""

from __future__ import annotations

from core.twin.pools import forecast_pool
from services.inference.trust import priors
from services.scoring.forecasts.folds import ISSUE_EVERY_D, folds
from services.scoring.forecasts.models import field
from services.scoring.forecasts.run import issue_all
from services.scoring.forecasts.series import PoolHistory
from services.scoring.forecasts.start import prior_from


def main() -> None:
    """Write `services.inference.trust.priors.SHIPPED`."""
    history = PoolHistory(forecast_pool("development", "radar"))
    year, after = folds(1)
    models = field()
    told = issue_all(models.models, history, (year,), ISSUE_EVERY_D, print)
    if absent := {**models.absent, **told.absent}:
        raise SystemExit(
            "; ".join(f"{name} cannot be judged: {why}" for name, why in absent.items())
        )
    taught = prior_from(history, told.said, after.origin)
    priors.write(taught)
    for name, score in sorted(taught.reputation.items(), key=lambda one: one[1]):
        print(f"{name:18} {score:.3f} of persistence's mean square")
    print(f"written: {priors.SHIPPED.name}")


if __name__ == "__main__":
    main()
