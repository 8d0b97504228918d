"""What the how-to pages show is accepted: settings by their plug-ins, the rule by its vote."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from core import plugins
from core.evidence import Evidence
from core.settings import Service, Site, parse_site
from services import reference
from services.alerting.notifier import NOTIFIERS
from services.alerting.rule import RULES
from services.alerting.statistic import Settings
from services.alerting.thresholds import Overrides, ThresholdTable
from services.ingest.feed import FEEDS, SOURCES
from tests.docs.shell_blocks import ROOT, blocks

PAGES = [*sorted((ROOT / "docs" / "how-to").glob("*.md")), ROOT / "docs" / "first-hour.md"]
SHOWN = [
    (page.name, block)
    for page in PAGES
    for block in blocks(page.read_text(encoding="utf-8"), {"yaml"})
]


def accept(tree: dict[str, Any]) -> None:
    """Part of the service's file, or of a site's with the settings of all its plug-ins."""
    if set(tree) <= set(Service.model_fields):
        assert Service(**tree)
        return
    example = reference._example().model_dump(mode="json", exclude_none=True)
    site: Site = parse_site({**example, "rules": [], **tree})
    named = {FEEDS: site.feeds, SOURCES: site.sources, RULES: site.rules}
    named[NOTIFIERS] = tuple(recipient.notifier for recipient in site.recipients)
    for package, given in named.items():
        for plugin in given:
            plugins.settings(package, plugin.model_dump())


@pytest.mark.parametrize(("page", "block"), SHOWN, ids=[page for page, _ in SHOWN])
def test_settings_that_are_shown_are_accepted(page: str, block: str) -> None:
    accept(yaml.safe_load(block))


def evidence() -> Evidence:
    """Forty quiet epochs of one unit, the last with a jump of five standard deviations."""
    shape = (40, 1)
    innovation = np.zeros(shape)
    innovation[-1] = 5.0
    names = set(Evidence.__dataclass_fields__) - {"units"}
    given: dict[str, Any] = dict.fromkeys(names, np.ones(shape))
    given |= {
        "epoch_day": np.arange(40) * 12,
        "innovation_z": innovation,
        "out_of_range": np.zeros(shape, bool),
        "los_factor": np.array([0.5]),
    }
    return Evidence(units=("toe",), **given)


def test_the_rule_that_is_shown_votes() -> None:
    page = Path(ROOT / "docs" / "how-to" / "write-a-rule.md").read_text(encoding="utf-8")
    (block,) = blocks(page, {"python"})
    rule = ModuleType("jump")
    exec(compile(block, "write-a-rule.md", "exec"), rule.__dict__)
    limits = Settings(thresholds=Overrides(yellow=3.0, red=6.0))
    (vote,) = rule.open(limits, ThresholdTable("ours-1")).vote(evidence(), "t84")
    assert (vote.rule, vote.level, vote.calibrated) == ("jump", "yellow", True)
    (silent,) = rule.open(Settings(), ThresholdTable("ours-1")).vote(evidence(), "t84")
    assert (silent.level, silent.calibrated) == ("blue", False)
