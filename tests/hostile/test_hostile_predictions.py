"""Test importing prediction tables of other programs, and the errors for unusable ones."""

import dataclasses
import gzip

import numpy as np
import pandas as pd
import pytest

from fercore.data.labels import FER2013
from fercore.errors import UserError
from fercore.evaluation.ensemble_selection import stored_predictions
from fercore.importers.import_run import import_predictions
from fercore.runs.checks import check_run
from fercore.runs.reader import read_run
from tests.hostile import predictions as make
from tests.hostile.tables import CONFIG, EXPECTED, FERPLUS, PART, SPLITS, TEST, read, refused


def test_truth_after_scores_is_refused_and_both_columns_are_named(tmp_path):
    message = refused(tmp_path, make.truth_after_scores(TEST, FER2013))
    assert "'p_angry'" in message
    assert "'angry'" in message
    assert "two columns" in message


@pytest.mark.parametrize(
    ("first", "second"),
    [("happy", "happiness"), ("emotion.happy", "happy"), ("happy", "Happy "), ("happy", "happy.1")],
)
def test_two_columns_for_one_class_are_refused_in_either_order(tmp_path, first, second):
    table = make.frame(TEST, FER2013)
    for one, other in ((first, second), (second, first)):
        doubled = table.rename(columns={"happy": one})
        doubled[other] = 0.5
        message = refused(tmp_path, make.csv(doubled))
        assert repr(one.strip()) in message
        assert repr(other.strip()) in message


def test_truth_that_is_named_so_is_checked_and_not_read_as_predictions(tmp_path):
    table = pd.concat(
        [make.frame(TEST, FER2013, prefix="p_"), make.one_hot(TEST, FER2013, "true_")], axis=1
    )
    reading = read(tmp_path, make.csv(table))
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-6)
    table.loc[0, [f"true_{name}" for name in FER2013]] = 0
    table.loc[0, f"true_{FER2013[(TEST.labels[0] + 1) % 7]}"] = 1
    assert "1 labels differ" in refused(tmp_path, make.csv(table))


def test_the_datasets_own_labels_are_no_predictions(tmp_path):
    table = make.one_hot(TEST, FER2013)
    table.insert(0, "id", TEST.ids)
    assert "own labels" in refused(tmp_path, make.csv(table))
    labels = pd.DataFrame({"id": TEST.ids, "predicted": TEST.labels})
    assert "equals the dataset's labels" in refused(tmp_path, make.csv(labels))
    only = pd.DataFrame({"id": TEST.ids, "label": TEST.labels})
    assert "expected one of scores" in refused(tmp_path, make.csv(only))


@pytest.mark.parametrize(
    "pattern",
    [
        *("p_{}", "prob_{}", "emotion.{}", "score:{}", "scores/{}", "{}_prob", "p({})", "P[{}]"),
        *("proba {}", "pred_{}", "{} (%)", "resnet18.{}", "y_pred_{}", "emotion_{}_score"),
    ],
)
def test_prefixes_and_suffixes_of_class_columns(tmp_path, pattern):
    table = make.frame(TEST, FER2013)
    table = table.rename(columns={name: pattern.format(name) for name in FER2013})
    np.testing.assert_allclose(read(tmp_path, make.csv(table)).probabilities, EXPECTED, atol=1e-6)


@pytest.mark.parametrize(
    "names",
    [
        ("Anger", "Disgusted", "scared", "happiness", "SADNESS", "suprise", "natural"),
        ("ANG", "DIS", "FEA", "HAP", "SAD", "SUR", "NEU"),
        tuple("0123456"),
        tuple(f"class_{number}" for number in range(7)),
    ],
)
def test_synonyms_codes_and_numbers_of_classes(tmp_path, names):
    reading = read(tmp_path, make.csv(make.frame(TEST, names, EXPECTED)))
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-6)


