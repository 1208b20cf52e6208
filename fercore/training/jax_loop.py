"""Compiled loop of several training steps on JAX, where Keras loops over steps in Python."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import jax

# Keras's state of a step: the values of all variables, as lists of arrays.
_State = Any
_Step = Callable[[_State, Any], tuple[dict[str, Any], _State]]


def multi_step_train_function(
    train_step: _Step, steps: int
) -> Callable[[_State, Iterator[Any]], Any]:
    """Return a train function for `keras.Model.fit` that runs up to `steps` steps in one loop.

    The loop is compiled once for each number of batches. There are two such numbers: `steps`, and
    the remainder at the end of an epoch. A smaller last batch is trained outside of the loop.

    Args:
        train_step: the train step of the model: takes a state and a batch, returns logs and state.
        steps: the largest number of steps in one call.
    """

    def loop(state: _State, batches: Any) -> tuple[dict[str, Any], _State]:
        def body(state: _State, batch: Any) -> tuple[_State, dict[str, Any]]:
            logs, state = train_step(state, batch)
            return state, logs

        state, logs = jax.lax.scan(body, state, batches)
        return jax.tree.map(lambda values: values[-1], logs), state

    run_step = jax.jit(train_step, donate_argnums=0)
    run_loop = jax.jit(loop, donate_argnums=0)

    def run(state: _State, iterator: Iterator[Any]) -> tuple[dict[str, Any], _State]:
        # `next` raises StopIteration at the end of an epoch, as Keras expects.
        batches = [next(iterator), *islice(iterator, steps - 1)]
        smaller = [batches.pop()] if _batch_size(batches[-1]) < _batch_size(batches[0]) else []
        if batches:
            stacked = jax.tree.map(lambda *parts: jax.numpy.stack(parts), *batches)
            logs, state = run_loop(state, stacked)
        for batch in smaller:
            logs, state = run_step(state, batch)
        return logs, state

    return run


def _batch_size(batch: Any) -> int:
    return len(jax.tree.leaves(batch)[0])
