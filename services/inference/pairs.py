"""Interferograms on their way to epochs: a window of pairs, inverted when a day is closed.

The pairs of one acquisition arrive one by one; what they say together is taken at the end of the
day, so that an epoch is issued once, with all its pairs of that day. Later pairs may improve an
old epoch's estimate; that is a new vintage of the inversion and does not change what was issued.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

import numpy as np

from core.artifacts import Artifacts, numbers, unpack
from core.errors import BadInputError, UnavailableError
from core.events import ArtifactRef, InterferogramReady
from core.evidence import Floats
from core.geometry import phase_to_los_mm
from services.inference.timeseries.closure import (
    closure_phase,
    independent_loops,
    independent_triplets,
    triplets,
)
from services.inference.timeseries.links import Pair
from services.inference.timeseries.network import design_matrix, invert
from services.inference.timeseries.noise import phase_variance
from services.inference.timeseries.sequential import WindowState, add_pairs, begin, estimate

WINDOW_EPOCHS = 16


class Waiting(NamedTuple):
    """A pair that arrived since the last closed day."""

    pair: Pair
    layers: ArtifactRef
    wavelength_mm: float
    looks: float
    event: str


@dataclass(frozen=True)
class PairWindow:
    """Pairs of one track: those waiting, what the others say, and the epochs issued so far."""

    waiting: tuple[Waiting, ...] = ()
    state: WindowState | None = None
    issued: tuple[date, ...] = ()
    known: tuple[Pair, ...] = ()


class Issued(NamedTuple):
    """One epoch that the network has just made known."""

    epoch: date
    displacement_mm: Floats
    sigma_mm: Floats


def add_pair(window: PairWindow, data: InterferogramReady, event: str) -> PairWindow:
    """Let the pair of `event` wait for the end of the day.

    A pair that was taken in before changes nothing (a reprocessed one is a new product: give it
    a track of its own). `BadInputError` for a pair that reaches before the window.
    """
    pair = Pair(data.reference, data.secondary)
    if pair.reference >= pair.secondary:
        raise BadInputError(f"pair {pair.reference} - {pair.secondary}: reference must be earlier")
    if window.state is not None and pair.reference < window.state.dates[0]:
        raise BadInputError(
            f"pair {pair.reference} - {pair.secondary} begins before the window of "
            f"{WINDOW_EPOCHS} epochs, which now starts at {window.state.dates[0]}"
        )
    if pair in window.known:
        return window
    waiting = Waiting(pair, data.layers, data.wavelength_mm, data.looks, event)
    return replace(window, waiting=(*window.waiting, waiting), known=(*window.known, pair))


def check_pair(
    data: InterferogramReady, artifacts: Artifacts, in_reference: np.ndarray, *, looks: float
) -> None:
    """`BadInputError` for a pair that could not be inverted at the end of its day."""
    if not data.wavelength_mm > 0:
        raise BadInputError(f"a wavelength of {data.wavelength_mm} mm cannot be")
    referenced_layers(artifacts.get(data.layers), in_reference, data.looks or looks)


def check_waiting(
    window: PairWindow, artifacts: Artifacts, in_reference: np.ndarray, *, looks: float
) -> None:
    """`BadInputError` where a waiting pair has nothing to see on this firm ground."""
    for one in window.waiting:
        referenced_layers(artifacts.get(one.layers), in_reference, one.looks or looks)


def invert_waiting(
    window: PairWindow, artifacts: Artifacts, in_reference: np.ndarray, *, looks: float
) -> tuple[PairWindow, tuple[Issued, ...]]:
    """Take the waiting pairs into the network; returns the epochs that are new, in order.

    Phases are made relative to the median of `in_reference` (P,) per pair. Displacement is
    positive toward the satellite.
    """
    if not window.waiting:
        return window, ()
    try:
        loaded = [
            referenced_layers(artifacts.get(w.layers), in_reference, w.looks or looks)
            for w in window.waiting
        ]
    except BadInputError as error:
        # It was whole when it came. A day that is closed without it could not be reproduced.
        raise UnavailableError(f"an interferogram of the day has changed: {error}") from error
    pairs = [w.pair for w in window.waiting]
    state = window.state or begin(min(p.reference for p in pairs), in_reference.size)
    state = add_pairs(
        state,
        np.stack([phase for phase, _ in loaded]),
        pairs,
        np.stack([variance for _, variance in loaded]),
        window=WINDOW_EPOCHS,
    )
    found = estimate(state)
    wavelength_m = window.waiting[-1].wavelength_mm / 1e3
    issued = tuple(
        Issued(
            epoch,
            np.asarray(phase_to_los_mm(found.phase[row], wavelength_m)),
            np.abs(np.asarray(phase_to_los_mm(found.sigma[row], wavelength_m))),
        )
        for row, epoch in enumerate(found.epochs)
        if epoch not in window.issued and np.isfinite(found.phase[row]).any()
    )
    done = (*window.issued, *(i.epoch for i in issued))
    return replace(window, waiting=(), state=state, issued=done), issued


def referenced_layers(
    content: bytes, in_reference: np.ndarray, looks: float
) -> tuple[Floats, Floats]:
    """Phase relative to the reference, and its variance (rad^2), of a layers artifact."""
    arrays = unpack(content)
    phase = referenced_phase(arrays, in_reference)
    coherence = numbers(arrays, "coherence")
    if coherence.shape != phase.shape:
        raise BadInputError("layers artifact: coherence and phase must have the same pixels")
    return phase, np.asarray(phase_variance(coherence, looks))


def referenced_phase(arrays: Mapping[str, np.ndarray], in_reference: np.ndarray) -> Floats:
    """Phase (P,) less its median over the reference pixels."""
    phase = numbers(arrays, "phase_rad")
    if phase.shape != in_reference.shape:
        raise BadInputError(
            f"layers have {phase.size} pixels where the track has {in_reference.size}"
        )
    firm = phase[in_reference & np.isfinite(phase)]
    if firm.size == 0:
        raise BadInputError("no valid pixel in the reference area: choose another reference box")
    return np.asarray(phase - np.median(firm), float)


class StackReport(NamedTuple):
    """How well a stack of interferograms fits together, over pixels valid in all of them."""

    pairs: int
    epochs: int
    pixels: int
    residual_rms_rad: float
    triplets: int
    independent_triplets: int
    loops: int
    closure_mean_rad: float
    closure_sd_rad: float
    share_off_cycle: float


def stack_report(
    events: Sequence[InterferogramReady], artifacts: Artifacts, in_reference: np.ndarray
) -> StackReport:
    """Unweighted batch inversion of all pairs and their closure; the divisor is N.

    Phases are relative to the median of `in_reference` (P,). `BadInputError` where no pixel is
    valid in every pair.
    """
    pairs = [Pair(event.reference, event.secondary) for event in events]
    phase = np.stack(
        [referenced_phase(unpack(artifacts.get(e.layers)), in_reference) for e in events]
    )
    phase = phase[:, np.isfinite(phase).all(axis=0)]
    if phase.shape[1] == 0:
        raise BadInputError("no pixel is valid in all interferograms of this track")
    found = invert(phase, pairs)
    design = design_matrix(pairs, found.epochs)
    residual = phase - design @ found.phase
    closed = triplets(pairs)
    closure = closure_phase(phase, closed)
    return StackReport(
        pairs=len(pairs),
        epochs=len(found.epochs),
        pixels=phase.shape[1],
        residual_rms_rad=float(np.sqrt(np.mean(residual**2))),
        triplets=len(closed),
        independent_triplets=independent_triplets(closed),
        loops=independent_loops(pairs),
        closure_mean_rad=float(closure.mean()) if closed else 0.0,
        closure_sd_rad=float(closure.std()) if closed else 0.0,
        share_off_cycle=float((np.abs(closure) > np.pi).mean()) if closed else 0.0,
    )