def test_rounded_probabilities_are_scaled_and_it_is_said(tmp_path):
    reading = read(tmp_path, make.rounded(TEST, FER2013))
    np.testing.assert_allclose(reading.probabilities.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=0.02)
    assert any("rounded" in note for note in reading.notes)
    assert reading.scale == "probabilities"
    # One decimal, as spreadsheets show them.
    assert read(tmp_path, make.rounded(TEST, FER2013, 1)).scale == "probabilities"


@pytest.mark.parametrize(
    ("content", "scale"),
    [
        (make.csv(make.frame(TEST, FER2013, 100 * EXPECTED)), "percent"),
        (make.csv(make.frame(TEST, FER2013, np.rint(100 * EXPECTED))), "percent"),
        (make.percent_signs(TEST, FER2013), "percent"),
        (make.logits(TEST, FER2013), "logits"),
        (make.csv(make.frame(TEST, FER2013, np.log(EXPECTED))), "logits"),
        (make.sigmoid(TEST, FER2013), "sigmoid"),
        (make.csv(make.frame(TEST, FER2013, 100 * EXPECTED**0.3)), "sigmoid"),
    ],
)
def test_scales_are_recognised_and_said(tmp_path, content, scale):
    reading = read(tmp_path, content)
    assert reading.scale == scale
    assert any(note.startswith("scores read as") for note in reading.notes)
    agree = reading.probabilities.argmax(axis=1) == EXPECTED.argmax(axis=1)
    assert agree.mean() > 0.97  # rounding to percent makes a few ties
    np.testing.assert_allclose(reading.probabilities.sum(axis=1), 1, atol=1e-5)
    if scale == "logits":
        np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-5)


@pytest.mark.parametrize("value", ["nan", "", "inf", "-0.5", "1e400"])
def test_one_bad_value_is_refused_with_its_line(tmp_path, value):
    table = make.frame(TEST, FER2013).astype(object)
    table.loc[17, "sad"] = value
    assert "line 19" in refused(tmp_path, make.csv(table))


def test_one_row_that_does_not_sum_to_1_is_not_taken_for_another_scale(tmp_path):
    table = make.frame(TEST, FER2013)
    table.loc[17, list(FER2013)] *= 0.5
    assert "line 19" in refused(tmp_path, make.csv(table))


def test_contempt_is_left_out_and_named(tmp_path):
    values = make.scores(TEST, 8)
    values = values[:, [6, 3, 5, 4, 0, 1, 2, 7]]
    reading = read(tmp_path, make.csv(make.frame(TEST, FERPLUS, values)))
    kept = values[:, [4, 5, 6, 1, 3, 2, 0]]
    kept /= kept.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(reading.probabilities, kept, atol=1e-6)
    assert any("contempt" in note for note in reading.notes)


def test_ferplus_votes(tmp_path):
    reading = read(tmp_path, make.votes(TEST, FER2013))
    assert reading.scale == "votes"
    assert (reading.probabilities.argmax(axis=1) == TEST.labels).mean() > 0.6
    assert any("contempt, unknown, nf" in note for note in reading.notes)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (make.decimal_commas(TEST, FER2013), "theirs.csv"),
        (make.excel(TEST, FER2013), "theirs.txt"),
        (make.csv(make.frame(TEST, FER2013), "utf-16-le"), "theirs.csv"),
        (make.csv(make.frame(TEST, FER2013), "utf-16-be"), "theirs.csv"),
        (make.csv(make.frame(TEST, FER2013), "utf-8-sig"), "theirs.csv"),
        (make.csv(make.frame(TEST, FER2013), sep="\t"), "theirs.tsv"),
        (make.csv(make.frame(TEST, FER2013), sep="|"), "theirs.csv"),
        (make.zipped(TEST, FER2013), "theirs.csv.gz"),
        (make.zipped(TEST, FER2013), "theirs.csv"),
        (b"sep=;\r\n" + make.csv(make.frame(TEST, FER2013), sep=";"), "theirs.csv"),
        (b"# made by a tool\n" + make.csv(make.frame(TEST, FER2013)), "theirs.csv"),
        (make.frame(TEST, FER2013).to_csv().encode(), "theirs.csv"),
        (make.csv(make.frame(TEST, FER2013)).replace(b"\n", b",\n"), "theirs.csv"),
        (make.csv(make.frame(TEST, FER2013)).replace(b"\n", b"\r\n\r\n"), "theirs.csv"),
    ],
)
def test_encodings_and_delimiters(tmp_path, content, name):
    reading = read(tmp_path, content, name)
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-6)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"id",
        b"\x00\x01\x02" * 100,
        b"\x1f\x8bnot gzip",
        gzip.compress(b"id,angry\n", mtime=0)[:-6],
        make.gzip_bomb(),
        b"id,angry\n" + b"a,0.5,7\n" * 200,
        b'id,angry\n"open,0.5\n' * 20,
        b"PK\x03\x04" + b"\0" * 50,
        "id;angry\n".encode("utf-16") + b"\0",
        b"a," * 9_000_000 + b"\n",
        b"a," * 20_000 + b"\n" + b"1," * 20_000,
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path, content):
    refused(tmp_path, content)


