"""An explanation as plain text, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from core.events import Vote
from core.ledger import Attempt

if TYPE_CHECKING:
    from services.commands._grounds import Observation
    from services.commands.explaining import Explained, Explanation, File, Ground, Telling

SHOWN_ROWS = 15
"""Rows of rain, of level and of epochs that are shown of each station or track, the newest."""
KINDS = ("epoch", "pair", "rain", "level")


def lines(found: Explanation) -> Iterator[str]:
    """The chain from the first decision to the last, then what is at fault and out of reach."""
    state = "open" if found.closed is None else f"closed by decision {found.closed}"
    if found.drill:
        yield f"exercise {found.alert}: unit {found.unit} of {found.site}"
    else:
        yield f"alert {found.alert}: unit {found.unit} of {found.site}, {state}"
    if found.level is not None:
        yield f"the unit is {found.level} now"
    yield f"{len(found.decisions)} decisions; the chain of {found.site} ends in {found.head}"
    by_id = {one.id: one for one in found.observations}
    shown: dict[str, int] = {}
    for one in found.decisions:
        yield ""
        yield from _decision(one, found.observations, by_id, shown)
    yield ""
    for fault in found.faults:
        yield f"AT FAULT: {fault}"
    for missing in found.missing:
        yield f"out of reach: {missing}"
    if not found.faults and not found.missing:
        yield "nothing is out of reach: the chain goes down to its observations"


def _decision(
    one: Explained,
    observations: Sequence[Observation],
    by_id: dict[str, Observation],
    shown: dict[str, int],
) -> Iterator[str]:
    """`shown`: up to which place rows were shown, by kind and name; it goes on with them."""
    yield f"decision {one.seq}, {_moment(one.now)}: {'; '.join(_what(one))}"
    yield f"  cause     {one.cause['type']} {one.cause['id']}"
    if one.release is not None:
        release = one.release
        yield f"  release   {release.code} / {release.model} / {release.thresholds}"
    yield f"  table     {_file(one.table)}"
    yield f"  settings  {_file(one.settings)}"
    yield f"  chain     {one.hash}"
    for vote in one.votes:
        yield from _vote(vote)
    for ground in one.grounds:
        yield from _ground(ground, observations, by_id, shown)
    for told in one.told:
        yield from _told(told)
    for drop in one.dropped:
        yield f"  not told  {drop['recipient']}, {drop['kind']}: {drop['stage']}, {drop['reason']}"
    for key, value in one.other.items():
        yield f"  {key.replace('_', ' ')}: {_json(value)}"


def _what(one: Explained) -> Iterator[str]:
    """What the decision did, in a few words each."""
    for change in one.changes:
        for what in ("level", "coverage"):
            before, after = change[what]
            if before != after:
                yield f"{what} {before} -> {after} ({change['reason']})"
    for done in one.handled:
        by = f" by {done['by']}" if done["by"] else ""
        yield f"{done['action']}{by}{_because(done['reason'])}"
    if one.operator is not None and not one.handled:
        word = one.operator
        yield f"{word['command']} by {word['operator']}{_because(word['reason'])}"
    if one.deadline is not None:
        yield f"deadline {one.deadline} passed"
    if one.told and not one.changes:
        yield f"told {', '.join(sorted({told.recipient for told in one.told}))}"
    if not (one.changes or one.handled or one.operator or one.deadline or one.told):
        yield "nothing changed"


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _vote(vote: Vote) -> Iterator[str]:
    calibrated = "" if vote.calibrated else ", not calibrated"
    yield f"  vote      {vote.rule} on track {vote.track}: {vote.level}{calibrated}; {vote.reason}"
    if vote.figures:
        figures = ", ".join(f"{name} = {value:.6g}" for name, value in vote.figures.items())
        yield f"            {figures}"


def _ground(
    ground: Ground,
    observations: Sequence[Observation],
    by_id: dict[str, Observation],
    shown: dict[str, int],
) -> Iterator[str]:
    epoch = ""
    if ground.epoch is not None:
        of_what = "rain and level to" if ground.daily else f"track {ground.track}, epoch"
        epoch = f", {of_what} {ground.epoch}"
    yield f"  step      {ground.place} of inference{epoch}; outcome {ground.outcome}"
    if ground.evidence is not None:
        yield f"  evidence  {_file(ground.evidence)}"
    for name in ground.inputs:
        one = by_id.get(name)
        yield f"    from    {_input(one) if one else f'{name}: not on the log'}"
    before = [one for one in observations if one.place <= ground.place]
    yield from _scenes(ground, before, by_id)
    named = {one.key[:2] for one in before if one.key[0] in ("rain", "level")}
    if ground.track is not None:
        named |= {("epoch", ground.track), ("pair", ground.track)}
    for kind, name in sorted(named, key=lambda pair: (KINDS.index(pair[0]), pair[1])):
        yield from _rows(before, kind, name, shown.get(f"{kind} {name}", 0))
        shown[f"{kind} {name}"] = ground.place


def _scenes(
    ground: Ground, before: Sequence[Observation], by_id: dict[str, Observation]
) -> Iterator[str]:
    """Catalogued passes of the days that the step's own epoch or pairs were taken on."""
    days = set() if ground.epoch is None or ground.daily else {ground.epoch}
    for name in ground.inputs:
        data = by_id[name].data if name in by_id else {}
        days |= {date.fromisoformat(data[k]) for k in ("reference", "secondary") if k in data}
    scenes = [one for one in before if one.key[0] == "scene"]
    for day in sorted(days):
        of_day = [one for one in scenes if one.valid_time.date() == day]
        for one in of_day:
            data = one.data
            yield (
                f"    scene   {data['scene']} ({data['platform']}, path {data['path']}, "
                f"{data['product']}) of {day}, {_known(one)}"
            )
        if not of_day:
            yield f"    scene   of {day}: no catalogue had told of that pass by then"


