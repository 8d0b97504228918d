"""Rules, their cases in `rules/`, and the test file that promtool makes of both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from core.telemetry import METRICS

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "helm" / "slopewatch" / "rules").glob("*.yaml"))
CASES = Path(__file__).parent / "rules"
RUNBOOKS = ROOT / "docs" / "runbooks"

SEVERITIES = ("critical", "warning", "info")
TARGET_LABELS = {"job", "service", "instance", "namespace"}
"""What Prometheus adds to every series; the relabelling of chart and examples brings `service`."""

NO_LABELS: Mapping[str, str] = {}
NOTHING: Mapping[str, int] = {}
STEP_S = 300
STEPS = 864

Json = dict[str, Any]
_NOW = re.compile(r"now-(\d+)")
_RUN = re.compile(r"(?P<start>_|-?[\d.]+)(?P<step>[+-][\d.]+)?x(?P<more>\d+)")
_SAMPLES = {"gauge": ("",), "counter": ("",), "histogram": ("_bucket", "_sum", "_count")}
_FIRING = 'count by (alertname, severity) (ALERTS{alertstate="firing"})'


class Moment(NamedTuple):
    """One test of promtool: what is scraped other than in health, and what stands at a moment.

    `series` by service; `gone`: services that are not there; `service`: one name for all of them.
    `firing`: how many alerts stand, by name and severity, and no other; `says`: some of them whole.
    """

    name: str
    at: str
    series: dict[str, dict[str, Any]]
    gone: tuple[str, ...] = ()
    service: str | None = None
    firing: Mapping[str, int] = NOTHING
    says: tuple[Json, ...] = ()


def groups() -> dict[str, list[Json]]:
    """Rules by the group that they are in, of every file."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return {group["name"]: group["rules"] for file in files for group in file["groups"]}


def rules() -> Iterator[Json]:
    """Every rule of every group."""
    for found in groups().values():
        yield from found


def alerts() -> list[Json]:
    """The alerting rules."""
    return [rule for rule in rules() if "alert" in rule]


def key(rule: Json) -> str:
    """`Name severity`, which tells alerting rules apart."""
    severity = rule["labels"]["severity"] if "labels" in rule and "expr" in rule else None
    return f"{rule['alert']} {severity or rule['severity']}"


def cases() -> list[Json]:
    """Every case of every file."""
    files = sorted(path for path in CASES.glob("*.yaml") if path.stem not in {"healthy", "restart"})
    return [case for path in files for case in yaml.safe_load(path.read_text(encoding="utf-8"))]


def known_labels() -> dict[str, set[str]]:
    """Labels by the name of every series that Prometheus may hold of slopewatch."""
    known = {
        metric.name + end: {*metric.labels, *({"le"} if end == "_bucket" else ())}
        for metric in METRICS
        for end in _SAMPLES[metric.kind]
    }
    return {**known, "up": set()}


