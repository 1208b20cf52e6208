import re
from dataclasses import replace

import numpy as np
import pytest

from dashboard.charts import data_urls, theme
from dashboard.charts.data_urls import cached_png_data_url, png_data_url
from dashboard.components import face_grid
from dashboard.state import dataset_cache
from fercore.data.splits import COPY_MARK
from tests.tiny import make_splits


def installed(first: str) -> dataset_cache.Images:
    """A dataset whose first test image has this id."""
    splits = make_splits()
    test = splits["test"]
    ids = test.ids.astype("<U32")
    ids[0] = first
    return dataset_cache.Images(
        replace(splits, parts=splits.parts | {"test": replace(test, ids=ids)})
    )


def test_copies_are_shown_as_their_originals_and_names_may_hold_the_mark():
    name = f"me{COPY_MARK}1.png"
    found = installed(name)

    def picture(sample: str) -> list[str]:
        return re.findall(
            r'src="([^"]+)"',
            face_grid.card_html(face_grid.SampleCard(sample, "sad", {}), found),
        )

    expected = [png_data_url(found.splits["test"].images[0])]
    assert picture(name) == picture(f"{name}{COPY_MARK}7") == expected
    # Nothing but its outline where the dataset that is installed does not have it.
    assert picture("another") == picture(f"another{COPY_MARK}1.png") == []


def test_a_class_has_one_color_in_every_gallery():
    found = installed("first")
    found.splits = replace(found.splits, class_names=("bored", "calm", "tired"))

    def colors(true: str, said: str) -> list[str]:
        face = face_grid.SampleCard("first", true, {"network": (said, 0.5)})
        return re.findall("background:(#[0-9a-fA-F]+)", face_grid.card_html(face, found))

    known = theme.class_colors(["bored", "calm", "tired"], "light")
    assert len(set(known.values())) == 3
    assert colors("tired", "calm") == [known["tired"], known["calm"]]
    assert colors("calm", "tired") == [known["calm"], known["tired"]]
    # A class of the network's that the dataset does not have takes none of theirs.
    true, said = colors("tired", "contented")
    assert true == known["tired"]
    assert said not in known.values()


def test_images_of_a_dataset_are_encoded_once(monkeypatch: pytest.MonkeyPatch):
    images = make_splits()["test"].images[:2]
    expected = [png_data_url(image) for image in images]
    data_urls._cached_png_data_url.cache_clear()
    encoded = []

    def encode(image: np.ndarray) -> str:
        encoded.append(image.shape)
        return png_data_url(image)

    monkeypatch.setattr(data_urls, "png_data_url", encode)
    for _ in range(2):
        assert [cached_png_data_url(image) for image in images] == expected
    assert len(encoded) == 2
    # The same bytes in another shape are another image.
    flat = images[0].reshape(1, -1)
    assert cached_png_data_url(flat) == png_data_url(flat)
