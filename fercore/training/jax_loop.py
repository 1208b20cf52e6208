"""Several steps of training in one call on JAX, where Keras loops over them in Python."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import jax

# What Keras calls the state of a step: the values of all variables, as lists of arrays.
_State = Any
_Step = Callable[[_State, Any], tuple[dict[str, Any], _State]]


def multi_step_train_function(
    train_step: _Step, steps: int
) -> Callable[[_State, Iterator[Any]], Any]:
    """A train function, as `keras.Model.fit` calls it, of up to `steps` steps in one compiled loop.

    The loop is compiled for each number of batches that it gets, which is two: `steps`, and what is
    left at the end of an epoch. A last batch that is smaller is trained by itself.

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
        last = [batches.pop()] if _size(batches[-1]) < _size(batches[0]) else []
        if batches:
            stacked = jax.tree.map(lambda *parts: jax.numpy.stack(parts), *batches)
            logs, state = several(state, stacked)
        for batch in last:
            logs, state = single(state, batch)
        return logs, state

    return run


def _size(batch: Any) -> int:
    return len(jax.tree.leaves(batch)[0])
