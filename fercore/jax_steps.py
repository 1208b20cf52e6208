"""Several steps of training in one call on JAX, where Keras loops over them in Python."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import jax
import numpy as np

# What Keras calls the state of a step: the values of all variables, as lists of arrays.
_State = Any
_Step = Callable[[_State, Any], tuple[dict[str, Any], _State]]


def fused(train_step: _Step, steps: int) -> Callable[[_State, Iterator[Any]], Any]:
    """A train function, as `keras.Model.fit` calls it, of `steps` steps in one compiled loop.

    Batches that are too few for a loop, or the last one that is smaller, are trained one by one.

    Args:
        train_step: of the model: state and batch in, logs and state out.
        steps: in one call.
    """

    def loop(state: _State, batches: Any) -> tuple[dict[str, Any], _State]:
        def body(state: _State, batch: Any) -> tuple[_State, dict[str, Any]]:
            logs, state = train_step(state, batch)
            return state, logs

        state, logs = jax.lax.scan(body, state, batches)
        return jax.tree.map(lambda values: values[-1], logs), state

    single = jax.jit(train_step, donate_argnums=0)
    several = jax.jit(loop, donate_argnums=0)

    def run(state: _State, iterator: Iterator[Any]) -> tuple[dict[str, Any], _State]:
        # Raises StopIteration where there is none, as Keras expects of it.
        batches = [next(iterator), *islice(iterator, steps - 1)]
        if len(batches) == steps and _size(batches[0]) == _size(batches[-1]):
            return several(state, jax.tree.map(_stacked, *batches))  # type: ignore[no-any-return]
        for batch in batches:
            logs, state = single(state, batch)
        return logs, state

    return run


def _stacked(*parts: Any) -> Any:
    # Batches that are on the device already are stacked there.
    if isinstance(parts[0], np.ndarray):
        return np.stack(parts)
    return jax.numpy.stack(parts)


def _size(batch: Any) -> int:
    return len(jax.tree.leaves(batch)[0])
