"""Networks: LSTM and GRU layers of Keras, begun anew for every fit from a seed alone.

A network of one shape is built and compiled once and kept: each fit gives it fresh weights, a
fresh optimiser and fresh dropout, so that what an earlier fit left behind is never seen. Steps
before a window's first bar are switched off: an input of 1 closes the gates that let anything
in, and the state stays at exactly 0, as if the step were not there.

Only what every backend of Keras has is used.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from signalkit.errors import DataError, SignalkitError, StoreError
from signalkit.kernels import threads

# what a switched-off step adds before the sigmoid: float32 gives exactly 0, or 1, there
_CLOSED = 1e4
# rows that are asked at once, always as many: a row's bits do not depend on its neighbours
ASKED = 256
# compiled networks that are kept: the library never gives back the some 10 MB that one took
_KEPT = 32
# of a zip entry and of the metadata: the same weights make the same bytes on any day
_NO_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Shape:
    """What makes two networks exchangeable but for their weights."""

    kind: str  # LSTM or GRU
    lookback: int  # bars
    columns: int
    units: int
    layers: int
    dropout: float  # share of a layer's outputs
    outputs: int


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What native code writes to standard error is shown only if something fails."""
    sys.stderr.flush()
    keep, whole = os.dup(2), False
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield
            whole = True
        finally:
            if not whole:
                said.seek(0)
                os.write(keep, said.read())
            os.dup2(keep, 2)
            os.close(keep)


@functools.cache
def library() -> Any:
    """Keras, imported without noise, on the backend that KERAS_BACKEND names.

    TensorFlow is told the number of threads, unless someone imported it before.
    """
    backend = os.environ.get("KERAS_BACKEND", "tensorflow")
    drawn = random.getstate()
    with _quiet():
        if backend == "tensorflow" and "tensorflow" not in sys.modules:
            _settle_tensorflow()
        import keras  # noqa: PLC0415 - takes over 0.3 s
    # the import itself draws; the caller's next number shall not depend on it
    random.setstate(drawn)
    return keras


