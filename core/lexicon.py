"""Every quantity of the product: what it means, its unit, its sign. `docs/quantities.md` is this.

A name with another meaning elsewhere is a mistake: a float in an event, an array of the evidence,
a row of a track's history and a figure of a vote all stand here, and tests hold them to it.
"""

from __future__ import annotations

from typing import NamedTuple

TOWARD = "+ toward the satellite"
NO_SIGN = "0 or more"


class Quantity(NamedTuple):
    """One quantity as it is named in events, artifacts, the state store and settings."""

    name: str
    meaning: str
    unit: str
    sign: str
    place: str
    """Where the name occurs."""


QUANTITIES: tuple[Quantity, ...] = (
    # Measured
    Quantity(
        "phase_rad",
        "unwrapped interferometric phase of a pair, secondary minus reference",
        "rad",
        "+ away from the satellite",
        "layers artifact",
    ),
    Quantity("coherence", "interferometric coherence of a pair", "1", "0 to 1", "layers artifact"),
    Quantity(
        "wavelength_mm", "carrier wavelength of the radar", "mm", "above 0", "interferogram ready"
    ),
    Quantity(
        "looks",
        "independent looks averaged into a pixel of an interferogram",
        "1",
        "above 0",
        "interferogram ready; settings",
    ),
    Quantity(
        "los_displacement_mm",
        "displacement along the line of sight: of an epoch, cumulative since the reference epoch; "
        "of a state, relative to the firm reference as well",
        "mm",
        TOWARD,
        "values artifact; state updated",
    ),
    Quantity(
        "sigma_mm",
        "standard deviation of one point's epoch as source or inversion states it, without the "
        "atmosphere that the points of a unit share",
        "mm",
        NO_SIGN,
        "values artifact",
    ),
    Quantity("rain_mm", "rain of one UTC day at one gauge", "mm", NO_SIGN, "rainfall observed"),
    Quantity(
        "level_m",
        "reservoir level of one UTC day, above the station's datum",
        "m",
        "+ up",
        "level observed",
    ),
    # Geometry
    Quantity("lon", "longitude (WGS 84)", "degree", "+ east", "points artifact"),
    Quantity("lat", "latitude (WGS 84)", "degree", "+ north", "points artifact"),
    Quantity(
        "height_m",
        "height: of a point as its source states it, not used in any computation; of a unit's "
        "middle, above the bank of the reservoir",
        "m",
        "+ up",
        "points artifact; settings",
    ),
    Quantity(
        "slope_deg",
        "angle of the surface below the horizontal",
        "degree",
        "0 to 90",
        "points artifact; settings",
    ),
    Quantity(
        "aspect_deg",
        "azimuth of the downhill direction",
        "degree",
        "clockwise from north",
        "points artifact; settings",
    ),
    Quantity(
        "los_east",
        "east component of the unit vector from ground to satellite",
        "1",
        "+ east",
        "points artifact",
    ),
    Quantity(
        "los_north",
        "north component of the unit vector from ground to satellite",
        "1",
        "+ north",
        "points artifact",
    ),
    Quantity(
        "los_up",
        "upward component of the unit vector from ground to satellite",
        "1",
        "+ up",
        "points artifact",
    ),
    Quantity(
        "los_factor",
        "line-of-sight motion per motion down the slope, mean over a unit's points",
        "mm/mm",
        "+ where downslope motion comes toward the satellite",
        "evidence; state updated",
    ),
    # Filtered motion of a slope unit, as events say it
    Quantity(
        "displacement_sd_mm",
        "standard deviation of a unit's filtered displacement",
        "mm",
        NO_SIGN,
        "state updated",
    ),
    Quantity(
        "los_velocity_mm_d",
        "filtered rate of a unit along the line of sight",
        "mm/d",
        TOWARD,
        "state updated",
    ),
    Quantity(
        "velocity_sd_mm_d",
        "standard deviation of a unit's filtered rate",
        "mm/d",
        NO_SIGN,
        "state updated; evidence",
    ),
    Quantity(
        "los_acceleration_mm_d2",
        "change of a unit's rate over 36 days (or the next longer gap between epochs), divided by "
        "that time",
        "mm/d^2",
        TOWARD,
        "state updated",
    ),
    Quantity(
        "acceleration_sd_mm_d2",
        "standard deviation of the acceleration",
        "mm/d^2",
        NO_SIGN,
        "state updated; evidence",
    ),
    Quantity(
        "los_increment_mm",
        "line-of-sight displacement to come from the filtered state of the issue day to each "
        "horizon; at 0 days what the model makes of the present beyond the filter",
        "mm",
        TOWARD,
        "forecast issued",
    ),
    Quantity(
        "increment_sd_mm",
        "standard deviation of the displacement that is forecast, the present's own included, "
        "without the noise of a later acquisition",
        "mm",
        NO_SIGN,
        "forecast issued",
    ),
    *(
        Quantity(
            f"{side}_{share}_mm",
            f"{word} end of the interval that holds {share} % of the increments that come true",
            "mm",
            TOWARD,
            "forecast issued; point forecasts",
        )
        for side, word in (("low", "lower"), ("high", "upper"))
        for share in (50, 90)
    ),
    Quantity(
        "sd_mm",
        "standard deviation of a point's forecast displacement",
        "mm",
        NO_SIGN,
        "point forecasts",
    ),
    # Evidence: one row an epoch
    Quantity("epoch_day", "day of an epoch, counted from 1970-01-01", "d", "+ later", "evidence"),
    Quantity(
        "innovation_z",
        "observed minus predicted displacement of a unit, divided by its standard deviation",
        "1",
        TOWARD,
        "evidence; history",
    ),
    Quantity(
        "velocity_mm_d",
        "filtered rate of a unit along the line of sight, after an epoch",
        "mm/d",
        TOWARD,
        "evidence; history",
    ),
    Quantity(
        "acceleration_mm_d2",
        "acceleration of a unit along the line of sight, after an epoch",
        "mm/d^2",
        TOWARD,
        "evidence",
    ),
    Quantity(
        "out_of_range",
        "1 where motion since the epoch before is past what the wavelength can tell; the epoch was "
        "not assimilated",
        "flag",
        "0 or 1",
        "evidence; history",
    ),
    Quantity(
        "point_unit",
        "place of a point's slope unit in the list of units",
        "1",
        "-1: in none",
        "evidence",
    ),
    Quantity(
        "point_velocity_mm_d",
        "filtered rate of a point along the line of sight, after each of the last three epochs",
        "mm/d",
        TOWARD,
        "evidence",
    ),
    Quantity(
        "point_velocity_sd_mm_d",
        "standard deviation of a point's filtered rate",
        "mm/d",
        NO_SIGN,
        "evidence",
    ),
    # History and checkpoints in the state store
    Quantity(
        "displacement_mm",
        "displacement along the line of sight on its track's zero: of a unit, filtered, after an "
        "epoch; of a point, forecast at each horizon",
        "mm",
        TOWARD,
        "history; point forecasts",
    ),
    Quantity(
        "var_displacement", "variance of the filtered displacement", "mm^2", NO_SIGN, "history"
    ),
    Quantity(
        "cov_displacement_velocity",
        "covariance of filtered displacement and rate",
        "mm^2/d",
        "either",
        "history",
    ),
    Quantity("var_velocity", "variance of the filtered rate", "mm^2/d^2", NO_SIGN, "history"),
    Quantity(
        "gain_displacement",
        "share of an innovation that went into the displacement",
        "1",
        "0 to 1",
        "history",
    ),
    Quantity(
        "gain_velocity", "rate added for each millimetre of innovation", "1/d", "either", "history"
    ),
    Quantity(
        "measured",
        "points of a unit that an epoch measured",
        "1",
        NO_SIGN,
        "history; displacement measured",
    ),
    Quantity(
        "seen_mm",
        "mean displacement of a unit's measured points at its last epoch, assimilated or not",
        "mm",
        TOWARD,
        "history; checkpoints",
    ),
    Quantity(
        "seen_sd_mm",
        "standard deviation of that mean: its points' own and the shared atmosphere",
        "mm",
        NO_SIGN,
        "history",
    ),
    Quantity(
        "offset_mm",
        "a unit's displacement minus the mean of its started points: keeps the unit free of jumps "
        "when points join",
        "mm",
        TOWARD,
        "checkpoints",
    ),
    Quantity(
        "calm",
        "slow epochs in a row since the unit went out of range",
        "1",
        "-1: in range",
        "checkpoints",
    ),
    # Evidence beyond what the filters keep
    Quantity(
        "observed_mm",
        "mean displacement of a unit as its filter was given it, free of jumps when points join",
        "mm",
        TOWARD,
        "evidence",
    ),
    Quantity(
        "observed_sd_mm",
        "standard deviation of that value as an observation",
        "mm",
        NO_SIGN,
        "evidence",
    ),
    Quantity(
        "forecast_z",
        "miss of the unit filter's forecast of some 24 days before, in its standard deviations",
        "standard deviations",
        TOWARD,
        "evidence",
    ),
    Quantity(
        "conditioned_z",
        "innovation of the filter that knows rain and level, in its standard deviations",
        "standard deviations",
        TOWARD,
        "evidence",
    ),
    Quantity(
        "expected_mm_d",
        "rate that creep, season, rain and level explain",
        "mm/d",
        TOWARD,
        "evidence",
    ),
    Quantity("excess_mm_d", "rate beyond the expected one", "mm/d", TOWARD, "evidence"),
    Quantity("excess_sd_mm_d", "standard deviation of the excess", "mm/d", NO_SIGN, "evidence"),
    Quantity(
        "excess_change_mm_d2",
        "change of the excess over 36 days, a day",
        "mm/d^2",
        TOWARD,
        "evidence",
    ),
    Quantity(
        "excess_change_sd_mm_d2",
        "upper bound of the standard deviation of that change",
        "mm/d^2",
        NO_SIGN,
        "evidence",
    ),
    Quantity("driver_day", "days since 1970-01-01 of rain and level", "d", "either", "evidence"),
    Quantity("point_lon", "longitude of a point", "degree", "+ to the east", "evidence"),
    Quantity("point_lat", "latitude of a point", "degree", "+ to the north", "evidence"),
    # Figures of votes
    Quantity(
        "velocity_mm_yr",
        "rate of the judged component (a year is 365.25 days)",
        "mm/yr",
        "downslope: + downhill; los: " + TOWARD,
        "vote of velocity",
    ),
    Quantity(
        "velocity_sd_mm_yr",
        "standard deviation of the judged rate",
        "mm/yr",
        NO_SIGN,
        "vote of velocity",
    ),
    *(
        Quantity(
            f"probability_{level}",
            f"probability that the rate is past the threshold of {level}, at the last epoch",
            "1",
            "0 to 1",
            "vote of velocity",
        )
        for level in ("yellow", "orange", "red")
    ),
    Quantity(
        "statistic",
        "what a rule compares with its limits; docs/rules.md says what it is for each",
        "1",
        "either",
        "votes",
    ),
    Quantity(
        "usable_epochs",
        "epochs with an innovation so far; the rule is silent below 30",
        "1",
        NO_SIGN,
        "votes of cusum and edetector",
    ),
    Quantity(
        "excess_mm_yr",
        "rate beyond what creep, season, rain and level explain",
        "mm/yr",
        "+ downhill",
        "vote of excess",
    ),
    Quantity(
        "excess_sd_mm_yr", "standard deviation of that rate", "mm/yr", NO_SIGN, "vote of excess"
    ),
    Quantity(
        "expected_mm_yr",
        "rate that creep, season, rain and level explain",
        "mm/yr",
        "+ downhill",
        "vote of excess",
    ),
    Quantity(
        "excess_sds",
        "excess in its own standard deviations",
        "standard deviations",
        "+ downhill",
        "vote of excess",
    ),
    Quantity(
        "log10_run_length_epochs",
        "decimal logarithm of the e-detector: epochs that an unchanged slope would take",
        "1",
        "either",
        "vote of edetector",
    ),
    Quantity(
        "probability_accelerating",
        "least probability that a unit is faster than explained and has become so over 36 days",
        "1",
        "0 to 1",
        "vote of acceleration",
    ),
    Quantity(
        "bayes_factor",
        "how much likelier the motion is with a runaway than without, up to a million",
        "1",
        NO_SIGN,
        "vote of failure_time",
    ),
    Quantity(
        "probability_30d",
        "probability of failure within 30 days, if the unit runs away",
        "1",
        "0 to 1",
        "vote of failure_time",
    ),
    Quantity(
        "epochs_in_acceleration",
        "epochs since the onset of the acceleration, median",
        "1",
        "0 or more",
        "vote of failure_time",
    ),
    Quantity(
        "failure_low_days",
        "days to failure that 1 in 10 runaways like this fall short of",
        "d",
        "0 or more",
        "vote of failure_time",
    ),
    Quantity(
        "failure_median_days",
        "days to failure in the middle of the range",
        "d",
        "0 or more",
        "vote of failure_time",
    ),
    Quantity(
        "failure_high_days",
        "days to failure that 9 in 10 runaways like this do not reach",
        "d",
        "0 or more",
        "vote of failure_time",
    ),
    Quantity(
        "onset_days",
        "days since the change began",
        "d",
        "0 or more",
        "vote of change_point",
    ),
    Quantity(
        "angle_deg",
        "tangential angle of the displacement curve, median",
        "degree",
        "0 or more",
        "vote of tangential_angle",
    ),
    Quantity(
        "angle_low_deg",
        "tangential angle that 1 in 10 draws fall short of",
        "degree",
        "0 or more",
        "vote of tangential_angle",
    ),
    Quantity(
        "angle_high_deg",
        "tangential angle that 9 in 10 draws do not reach",
        "degree",
        "0 or more",
        "vote of tangential_angle",
    ),
    Quantity(
        "uniform_creep_mm_yr",
        "rate of uniform creep along the line of sight",
        "mm/yr",
        "+ downhill",
        "vote of tangential_angle",
    ),
    Quantity(
        "uniform_creep_sd_mm_yr",
        "standard deviation of that rate",
        "mm/yr",
        "0 or more",
        "vote of tangential_angle",
    ),
    Quantity(
        "surely_mm_yr",
        "rate that the points in question surely pass",
        "mm/yr",
        "+ downhill",
        "vote of cluster",
    ),
    Quantity(
        "rain_unknown_days",
        "days of the two sums of rain that are not known",
        "d",
        NO_SIGN,
        "vote of rain",
    ),
    Quantity(
        "points_past",
        "points of the unit that surely pass the limit",
        "1",
        "0 or more",
        "vote of cluster",
    ),
    Quantity(
        "points_judged",
        "points of the unit with a velocity",
        "1",
        "0 or more",
        "vote of cluster",
    ),
    Quantity(
        "share_past",
        "share of the unit's points that surely pass the limit",
        "1",
        "0 to 1",
        "vote of cluster",
    ),
    Quantity(
        "largest_cluster",
        "neighbouring points that surely pass the limit",
        "1",
        "0 or more",
        "vote of cluster",
    ),
    Quantity(
        "rain_short_mm",
        "rain of the last days",
        "mm",
        "0 or more",
        "vote of rain",
    ),
    Quantity(
        "rain_antecedent_mm",
        "rain of the days before those",
        "mm",
        "0 or more",
        "vote of rain",
    ),
    Quantity(
        "rain_ratio",
        "rain against the line that it is held to",
        "1",
        "0 or more",
        "vote of rain",
    ),
    Quantity(
        "level_change_m_d",
        "change of the reservoir's level over the last days",
        "m/d",
        "+ rising",
        "vote of level",
    ),
    Quantity(
        "level_ratio",
        "change of the level against the rate that it is held to",
        "1",
        "0 or more",
        "vote of level",
    ),
    # Settings
    Quantity(
        "rate_walk_mm2_d3",
        "intensity q of the random walk of a rate: its variance grows by q a day",
        "mm^2/d^3",
        "above 0",
        "settings",
    ),
    Quantity(
        "velocity_prior_sd_mm_d",
        "standard deviation of a rate before the first epochs; its mean is 0",
        "mm/d",
        "1 or more",
        "settings",
    ),
    Quantity(
        "atmosphere_sd_mm",
        "standard deviation of an epoch's delay between a unit and the reference, shared by the "
        "unit's points",
        "mm",
        NO_SIGN,
        "settings",
    ),
    Quantity(
        "bank_distance_m",
        "distance of a unit's middle from the bank of the reservoir",
        "m",
        NO_SIGN,
        "settings",
    ),
    Quantity(
        "position",
        "place of a unit along its slope",
        "1",
        "0 at the toe to 1 at the head",
        "settings",
    ),
    Quantity(
        "flank_pixels",
        "pixels over which motion falls to zero at the edge of a unit",
        "1",
        "above 0",
        "settings",
    ),
)

BY_NAME: dict[str, Quantity] = {quantity.name: quantity for quantity in QUANTITIES}