def healthy(name: str = "healthy") -> dict[str, dict[str, Any]]:
    """Figures by service and series of an installation that is well."""
    return yaml.safe_load((CASES / f"{name}.yaml").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def scraped(
    base: Json, moment: Moment, step_s: int = STEP_S, more: Mapping[str, str] = NO_LABELS
) -> list[Json]:
    """What Prometheus scrapes until the moment: the healthy series with others in their place.

    `more` are labels of the whole installation.
    """
    strange = set(moment.series) - set(base)
    assert not strange, f"{moment.name}: no service {strange}"
    until = steps(moment.at, step_s) + 1
    found = []
    for service in base:
        if service == "all" or service in moment.gone:
            continue
        labels = {
            "job": "slopewatch",
            "service": moment.service or service,
            "instance": f"{service}-0:9464",
            **more,
        }
        own = {**base["all"], **base[service], **moment.series.get(service, {})}
        for series, figures in own.items():
            shown = samples(values(figures, step_s), until)
            found.append({"series": _with(series, labels), "values": " ".join(shown)})
    return found


def values(figures: Any, step_s: int) -> str:
    """Figures in promtool's notation."""
    if isinstance(figures, (int, float)):
        return f"{figures}+0x{STEPS}"
    if moving := _NOW.fullmatch(figures):
        return f"-{moving[1]}+{step_s}x{STEPS}"
    return str(figures)


def steps(duration: str, step_s: int) -> int:
    """How many steps a duration such as `70m` or `3h` has."""
    return int(duration[:-1]) * {"m": 60, "h": 3600, "d": 86400}[duration[-1]] // step_s


def samples(text: str, number: int) -> list[str]:
    """The first samples of a series in promtool's notation: `1+2x3` is 1 3 5 7, `_` is none."""
    found: list[str] = []
    for word in text.split():
        run = _RUN.fullmatch(word)
        if run is None:
            found.append(word)
        elif run["start"] == "_":
            found += ["_"] * int(run["more"])
        else:
            start, step = float(run["start"]), float(run["step"] or 0)
            found += [f"{start + step * n:.12g}" for n in range(int(run["more"]) + 1)]
    return found[:number]


def moments() -> Iterator[Moment]:
    """Each case twice: where its alert fires, with its words, and where it is silent."""
    for case in cases():
        says = [_words(case, case["severity"], case)]
        firing = {key(case): 1, **case.get("with", {})}
        if beside := case.get("beside"):
            lower = SEVERITIES[SEVERITIES.index(case["severity"]) + 1]
            says.append(_words(case, lower, beside))
            firing[f"{case['alert']} {lower}"] = 1
        yield _moment(case, f"{key(case)} fires", firing, says)
        near = case["silent"]
        assert key(case) not in near.get("with", {}), f"{key(case)} is not silent where it is to be"
        yield _moment(near, f"{key(case)} is silent", near.get("with", {}), [])


def packed(found: Iterable[Moment]) -> list[Moment]:
    """The same in fewer tests: at one time, where no two speak of one series or alert."""
    packs: list[Moment] = []
    for moment in found:
        for number, pack in enumerate(packs):
            if (pack.at, pack.gone, pack.service) == (moment.at, moment.gone, moment.service) and (
                not _names(pack) & _names(moment)
            ):
                packs[number] = _both(pack, moment)
                break
        else:
            packs.append(moment)
    return packs


def promtool_test(base: Json, moment: Moment, step_s: int = STEP_S) -> Json:
    """One entry of `tests:`."""
    standing = [
        {"labels": _with("{}", dict(zip(("alertname", "severity"), name.split(), strict=True)))}
        | {"value": count}
        for name, count in moment.firing.items()
    ]
    whole: dict[str, list[Json]] = {}
    for alert in moment.says:
        whole.setdefault(alert["exp_annotations"]["runbook"], []).append(alert)
    return {
        "name": moment.name,
        "interval": f"{step_s}s",
        "input_series": scraped(base, moment, step_s),
        "promql_expr_test": [{"expr": _FIRING, "eval_time": moment.at, "exp_samples": standing}],
        "alert_rule_test": [
            {"eval_time": moment.at, "alertname": name, "exp_alerts": alerts}
            for name, alerts in whole.items()
        ],
    }


def promtool_file(tests: list[Json], step_s: int = STEP_S) -> str:
    """A whole file for `promtool test rules`."""
    found = {
        "rule_files": [str(path) for path in RULES],
        "evaluation_interval": f"{step_s}s",
        "group_eval_order": sorted(groups(), key=lambda name: ("recording" not in name, name)),
        "tests": tests,
    }
    return yaml.safe_dump(found, sort_keys=False)


def _moment(where: Json, name: str, firing: dict[str, int], says: list[Json]) -> Moment:
    gone, service = tuple(where.get("gone", ())), where.get("as")
    series = where.get("series", {})
    return Moment(name, where["at"], series, gone, service, firing, tuple(says))


def _names(moment: Moment) -> set[str]:
    """The series and alerts that a moment speaks of."""
    series = {f"{service} {one}" for service, own in moment.series.items() for one in own}
    return series | {name.split()[0] for name in moment.firing}


def _both(one: Moment, other: Moment) -> Moment:
    return one._replace(
        name=f"{one.name}; {other.name}",
        series={
            service: {**one.series.get(service, {}), **other.series.get(service, {})}
            for service in {**one.series, **other.series}
        },
        firing={**one.firing, **other.firing},
        says=one.says + other.says,
    )


def _words(case: Json, severity: str, words: Json) -> Json:
    return {
        "exp_labels": {**case["labels"], "severity": severity, "app": "slopewatch"},
        "exp_annotations": {
            "summary": words["summary"],
            "description": words["description"],
            "runbook": case["alert"],
            "runbook_url": f"docs/runbooks/{case['alert']}.md",
        },
    }


def _with(series: str, labels: dict[str, str]) -> str:
    """The series with more labels."""
    name, _, own = series.removesuffix("}").partition("{")
    more = ",".join(f'{label}="{value}"' for label, value in labels.items())
    return f"{name}{{{own}{',' if own else ''}{more}}}"
