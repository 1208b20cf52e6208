"""Read a hostile table of predictions for the test split of the tiny dataset."""

import pytest

from fercore.config.run import RunConfig
from fercore.data.labels import FER2013
from fercore.errors import UserError
from fercore.importers.prediction_table import read_table
from fercore.importers.table_rows import TableSplit
from tests.hostile import predictions as make
from tests.tiny import make_splits

CONFIG = RunConfig(name="theirs", title="Theirs", dataset="tiny", model="theirs")
SPLITS = make_splits()
TEST = SPLITS["test"]
PART = TableSplit(
    TEST, FER2013, titles=("test", "PrivateTest"), other_titles=("Training", "PublicTest")
)
EXPECTED = make.scores(TEST, 7)
FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")


def read(tmp_path, content: bytes, name="theirs.csv", part=PART, **options):
    (tmp_path / name).write_bytes(content)
    return read_table(tmp_path / name, part, **options)


def refused(tmp_path, content: bytes, name="theirs.csv", part=PART, **options) -> str:
    with pytest.raises(UserError) as caught:
        read(tmp_path, content, name, part, **options)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700
    return str(caught.value)
