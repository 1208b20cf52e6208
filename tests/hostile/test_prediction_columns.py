"""Test tables whose columns of scores, and whose rows, have to be told from others."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from fercore.data.labels import FER2013
from fercore.errors import UserError
from fercore.importers.import_run import import_predictions
from fercore.runs.reader import read_run
from tests.hostile import predictions as make
from tests.hostile.tables import CONFIG, EXPECTED, PART, SPLITS, TEST, read, refused

IDS = pd.DataFrame({"id": TEST.ids})
OTHERS = {"Training": SPLITS["train"].ids.tolist(), "PublicTest": SPLITS["validation"].ids.tolist()}
RANDOM = np.random.default_rng(2).normal(size=EXPECTED.shape)
ONE_HOT = np.eye(7)[TEST.labels]


@pytest.mark.parametrize(
    "columns",
    [
        [pd.DataFrame({"Unnamed: 0": range(len(TEST))}), make.numbered(EXPECTED)],
        [IDS, make.numbered(RANDOM, "feature_"), make.numbered(EXPECTED, "prob_")],
        [IDS, make.numbered(RANDOM, "f"), make.numbered(EXPECTED, "net_")],
        [IDS, make.numbered(RANDOM, "x"), make.numbered(EXPECTED, "logit ")],
        [IDS, make.numbered(ONE_HOT, "true_"), make.numbered(EXPECTED, "pred_")],
        [IDS, make.numbered(EXPECTED, "pred_"), make.numbered(ONE_HOT, "y_true_")],
    ],
)
def test_numbered_columns_of_scores_are_told_from_others(tmp_path, columns):
    reading = read(tmp_path, make.csv(pd.concat(columns, axis=1)))
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-6)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            [make.numbered(EXPECTED, "netA_"), make.numbered(RANDOM, "netB_")],
            "'netA_0' and 'netB_0'",
        ),
        ([make.numbered(EXPECTED), make.numbered(EXPECTED)], "two columns '0'"),
        ([make.numbered(RANDOM, "feature_")], "expected one of scores for each of"),
        ([make.numbered(RANDOM, "a" * 5000)], "'" + "a" * 39),
    ],
)
def test_numbered_columns_without_a_clear_meaning_are_refused(tmp_path, columns, message):
    if message.startswith("'a"):
        columns = [*columns, make.numbered(RANDOM, "b")]
    assert message in refused(tmp_path, make.csv(pd.concat([IDS, *columns], axis=1)))


def test_rows_of_other_splits_are_known_by_their_ids(tmp_path):
    part = dataclasses.replace(PART, other_ids=OTHERS)
    tables = [make.frame(SPLITS[role], FER2013) for role in ("train", "validation", "test")]
    reading = read(tmp_path, make.csv(pd.concat(tables)), part=part)
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-6)
    assert "740 rows of Training, PublicTest left out" in reading.notes
    # Their numbers are no positions in this split.
    message = refused(tmp_path, make.csv(tables[1]), part=part)
    assert "has samples of PublicTest, such as 'PublicTest_00000'" in message
    assert "expected those of PrivateTest, such as 'PrivateTest_00000'" in message
    renamed = tables[2].assign(id=[name.replace("Private", "Public") for name in TEST.ids])
    assert "has samples of PublicTest" in refused(tmp_path, make.csv(renamed), part=part)


def test_an_imported_table_knows_the_ids_of_the_other_splits(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_bytes(make.csv(make.frame(SPLITS["train"], FER2013)))
    with pytest.raises(UserError, match="has samples of Training"):
        import_predictions({"test": path}, CONFIG, SPLITS, tmp_path / "runs", "import")
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "values",
    [
        1 - EXPECTED,
        -EXPECTED,
        np.argsort(np.argsort(-EXPECTED, axis=1), axis=1) + 1,
        -np.log(EXPECTED) / 30,
    ],
)
def test_scores_that_are_lower_for_the_likelier_class_are_refused(tmp_path, values):
    message = refused(tmp_path, make.csv(make.frame(TEST, FER2013, values)))
    assert "the lowest score of a row is that of its class" in message


def test_ties_are_reported_and_rows_of_ties_alone_refused(tmp_path):
    values = EXPECTED.copy()
    values[:9] = [0.4, 0.4, 0.2, 0, 0, 0, 0]
    reading = read(tmp_path, make.csv(make.frame(TEST, FER2013, values)))
    assert any(note.startswith("9 rows share the highest score") for note in reading.notes)
    content = make.csv(make.frame(TEST, FER2013, np.full_like(values, 1 / 7)))
    assert "the same score in every row" in refused(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xef\xbb\xbf\n \n", "is empty"),
        (b'{"id": "PrivateTest_00000", "angry": 0.5}\n' * 9, "is JSON"),
        (b'[{"id": "PrivateTest_00000"}]', "is JSON"),
        (b"<!DOCTYPE html>\n<table>\n", "is HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid a\nsize 1\n", "a Git LFS pointer"),
    ],
)
def test_another_kind_of_text_is_named(tmp_path, content, message):
    assert message in refused(tmp_path, content)


def test_a_cell_that_is_no_number_is_shown_as_it_stands(tmp_path):
    table = make.frame(TEST, FER2013).astype(object)
    table.loc[3, "sad"] = "1,234.5"
    assert "'1,234.5'" in refused(tmp_path, make.csv(table))


def test_scores_closer_than_half_precision_keep_their_order(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_bytes(make.csv(make.frame(TEST, FER2013, 0.5 + 1e-3 * EXPECTED)))
    run = read_run(import_predictions({"test": path}, CONFIG, SPLITS, tmp_path / "runs", "import"))
    right = (EXPECTED.argmax(axis=1) == TEST.labels).mean()
    assert run.results.splits["test"].accuracy == pytest.approx(right)
    stored = run.predictions("test").probabilities
    assert (stored.argmax(axis=1) == EXPECTED.argmax(axis=1)).all()


def test_far_more_rows_than_samples_are_refused_at_once(tmp_path):
    rows = "".join(f"x{number},angry\n" for number in range(20 * len(TEST) + 1))
    assert "2,801 rows, the split 140 samples" in refused(tmp_path, b"id,pred\n" + rows.encode())


def test_long_names_and_cells_are_cut_in_messages(tmp_path):
    long = "x" * 5000
    refused(tmp_path, make.csv(make.frame(TEST, FER2013).assign(id=long)))
    refused(tmp_path, make.csv(make.frame(TEST, FER2013).assign(**{f"{long}_angry": 1})))
    refused(tmp_path, make.csv(IDS.assign(pred=long)))
    refused(tmp_path, make.csv(IDS.assign(**{f"pred {long}": "angry", "pred 2": "sad"})))


def test_comments_without_end_are_no_table(tmp_path):
    refused(tmp_path, b"#\n" * 1_000_000)
