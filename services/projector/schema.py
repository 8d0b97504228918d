"""The tables of the projection: what Grafana and people ask; `docs/projection.md` is made of this.

`TABLES` are for reading; each is written by one projection alone. `READ`, `TAKEN` and `VERSION` are
the projector's own. A server also keeps every meaning here, as the comment of a table or column.
A change of any table, or of what a projection remembers, needs another `SCHEMA`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Double,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import TypeDecorator, TypeEngine

SCHEMA: Final = 1
"""Of tables and memories; a database with an older one is emptied and filled again."""

# Byte order everywhere: a server's language must not change how names sort.
TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
METADATA: Final = MetaData()


class Moment(TypeDecorator[datetime]):
    """A UTC time: `timestamptz` of a server, RFC 3339 text (`...Z`, which sorts) of a file."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type that the database knows."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """A moment as the database takes it."""
        if value is None or dialect.name == "postgresql":
            return value
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """A moment as Python has it, in UTC."""
        if value is None or isinstance(value, datetime):
            return value.astimezone(UTC) if value else None
        return datetime.fromisoformat(value)


def _key(name: str, kind: Any, meaning: str) -> Column[Any]:
    return Column(name, kind, primary_key=True, autoincrement=False, comment=meaning)


def _one(name: str, kind: Any, meaning: str) -> Column[Any]:
    return Column(name, kind, nullable=False, comment=meaning)


def _maybe(name: str, kind: Any, meaning: str) -> Column[Any]:
    return Column(name, kind, comment=meaning)


def _table(name: str, projection: str, meaning: str, *columns: Column[Any] | Index) -> Table:
    return Table(name, METADATA, *columns, comment=meaning, info={"projection": projection})


def _site() -> Column[Any]:
    return _key("site", TEXT, "name of the site")


def _unit() -> Column[Any]:
    return _key("unit", TEXT, "id of the slope unit")


def _known() -> Column[Any]:
    return _one("available_at", Moment, "when it could be known")


