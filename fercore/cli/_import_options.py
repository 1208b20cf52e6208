"""Options of `fercore runs import`."""

from pathlib import Path
from typing import Annotated

import typer

ImportedFile = Annotated[
    Path, typer.Argument(help="A table of predictions on the test split, or an ONNX network.")
]
Name = Annotated[str | None, typer.Option(help="Name of the run [default: that of the file]")]
Title = Annotated[str | None, typer.Option(help="Title of the run, on one line.")]
Dataset = Annotated[str, typer.Option(help="The dataset that it is evaluated on.")]
Like = Annotated[
    str | None,
    typer.Option(help="A run; its dataset, splits and classes are used for the imported one."),
]
Validation = Annotated[
    Path | None, typer.Option(help="Table: predictions on the validation split.")
]
Labels = Annotated[
    str | None,
    typer.Option(help="ONNX: a name for each output, in order, with commas, or a JSON list."),
]
LayoutName = Annotated[
    str | None, typer.Option(help="ONNX: nchw or nhwc, if the input shape is ambiguous.")
]
Size = Annotated[
    int | None,
    typer.Option(help="ONNX: image size in pixels, if the file leaves it open.", min=1, max=4096),
]
GreyRange = Annotated[
    str | None,
    typer.Option(
        "--range",
        help="ONNX: 0-255, 0-1, -1-1, imagenet or -128-127 [default: the best on validation]",
    ),
]
Mean = Annotated[
    str | None,
    typer.Option(help="ONNX: subtracted from grey levels, in units of 0 to 1 or 0 to 255."),
]
Std = Annotated[
    str | None, typer.Option(help="ONNX: the grey levels less the mean are divided by it.")
]
Output = Annotated[
    str | None, typer.Option(help="ONNX: name of the output, where there are several.")
]
Values = Annotated[
    str | None,
    typer.Option(
        help="ONNX: probabilities, percent, sigmoid, votes or logits [default: told from them]"
    ),
]
Channels = Annotated[
    int | None,
    typer.Option(help="ONNX: 1 or 3 input channels, if the file leaves it open.", min=1, max=3),
]
OfRun = Annotated[
    str | None,
    typer.Option(
        "--run", help="Table of `fercore predict` on several runs: import this run's rows."
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(help="ONNX: seconds for loading and for each batch [default: 60]"),
]
MemoryLimit = Annotated[
    float | None,
    typer.Option(help="ONNX: GiB for loading and running [default: by the size of the file]"),
]
