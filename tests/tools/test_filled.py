"""Queries of dashboards as Grafana fills them in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tools.dashboards.filled import Pace, Span, promql, sql

UNTIL = datetime(2026, 3, 14, tzinfo=UTC)
DAY = Span(UNTIL - timedelta(days=1), UNTIL)
PACE = Pace(scrape_s=15.0, points=500)


def test_times_and_values_are_filled_into_promql() -> None:
    text = 'rate(x{site=~"$site"}[$__rate_interval]) + increase(x[$__range]) + x[$__interval]'
    made = promql(text, {"site": ["a", "b"]}, DAY, PACE)
    assert made == 'rate(x{site=~"(a|b)"}[188s]) + increase(x[86400s]) + x[173s]'


def test_rates_of_a_short_time_see_four_scrapes() -> None:
    hour = Span(UNTIL - timedelta(hours=1), UNTIL)
    assert promql("rate(x[$__rate_interval])", {}, hour, PACE) == "rate(x[60s])"


def test_a_name_cannot_become_an_expression_of_promql() -> None:
    assert promql('x{site=~"$site"}', {"site": ["a.*"]}, DAY, PACE) == r'x{site=~"a\\.\\*"}'


def test_times_and_values_are_filled_into_sql() -> None:
    text = "site IN (${site:sqlstring}) AND $__timeFilter(at) AND at > $__timeFrom()"
    made = sql(text, {"site": ["a", "o'b"]}, DAY)
    since, until = "'2026-03-13T00:00:00.000000Z'", "'2026-03-14T00:00:00.000000Z'"
    times = f"at BETWEEN {since} AND {until} AND at > {since}"
    assert made == f"site IN ('a','o''b') AND {times}"


@pytest.mark.parametrize("text", ["site = '$site'", "$__timeGroup(at, 1d)", "${site}"])
def test_what_is_not_filled_in_safely_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"dashboards use|safely"):
        sql(text, {"site": ["a"]}, DAY)
