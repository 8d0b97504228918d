"""Replica of a published protocol: daily labels interpolated between 12-day epochs.

**Not an operational score.** Y. Guo et al. (2023) report a root mean square error of 0.70 mm for
daily forecasts of InSAR displacement (MUSEnet). A daily label between two acquisitions 12 days
apart is made by interpolation, so it contains the later acquisition, and a forecast of it is
largely arithmetic. Here that protocol is run on simulated slopes, where the true motion of every
day is known, and each figure stands beside what a one-line rule scores and beside the error
against the truth.

Docstrings in this package say of each fact whether it is given by the source, our reading of it,
or our choice.
"""
