"""Walk from a run to the runs that it was initialized from or distilled from."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fercore.config.run import CombinedConfig
from fercore.errors import UserError
from fercore.runs.listing import find_run
from fercore.runs.reader import Run


def iter_ancestors(root: Path, run: Run) -> Iterator[tuple[str, Run | None]]:
    """A run, and all that it learnt from or began with, each once: name, and the run if it is here.

    Args:
        root: of the runs.
        run: any.
    """
    waiting: list[tuple[str, Run | None]] = [(run.id, run)]
    seen = set[str]()
    while waiting:
        name, found = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if found is None:
            with suppress(UserError):
                found = find_run(root, name)
        yield name, found
        if found and isinstance(found.config, CombinedConfig):
            waiting += [(own, None) for own in found.config.combined.members]
        if found and found.experiment:
            waiting += [(own, None) for own in found.experiment.distillation.teachers]
            if found.experiment.init_from:
                waiting.append((found.experiment.init_from, None))
