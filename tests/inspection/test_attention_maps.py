import numpy as np

from groundup.inspection.attention_maps import AttentionMap, load_maps, save_maps

MAPS = {
    "cross_1": AttentionMap(
        ["you", " are", "(end)"], ["thou", " art"], np.random.default_rng(1).random((2, 3, 2))
    ),
    "a mask": AttentionMap(["é", "日"], ["é", "日"], np.tril(np.ones((2, 2), bool))),
}


def test_maps_are_read_as_they_were_written(tmp_path):
    save_maps(tmp_path / "maps.npz", MAPS)
    found = load_maps(tmp_path / "maps.npz")
    assert list(found) == list(MAPS)
    for name, one in MAPS.items():
        assert (found[name].rows, found[name].columns) == (one.rows, one.columns)
        assert np.array_equal(found[name].weights, one.weights)
        assert found[name].weights.dtype == one.weights.dtype


def test_equal_maps_give_equal_bytes(tmp_path):
    for name in ("once", "again"):
        save_maps(tmp_path / name, MAPS)
    assert (tmp_path / "once").read_bytes() == (tmp_path / "again").read_bytes()


def test_no_maps(tmp_path):
    save_maps(tmp_path / "maps.npz", {})
    assert load_maps(tmp_path / "maps.npz") == {}
