"""The pages of `docs/` that are made from the code, and the one command that makes them.

`python -m services.reference [FOLDER]` writes them all, those of `core.asyncapi` included. Tests
make them again and compare, so that no setting, metric, quantity or reason is undocumented.
"""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import typer

from core import asyncapi, plugins, settings
from core.lexicon import QUANTITIES
from core.outlet import DEAD_LETTER_CODES
from core.settings import (
    Endpoints,
    Noise,
    Recipient,
    Reference,
    Service,
    Site,
    SlopeUnit,
    Smtp,
    Thinning,
    Tree,
    commented_yaml,
)
from core.telemetry import METRICS
from services import cli
from services.alerting.notifier import NOTIFIERS
from services.alerting.rule import DEFAULT_RULES, RULES, SHOWN_ONLY
from services.alerting.statistic import TOLD_WITHOUT_WATER, WITHOUT_WATER
from services.alerting.thresholds import Limits, ThresholdTable, load_table
from services.compose import shipped_table
from services.inference.model import MODELS
from services.ingest.feed import FEEDS, REJECTION_CODES, SOURCES
from services.projector.page import PROMISES, meanings

PLUGINS = {
    "Feeds": (FEEDS, "feeds"),
    "Sources": (SOURCES, "sources"),
    "Models": (MODELS, "model"),
    "Rules": (RULES, "rules"),
    "Notifiers": (NOTIFIERS, "recipients: notifier"),
}
"""Heading -> package, and the setting of a site where they are named."""


def pages() -> dict[str, str]:
    """Every page made here, by file name."""
    return {
        "quantities.md": quantities(),
        "metrics.md": metrics(),
        "settings.md": settings_page(),
        "rejections.md": rejections(),
        "cli.md": command_line(),
        "rules-reference.md": rules(),
        "projection.md": projection(),
    }


def quantities() -> str:
    """The lexicon."""
    rows = [[f"`{q.name}`", q.meaning, q.unit, q.sign, q.place] for q in QUANTITIES]
    return _page(
        "Quantities",
        "core/lexicon.py",
        "Displacement is cumulative and relative: to a reference epoch, and to firm ground. What "
        "is measured along the line of sight says `los` in its name or stands in an artifact of "
        "line-of-sight values; it is positive toward the satellite. Phase grows with range, so it "
        "has the other sign. NaN in an array, and null in an event, mean: not known.",
        _table(("Name", "Meaning", "Unit", "Sign", "Found in"), rows),
    )


def metrics() -> str:
    """The metrics that every service serves at `/metrics`."""
    rows = [
        [f"`{m.name}`", m.kind, ", ".join(f"`{x}`" for x in m.labels), m.meaning] for m in METRICS
    ]
    return _page(
        "Metrics",
        "core/telemetry.py",
        "Every process serves them at `/metrics` (Prometheus text format) beside `/healthz` (the "
        "process lives and none of its loops hangs; if one does, status 503 and its name) and "
        "`/readyz` (it can work; if not, status 503 and what is missing). A loop hangs when one "
        "pass takes longer than any honest one: 2 h for a stage, 12 h for the scheduler (history, "
        "fits), 30 min for sender and watchdog, 1 h for upkeep and vitals. An age is the present "
        "time minus a timestamp metric.",
        _table(("Metric", "Kind", "Labels", "Meaning"), rows),
    )


def rejections() -> str:
    """The numbered reasons for which input is not used."""
    return _page(
        "Reasons for which input is not used",
        "services/ingest/feed.py and core/outlet.py",
        "Nothing is dropped without a trace. A row, item or file that a feed or source cannot use "
        "is rejected by itself; the rest of the answer is taken in. A record that a stage cannot "
        "use becomes a dead letter. Both lie on the topic `dead-letters` with reason and content, "
        "and are counted in `slopewatch_feed_rejections_total` and "
        "`slopewatch_dead_letters_total`.",
        [
            "## Rejections by ingest",
            "",
            *_table(("Code", "Reason"), [[f"`{c}`", r] for c, r in REJECTION_CODES.items()]),
            "",
            "## Dead letters of a stage",
            "",
            *_table(("Code", "Reason"), [[f"`{c}`", r] for c, r in DEAD_LETTER_CODES.items()]),
        ],
    )


