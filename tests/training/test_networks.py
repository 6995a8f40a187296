"""networks.py: what is drawn from a seed, files with the same bytes, what is no file of ours."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from signalkit.errors import DataError, ParamsError, StoreError
from signalkit.training import networks

KINDS = ("LSTM", "GRU")


def shape(kind="LSTM", units=5, layers=2):
    return networks.Shape(
        kind=kind, lookback=6, columns=3, units=units, layers=layers, dropout=0.1, outputs=3
    )


def drawn(seed=1, **given):
    return networks.untrained(shape(**given), seed).get_weights()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_drawn_from_the_seed_alone(kind):
    one, other, next_seed = drawn(1, kind=kind), drawn(1, kind=kind), drawn(2, kind=kind)
    for place, weights in enumerate(one):
        np.testing.assert_array_equal(other[place], weights)
    assert [(a != b).any() for a, b in zip(one, next_seed, strict=True)] == [
        *[True, True, False] * 2,  # biases begin as they always do
        *[True, False],
    ]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 3])
def test_what_is_written_is_read_bit_for_bit_and_has_the_same_bytes_again(kind, layers, tmp_path):
    weights = drawn(kind=kind, layers=layers)
    paths = [tmp_path / "one.keras", tmp_path / "other.keras"]
    for path in paths:
        networks.write(path, shape(kind, layers=layers), weights, 1)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    found = networks.read(paths[0], shape(kind, layers=layers))
    for got, expected in zip(found, weights, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layers", [1, 3])
def test_the_file_is_one_that_keras_reads(kind, layers, tmp_path):
    path, weights = tmp_path / "model.keras", drawn(kind=kind, layers=layers)
    networks.write(path, shape(kind, layers=layers), weights, 1)
    found = networks.library().saving.load_model(path, safe_mode=True).get_weights()
    for got, expected in zip(found, weights, strict=True):
        np.testing.assert_array_equal(got, expected)
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("metadata.json")).keys() == {"keras_version"}


def elsewhere(content, path, how):
    """A file of weights that names another file, which holds some."""
    target = io.BytesIO()
    with h5py.File(target, "w") as other:
        if how == "linked":
            path.write_bytes(content)
            other["layers"] = h5py.ExternalLink(str(path), "layers")
        else:
            path.write_bytes(b"0" * 10_000)
            with h5py.File(io.BytesIO(content)) as own:
                for place in networks._places(shape()):
                    held = [(str(path), 0, own[place].nbytes)]
                    other.create_dataset(place, own[place].shape, "f4", external=held)
    return target.getvalue()


@pytest.mark.parametrize("spoil", ["cut", "other", "missing", "linked", "stored"])
def test_a_file_that_is_not_ours_is_refused(spoil, tmp_path):
    file = tmp_path / "model.keras"
    networks.write(file, shape(), drawn(), 1)
    with zipfile.ZipFile(file) as archive:
        content = archive.read("model.weights.h5")
    if spoil == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    elif spoil == "missing":
        file.unlink()
    else:
        told = b"none" if spoil == "other" else elsewhere(content, tmp_path / "far", spoil)
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("model.weights.h5", told)
    with pytest.raises(StoreError, match="holds no network"):
        networks.read(file, shape())


@pytest.mark.parametrize("other", [{"units": 4}, {"layers": 1}, {"layers": 3}, {"kind": "GRU"}])
def test_a_network_of_another_shape_is_refused(other, tmp_path):
    networks.write(tmp_path / "model.keras", shape(**other), drawn(**other), 1)
    with pytest.raises(StoreError, match="holds no network"):
        networks.read(tmp_path / "model.keras", shape())


def test_what_the_library_refuses_names_the_model():
    says = r"LSTM: the library gave up \(ValueError: too large\)"
    with pytest.raises(DataError, match=says), networks.told("LSTM"):
        raise ValueError("too large\nand a long trace")
    networks.library()
    tensorflow = pytest.importorskip("tensorflow")
    says = r"GRU: the library gave up \(ResourceExhaustedError: out of memory\)"
    with pytest.raises(DataError, match=says), networks.told("GRU"):
        raise tensorflow.errors.ResourceExhaustedError(None, None, "out of memory")


def test_our_own_errors_are_not_told_as_those_of_the_library():
    with pytest.raises(ParamsError, match=r"^ours$"), networks.told("LSTM"):
        raise ParamsError("ours")
