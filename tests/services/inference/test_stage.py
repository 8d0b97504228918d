"""The inference stage through worker, log and store."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np

from core.artifacts import MemoryArtifacts, pack
from core.clock import ReplayClock, end_of, midnight
from core.eventlog import TopicSpec, open_log
from core.events import (
    ALERTS,
    ASSESSMENTS,
    DEAD_LETTERS,
    OBSERVATIONS,
    DayClosed,
    DisplacementMeasured,
    Event,
    SiteConfigured,
    decode,
    encode,
    observation_id,
)
from core.settings import Site, site_bytes
from core.statestore import open_states
from core.telemetry import Telemetry
from core.worker import Worker
from services.inference.service import InferenceStage

AREA = (110.0, 31.0, 110.1, 31.1)
SITE = Site.model_validate(
    dict(
        name="xin",
        area=AREA,
        reference=dict(scene_median=False, box=(110.0, 31.0, 110.001, 31.001)),
        slope_units=[
            dict(
                id="u",
                polygon=[(110.0, 31.0), (110.1, 31.0), (110.1, 31.1), (110.0, 31.1)],
                slope_deg=20,
                aspect_deg=10,
            )
        ],
        watched_from="2021-01-01",
    )
)


def test_runs():
    log = open_log("memory://")
    log.create_topics([TopicSpec(t, 4) for t in (OBSERVATIONS, ASSESSMENTS, ALERTS, DEAD_LETTERS)])
    art = MemoryArtifacts()
    clock = ReplayClock(datetime(2022, 1, 1, tzinfo=UTC))
    states = open_states("memory://")
    stage = InferenceStage(states, art)
    w = Worker(log, stage, art, clock, Telemetry())
    prod = log.producer()
    P = 5
    pts = art.put(
        pack(
            dict(
                lon=np.linspace(110.02, 110.08, P),
                lat=np.full(P, 31.05),
                los_east=np.full(P, -0.61),
                los_north=np.full(P, -0.14),
                los_up=np.full(P, 0.78),
            )
        )
    )

    def say(data, valid, at, key):
        e = Event(
            id=observation_id("xin", key, data),
            site="xin",
            source="t",
            valid_time=valid,
            available_at=at,
            processed_at=at,
            data=data,
        )
        prod.send(OBSERVATIONS, "xin", encode(e)).wait(5)

    d0 = date(2020, 1, 1)
    say(
        SiteConfigured(settings=art.put(site_bytes(SITE)), watched_from=SITE.watched_from),
        midnight(d0),
        midnight(d0),
        "cfg",
    )
    rng = np.random.default_rng(1)
    for i in range(200):
        day = d0 + timedelta(days=i)
        if i % 12 == 0:
            v = art.put(
                pack(
                    dict(
                        los_displacement_mm=-0.3 * i + rng.normal(0, 2, P), sigma_mm=np.full(P, 2.0)
                    )
                )
            )
            say(
                DisplacementMeasured(
                    feed="t",
                    track="a",
                    epoch=day,
                    reference_epoch=d0,
                    values=v,
                    points=pts,
                    measured=P,
                ),
                midnight(day),
                midnight(day),
                f"e{day}",
            )
        say(DayClosed(day=day), end_of(day), end_of(day), f"d{day}")
    n = w.drain()
    assert n and not w.parked, w.parked
    out = [decode(r.value) for p in range(4) for r in log.read(ASSESSMENTS, p)]
    units = [e.data.units[0] for e in out if e.data.NAME == "state-updated"]
    assert abs(units[-1].los_velocity_mm_d + 0.3) < 0.05
    w.close()