@pytest.mark.parametrize(
    "change",
    [
        lambda name, label: f"{FER2013[label]}/{name}.jpg",
        lambda name, label: f"C:\\fer\\test\\{FER2013[label]}\\{name}.PNG",
        lambda name, label: f"./test/{name}",
        lambda name, label: name.lower(),
        lambda name, label: name.replace("_000", "_0"),
        lambda name, label: f"{name.split('_')[0]}_{int(name.split('_')[1])}.jpg",
        lambda name, label: f"  {name} ",
    ],
)
def test_ids_as_file_names(tmp_path, change):
    table = make.frame(TEST, FER2013).rename(columns={"id": "Image file path"})
    table["Image file path"] = [change(*pair) for pair in zip(TEST.ids, TEST.labels, strict=True)]
    shuffled = table.sample(frac=1, random_state=3)
    reading = read(tmp_path, make.csv(shuffled))
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-6)


@pytest.mark.parametrize(
    ("start", "form"), [(0, "{}"), (1, "{}"), (0, "{}.0"), (740, "fer{:07d}.png"), (1, "{}.jpg")]
)
def test_plain_numbers_as_ids_are_positions(tmp_path, start, form):
    table = make.frame(TEST, FER2013)
    table["id"] = [form.format(number) for number in range(start, len(TEST) + start)]
    part = dataclasses.replace(PART, first=740)
    reading = read(tmp_path, make.csv(table.sample(frac=1, random_state=3)), part=part)
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-6)
    assert any("positions" in note for note in reading.notes)
    # Numbered in another order than the dataset's, which no label tells: right by chance alone.
    table[list(FER2013)] = table[list(FER2013)].sample(frac=1, random_state=5).to_numpy()
    assert "by chance" in refused(tmp_path, make.csv(table), part=part)


def test_numbers_of_classes_in_alphabetical_order(tmp_path):
    usual = sorted(FER2013)
    said = EXPECTED.argmax(axis=1)
    table = pd.DataFrame(
        {
            "id": TEST.ids,
            "y_true": [usual.index(FER2013[label]) for label in TEST.labels],
            "y_pred": [float(usual.index(FER2013[label])) for label in said],
        }
    )
    reading = read(tmp_path, make.csv(table))
    assert (reading.probabilities.argmax(axis=1) == said).all()


@pytest.mark.parametrize("column", ["predicted", "Prediction", "y_pred", "emotion", "expression"])
def test_predicted_classes_alone_make_a_run_without_calibration(tmp_path, column):
    path = tmp_path / "theirs.csv"
    path.write_bytes(make.hard(TEST, FER2013, column))
    lines: list[str] = []
    made = import_predictions(
        {"test": path}, CONFIG, SPLITS, tmp_path / "runs", "import", report=lines.append
    )
    run = read_run(made)
    assert (run.state, run.problem, check_run(made)) == ("finished", "", [])
    result = run.results.splits["test"]
    assert (result.nll, result.ece, result.top2) == (None, None, None)
    assert run.results.temperature is None
    assert not run.gives_probabilities
    right = (EXPECTED.argmax(axis=1) == TEST.labels).mean()
    assert result.accuracy == pytest.approx(right)
    assert any("no calibration" in line for line in lines)


