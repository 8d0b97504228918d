"""What the dashboard of one site asks of the projection."""

from __future__ import annotations

SITE = "site = ${site:sqlstring}"
UNIT = f"{SITE} AND unit = ${{unit:sqlstring}}"
SERIES = f"{UNIT} AND track = ${{track:sqlstring}}"

SITES = """
    SELECT s.title AS __text, s.site AS __value
    FROM sites s LEFT JOIN units u ON u.site = s.site
    WHERE NOT s.retired
    GROUP BY s.site, s.title
    ORDER BY max(COALESCE(u.level_number, 0)) DESC, s.title, s.site
"""
UNITS = """
    SELECT n.title AS __text, n.unit AS __value
    FROM unit_names n LEFT JOIN units u ON u.site = n.site AND u.unit = n.unit
    WHERE n.site = ${site:sqlstring}
    ORDER BY COALESCE(u.level_number, 0) DESC, n.place
"""
MEASURED = f"""
    SELECT epoch::timestamp AT TIME ZONE 'UTC' AS time, los_displacement_mm AS "measured",
        los_displacement_mm - 1.645 * displacement_sd_mm AS "measured, low",
        los_displacement_mm + 1.645 * displacement_sd_mm AS "measured, high"
    FROM motion
    WHERE {SERIES} AND NOT out_of_range AND $__timeFilter(epoch)
    ORDER BY epoch
"""
EXPECTED = f"""
    SELECT day::timestamp AT TIME ZONE 'UTC' AS time, los_displacement_mm AS "forecast",
        low_90_mm AS "forecast, low 90 %", low_50_mm AS "forecast, low 50 %",
        high_50_mm AS "forecast, high 50 %", high_90_mm AS "forecast, high 90 %"
    FROM forecasts
    WHERE {SERIES} AND $__timeFilter(day)
    ORDER BY day
"""
VELOCITY = f"""
    SELECT epoch::timestamp AT TIME ZONE 'UTC' AS time, los_velocity_mm_per_year AS "velocity",
        los_velocity_mm_per_year - 1.645 * velocity_sd_mm_per_year AS "velocity, low",
        los_velocity_mm_per_year + 1.645 * velocity_sd_mm_per_year AS "velocity, high"
    FROM motion
    WHERE {SERIES} AND $__timeFilter(epoch)
    ORDER BY epoch
"""
RAIN = f"""
    SELECT day::timestamp AT TIME ZONE 'UTC' AS time, 'rain ' || station AS metric, rain_mm
    FROM rain
    WHERE {SITE} AND $__timeFilter(day)
    ORDER BY day, station
"""
RESERVOIR = f"""
    SELECT day::timestamp AT TIME ZONE 'UTC' AS time, 'level ' || station AS metric, level_m
    FROM reservoir
    WHERE {SITE} AND $__timeFilter(day)
    ORDER BY day, station
"""
VERDICTS = f"""
    SELECT DISTINCT ON (rule, track) rule, track, level_number AS level, at,
        CASE WHEN calibrated THEN 'yes' ELSE 'no' END AS calibrated, reason
    FROM verdicts
    WHERE {UNIT}
    ORDER BY rule, track, number DESC, place
"""
HISTORY = f"""
    SELECT at, 'level or coverage' AS what, level_number AS level, coverage, alert,
        '' AS who, reason, status
    FROM alert_changes WHERE {UNIT} AND $__timeFilter(at)
    UNION ALL
    SELECT at, action, level_number, '', alert, operator, reason, status
    FROM alert_actions WHERE {UNIT} AND $__timeFilter(at)
    ORDER BY 1 DESC
    LIMIT 200
"""
SPEAKING = f"""
    SELECT COALESCE(n.title, f.unit) AS name, f.track, f.model,
        CASE WHEN f.stepped_down THEN 'yes' ELSE 'no' END AS stands_in, f.reason,
        f.fitted::timestamp AT TIME ZONE 'UTC' AS fitted, f.horizon_d,
        f.los_displacement_mm AS expected, f.low_90_mm AS low, f.high_90_mm AS high
    FROM (SELECT DISTINCT ON (unit, track) * FROM forecasts WHERE {SITE}
        ORDER BY unit, track, horizon_d DESC) AS f
    LEFT JOIN unit_names n ON n.site = f.site AND n.unit = f.unit
    ORDER BY 1, 2
"""


def stretches(level: str) -> str:
    """The times at a level, for annotations."""
    return f"""
        SELECT time, timeend, text, tags FROM (
        SELECT at AS time, level,
            COALESCE(lead(at) OVER (ORDER BY number), GREATEST(now(), at)) AS timeend,
            initcap(level) || ': ' || reason AS text, unit || ',' || level AS tags
        FROM alert_changes
        WHERE {UNIT} AND status <> 'exercise') AS stretches
        WHERE level = '{level}' AND time <= $__timeTo() AND timeend >= $__timeFrom()
        ORDER BY time
    """


def steps(value: str, name: str) -> str:
    """What held at the beginning of the time shown, and every change in it; nothing from now on."""
    return f"""
        SELECT $__timeFrom()::timestamptz AS time, COALESCE((SELECT {value} FROM alert_changes
            WHERE {UNIT} AND status <> 'exercise' AND at < $__timeFrom()
            ORDER BY number DESC LIMIT 1), 0) AS "{name}"
        UNION ALL
        SELECT at, {value} FROM alert_changes
        WHERE {UNIT} AND status <> 'exercise' AND $__timeFilter(at)
        UNION ALL
        SELECT now(), NULL
        ORDER BY 1
    """