def settings_page() -> str:
    """Both settings trees and those of all plug-ins."""
    lines = [
        "Two kinds of YAML files and nothing else: one for the service, one for each site. Unknown "
        "names are errors. A `SLOPEWATCH_*` variable of the environment overrides the service's "
        "file: `SLOPEWATCH_SMTP__HOST=mail` sets `smtp.host`. Secrets come from the environment "
        "only, or from the file that `<NAME>_FILE` names.",
        "",
        "## The service: slopewatch.yaml",
        "",
        "All values are defaults; addresses left empty are placed under `data`.",
        "",
        "```yaml",
        commented_yaml(Service).rstrip(),
        "```",
        *_trees(Service, Smtp, Endpoints, Thinning),
        "",
        "## A site: sites/NAME.yaml",
        "",
        "An example with every field:",
        "",
        "```yaml",
        commented_yaml(Site, _example()).rstrip(),
        "```",
        *_trees(Site, Reference, SlopeUnit, Noise, Recipient),
    ]
    for heading, (package, place) in PLUGINS.items():
        lines += [
            "",
            f"## {heading}",
            "",
            f"Named under `{place}` in a site file by `kind`; its other fields stand beside it.",
        ]
        for name in plugins.names(package):
            lines += _plugin(package, name)
    return _page("Settings", "core/settings.py and the plug-ins", "", lines)


def command_line() -> str:
    """Every command with its arguments and options, as `--help` has them."""
    lines = ["## slopewatch", "", *_options("", typer.main.get_command(cli.app))]
    for name, command in commands().items():
        usage = " ".join(command.get_usage(_context(name, command)).split())
        lines += ["", f"## {name}", "", inspect.cleandoc(command.help or ""), ""]
        lines += ["```text", usage.removeprefix("Usage: "), "```", "", *_options(name, command)]
    return _page(
        "Command line",
        "services/cli/",
        "`--help` after any command says the same. A command ends with 0 when all is well, with 1 "
        "when it found something wrong or could not do it (one sentence says what to do), with 2 "
        "when it was not understood. Days and times are UTC.",
        lines,
    )


def commands() -> dict[str, Any]:
    """Every command that does something, by the words after `slopewatch`."""
    found: dict[str, Any] = {}

    def walk(words: tuple[str, ...], command: Any) -> None:
        if not hasattr(command, "commands"):
            found[" ".join(words)] = command
            return
        for name, child in command.commands.items():
            walk((*words, name), child)

    walk((), typer.main.get_command(cli.app))
    return dict(sorted(found.items()))


def options_of(name: str, command: Any) -> dict[str, str]:
    """What a command takes, in the words of its help; an empty text where it has none."""
    shown = (one.get_help_record(_context(name, command)) for one in command.params)
    return {what: " ".join(said.split()) for what, said in filter(None, shown)}


def _context(name: str, command: Any) -> Any:
    return command.context_class(command, info_name=f"slopewatch {name}".strip())


def _options(name: str, command: Any) -> list[str]:
    rows = [[f"`{what}`", said] for what, said in options_of(name, command).items()]
    return _table(("Argument or option", "Meaning"), rows) if rows else ["It takes none."]


def rules() -> str:
    """Every rule: what it asks, where it comes from, its limits in the shipped table."""
    table = load_table(shipped_table())
    default = {plugin.kind for plugin in DEFAULT_RULES}
    lines: list[str] = []
    parts: dict[str, Any] = {}
    for name in plugins.names(RULES):
        module = plugins.load(RULES, name)
        used = "At every site that names no rule." if name in default else "Where a site names it."
        told = inspect.cleandoc(module.__doc__ or "")
        lines += ["", f"## {name}", "", told, "", f"{used} {_limits_of(name, table)}", ""]
        schema = module.Settings.model_json_schema()
        lines += _fields(schema)
        parts |= schema.get("$defs", {})
    for part, inner in parts.items():
        lines += ["", f"## {part}", "", _first_line(inner), "", *_fields(inner)]
    return _page(
        "Rules, one by one",
        f"services/alerting/rules/ and threshold table {table.version}",
        "[Rules](rules.md) says how rules, levels and budgets hang together, and "
        "[how good the alerts are](alert-skill.md) what each rule finds by itself.",
        lines[1:],
    )