def test_predicted_classes_cannot_be_averaged(tmp_path):
    (tmp_path / "a.csv").write_bytes(make.hard(TEST, FER2013))
    validation = SPLITS["validation"]
    (tmp_path / "b.csv").write_bytes(make.hard(validation, FER2013))
    tables = {"test": tmp_path / "a.csv", "validation": tmp_path / "b.csv"}
    run = read_run(import_predictions(tables, CONFIG, SPLITS, tmp_path / "runs", "import"))
    with pytest.raises(UserError, match="without probabilities"):
        stored_predictions(run, "test", TEST)


def test_a_predicted_class_beside_scores_must_be_of_them(tmp_path):
    table = make.frame(TEST, FER2013)
    table["emotion"] = [FER2013[place] for place in EXPECTED.argmax(axis=1)]
    reading = read(tmp_path, make.csv(table))
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-6)
    table = table.rename(columns={"emotion": "prediction"})
    table["prediction"] = [FER2013[(place + 1) % 7] for place in EXPECTED.argmax(axis=1)]
    assert "another class than the highest score" in refused(tmp_path, make.csv(table))


def test_a_predicted_class_that_the_dataset_lacks_is_refused(tmp_path):
    content = make.hard(TEST, FER2013).replace(b",neutral\n", b",contempt\n", 1)
    assert "'contempt'" in refused(tmp_path, content)


def test_an_order_of_labels_that_does_not_fit_is_warned_of(tmp_path):
    alphabetical = sorted(FER2013)
    # Scores in FER2013's order under names in alphabetical order.
    reading = read(tmp_path, make.csv(make.frame(TEST, alphabetical, EXPECTED)))
    warning = next(note for note in reading.notes if note.startswith("warning"))
    given = (reading.probabilities.argmax(axis=1) == TEST.labels).mean()
    best = (EXPECTED.argmax(axis=1) == TEST.labels).mean()
    assert f"{100 * given:.2f} %" in warning
    assert f"{100 * best:.2f} %" in warning


def test_a_column_of_splits_chooses_the_rows(tmp_path):
    other = SPLITS["validation"]
    tables = []
    for split, usage in ((other, "PublicTest"), (TEST, "PrivateTest")):
        table = make.frame(split, FER2013)
        table["Usage"] = usage
        tables.append(table)
    reading = read(tmp_path, make.csv(pd.concat(tables)))
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-6)


def predict_table(runs=("ours-s0",)):
    """The columns of `fercore predict --csv`, with a face that it is unsure of."""
    rows = []
    for run in runs:
        for name, shares in zip(TEST.ids, EXPECTED, strict=True):
            rows.append(
                {
                    **{"file": f"photos/{name}.png", "frame": "", "face": 0, "left": 0, "top": 0},
                    **{"side": 48, "angle": 0.0, "run": run},
                    "expression": "" if shares.max() < 0.5 else FER2013[int(shares.argmax())],
                    "probability": f"{shares.max():.5f}",
                    **{f"p_{n}": f"{p:.5f}" for n, p in zip(FER2013, shares, strict=True)},
                }
            )
    return pd.DataFrame(rows)


def test_the_table_of_predict_imports_back(tmp_path):
    reading = read(tmp_path, make.csv(predict_table()))
    np.testing.assert_allclose(reading.probabilities, EXPECTED, atol=1e-4)
    both = make.csv(predict_table(("ours-s0", "ours-s1")))
    message = refused(tmp_path, both)
    assert "--run" in message
    assert "ours-s1" in message
    again = read(tmp_path, both, run="ours-s1")
    np.testing.assert_allclose(again.probabilities, EXPECTED, atol=1e-4)
    assert "ours-s0" in refused(tmp_path, both, run="nobody")
