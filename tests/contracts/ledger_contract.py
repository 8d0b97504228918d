"""What every ledger backend promises. A backend's test subclasses it and gives `url`."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from multiprocessing.queues import Queue
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from core.errors import (
    BadInputError,
    ConflictError,
    NewerVersionError,
    SettingsError,
    SlopewatchError,
)
from core.events import LONGEST_ID, DayClosed, Event, decode, encode
from core.ledger import (
    Deadline,
    LedgerState,
    Notification,
    canonical,
    downgrade,
    losses,
    open_ledger,
    upgrade,
)
from core.ledger.database import Database
from core.ledger.ledger import Ledger
from core.ledger.routes import Route
from core.stage import Bookmark, SiteStore

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
SPAWN = multiprocessing.get_context("spawn")


def bookmark(seq: int) -> Bookmark:
    return Bookmark(
        log_id="log", partition=3, offset=2**40 + seq, seq=seq, taken=seq, given=seq, now=NOW
    )


def outcome(seq: int, site: str = "a") -> Event:
    return Event(
        id=f"event-{seq}",
        site=site,
        source="alerting",
        valid_time=NOW,
        available_at=NOW,
        processed_at=NOW,
        data=DayClosed(day=date(2026, 2, 28)),
        number=seq,
    )


def message(seq: int, **changes: Any) -> Notification:
    values = {
        "id": f"notification-{seq}",
        "seq": seq,
        "recipient": "duty-officer",
        "channel": "mail",
        "message": canonical({"title": f"seq {seq}"}),
        "created_at": NOW,
        "not_before": NOW,
    }
    return Notification(**{**values, **changes})


def think(state: LedgerState, seq: int, site: str = "a", **changes: Any) -> LedgerState:
    """One decision with its notification, as a handler would make them."""
    state = state.decide(site, seq, NOW, {"level": "red", "unit": f"unit-{seq % 3}"})
    row = message(seq, id=f"{site}-{seq}", **changes)
    return replace(state, state=canonical({"seq": seq}), notifications=(*state.notifications, row))


def write(ledger: Ledger, seqs: Sequence[int], site: str = "a", cut: int = 1) -> LedgerState:
    """Commit the decisions `seqs` of a site, `cut` in each commit."""
    store = ledger.site(site)
    state = store.open().state
    for start in range(0, len(seqs), cut):
        batch = seqs[start : start + cut]
        for seq in batch:
            state = think(state, seq, site)
        ids = [f"{site}-input-{seq}" for seq in batch]
        state = store.commit(state, bookmark(batch[-1]), ids, [outcome(batch[-1], site)])
    return state


def commit_for_ever(url: str, site: str, started: Queue[int]) -> None:
    """A worker that is killed some time."""
    store = open_ledger(url).site(site)
    held = store.open()
    state, seq = held.state, held.bookmark.seq if held.bookmark else 0
    while True:
        seq += 1
        due = Deadline(id=f"{site}-{seq}", site=site, due=NOW, kind="escalation", body="{}")
        state = replace(think(state, seq, site), deadlines=(due,))
        state = store.commit(state, bookmark(seq), [f"{site}-input-{seq}"], [outcome(seq, site)])
        started.put(seq)


def commit_some(url: str, site: str, times: int, won: Queue[int]) -> None:
    """A worker that shares its site with another, opening again after each conflict."""
    ledger = open_ledger(url)
    store = ledger.site(site)
    wins = 0
    while wins < times:
        held = store.open()
        seq = (held.bookmark.seq if held.bookmark else 0) + 1
        try:
            store.commit(think(held.state, seq, site), bookmark(seq), [f"{site}-input-{seq}"], ())
        except ConflictError:
            continue
        wins += 1
    ledger.close()
    won.put(wins)


def claim_all(url: str, owner: str, found: Queue[list[str]]) -> None:
    """A sender that empties the outbox, a few rows at a time."""
    ledger = open_ledger(url)
    ids = drain(ledger, owner, 3)
    ledger.close()
    found.put(ids)


def drain(ledger: Ledger, owner: str, limit: int) -> list[str]:
    """Claim and send until nothing is left, whoever has it at the moment."""
    ids: list[str] = []
    while any(row.outcome == "queued" for row in ledger.notifications()):
        for row in ledger.due_notifications(NOW, limit, owner, 3600):
            ledger.record_attempt(row.id, owner, NOW, "sent")
            ids.append(row.id)
    return ids


class LedgerContract:
    """Subclass it as `Test...` with a fixture `url` of an empty database."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def ledger(self, url: str) -> Iterator[Ledger]:
        upgrade(url)
        ledger = open_ledger(url)
        yield ledger
        ledger.close()

    def sql(self, url: str, *statements: str) -> None:
        """Change the database behind the ledger's back."""
        database = Database(url)
        with database.write() as connection:
            for statement in statements:
                connection.execute(text(statement))
        database.close()

    # A site's store

    def test_what_is_committed_is_read_back(self, ledger: Ledger) -> None:
        store: SiteStore[LedgerState] = ledger.site("a")
        held = store.open()
        assert held == (LedgerState(None, ""), None, ())
        state = think(think(held.state, 1), 2)
        outcomes = (outcome(1), outcome(2))
        kept = store.commit(state, bookmark(2), ["i1", "i2"], outcomes)
        assert kept == LedgerState(canonical({"seq": 2}), state.head)
        assert ledger.site("a").open() == (kept, bookmark(2), outcomes)
        assert ledger.decisions("a") == list(state.decisions)
        assert ledger.decisions("a", since_seq=1) == list(state.decisions[1:])
        view = ledger.state("a")
        assert view is not None
        assert (view.state, view.head, view.bookmark) == (kept.state, kept.head, bookmark(2))
        assert ledger.state("b") is None
        assert ledger.sites() == ["a"]

    def test_inputs_taken_in_are_known_by_site_and_id(self, ledger: Ledger) -> None:
        write(ledger, [1, 2])
        store, other = ledger.site("a"), ledger.site("b")
        with pytest.raises(ConflictError, match="site a: open it"):
            store.seen("a-input-2")
        store.open(), other.open()
        assert store.seen("a-input-2")
        assert not store.seen("a-input-3")
        assert not other.seen("a-input-2")

    @pytest.mark.parametrize("seqs", [[1], []])
    def test_what_another_holder_took_in_is_known_by_opening_again(
        self, ledger: Ledger, seqs: list[int]
    ) -> None:
        write(ledger, seqs)
        store = ledger.site("a")
        store.open()
        write(ledger, [2])  # by a holder that may die before it emits the outcome
        for one in ("a-input-2", "a-input-3"):
            with pytest.raises(ConflictError, match="site a: another worker committed"):
                store.seen(one)
        assert store.open().outcomes == (outcome(2),)
        assert store.seen("a-input-2")

    def test_a_commit_without_decisions_moves_the_bookmark_only(self, ledger: Ledger) -> None:
        state = write(ledger, [1])
        store = ledger.site("a")
        store.open()
        assert store.commit(state, bookmark(2), ["i2"], ()) == state
        assert store.open() == (state, bookmark(2), ())

    def test_times_come_back_in_utc_whatever_their_offset(self, ledger: Ledger) -> None:
        elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
        store = ledger.site("a")
        state = think(store.open().state, 1, created_at=elsewhere, not_before=elsewhere)
        store.commit(state, msgspec.structs.replace(bookmark(1), now=elsewhere), [], ())
        (row,) = ledger.notifications()
        held = store.open()
        assert held.bookmark is not None
        for moment in (row.created_at, row.not_before, held.bookmark.now):
            assert (moment, moment.utcoffset()) == (NOW, timedelta(0))

    def test_of_two_holders_only_the_first_to_commit_counts(self, ledger: Ledger) -> None:
        write(ledger, [1])
        first, second = ledger.site("a"), ledger.site("a")
        states = first.open().state, second.open().state
        first.commit(think(states[0], 2), bookmark(2), ["i2"], ())
        with pytest.raises(ConflictError, match="site a: another worker committed"):
            second.commit(think(states[1], 2), bookmark(2), ["i2"], ())
        assert len(ledger.notifications("a")) == 2
        again = second.open()
        second.commit(think(again.state, 3), bookmark(3), ["i3"], ())
        assert ledger.verify() == []

    def test_two_first_commits_conflict(self, ledger: Ledger) -> None:
        first, second = ledger.site("a"), ledger.site("a")
        states = first.open().state, second.open().state
        first.commit(think(states[0], 1), bookmark(1), [], ())
        with pytest.raises(ConflictError):
            second.commit(think(states[1], 1), bookmark(1), [], ())

    def test_a_commit_that_moved_no_seq_still_conflicts(self, ledger: Ledger) -> None:
        state = write(ledger, [1])
        first, second = ledger.site("a"), ledger.site("a")
        first.open(), second.open()
        first.commit(state, bookmark(1), [], ())
        with pytest.raises(ConflictError):
            second.commit(state, bookmark(1), [], ())

    def test_committing_asks_for_opening_first(self, ledger: Ledger) -> None:
        store = ledger.site("a")
        state = think(store.open().state, 1)
        store.close()
        with pytest.raises(ConflictError, match="open it"):
            store.commit(state, bookmark(1), [], ())

    def test_what_does_not_continue_the_chain_is_refused(self, ledger: Ledger) -> None:
        store = ledger.site("a")
        good = store.commit(think(store.open().state, 1), bookmark(1), [], ())
        for bad in (
            think(replace(good, head="0" * 64), 2),
            replace(good, head="0" * 64),
            think(good, 2, site="b"),
            think(good, 3),
            replace(good, deadlines=(Deadline(id="d", site="b", due=NOW, kind="k", body="{}"),)),
        ):
            with pytest.raises(SlopewatchError, match=r"^site a: "):
                store.commit(bad, bookmark(2), ["i2"], ())
        with pytest.raises(SlopewatchError, match="has its decision already"):
            think(think(good, 2), 2)
        assert not store.seen("i2")
        store.commit(think(good, 2), bookmark(2), ["i2"], ())

    def test_a_refused_row_takes_the_whole_commit_back(self, ledger: Ledger) -> None:
        before = write(ledger, [1])
        store = ledger.site("a")
        state = think(store.open().state, 2, urgent=True)
        twice = replace(state, notifications=(*state.notifications, message(9, id="a-1")))
        with pytest.raises(SlopewatchError, match="already") as caught:
            store.commit(twice, bookmark(2), ["i2"], [outcome(2)])
        assert not caught.value.retryable
        assert "seq 9" not in str(caught.value)
        assert store.open() == (before, bookmark(1), (outcome(1),))
        assert not store.seen("i2")
        assert [row.seq for row in ledger.notifications()] == [1]

    def test_a_state_of_a_newer_version_is_refused_an_older_lifted(self, ledger: Ledger) -> None:
        store = ledger.site("a", state_version=2)
        store.commit(think(store.open().state, 1), bookmark(1), [], ())
        with pytest.raises(NewerVersionError, match="version 2"):
            ledger.site("a", state_version=1).open()
        with pytest.raises(SettingsError, match="nothing lifts it"):
            ledger.site("a", state_version=3).open()
        lifted = ledger.site("a", state_version=3, lift=lambda state, old: f"{old}:{state}")
        state = lifted.open().state
        assert state.state == '2:{"seq":1}'
        lifted.commit(state, bookmark(2), [], ())
        view = ledger.state("a")
        assert view is not None
        assert view.state_version == 3

    def test_any_text_and_large_numbers_are_kept(self, ledger: Ledger) -> None:
        facts = {
            "reason": "NUL \0, tab \t, ß, 滑坡, 😀, \u2028",
            "count": 2**63 - 1,
            "tiny": 5e-324,
        }
        far = msgspec.structs.replace(bookmark(2**62), offset=2**63 - 1, taken=2**62, given=2**62)
        store = ledger.site("a")
        state = store.open().state.decide("a", 2**62, NOW, facts)
        state = store.commit(replace(state, state=canonical(facts)), far, ["滑坡"], ())
        assert store.open() == (state, far, ())
        assert store.seen("滑坡")
        (row,) = ledger.decisions("a")
        assert msgspec.json.decode(row.body)["facts"] == facts
        assert ledger.verify() == []

    def test_the_longest_id_that_an_event_may_have_is_kept(self, ledger: Ledger) -> None:
        letters = random.Random(7)
        longest = "".join(chr(letters.randrange(0x10000, 0x10FFFF)) for _ in range(LONGEST_ID))
        store = ledger.site("a" * 64)
        state = store.open().state.decide("a" * 64, 1, NOW, {})
        store.commit(state, bookmark(1), [longest], ())
        assert store.seen(longest)
        payload = encode(msgspec.structs.replace(outcome(1), id=longest))
        assert decode(payload).id == longest
        for bad in (longest + "x", "a\0b"):
            with pytest.raises(BadInputError, match="characters, none of them NUL"):
                decode(encode(msgspec.structs.replace(outcome(1), id=bad)))

    def test_a_large_batch_is_one_commit(self, ledger: Ledger) -> None:
        write(ledger, range(1, 2501), cut=2500)
        assert [row.seq for row in ledger.decisions("a")] == list(range(1, 2501))
        assert len(ledger.notifications("a")) == 2500

    # The chain

    def test_each_hash_is_of_the_previous_hash_and_the_body(self, ledger: Ledger) -> None:
        state = write(ledger, [1, 4])
        first, second = ledger.decisions("a")
        assert first.previous == ""
        for row in (first, second):
            assert row.hash == hashlib.sha256((row.previous + row.body).encode()).hexdigest()
        assert (second.previous, second.hash) == (first.hash, state.head)
        assert first.body == (
            '{"facts":{"level":"red","unit":"unit-1"},"now":"2026-03-01T06:00:00Z",'
            '"seq":1,"site":"a"}'
        )

    def test_export_does_not_depend_on_batches_or_order_of_sites(
        self, ledger: Ledger, url: str
    ) -> None:
        cuts = (1, 7, 3)
        exports = []
        for cut in cuts:
            for site in ("é", "b", "a") if cut == 1 else ("a", "é", "b"):
                write(ledger, range(1, 8), site, cut)
            exports.append(b"".join(ledger.export()))
            downgrade(url, "base")
            upgrade(url)
        assert exports[0] == exports[1] == exports[2]
        lines = [msgspec.json.decode(line) for line in exports[0].splitlines()]
        assert [(line["site"], line["seq"]) for line in lines] == [
            (site, seq) for site in ("a", "b", "é") for seq in range(1, 8)
        ]
        for line in lines:
            hashed = (line["previous"] + line["body"]).encode()
            assert line["hash"] == hashlib.sha256(hashed).hexdigest()

    def test_export_of_one_site_is_its_part_of_the_whole(self, ledger: Ledger) -> None:
        for site in ("a", "b"):
            write(ledger, range(1, 4), site)
        assert [*ledger.export("a"), *ledger.export("b")] == list(ledger.export())
        assert list(ledger.export("nowhere")) == []

    def test_an_untouched_ledger_verifies(self, ledger: Ledger) -> None:
        assert ledger.verify() == []
        write(ledger, range(1, 6))
        write(ledger, range(1, 3), "b")
        heads = {site: [row.hash for row in ledger.decisions(site)] for site in ("a", "b")}
        assert ledger.verify(heads) == []

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ("UPDATE decision SET body = replace(body, 'red', 'blue') WHERE seq = 3", "seq 3:"),
            ("UPDATE decision SET body = '[]' WHERE seq = 3", "seq 3:"),
            ("UPDATE decision SET hash = previous WHERE seq = 3", "seq 3:"),
            ("UPDATE decision SET previous = hash WHERE seq = 3", "seq 3:"),
            ("UPDATE decision SET seq = 9 WHERE seq = 5", "seq 9: the body names site a, seq 5"),
            ("UPDATE decision SET seq = 9 WHERE seq = 3", "seq 4:"),
            ("DELETE FROM decision WHERE seq = 1", "seq 2:"),
            ("DELETE FROM decision WHERE seq = 3", "seq 4:"),
            ("DELETE FROM decision WHERE seq = 5", "rows were removed"),
            ("DELETE FROM decision", "ends in no row"),
            ("UPDATE site SET head = ''", "its head is empty"),
        ],
    )
    def test_a_later_change_shows(self, ledger: Ledger, url: str, change: str, fault: str) -> None:
        write(ledger, range(1, 6))
        self.sql(url, change)
        (problem,) = ledger.verify()
        assert fault in problem
        assert problem.startswith("site ")

    def test_a_chain_given_to_another_site_shows(self, ledger: Ledger, url: str) -> None:
        write(ledger, range(1, 3))
        columns = 'revision, log_id, partition, "offset", seq, taken, given, now'
        self.sql(
            url,
            f"INSERT INTO site (name, state_version, head, outcomes, {columns}) "
            f"SELECT 'c', state_version, head, outcomes, {columns} FROM site",
            "UPDATE decision SET site = 'c'",
            "UPDATE site SET head = '' WHERE name = 'a'",
        )
        assert ledger.verify() == ["site c, seq 1: the body names site a, seq 1"]

    def test_a_whole_chain_written_anew_shows_by_the_heads_given_out(
        self, ledger: Ledger, url: str
    ) -> None:
        head = write(ledger, range(1, 4)).head
        tables = ("notification", "input", "decision", "site")
        self.sql(url, *(f"DELETE FROM {table}" for table in tables))
        write(ledger, range(1, 3))
        assert ledger.verify() == []
        (problem,) = ledger.verify({"a": [head]})
        assert problem.startswith(f"site a: the head {head} was given out")
        (problem,) = ledger.verify({"gone": [head]})
        assert problem.startswith("site gone: ")

    # The outbox

    def test_due_notifications_are_claimed_urgent_first(self, ledger: Ledger) -> None:
        store = ledger.site("a")
        state = store.open().state
        later = NOW + timedelta(hours=1)
        rows = (
            message(1),
            message(2, urgent=True),
            message(3, not_before=later, urgent=True),
            message(4, outcome="suppressed"),
            message(5, not_before=NOW - timedelta(microseconds=1)),
        )
        rows = tuple(replace(row, recipient=f"r{row.seq}") for row in rows)
        store.commit(replace(state, notifications=rows), bookmark(1), [], ())
        claimed = ledger.due_notifications(NOW, 10, "one", 60)
        assert [row.seq for row in claimed] == [2, 5, 1]
        assert {row.site for row in claimed} == {"a"}
        assert {(row.claims, row.attempts, row.lease_owner) for row in claimed} == {(1, 0, "one")}
        assert claimed[0].lease_until == NOW + timedelta(seconds=60)
        assert ledger.due_notifications(NOW, 10, "two", 60) == []
        assert [row.seq for row in ledger.due_notifications(later, 1, "two", 60)] == [2]
        assert [row.seq for row in ledger.notifications("a")] == [1, 2, 3, 4, 5]

    def test_to_one_recipient_one_is_lent_at_a_time(self, ledger: Ledger) -> None:
        write(ledger, [1, 2])
        write(ledger, [1], "b")
        claimed = ledger.due_notifications(NOW, 9, "one", 60)
        assert [row.id for row in claimed] == ["a-1", "b-1"]
        store = ledger.site("a")
        rise = think(store.open().state, 3, urgent=True)
        store.commit(rise, bookmark(3), [], ())
        assert ledger.due_notifications(NOW, 9, "two", 60) == []
        ledger.record_attempt("a-1", "one", NOW, "failed", retry_at=NOW + timedelta(minutes=1))
        assert [row.id for row in ledger.due_notifications(NOW, 9, "two", 60)] == ["a-3"]

    def test_what_was_decided_later_for_a_recipient_is_found(self, ledger: Ledger) -> None:
        write(ledger, range(1, 5))
        write(ledger, [9], "b")
        state = ledger.site("a").open().state
        other = replace(state, notifications=(message(5, recipient="other"),))
        store = ledger.site("a")
        store.open()
        store.commit(other, bookmark(5), [], ())
        (third,) = [row for row in ledger.notifications("a") if row.seq == 3]
        (first,) = ledger.due_notifications(NOW, 1, "one", 60)
        assert [row.id for row in ledger.later_notifications(first)] == ["a-2", "a-3", "a-4"]
        assert [row.id for row in ledger.later_notifications(third)] == ["a-4"]
        ledger.record_attempt("a-1", "one", NOW, "sent")
        (second,) = ledger.due_notifications(NOW, 1, "one", 60)
        ledger.record_attempt("a-2", "one", NOW, "suppressed", "overtaken")
        assert [row.id for row in ledger.later_notifications(first)] == ["a-3", "a-4"]
        assert [row.id for row in ledger.later_notifications(second)] == ["a-3", "a-4"]

    def test_what_else_waits_for_a_recipient_is_found_and_claimed_with_one(
        self, ledger: Ledger
    ) -> None:
        write(ledger, range(1, 6))
        (first,) = ledger.due_notifications(NOW, 1, "one", 60)
        ledger.record_attempt("a-1", "one", NOW, "failed", retry_at=NOW + timedelta(hours=1))
        (second,) = ledger.due_notifications(NOW, 1, "two", 60)
        write(ledger, [1], "b")
        assert (first.id, second.id) == ("a-1", "a-2")
        assert [row.id for row in ledger.queued_beside(second)] == ["a-1", "a-3", "a-4", "a-5"]
        taken = ledger.claim_too(["a-4", "a-1", "b-1"], "two", NOW, 60)
        assert [(row.id, row.claims) for row in taken] == [("a-1", 2), ("b-1", 1), ("a-4", 1)]
        assert {row.lease_owner for row in taken} == {"two"}
        assert ledger.claim_too(["a-4", "a-3"], "three", NOW, 60)[0].id == "a-3"
        assert ledger.due_notifications(NOW, 9, "four", 60) == []
        ledger.record_attempt("a-1", "two", NOW, "sent")
        assert ledger.claim_too(["a-1"], "two", NOW, 60) == []
        late = NOW + timedelta(seconds=60)
        assert [row.id for row in ledger.claim_too(["a-4"], "five", late, 60)] == ["a-4"]
        with pytest.raises(ConflictError):
            ledger.record_attempt("a-4", "two", late, "sent")

    def test_a_claim_given_back_may_be_put_off(self, ledger: Ledger) -> None:
        write(ledger, [1])
        ledger.due_notifications(NOW, 9, "one", 60)
        later = NOW + timedelta(minutes=5)
        ledger.give_back("a-1", "stranger", later)
        ledger.give_back("a-1", "one", later)
        assert ledger.due_notifications(later - timedelta(seconds=1), 9, "two", 60) == []
        (row,) = ledger.due_notifications(later, 9, "two", 60)
        assert (row.claims, row.attempts, row.not_before) == (1, 0, later)

    def test_routes_say_how_it_stands_with_each_recipient(self, ledger: Ledger) -> None:
        def tried(
            id: str, minute: int, outcome: Any, detail: str, again: int | None = None
        ) -> None:
            at = NOW + timedelta(minutes=minute)
            (row,) = ledger.claim_too([id], "one", at, 1)
            retry_at = None if again is None else NOW + timedelta(minutes=again)
            receipt = "taken" if outcome == "sent" else ""
            ledger.record_attempt(row.id, "one", at, outcome, detail, receipt, retry_at)

        assert ledger.routes() == []
        write(ledger, range(1, 5))
        write(ledger, [1], "b")
        tried("a-1", 0, "failed", "early", again=1)
        tried("a-1", 1, "sent", "address 2 of 2 refused")
        assert ledger.routes("a") == [
            Route(
                site="a",
                recipient="duty-officer",
                channel="mail",
                sent_at=NOW + timedelta(minutes=1),
                receipt="taken",
                refused="address 2 of 2 refused",
                failed_at=NOW,
                reason="early",
                waiting=3,
                waiting_since=NOW,
                untried_since=NOW,
            )
        ]
        tried("a-2", 2, "failed", "down", again=3)
        tried("a-2", 3, "failed", "still down", again=4)
        tried("a-3", 4, "failed", "gone")
        state = ledger.site("a").open().state
        kept_back = message(5, outcome="suppressed", channel="webhook")
        store = ledger.site("a")
        store.open()
        store.commit(replace(state, notifications=(kept_back,)), bookmark(5), [], ())
        of_a, of_b = ledger.routes()
        assert (of_a.channel, of_a.sent_at) == ("webhook", NOW + timedelta(minutes=1))
        assert (of_a.failed_at, of_a.reason) == (NOW + timedelta(minutes=4), "gone")
        assert (of_a.failing_since, of_a.failures) == (NOW + timedelta(minutes=2), 3)
        assert (of_a.given_up, of_a.waiting, of_a.untried_since) == (1, 2, NOW)
        assert (of_b.site, of_b.sent_at, of_b.failing_since, of_b.waiting) == ("b", None, None, 1)

    def test_what_waits_is_counted_by_site(self, ledger: Ledger) -> None:
        assert ledger.waiting() == {}
        store = ledger.site("a")
        hour = timedelta(hours=1)
        rows = (
            message(1, created_at=NOW - 2 * hour, outcome="suppressed"),
            message(2, created_at=NOW - hour, not_before=NOW + hour),
            message(3),
        )
        store.commit(replace(store.open().state, notifications=rows), bookmark(1), [], ())
        write(ledger, [1], "b")
        assert ledger.waiting() == {"a": (2, NOW - hour), "b": (1, NOW)}
        (row,) = ledger.claim_too([rows[1].id], "one", NOW, 60)
        assert ledger.waiting()["a"] == (2, NOW - hour), "it is under way and not delivered"
        ledger.record_attempt(row.id, "one", NOW, "sent")
        assert ledger.waiting() == {"a": (1, NOW), "b": (1, NOW)}

    def test_a_claim_is_renewed_until_another_has_it(self, ledger: Ledger) -> None:
        write(ledger, [1])
        (row,) = ledger.due_notifications(NOW, 9, "slow", 60)
        mine, late = [(row.id, "slow")], NOW + timedelta(seconds=90)
        assert ledger.renew_claims(mine, NOW + timedelta(seconds=59), 60) == 1
        assert ledger.due_notifications(late, 9, "next", 60) == []
        much_later = NOW + timedelta(hours=1)
        assert ledger.renew_claims(mine, much_later, 60) == 1  # nobody claimed it meanwhile
        assert ledger.due_notifications(much_later, 9, "next", 60) == []
        after = much_later + timedelta(seconds=60)
        assert len(ledger.due_notifications(after, 9, "next", 60)) == 1
        assert ledger.renew_claims(mine, after, 600) == 0
        assert ledger.renew_claims([*mine, (row.id, "next")], after, 600) == 1
        ledger.record_attempt(row.id, "next", after, "sent")
        assert ledger.renew_claims([(row.id, "next")], after, 600) == 0

    def test_a_claim_given_back_is_as_if_it_had_not_been(self, ledger: Ledger) -> None:
        write(ledger, [1])
        (before,) = ledger.notifications()
        ledger.due_notifications(NOW, 9, "one", 60)
        ledger.give_back("a-1", "stranger")
        assert ledger.due_notifications(NOW, 9, "two", 60) == []
        ledger.give_back("a-1", "one")
        assert ledger.notifications() == [before]
        assert ledger.attempts("a-1") == []
        with pytest.raises(ConflictError):
            ledger.record_attempt("a-1", "one", NOW, "sent")
        assert len(ledger.due_notifications(NOW, 9, "two", 60)) == 1

    def test_a_lease_that_ran_out_is_lent_again(self, ledger: Ledger) -> None:
        write(ledger, [1])
        assert len(ledger.due_notifications(NOW, 9, "killed", 60)) == 1
        assert ledger.due_notifications(NOW + timedelta(seconds=59.9), 9, "next", 60) == []
        after = NOW + timedelta(seconds=60)
        (row,) = ledger.due_notifications(after, 9, "next", 60)
        assert (row.claims, row.attempts) == (2, 0)
        with pytest.raises(ConflictError, match="not lent to killed"):
            ledger.record_attempt(row.id, "killed", after, "sent")
        ledger.record_attempt(row.id, "next", after, "sent", receipt="250 ok")
        (row,) = ledger.notifications()
        assert (row.outcome, row.claims, row.attempts, row.lease_owner) == ("sent", 2, 1, None)

    def test_a_late_record_counts_while_nobody_else_claimed(self, ledger: Ledger) -> None:
        write(ledger, [1])
        (row,) = ledger.due_notifications(NOW, 9, "slow", 60)
        ledger.record_attempt(row.id, "slow", NOW + timedelta(hours=1), "sent")
        assert ledger.due_notifications(NOW + timedelta(hours=2), 9, "next", 60) == []
        with pytest.raises(ConflictError):
            ledger.record_attempt(row.id, "slow", NOW, "sent")

    def test_failures_are_tried_again_when_asked(self, ledger: Ledger) -> None:
        write(ledger, [1])
        again = NOW + timedelta(minutes=5)
        (row,) = ledger.due_notifications(NOW, 9, "one", 60)
        ledger.record_attempt(row.id, "one", NOW, "failed", "451 later", retry_at=again)
        assert ledger.due_notifications(again - timedelta(seconds=1), 9, "one", 60) == []
        (row,) = ledger.due_notifications(again, 9, "one", 60)
        assert (row.claims, row.attempts) == (2, 1)
        ledger.record_attempt(row.id, "one", again, "failed", "550 no such box")
        assert ledger.due_notifications(again + timedelta(days=9), 9, "one", 60) == []
        (row,) = ledger.notifications()
        assert (row.outcome, row.attempts) == ("failed", 2)
        tries = ledger.attempts(row.id)
        assert [(t.number, t.at, t.outcome, t.detail) for t in tries] == [
            (1, NOW, "failed", "451 later"),
            (2, again, "failed", "550 no such box"),
        ]
        assert ledger.verify() == []

    def test_only_failures_may_be_tried_again(self, ledger: Ledger) -> None:
        write(ledger, [1])
        (row,) = ledger.due_notifications(NOW, 9, "one", 60)
        with pytest.raises(SettingsError):
            ledger.record_attempt(row.id, "one", NOW, "sent", retry_at=NOW)
        with pytest.raises(SettingsError):
            ledger.due_notifications(NOW, 0, "one", 60)
        with pytest.raises(BadInputError, match="no UTC offset"):
            ledger.due_notifications(NOW.replace(tzinfo=None), 1, "one", 60)

    def test_two_threads_never_claim_the_same(self, ledger: Ledger) -> None:
        write(ledger, range(1, 61), cut=60)

        with ThreadPoolExecutor(4) as pool:
            senders = [pool.submit(drain, ledger, owner, 2) for owner in "abcd"]
        found = [one for sender in senders for one in sender.result()]
        assert len(found) == len(set(found)) == 60

    def test_two_threads_never_serve_one_recipient_at_once(self, ledger: Ledger) -> None:
        write(ledger, range(1, 41), cut=40)
        under_way, beside, order = threading.Lock(), [], []

        def sender(owner: str) -> None:
            while len(order) < 60:
                for row in ledger.due_notifications(NOW, 2, owner, 3600):
                    alone = under_way.acquire(blocking=False)
                    order.append(row.id)
                    ledger.attempts(row.id)  # takes its time
                    if alone:
                        under_way.release()
                    else:
                        beside.append(row.id)
                    ledger.record_attempt(row.id, owner, NOW, "sent")

        def decide() -> None:
            for seq in range(41, 61):
                store = ledger.site("a")
                rise = think(store.open().state, seq, urgent=True)
                store.commit(rise, bookmark(seq), [], ())

        with ThreadPoolExecutor(5) as pool:
            ends = [pool.submit(sender, owner) for owner in "abcd"]
            ends.append(pool.submit(decide))
        for end in ends:
            end.result()
        assert beside == []
        rises = [one for one in order if int(one[2:]) > 40]
        assert rises == [f"a-{seq}" for seq in range(41, 61)]

    def test_two_processes_never_claim_the_same(self, ledger: Ledger, url: str) -> None:
        write(ledger, range(1, 121), cut=60)
        queue: Queue[list[str]] = SPAWN.Queue()
        senders = [SPAWN.Process(target=claim_all, args=(url, name, queue)) for name in "ab"]
        for sender in senders:
            sender.start()
        found = [one for _ in senders for one in queue.get(timeout=120)]
        for sender in senders:
            sender.join()
        assert len(found) == len(set(found)) == 120

    def test_an_answer_that_is_no_text_is_written_down_all_the_same(self, ledger: Ledger) -> None:
        write(ledger, [1])
        (row,) = ledger.due_notifications(NOW, 9, "one", 60)
        ledger.record_attempt(row.id, "one", NOW, "sent", "a\0b", "250 \udcff ok")
        (tried,) = ledger.attempts(row.id)
        assert (tried.detail, tried.receipt) == ("a\\x00b", "250 \\udcff ok")

    # Deadlines

    def test_deadlines_are_due_until_a_commit_ends_them(self, ledger: Ledger) -> None:
        assert ledger.next_due() is None
        store = ledger.site("a")
        state = store.open().state
        hours = {"late": 2, "early": 1, "never": 3}
        rows = tuple(
            Deadline(id=name, site="a", due=NOW + timedelta(hours=h), kind="silence", body="{}")
            for name, h in hours.items()
        )
        ended = ("never", "unknown")
        state = replace(state, deadlines=rows, done_deadlines=ended)
        state = store.commit(state, bookmark(1), [], ())
        assert state.deadlines == state.done_deadlines == ()
        assert ledger.next_due() == NOW + timedelta(hours=1)
        assert ledger.due_deadlines(NOW) == []
        later = NOW + timedelta(hours=9)
        assert ledger.due_deadlines(NOW + timedelta(hours=1)) == [rows[1]]
        assert ledger.due_deadlines(later) == [rows[1], rows[0]]
        store.commit(replace(state, done_deadlines=("early",)), bookmark(2), [], ())
        assert ledger.due_deadlines(later) == [rows[0]]
        other = ledger.site("b")
        stranger = replace(other.open().state, done_deadlines=("late",))
        other.commit(stranger, bookmark(1), [], ())
        assert ledger.next_due() == NOW + timedelta(hours=2)

    # Processes that die or compete

    @pytest.mark.timeout(300)
    def test_killed_at_any_moment_nothing_is_half_written(self, ledger: Ledger, url: str) -> None:
        pauses = random.Random(7)
        last = 0
        for _ in range(5):
            queue: Queue[int] = SPAWN.Queue()
            worker = SPAWN.Process(target=commit_for_ever, args=(url, "a", queue))
            worker.start()
            last = max(last, queue.get(timeout=120))
            time.sleep(pauses.uniform(0, 0.1))
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            worker.join()
            held = ledger.site("a").open()
            assert held.bookmark is not None
            seq = held.bookmark.seq
            assert seq >= last
            last = seq
            assert ledger.verify() == []
            every = list(range(1, seq + 1))
            assert [row.seq for row in ledger.decisions("a")] == every
            assert [row.seq for row in ledger.notifications("a")] == every
            assert len(ledger.due_deadlines(NOW)) == seq
            assert held.outcomes == (outcome(seq),)
            store = ledger.site("a")
            store.open()
            assert store.seen(f"a-input-{seq}")
            assert not store.seen(f"a-input-{seq + 1}")

    @pytest.mark.timeout(300)
    def test_two_processes_on_one_site_make_one_chain(self, ledger: Ledger, url: str) -> None:
        queue: Queue[int] = SPAWN.Queue()
        workers = [SPAWN.Process(target=commit_some, args=(url, "a", 25, queue)) for _ in "ab"]
        for worker in workers:
            worker.start()
        assert [queue.get(timeout=120) for _ in workers] == [25, 25]
        for worker in workers:
            worker.join()
        assert ledger.verify() == []
        assert [row.seq for row in ledger.decisions("a")] == list(range(1, 51))

    def test_of_two_workers_at_once_one_wins_each_round(self, ledger: Ledger, url: str) -> None:
        rounds = 50
        start = threading.Barrier(2, timeout=60)

        def worker(name: str) -> list[int]:
            own = open_ledger(url)
            store, won = own.site("a"), []
            for seq in range(1, rounds + 1):
                state = replace(think(store.open().state, seq), state=canonical({"by": name}))
                start.wait()
                try:
                    store.commit(state, bookmark(seq), [f"a-input-{seq}"], [outcome(seq)])
                    won.append(seq)
                except ConflictError:
                    pass
                start.wait()
            own.close()
            return won

        with ThreadPoolExecutor(2) as pool:
            won = [seq for wins in pool.map(worker, "xy") for seq in wins]
        assert sorted(won) == list(range(1, rounds + 1))
        assert [row.seq for row in ledger.decisions("a")] == sorted(won)
        assert [row.seq for row in ledger.notifications("a")] == sorted(won)
        assert ledger.verify() == []

    # The schema

    @pytest.mark.timeout(300)
    def test_several_processes_may_migrate_at_once(self, url: str) -> None:
        for target in ((upgrade, (url,)), (downgrade, (url, "base")), (upgrade, (url,))):
            movers = [SPAWN.Process(target=target[0], args=target[1]) for _ in range(3)]
            for mover in movers:
                mover.start()
            for mover in movers:
                mover.join()
            assert [mover.exitcode for mover in movers] == [0, 0, 0]
        ledger = open_ledger(url)
        write(ledger, [1])
        ledger.close()

    def test_what_going_down_would_lose_is_said_first(self, ledger: Ledger, url: str) -> None:
        write(ledger, [1, 2])
        write(ledger, [1], "b")
        held, *steps = losses(url, "base")
        assert held == "it holds 3 decisions of 2 sites, 3 notifications are not sent"
        assert steps == ["from 0001: Drop the tables and what they hold."]
        assert losses(url, "0001") == []
        with pytest.raises(SettingsError, match="cannot go to schema nonsense"):
            losses(url, "nonsense")
        assert downgrade(url, "base") == ("0001", "")
        assert losses(url, "base") == []
        assert upgrade(url) == ("", "0001")
        assert upgrade(url) == ("0001", "0001")

    def test_up_down_and_up_again(self, url: str) -> None:
        upgrade(url)
        ledger = open_ledger(url)
        write(ledger, [1])
        ledger.close()
        upgrade(url)
        downgrade(url, "base")
        upgrade(url)
        ledger = open_ledger(url)
        assert ledger.sites() == []
        write(ledger, [1])
        assert ledger.verify() == []
        ledger.close()

    def test_the_migrations_make_the_tables_that_the_code_knows(
        self, ledger: Ledger, url: str
    ) -> None:
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext
        from alembic.script import ScriptDirectory

        from core.ledger.schema import HEAD, metadata
        from core.ledger.schema_version import VERSION_TABLE, config

        assert ScriptDirectory.from_config(config()).get_current_head() == HEAD
        database = Database(url)
        with database.read() as connection:
            context = MigrationContext.configure(
                connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
            )
            assert compare_metadata(context, metadata) == []
        database.close()

    def test_a_newer_schema_is_refused(self, ledger: Ledger, url: str) -> None:
        self.sql(url, "UPDATE ledger_version SET version_num = '9999'")
        for call in (open_ledger, upgrade):
            with pytest.raises(NewerVersionError, match="has schema 9999, this release knows up"):
                call(url)
        with pytest.raises(NewerVersionError):
            downgrade(url, "base")

    def test_an_unknown_revision_is_refused(self, ledger: Ledger, url: str) -> None:
        with pytest.raises(SettingsError, match="cannot go to schema nonsense"):
            upgrade(url, "nonsense")
