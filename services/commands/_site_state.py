"""A site's state for reading alone, from a process that is not its worker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from core.artifacts import Artifacts, MemoryArtifacts, open_artifacts
from core.errors import SlopewatchError
from core.eventlog import open_log, partition_of
from core.events import OBSERVATIONS
from core.settings import Service
from core.statestore import open_states
from services.commands._reruns import Overlay, copied_log, run_again
from services.commands._standing import OutOfReachError, old_state
from services.inference.service import InferenceStage
from services.inference.state import SiteState
from services.inference.store import read_state

Echo = Callable[[str], None]


@contextmanager
def state_of(service: Service, site: str, echo: Echo) -> Iterator[tuple[SiteState, Artifacts]]:
    """The site's state, and the artifacts that it names; nothing of what stands is changed.

    Where a running service holds the state's folder it is made again from the log, in memory.
    Raises SlopewatchError where there is none.
    """
    artifacts = open_artifacts(str(service.artifacts))
    try:
        with old_state(service, site) as repository:
            yield read_state(repository, artifacts), artifacts
            return
    except OutOfReachError as error:
        echo(f"{error}; reading the log of {site} again instead")
    with _made_again(service, site, artifacts) as state:
        yield state, artifacts


@contextmanager
def _made_again(service: Service, site: str, artifacts: Artifacts) -> Iterator[SiteState]:
    with closing(open_log(str(service.log))) as log:
        topics = log.topics()
        records = []
        if OBSERVATIONS in topics:
            partition = partition_of(site, topics[OBSERVATIONS].partitions)
            records = [r.value for r in log.read(OBSERVATIONS, partition) if r.key == site]
    if not records:
        raise SlopewatchError(
            f"site {site!r} has no state yet: `slopewatch ingest backfill --site {site}`"
        )
    own = Overlay(MemoryArtifacts(), artifacts)
    with TemporaryDirectory() as folder, closing(open_states("memory://")) as states:
        stage = InferenceStage(states, own, service.thinning)
        url = f"sqlite://{Path(folder)}/log.db"
        with closing(copied_log(url, OBSERVATIONS, site, records)) as copy:
            run_again(stage, copy, own, len(records))
        with closing(states.open(site)) as repository:
            yield read_state(repository, own)