def _limits_of(name: str, table: ThresholdTable) -> str:
    """What the shipped table lets this rule ask for."""
    if name in SHOWN_ONLY:
        return "It is shown and never asks for a level."
    limits = table.rules.get(name, Limits())
    without = table.rules.get(WITHOUT_WATER.format(rule=name), Limits())
    told = TOLD_WITHOUT_WATER.removeprefix(", ")
    said = []
    for when, one in (("Limits", limits), (f"Limits, {told}", without)):
        known = [f"{level} {v:g}" for level, v in one._asdict().items() if v < math.inf]
        said += [f"{when}: {', '.join(known)}."] if known else []
    return " ".join(said) or "The shipped table has no limit for it."


def projection() -> str:
    """The tables for dashboards."""
    lines = PROMISES.strip().split("\n")
    for table, meaning, rows in meanings():
        lines += ["", f"### {table}", "", meaning, "", *_table(("Column", "Type", "Meaning"), rows)]
    return _page("The tables for dashboards", "services/projector/schema.py", "", lines)


def write(folder: Path) -> list[Path]:
    """Write all generated pages into `folder`; their paths."""
    made = asyncapi.write(folder)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
        made.append(folder / name)
    return made


def _example() -> Site:
    return settings.parse_site(
        {
            "name": "ridge",
            "title": "Ridge above the reservoir",
            "area": [11.0, 46.0, 11.1, 46.1],
            "watched_from": "2024-01-01",
            "reference": {"box": [11.0, 46.08, 11.02, 46.1]},
            "slope_units": [
                {
                    "id": "toe",
                    "name": "Toe",
                    "polygon": [[11.04, 46.04], [11.06, 46.04], [11.05, 46.06]],
                    "slope_deg": 25,
                    "aspect_deg": 250,
                }
            ],
            "feeds": [{"kind": "gsod", "station": "16022099999"}],
            "sources": [{"kind": "interferograms", "folder": "pairs", "track": "t117"}],
            "rules": [{"kind": "excess"}, {"kind": "rain", "thresholds": {"yellow": 1.0}}],
            "recipients": [
                {"id": "duty", "notifier": {"kind": "email", "to": ["duty@example.org"]}}
            ],
        }
    )


def _plugin(package: str, name: str) -> list[str]:
    module = plugins.load(package, name)
    tree: type[Tree] = module.Settings
    lines = ["", f"### {name}", "", inspect.cleandoc(module.__doc__ or "").split("\n")[0]]
    schema = tree.model_json_schema()
    if not schema.get("properties"):
        return [*lines, "", "Nothing to set."]
    lines += ["", *_fields(schema)]
    for part, inner in schema.get("$defs", {}).items():
        lines += ["", f"`{part}`: {_first_line(inner)}", "", *_fields(inner)]
    return lines


def _trees(*trees: type[Tree]) -> Iterator[str]:
    for tree in trees:
        schema = tree.model_json_schema()
        yield from ("", f"### {tree.__name__}", "", _first_line(schema), "", *_fields(schema))


def _fields(schema: Mapping[str, Any]) -> list[str]:
    required = schema.get("required", ())
    rows = [
        [
            f"`{name}`",
            asyncapi.type_text(field) + _bounds(field),
            "must be given" if name in required else _default(field),
            str(field.get("description", "")),
        ]
        for name, field in schema["properties"].items()
    ]
    return _table(("Field", "Type", "Default", "Meaning"), rows)


def _bounds(field: Mapping[str, Any]) -> str:
    """What pydantic checks beside the type."""
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
        "pattern": "matching `{}`",
    }
    said = [
        text.format(part[key])
        for part in field.get("anyOf", [field])
        for key, text in words.items()
        if key in part
    ]
    return f" ({', '.join(said)})" if said else ""


def _default(field: Mapping[str, Any]) -> str:
    value = field.get("default")
    if value is None:
        return "none"
    if "$ref" in field and set(value) != {"kind"}:
        return "see there"
    return f"`{msgspec.json.encode(value).decode()}`"


def _first_line(schema: Mapping[str, Any]) -> str:
    return str(schema.get("description", "")).split("\n\n", maxsplit=1)[0].replace("\n", " ")


def _page(title: str, made_from: str, intro: str, body: list[str]) -> str:
    head = f"Made by `python -m services.reference` from {made_from}: do not edit."
    parts = [f"# {title}", "", head, "", *([intro, ""] if intro else []), *body]
    return "\n".join(parts) + "\n"


def _table(head: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(row) + " |" for row in cells),
    ]


def main() -> None:
    """Write all generated pages into the folder named, or into `docs`."""
    for path in write(Path(sys.argv[1] if len(sys.argv) > 1 else "docs")):
        print(path)


if __name__ == "__main__":
    main()
