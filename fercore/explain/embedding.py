"""What a network sees in faces, in two dimensions."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fercore.errors import UserError
from fercore.inference.onnx_session import pad_batch
from fercore.io.files import read_regular
from fercore.runs.damage import MAX_NETWORK_BYTES

Method = Literal["pca", "tsne"]
_BATCH = 128


def penultimate(path: Path, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The features that enter a network's last layer.

    Args:
        path: `model.onnx` of a run.
        images: `(n, height, width)` uint8, of the size that the network takes.

    Returns:
        `(n, features)` float32.

    Raises:
        UserError: if the network cannot be read, has no last dense layer or takes another size.
    """
    import onnx
    import onnxruntime

    try:
        model = onnx.load_from_string(read_regular(path, MAX_NETWORK_BYTES))
    except Exception as error:  # protobuf raises classes of its own
        raise UserError(f"{path} cannot be read as an ONNX network: {error}") from None
    # The matrices that put an imported network's classes in our order are no layer of it.
    dense = [
        node
        for node in model.graph.node
        if node.op_type in {"Gemm", "MatMul"}
        # Networks that were joined have names that begin with their place.
        and not {"our_order", "ones"} & {name.rpartition("/")[2] for name in node.input}
    ]
    if not dense:
        raise UserError(f"{path} has no dense layer whose input could be shown")
    name = dense[-1].input[0]
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    pixels = session.get_inputs()[0]
    if tuple(pixels.shape[1:3]) != images.shape[1:]:
        raise UserError(f"{path} takes images of {pixels.shape[1:3]}, received {images.shape[1:]}")
    at_once = pixels.shape[0] if isinstance(pixels.shape[0], int) else None
    size = at_once or _BATCH
    parts = []
    for start in range(0, len(images), size):
        batch = images[start : start + size, :, :, None].astype("f4")
        features = session.run([name], {pixels.name: pad_batch(batch, at_once)})[0]
        # Of several views of an image (`fercore.inference.ensemble`), which come view by view, the
        # first is
        # the image as it is.
        parts.append(features[: len(batch)].reshape(len(batch), -1))
    return np.concatenate(parts)


def project(
    features: NDArray[np.float32], method: Method = "pca", seed: int = 0
) -> NDArray[np.float32]:
    """Features in two dimensions: `(n, d)` to `(n, 2)` float32.

    Args:
        features: of at least three samples.
        method: principal components, or t-SNE of the first thirty of them (van der Maaten &
            Hinton, 2008), which takes seconds for thousands of samples.
        seed: of t-SNE.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if method == "pca":
        placed = PCA(2, random_state=seed).fit_transform(features)
    else:
        first = PCA(min(30, *features.shape), random_state=seed).fit_transform(features)
        perplexity = min(30.0, (len(features) - 1) / 3)
        placed = TSNE(2, perplexity=perplexity, random_state=seed).fit_transform(first)
    return np.asarray(placed, np.float32)
