"""Features of a network's penultimate layer, and their projection to two dimensions."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.inference.onnx_session import open_session, pad_batch
from fercore.io.files import read_regular
from fercore.runs.damage import MAX_NETWORK_BYTES

Method = Literal["pca", "tsne"]
_BATCH = 128


def penultimate_features(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the input of a network's last dense layer.

    Args:
        path: `model.onnx` of a run.
        images: `(n, height, width)` uint8, of the network's input size.

    Returns:
        `(n, features)` float32.

    Raises:
        UserError: if the network cannot be read, has no dense layer or takes another image size.
    """
    import onnx

    try:
        model = onnx.load_from_string(read_regular(path, MAX_NETWORK_BYTES))
    except Exception as error:  # the exceptions of protobuf have no common base
        raise UserError(f"{path} cannot be read as an ONNX network: {error}") from None
    name = _last_dense_input(model)
    if name is None:
        raise UserError(f"{path} has no dense layer, so it has no features to show")
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = open_session(model.SerializeToString(), threads=0)
    pixels = session.get_inputs()[0]
    if tuple(pixels.shape[1:3]) != images.shape[1:]:
        raise UserError(f"{path} takes images of {pixels.shape[1:3]}, received {images.shape[1:]}")
    fixed_size = pixels.shape[0] if isinstance(pixels.shape[0], int) else None
    batch_size = fixed_size or _BATCH
    parts = []
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size, :, :, None].astype("f4")
        features = session.run([name], {pixels.name: pad_batch(batch, fixed_size)})[0]
        # A network with several views of an image (`fercore.inference.ensemble_graph`) returns
        # them view by view; the first view is the unchanged image.
        parts.append(features[: len(batch)].reshape(len(batch), -1))
    return np.concatenate(parts)


def _last_dense_input(model: Any) -> str | None:
    """Return the name of the tensor that enters the last dense layer; `None` if there is none."""
    dense = [
        node
        for node in model.graph.node
        if node.op_type in {"Gemm", "MatMul"}
        # The importer adds matrices that reorder the classes; they are not layers. In an ensemble,
        # names begin with the number of the member.
        and not {"our_order", "ones"} & {name.rpartition("/")[2] for name in node.input}
    ]
    return dense[-1].input[0] if dense else None


def project(
    features: NDArray[np.float32], method: Method = "pca", seed: int = 0
) -> NDArray[np.float32]:
    """Project features to two dimensions.

    Args:
        features: `(n, d)`, of at least three samples.
        method: `"pca"`: the first two principal components; `"tsne"`: t-SNE (van der Maaten &
            Hinton, 2008) of the first thirty, which takes seconds for thousands of samples.
        seed: of PCA's solver and of t-SNE.

    Returns:
        `(n, 2)` float32.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if method == "pca":
        projected = PCA(2, random_state=seed).fit_transform(features)
    else:
        components = PCA(min(30, *features.shape), random_state=seed).fit_transform(features)
        perplexity = min(30.0, (len(features) - 1) / 3)
        tsne = TSNE(2, perplexity=perplexity, random_state=seed)
        projected = tsne.fit_transform(components)
    return np.asarray(projected, np.float32)
