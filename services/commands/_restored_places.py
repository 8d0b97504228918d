"""Where each site stands on a restored log: at the same record as on the log that was backed up.

Offsets and partitions may be others there, the order of each site is the same; so a place is found
by counting the site's own records. What a stage had read and made dead letters of is not read
again, where its progress in the backup says so of the very state that was restored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from core.eventlog import EventLog, partition_of
from core.events import SITE_NAME
from core.ledger.carrying import Place
from core.progress import Behind, Progress
from core.stage import Bookmark
from services.commands._moving_log import Source

REASON = "was not in the store that was restored"


class Places(NamedTuple):
    """Of one stage: each site's place, its progress by partition, and what is left to read.

    `strangers` are sites that had been read from another log already when they were backed up.
    """

    sites: dict[str, Place]
    progress: dict[int, Progress]
    strangers: list[str]
    unread: int


def find_places(
    old: Source,
    new: EventLog,
    inbox: str,
    marks: Mapping[str, Bookmark],
    noted: Mapping[int, Progress],
) -> Places:
    """Find the place of every site in `marks` on `new`, a copy of `old`.

    `noted` is the stage's progress on `old`, by partition, not older than `marks`.

    A stage reads on from the first record that a site has not taken in; a site that is not in its
    store is read for from its own first record, beside the others.
    """
    own = {name: mark for name, mark in marks.items() if mark.log_id == old.topic_id(inbox)}
    taken = _taken(old, inbox, {name: _read(name, mark, noted) for name, mark in own.items()})
    identity = new.topic_id(inbox)
    seen: Counter[str] = Counter()
    last: dict[str, int] = {}
    first: dict[str, int] = {}
    unread = 0
    ends = new.end(inbox)
    for partition in ends:
        for record in new.read(inbox, partition):
            seen[record.key] += 1
            if seen[record.key] <= taken[record.key]:
                last[record.key] = record.offset
            else:
                first.setdefault(record.key, record.offset)
                unread += record.key in own
    sites = {
        name: Place(identity, partition_of(name, len(ends)), last.get(name, -1)) for name in own
    }
    progress = {}
    for partition, end in ends.items():
        here = [name for name in sites if sites[name].partition == partition]
        following = min((first[name] for name in here if name in first), default=end)
        behind = {
            name: Behind(offset, REASON)
            for name, offset in first.items()
            if name not in marks
            and SITE_NAME.fullmatch(name)
            and offset < following
            and partition_of(name, len(ends)) == partition
        }
        read = {name: sites[name].offset for name in here}
        progress[partition] = Progress(following, read, behind)
    return Places(sites, progress, sorted(marks.keys() - own.keys()), unread)


def _read(name: str, mark: Bookmark, noted: Mapping[int, Progress]) -> int:
    """The offset up to which a site has taken in what is its own, or made dead letters of it."""
    known = noted.get(mark.partition, Progress())
    stood = known.sites.get(name)
    if stood is not None and stood <= mark.offset:
        return max(known.next, mark.offset + 1)
    return mark.offset + 1


def _taken(old: Source, inbox: str, read: Mapping[str, int]) -> Counter[str]:
    """How many records of each site lie before the offset up to which it has read."""
    taken: Counter[str] = Counter()
    for partition in old.end(inbox):
        for record in old.read(inbox, partition):
            taken[record.key] += record.offset < read.get(record.key, 0)
    return taken
