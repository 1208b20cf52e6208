"""`fercore augment`: preview the augmentation of training images."""

from pathlib import Path
from typing import Annotated

import typer

from fercore.cli._native_output import suppress_native_stderr
from fercore.cli._options import DataRoot
from fercore.cli._overrides import parse_request
from fercore.config.loading import load_config
from fercore.errors import UserError
from fercore.paths import data_root

app = typer.Typer(help="Preview augmentation.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Keep `preview` a subcommand although it is the only one."""


@app.command(context_settings={"ignore_unknown_options": True})
def preview(
    request: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG [--augmentation.FIELD VALUE]...",
            help="A name that `fercore configs` lists or a TOML file, and any of its fields.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("preview.png"),
    count: Annotated[int, typer.Option(min=1, max=256, help="Number of faces.")] = 16,
    epoch: Annotated[
        int, typer.Option(min=1, help="Epoch of the training whose random numbers are used.")
    ] = 1,
    data: DataRoot = None,
) -> None:
    """Write training faces before and after augmentation, and their differences, as one PNG.

    The config's seed selects the faces. The layers are those of the training. Each band holds the
    originals, the augmented faces, and the differences around mid-grey.

    Example: fercore augment preview katkar2021-model1-generated --augmentation.rotation 45
    """
    name, overrides = parse_request(request or [])
    if name is None:
        raise UserError(
            "expected an experiment, such as `fercore augment preview katkar2021-model1-generated`"
        )
    config = load_config(name, overrides)
    import cv2
    import numpy as np

    from fercore.data.registry import load_dataset
    from fercore.evaluation.protocol import build_protocol

    images = build_protocol(config, load_dataset(config.dataset, data_root(data))).train.images
    selected = np.random.default_rng(config.seed).permutation(len(images))[:count]
    with suppress_native_stderr():
        from fercore.augmentation.preview import draw_grid
        from fercore.augmentation.preview import preview as augment
    sheet = draw_grid(augment(images[np.sort(selected)], config.augmentation, config.seed, epoch))
    is_encoded, content = cv2.imencode(".png", sheet)
    assert is_encoded
    try:
        out.write_bytes(content.tobytes())
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}") from None
    typer.echo(
        f"{out}: {len(selected)} faces of {config.dataset}, seed {config.seed}, epoch {epoch}"
    )