def _settle_tensorflow() -> None:
    """Settings of TensorFlow that must stand before its first operation."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # with and without oneDNN the numbers differ, and without it they take twice as long
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "1"
    import tensorflow  # noqa: PLC0415 - takes over 0.3 s

    tensorflow.config.threading.set_intra_op_parallelism_threads(threads())
    tensorflow.config.threading.set_inter_op_parallelism_threads(threads())
    for device in tensorflow.config.list_physical_devices("GPU"):
        # workers share a device; its kernels add in any order unless told not to
        tensorflow.config.experimental.set_memory_growth(device, True)
        tensorflow.config.experimental.enable_op_determinism()


@contextlib.contextmanager
def told(who: str) -> Iterator[None]:
    """What the library refuses becomes a DataError that names the model."""
    library()
    errors = [ValueError, RuntimeError, MemoryError]
    if loaded := sys.modules.get("tensorflow"):
        errors.append(loaded.errors.OpError)
    try:
        yield
    except SignalkitError:
        raise
    except tuple(errors) as cause:
        first = str(cause).partition("\n")[0]
        raise DataError(f"{who}: the library gave up ({type(cause).__name__}: {first})") from cause


def untrained(shape: Shape, seed: int) -> Any:
    """A network that has learned nothing, its weights drawn from a seed.

    Parameters
    ----------
    shape : Shape
        Layers and their sizes.
    seed : int
        Same seed, same weights, whatever was drawn before.

    Returns
    -------
    keras.Model
        From bars (n, lookback, columns) and `before` (n, lookback, 1) to (n, outputs):
        log-odds of classes, or numbers.
    """
    keras = library()
    start = keras.initializers
    bars = keras.Input((shape.lookback, shape.columns), name="bars")
    before = keras.Input((shape.lookback, 1), name="before")
    kind, flow = getattr(keras.layers, shape.kind), bars
    for layer in range(shape.layers):
        draw = seed + 3 * layer
        steps = keras.layers.Concatenate(name=f"steps_{layer}")([flow, before])
        flow = kind(
            shape.units,
            return_sequences=layer + 1 < shape.layers,
            kernel_initializer=start.GlorotUniform(seed=draw),
            recurrent_initializer=start.Orthogonal(seed=draw + 1),
            seed=draw + 2,
            name=f"recurrent_{layer}",
        )(steps)
        flow = keras.layers.Dropout(shape.dropout, seed=draw + 2, name=f"dropout_{layer}")(flow)
    last = keras.layers.Dense(
        shape.outputs,
        kernel_initializer=start.GlorotUniform(seed=seed + 3 * shape.layers),
        name="answer",
    )
    network = keras.Model([bars, before], last(flow), name=shape.kind.lower())
    for layer in range(shape.layers):
        _close(network.get_layer(f"recurrent_{layer}"), shape)
    return network


def _close(layer: Any, shape: Shape) -> None:
    """Weights of the input that switches a step off; no gradient ever reaches them."""
    kernel, *others = layer.get_weights()
    kernel[-1] = 0.0
    if shape.kind == "LSTM":
        kernel[-1, : 2 * shape.units] = -_CLOSED  # nothing enters, nothing is kept
    else:
        kernel[-1, : shape.units] = _CLOSED  # the state stays as it is
    layer.set_weights([kernel, *others])


def _filled(rows: np.ndarray, size: int) -> np.ndarray:
    """Rows and then zeros: with one size of batch the library compiles once."""
    if len(rows) == size:
        return rows
    return np.concatenate([rows, np.zeros((size - len(rows), *rows.shape[1:]), rows.dtype)])


class Network:
    """A compiled network that fits and predictions borrow in turn.

    Parameters
    ----------
    shape : Shape
        Layers and their sizes.
    classifies : bool
        Cross-entropy of classes from 0 if so, else the squared error.
    """

    def __init__(self, shape: Shape, *, classifies: bool) -> None:
        keras = library()
        self.shape = shape
        self.lock = threading.Lock()
        self._net = untrained(shape, 0)
        # the weights that it answers with; while it learns they are nobody's
        self._taken: list[np.ndarray] | None = None
        kind = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        loss = kind if classifies else keras.losses.MeanSquaredError()
        # JAX runs step by step without it; elsewhere it moves the numbers and pays late
        compiled = keras.backend.backend() == "jax"
        self._net.compile(optimizer=keras.optimizers.Adam(), loss=loss, jit_compile=compiled)
        self._net.optimizer.build(self._net.trainable_variables)

    def begin(self, seed: int, learning_rate: float) -> None:
        """Fresh weights, optimiser and dropout: nothing of an earlier fit is left."""
        keras, self._taken = library(), None
        self._net.set_weights(untrained(self.shape, seed).get_weights())
        for held in self._net.optimizer.variables:
            held.assign(keras.ops.zeros(held.shape, held.dtype))
        self._net.optimizer.learning_rate = learning_rate
        for layer in range(self.shape.layers if self.shape.dropout else 0):
            state = self._net.get_layer(f"dropout_{layer}").seed_generator.state
            state.assign(keras.ops.cast(np.array([seed + layer, 0]), state.dtype))

    def step(
        self,
        windows: tuple[np.ndarray, np.ndarray],
        answers: np.ndarray,
        weight: np.ndarray,
        *,
        size: int,
    ) -> float:
        """Learn from one batch, filled up to its size by what weighs nothing; its mean loss."""
        self._taken = None
        # the library divides by the size
        share = weight * np.float32(size / len(weight))
        *bars, answers, share = (_filled(part, size) for part in (*windows, answers, share))
        got = self._net.train_on_batch(bars, answers, share, return_dict=True)
        return float(got["loss"])

    def weights(self) -> list[np.ndarray]:
        """Copies of the weights as they are."""
        return [np.array(held) for held in self._net.get_weights()]

    def take(self, weights: list[np.ndarray]) -> None:
        """Answer with some weights from now on."""
        if self._taken is not weights:
            self._net.set_weights(weights)
            self._taken = weights

    def answers(self, bars: np.ndarray, before: np.ndarray) -> np.ndarray:
        """Answers to at most `ASKED` windows, shape (n, outputs)."""
        full = [_filled(part, ASKED) for part in (bars, before)]
        return np.asarray(self._net.predict_on_batch(full), dtype=float)[: len(bars)]


@functools.lru_cache(maxsize=_KEPT)
def network(shape: Shape, *, classifies: bool) -> Network:
    """The network of a shape, made once; hold its lock while using it."""
    return Network(shape, classifies=classifies)


def write(path: Path, shape: Shape, weights: list[np.ndarray], seed: int) -> None:
    """A network in Keras' own format; the same weights make the same bytes.

    Parameters
    ----------
    path : Path
        File to write; it ends in .keras.
    shape : Shape
        Layers and their sizes.
    weights : list of array
        As `Network.weights` gives them.
    seed : int
        What the weights were drawn from.

    Notes
    -----
    Keras' own `save` adds the date and the addresses of objects in memory, so that no two
    files are equal.
    """
    about = library().saving.serialize_keras_object(untrained(shape, seed))
    entries = {
        "metadata.json": json.dumps({"keras_version": library().__version__}).encode(),
        "config.json": json.dumps(_without_addresses(about)).encode(),
        "model.weights.h5": _packed(dict(zip(_places(shape), weights, strict=True))),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name, _NO_DATE), content)


def _without_addresses(about: Any) -> Any:
    """A configuration without the numbers by which objects in memory are told apart."""
    if isinstance(about, dict):
        kept = about.keys() - {"shared_object_id"}
        return {name: _without_addresses(about[name]) for name in sorted(kept)}
    return [_without_addresses(part) for part in about] if isinstance(about, list) else about


def _places(shape: Shape) -> list[str]:
    """Where Keras keeps each weight in a file, in the order of a network's weights."""
    kind = shape.kind.lower()
    names = [kind, *(f"{kind}_{layer}" for layer in range(1, shape.layers))]
    recurrent = [f"layers/{name}/cell/vars/{place}" for name in names for place in range(3)]
    return [*recurrent, "layers/dense/vars/0", "layers/dense/vars/1"]


