"""The Photo page, without a browser."""

import numpy as np
import pytest

from dashboard.app_pages.photo import sections as photo_sections


def test_photos_that_are_shown_are_the_last_to_be_forgotten(monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []

    class Counting:
        def predict(self, image: np.ndarray, whole: object) -> list[str]:
            asked.append(int(image[0, 0, 0]))
            return [str(image[0, 0, 0])]

    monkeypatch.setattr(photo_sections, "MAX_CACHED", 6)
    monkeypatch.setattr(photo_sections, "_load_predictor", lambda view: Counting())
    monkeypatch.setattr(
        photo_sections,
        "decode_photo",
        lambda content, name, **_: np.full((1, 1, 3), int(name), np.uint8),
    )
    monkeypatch.setattr(photo_sections.st, "session_state", {})
    given = [
        photo_sections.UploadedPhoto(str(number), f"digest-{number}", lambda: b"")
        for number in range(4)
    ]
    views = [photo_sections.View({}, finder, False, 0.0, None, "") for finder in ("haar", "yunet")]
    for view in (*views, views[0], views[0]):
        assert list(photo_sections.predict_photos(given, view)) == [one.digest for one in given]
    # Two of the first four had gone, and nothing that is shown does.
    assert asked == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