SITES: Final = _table(
    "sites",
    "motion",
    "every site that was ever configured, as its file stands now",
    _site(),
    _one("title", TEXT, "name for people"),
    _one("simulated", Boolean, "whether its data are those of the digital twin"),
    _one("test", Boolean, "whether it is being tried out"),
    _one("retired", Boolean, "no longer watched; its rows stay"),
    _one("longitude", Double, "middle of its area, degrees east"),
    _one("latitude", Double, "middle of its area, degrees north"),
    _one("watched_from", Date, "first day that is news"),
)
UNIT_NAMES: Final = _table(
    "unit_names",
    "motion",
    "slope units that the site's file names now",
    _site(),
    _unit(),
    _one("title", TEXT, "name for people"),
    _one("place", Integer, "place in the file, from 0"),
)
RAIN: Final = _table(
    "rain",
    "drivers",
    "rain of one UTC day at one gauge, newest vintage",
    _site(),
    _key("day", Date, "UTC day"),
    _key("station", TEXT, "gauge, as its feed names it"),
    _one("feed", TEXT, "feed that brought it"),
    _maybe("rain_mm", Double, "rain of the day, mm; null: reported as missing"),
    _known(),
)
RESERVOIR: Final = _table(
    "reservoir",
    "drivers",
    "reservoir level of one UTC day, newest vintage",
    _site(),
    _key("day", Date, "UTC day"),
    _key("station", TEXT, "level station, as its feed names it"),
    _one("feed", TEXT, "feed that brought it"),
    _maybe("level_m", Double, "level, m above the station's datum; null: reported as missing"),
    _known(),
)
PASSES: Final = _table(
    "passes",
    "drivers",
    "satellite passes found in a catalogue",
    _site(),
    _key("scene", TEXT, "name of the scene in the catalogue"),
    _one("at", Moment, "end of the pass"),
    _maybe("path", Integer, "relative orbit"),
    _maybe("direction", TEXT, "ASCENDING or DESCENDING"),
    _one("platform", TEXT, "satellite"),
    _one("product", TEXT, "processing level of the scene"),
    _one("feed", TEXT, "feed that found it"),
    _known(),
    Index("ix_passes_site_at", "site", "at"),
)
CLOSED_DAYS: Final = _table(
    "closed_days",
    "motion",
    "UTC days that are over for a site, once inference has thought them through",
    _site(),
    _key("day", Date, "UTC day"),
    _one("historical", Boolean, "before the site was watched"),
    _known(),
)
MOTION: Final = _table(
    "motion",
    "motion",
    "motion of a slope unit at each epoch of a track, along the line of sight (+ toward the "
    "satellite), as the newest evidence has it",
    _site(),
    _unit(),
    _key("track", TEXT, "track"),
    _key("epoch", Date, "UTC day of the epoch"),
    _maybe(
        "los_displacement_mm",
        Double,
        "mean displacement of the unit since the reference epoch, mm; null: not measured",
    ),
    _maybe("displacement_sd_mm", Double, "its standard deviation as an observation, mm"),
    _maybe("los_velocity_mm_per_year", Double, "filtered velocity after the epoch, mm a year"),
    _maybe("velocity_sd_mm_per_year", Double, "its standard deviation, mm a year"),
    _one(
        "out_of_range",
        Boolean,
        "moved too far since the epoch before to be told; the filter left the epoch out",
    ),
    _known(),
)
FORECASTS: Final = _table(
    "forecasts",
    "motion",
    "newest forecast of each slope unit on each track, along the line of sight, on the zero of "
    "`motion`: the filtered displacement of the issue day plus the increment forecast",
    _site(),
    _unit(),
    _key("track", TEXT, "track"),
    _key("horizon_d", Integer, "days after the issue day"),
    _one("issued_for", Date, "issue day: what was known at its end was used"),
    _one("day", Date, "day that is forecast: issued_for plus horizon_d"),
    _one("los_displacement_mm", Double, "displacement expected, mm"),
    _one("low_90_mm", Double, "lower bound of the interval that holds 90 %, mm"),
    _one("low_50_mm", Double, "lower bound of the interval that holds 50 %, mm"),
    _one("high_50_mm", Double, "upper bound of the interval that holds 50 %, mm"),
    _one("high_90_mm", Double, "upper bound of the interval that holds 90 %, mm"),
    _one("model", TEXT, "model that spoke"),
    _one("reason", TEXT, "why it was this model"),
    _one("stepped_down", Boolean, "it stands in for the model that was chosen"),
    _maybe("fitted", Date, "day on which the models were fitted; null: they were not"),
    _known(),
)
UNITS: Final = _table(
    "units",
    "alerts",
    "level and coverage of every slope unit of which anything was decided; one that is not here "
    "is at blue and was never stale",
    _site(),
    _unit(),
    _one("level", TEXT, "blue, yellow, orange or red"),
    _one("level_number", Integer, "0 for blue to 3 for red"),
    _maybe("level_since", Moment, "when the level was decided; null: blue from the beginning"),
    _maybe("arose", Date, "day of which the level speaks; null: as above"),
    _one("coverage", TEXT, "watched, stale, blind or out of range"),
    _maybe("coverage_since", Moment, "when the coverage was decided; null: never another"),
    _one("reason", TEXT, "why it was changed last"),
    _one("alert", TEXT, "case that is open, else empty"),
    _one("status", TEXT, "actual or test"),
    _one("updated_at", Moment, "when anything of it was decided last"),
)
ALERT_CHANGES: Final = _table(
    "alert_changes",
    "alerts",
    "every change of a level or coverage",
    _site(),
    _key("number", BigInteger, "place among what alerting said of the site"),
    _one("unit", TEXT, "id of the slope unit"),
    _one("at", Moment, "when it was decided, by the time of what was known"),
    _one("day", Date, "day of which it speaks"),
    _one("level", TEXT, "level after it"),
    _one("level_number", Integer, "0 for blue to 3 for red"),
    _one("previous_level", TEXT, "level before it"),
    _one("coverage", TEXT, "coverage after it"),
    _one("previous_coverage", TEXT, "coverage before it"),
    _one("reason", TEXT, "why"),
    _one("alert", TEXT, "case it belongs to; empty where only coverage changed"),
    _one("status", TEXT, "actual, exercise or test"),
    _one("historical", Boolean, "told to nobody: before the site was watched"),
    _one("seq", BigInteger, "decision in the ledger"),
    Index("ix_alert_changes_site_at", "site", "at"),
)
ALERT_ACTIONS: Final = _table(
    "alert_actions",
    "alerts",
    "what was done about alerts",
    _site(),
    _key("number", BigInteger, "place among what alerting said of the site"),
    _one("unit", TEXT, "id of the slope unit"),
    _one("at", Moment, "when it was decided, by the time of what was known"),
    _one("action", TEXT, "what was done, such as acknowledged"),
    _one("operator", TEXT, "who did it; empty: the service"),
    _one("reason", TEXT, "why"),
    _one("level", TEXT, "level of the unit, of a drill the one exercised"),
    _one("level_number", Integer, "0 for blue to 3 for red"),
    _one("status", TEXT, "actual, exercise or test"),
    _one("alert", TEXT, "case it belongs to, else empty"),
    _one("seq", BigInteger, "decision in the ledger"),
    Index("ix_alert_actions_site_at", "site", "at"),
)
VERDICTS: Final = _table(
    "verdicts",
    "alerts",
    "what each rule asked for when a level or coverage changed",
    _site(),
    _key("number", BigInteger, "that of the row of `alert_changes`"),
    _key("place", Integer, "place among its verdicts, from 0"),
    _one("unit", TEXT, "id of the slope unit"),
    _one("at", Moment, "when it was decided, by the time of what was known"),
    _one("rule", TEXT, "rule"),
    _one("track", TEXT, "track that it looked at; `-` for rain and level"),
    _one("level", TEXT, "level it asked for"),
    _one("level_number", Integer, "0 for blue to 3 for red"),
    _one("calibrated", Boolean, "whether it had a threshold, and data enough to use it"),
    _one("reason", TEXT, "why"),
    _one("seq", BigInteger, "decision in the ledger"),
    Index("ix_verdicts_site_at", "site", "at"),
)
TABLES: Final[tuple[Table, ...]] = (
    *(SITES, UNIT_NAMES, RAIN, RESERVOIR, PASSES),
    *(CLOSED_DAYS, MOTION, FORECASTS),
    *(UNITS, ALERT_CHANGES, ALERT_ACTIONS, VERDICTS),
)
"""Tables for reading, in the order of the documentation."""

