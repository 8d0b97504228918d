import array_api_strict as strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import geometry
from core.geometry import UnitVector


def length(vector):
    return np.sqrt(vector.east**2 + vector.north**2 + vector.up**2)


def test_an_ascending_satellite_looks_from_the_west():
    los = geometry.los_unit_vector(-12.6, 39.0)
    np.testing.assert_allclose(np.asarray(los), [-0.61, -0.14, 0.78], atol=0.005)


def test_a_descending_satellite_looks_from_the_east():
    los = geometry.los_unit_vector(-167.4, 39.0)
    np.testing.assert_allclose(np.asarray(los), [0.61, -0.14, 0.78], atol=0.005)


@pytest.mark.parametrize(
    ("aspect", "wanted"), [(0, (0, 1)), (90, (1, 0)), (180, (0, -1)), (270, (-1, 0))]
)
def test_downslope_points_where_the_slope_faces_and_down(aspect, wanted):
    level = np.cos(np.radians(30.0))
    s = geometry.downslope_unit_vector(30.0, float(aspect))
    np.testing.assert_allclose(
        np.asarray(s), [wanted[0] * level, wanted[1] * level, -0.5], atol=1e-15
    )


@given(st.floats(-360, 360), st.floats(0, 90), st.floats(0, 90), st.floats(0, 360))
def test_directions_have_length_one_and_the_factor_at_most_that(heading, incidence, slope, aspect):
    los = geometry.los_unit_vector(heading, incidence)
    s = geometry.downslope_unit_vector(slope, aspect)
    assert length(los) == pytest.approx(1.0)
    assert length(s) == pytest.approx(1.0)
    assert abs(geometry.los_factor(los, s)) <= 1 + 1e-12


def test_a_north_facing_slope_is_mostly_hidden_from_an_ascending_pass():
    los = geometry.los_unit_vector(-12.6, 39.0)
    c = geometry.los_factor(los, geometry.downslope_unit_vector(20.0, 0.0))
    assert c == pytest.approx(-0.395, abs=0.001)
    assert geometry.downslope_from_los(np.asarray(-90.0), c) == pytest.approx(228, abs=1)


def test_the_factor_is_masked_where_the_slope_is_not_seen():
    factor = np.asarray([0.5, -0.5, 0.2, 0.19, -0.1, 0.0, np.nan])
    down = geometry.downslope_from_los(np.full(7, 10.0), factor)
    np.testing.assert_allclose(down, [20.0, -20.0, 50.0, np.nan, np.nan, np.nan, np.nan])


def test_one_phase_cycle_is_half_a_wavelength_and_negative_toward_the_satellite():
    one = geometry.phase_to_los_mm(2 * np.pi)
    assert one == pytest.approx(-27.733, abs=5e-4)
    assert geometry.phase_to_los_mm(1.0, 0.055466) == pytest.approx(-4.4138, abs=1e-4)
    assert geometry.los_mm_to_phase(geometry.phase_to_los_mm(1.7)) == pytest.approx(1.7)


def test_the_constants_of_sentinel_1():
    assert round(geometry.SENTINEL1_WAVELENGTH_MM, 3) == 55.466
    assert geometry.ambiguity_limit_mm() == pytest.approx(13.87, abs=5e-3)
    assert geometry.ambiguity_limit_mm(240.0) == 60.0


def test_floats_and_arrays_mix_and_keep_their_kind():
    los = geometry.los_unit_vector(-12.6, np.asarray([30.0, 39.0, 45.0], dtype=np.float32))
    assert all(part.shape == (3,) and part.dtype == np.float32 for part in los)
    s = geometry.downslope_unit_vector(np.asarray([[10.0], [20.0]]), np.asarray([0.0, 90.0, 180.0]))
    assert all(part.shape == (2, 3) for part in s[:2])
    assert geometry.los_factor(los, s).shape == (2, 3)


def test_it_follows_the_array_api():
    angles = np.asarray([5.0, 25.0, 45.0])
    aspects = np.asarray([10.0, 200.0, 280.0])
    here = geometry.los_factor(
        geometry.los_unit_vector(-12.6, 39.0), geometry.downslope_unit_vector(angles, aspects)
    )
    s = geometry.downslope_unit_vector(strict.asarray(angles), strict.asarray(aspects))
    los = UnitVector(*(strict.asarray(np.full(3, part)) for part in (-0.61, -0.14, 0.78)))
    c = geometry.los_factor(los, s)
    np.testing.assert_allclose(np.asarray(c), here, atol=0.01)
    down = geometry.downslope_from_los(strict.asarray(angles), c)
    assert down.__array_namespace__() is strict
    phase = geometry.los_mm_to_phase(geometry.phase_to_los_mm(strict.asarray(angles)))
    np.testing.assert_allclose(np.asarray(phase), angles)