def _rows(before: Sequence[Observation], kind: str, name: str, since: int) -> Iterator[str]:
    """The newest vintage of each day of a station or track; only those taken in after `since`."""
    newest = {one.key: one for one in before if one.key[:2] == (kind, name)}
    rows = sorted(newest.values(), key=lambda one: one.key)
    if not rows:
        return
    vintages = sum(one.key in newest for one in before)
    fresh = [one for one in rows if one.place > since]
    what = f"{len(fresh)} since step {since}" if since else f"{len(fresh)}"
    yield (
        f"    {kind:7} {name}: {len(rows)} of {rows[0].key[2]} to {rows[-1].key[-1]}, "
        f"{vintages} vintages; new here: {what}"
    )
    for one in fresh[-SHOWN_ROWS:]:
        yield f"      {_value(one)}"
    if len(fresh) > SHOWN_ROWS:
        yield f"      and {len(fresh) - SHOWN_ROWS} earlier ones, which --json lists"


def _value(one: Observation) -> str:
    """One row: its day, its value or file, and where it came from."""
    data = one.data
    match one.key[0]:
        case "rain":
            value = "missing" if data["rain_mm"] is None else f"{data['rain_mm']:g} mm"
        case "level":
            value = "missing" if data["level_m"] is None else f"{data['level_m']:g} m"
        case "pair":
            value = f"layers {data['layers']['sha256']}"
        case _:
            value = f"values {data['values']['sha256']}"
    return (
        f"{' to '.join(one.key[2:])}  {value}  feed {data['feed']}, vintage {one.vintage}, "
        f"{_known(one)}, {one.id}"
    )


def _input(one: Observation) -> str:
    return f"{one.type} {one.id}, place {one.place}, {_known(one)}"


def _known(one: Observation) -> str:
    assumed = " (assumed)" if one.assumed else ""
    return f"known since {_moment(one.available_at)}{assumed}"


def _told(told: Telling) -> Iterator[str]:
    by = f" by {told.channel}" if told.channel else ""
    yield f"  told      {told.recipient}{by}: {told.outcome}; notification {told.notification}"
    for attempt in told.attempts:
        yield f"            {_attempt(attempt)}"


def _attempt(attempt: Attempt) -> str:
    said = "; ".join(filter(None, (attempt.detail, attempt.receipt)))
    return f"attempt {attempt.number}, {_moment(attempt.at)}: {attempt.outcome}; {said}"


def _file(file: File | None) -> str:
    if file is None:
        return "none"
    return f"{file.sha256}{f': {file.fault}' if file.fault else ', in reach'}"


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def printable(text: str) -> str:
    """What operators wrote and servers answered, without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
