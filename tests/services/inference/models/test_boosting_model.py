import numpy as np
import pytest

from core.artifacts import pack, unpack
from core.errors import BadInputError, SettingsError
from services.inference.models import boosting, kalman_transfer
from services.inference.numerics import trees, windows
from services.inference.numerics.trees import Growth

SMALL = Growth(trees=12, depth=3, fewest_rows=20)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3000, 5))
    rows[:, 3] = np.round(rows[:, 3])
    return rows, np.sin(rows[:, 0]) * rows[:, 1] + (rows[:, 3] > 0), rng.uniform(0.5, 2.0, 3000)


def test_the_arrays_say_what_scikit_learn_says(table):
    from sklearn.ensemble import HistGradientBoostingRegressor

    rows, target, weight = table
    grown = trees.grow(rows, target, weight, SMALL)
    peer = HistGradientBoostingRegressor(
        max_iter=12,
        max_depth=3,
        max_leaf_nodes=None,
        learning_rate=SMALL.learning_rate,
        min_samples_leaf=20,
        l2_regularization=SMALL.penalty,
        early_stopping=False,
        random_state=0,
    ).fit(rows.astype(np.float32), target, weight)
    said = trees.predict(grown, rows)
    assert said == pytest.approx(peer.predict(rows.astype(np.float32)), abs=1e-6)
    assert np.mean((said - target) ** 2) < 0.8 * np.var(target)


def test_one_tree_is_read_by_hand():
    grown = trees.Trees(
        np.array([[0, 1, 1]], np.int16),
        np.array([[0.5, 0.0, np.inf]], np.float32),
        np.array([[1.0, 2.0, 3.0, 4.0]], np.float32),
        np.array([10.0]),
    )
    rows = np.array([[0.5, 0.0], [0.5, 0.1], [0.6, -9.0], [0.6, 9.0]])
    assert trees.predict(grown, rows) == pytest.approx([11.0, 12.0, 13.0, 13.0])


def test_trees_travel_as_plain_arrays(table):
    grown = trees.grow(*table, SMALL)
    again = trees.unpacked(unpack(pack(trees.packed(grown))))
    assert np.array_equal(trees.predict(again, table[0]), trees.predict(grown, table[0]))


def test_what_is_no_tree_is_refused(table):
    arrays = trees.packed(trees.grow(*table, SMALL))
    with pytest.raises(BadInputError, match="no trees"):
        trees.unpacked({**arrays, "leaf": arrays["leaf"][:, 1:]})
    with pytest.raises(BadInputError, match="threshold"):
        trees.unpacked({k: v for k, v in arrays.items() if k != "threshold"})


def test_missing_weights_are_told(tmp_path):
    with pytest.raises(SettingsError, match="no trees can be read"):
        boosting.open(boosting.Settings(weights=tmp_path / "nowhere.npz"))


def test_the_shipped_trees_are_there_and_small():
    from importlib.resources import files

    shipped = files("services.inference").joinpath("weights/boosting.npz").read_bytes()
    assert len(shipped) < 1_000_000
    assert boosting.open(boosting.Settings()).name == "boosting"


def test_training_gives_what_open_reads_and_trees_that_say_nothing_change_nothing(
    tiny_pool, tmp_path
):
    grown = boosting.train([(tiny_pool, 1399, 1500)], SMALL, every_d=24)
    (tmp_path / "grown.npz").write_bytes(pack(grown))
    model = boosting.open(boosting.Settings(weights=tmp_path / "grown.npz"))
    base = kalman_transfer.open(kalman_transfer.Settings())
    parameters, known = model.fit(tiny_pool, 1399), tiny_pool.known(1500)
    expected = base.forecast(parameters, known)
    path = model.forecast(parameters, known)
    assert (np.abs(path.displacement_mm - expected.displacement_mm) > 1e-6).any()
    assert (path.sd_mm <= expected.sd_mm * (1 + 1e-12)).all()

    silent = {**grown, "leaf": np.zeros_like(grown["leaf"]), "base": np.zeros(1)}
    (tmp_path / "silent.npz").write_bytes(pack(silent))
    path = boosting.open(boosting.Settings(weights=tmp_path / "silent.npz")).forecast(
        parameters, known
    )
    assert path.displacement_mm == pytest.approx(expected.displacement_mm, abs=1e-12)


def test_the_inputs_of_a_window_turn_with_the_satellite(tiny_pool):
    """Seen from the other side, a slope gives the same rows."""
    from dataclasses import replace

    base = kalman_transfer.open(kalman_transfer.Settings(rounds=1))
    known, parameters = tiny_pool.known(1400), base.fit(tiny_pool, 1399)
    other = replace(
        known,
        los_mm=-known.los_mm,
        setting=known.setting._replace(los_factor=-known.setting.los_factor),
    )
    turned = {**parameters, "coefficients": -parameters["coefficients"]}
    one = windows.rows(windows.look(base, parameters, known), (0, 12))
    two = windows.rows(windows.look(base, turned, other), (0, 12))
    assert two == pytest.approx(one, abs=1e-8)
