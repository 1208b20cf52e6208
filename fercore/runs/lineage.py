"""Walk from a run to the runs that it was initialized from or distilled from."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fercore.config.run import CombinedConfig
from fercore.errors import UserError
from fercore.runs.listing import find_run
from fercore.runs.reader import Run


def iter_ancestors(root: Path, run: Run) -> Iterator[tuple[str, Run | None]]:
    """Yield a run and its ancestors, each once: its name, and the run if it exists here.

    Ancestors are the members of an ensemble, teachers, and the run that a training starts from,
    directly or through others.

    Args:
        root: of the runs.
        run: any.
    """
    queue: list[tuple[str, Run | None]] = [(run.id, run)]
    seen = set[str]()
    while queue:
        name, ancestor = queue.pop()
        if name in seen:
            continue
        seen.add(name)
        if ancestor is None:
            with suppress(UserError):
                ancestor = find_run(root, name)
        yield name, ancestor
        if ancestor and isinstance(ancestor.config, CombinedConfig):
            queue += [(member, None) for member in ancestor.config.combined.members]
        if ancestor and ancestor.experiment:
            queue += [(teacher, None) for teacher in ancestor.experiment.distillation.teachers]
            if ancestor.experiment.init_from:
                queue.append((ancestor.experiment.init_from, None))