READ: Final = Table(
    "projection_read",
    METADATA,
    _key("projection", TEXT, "name of the stage"),
    _site(),
    _one("memory", TEXT, "what the projection remembers of the site"),
    _one("revision", Integer, "commits so far"),
    _one("log_id", TEXT, "identity of the inbox"),
    _one("partition", Integer, "its partition"),
    _one("offset", BigInteger, "last record taken in"),
    _one("seq", BigInteger, "inputs taken in; 0: the site is to be read again"),
    _one("taken", BigInteger, "last number taken from the stage before"),
    _one("given", BigInteger, "0: a projection says nothing"),
    _one("now", Moment, "latest time of its inputs"),
    comment="where each projection stands in each site's inbox",
)
TAKEN: Final = Table(
    "projection_taken",
    METADATA,
    _key("projection", TEXT, "name of the stage"),
    _site(),
    _key("event_id", TEXT, "id of an input"),
    comment="inputs that each projection has taken in",
)
VERSION: Final = Table(
    "projection_version",
    METADATA,
    _key("version", Integer, "schema of all these tables"),
    _one("tables", TEXT, "their names, with spaces between"),
    comment="which schema the projection has; this table keeps its shape for ever",
)


def tables_of(projection: str) -> tuple[Table, ...]:
    """The tables that a projection (`drivers`, `motion`, `alerts`) writes."""
    return tuple(table for table in TABLES if table.info["projection"] == projection)