def _packed(arrays: dict[str, np.ndarray]) -> bytes:
    """An HDF5 file of some arrays."""
    import h5py  # noqa: PLC0415 - comes with Keras, which is imported when asked for

    target = io.BytesIO()
    with h5py.File(target, "w") as file:
        for place, values in arrays.items():
            file.create_dataset(place, data=values)
    return target.getvalue()


def read(path: Path, shape: Shape) -> list[np.ndarray]:
    """Weights of a network of some shape; nothing but numbers is read from the file.

    Raises
    ------
    StoreError
        If the file is not a network, or one of another shape.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = _unpacked(archive.read("model.weights.h5"), _places(shape))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as cause:
        raise StoreError(f"{path} holds no network ({cause!r})") from None
    sizes = [[array.shape for array in some] for some in (found, untrained(shape, 0).get_weights())]
    if sizes[0] != sizes[1]:
        raise StoreError(f"{path} holds no network of {shape}: its weights are {sizes[0]}")
    return found


def _unpacked(content: bytes, places: list[str]) -> list[np.ndarray]:
    """Some arrays of an HDF5 file, which may not send the reader to another file."""
    import h5py  # noqa: PLC0415 - comes with Keras, which is imported when asked for

    found: dict[str, Any] = {}
    with h5py.File(io.BytesIO(content)) as file:
        # links to other files are not visited
        file.visititems(lambda place, held: found.update({place: held}))
        held = {place: one for place, one in found.items() if isinstance(one, h5py.Dataset)}
        if held.keys() != set(places):
            raise ValueError(f"its weights are {sorted(held)}, not {places}")
        if any(one.external or one.is_virtual for one in held.values()):
            raise ValueError("it refers to another file")
        return [held[place][()].astype(np.float32) for place in places]
