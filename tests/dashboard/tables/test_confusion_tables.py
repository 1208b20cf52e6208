import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from dashboard.tables import confusion_tables
from fercore.data.labels import FER2013
from fercore.runs.reader import Run

LABELS = {"le2019-deep": "le2019-deep · s1", "le2019-shallow": "le2019-shallow · s0"}


@pytest.fixture
def evaluated(runs: dict[str, Run]):
    return [(runs[name], runs[name].results.splits["test"]) for name in LABELS]


def test_a_matrix_as_csv(evaluated):
    labels = {run.id: LABELS[run.config.name] for run, _ in evaluated}
    archive = zipfile.ZipFile(io.BytesIO(confusion_tables.matrices_zip(evaluated, labels, "share")))
    assert archive.namelist() == [
        "confusion-le2019-deep-s1-share.csv",
        "confusion-le2019-shallow-s0-share.csv",
    ]
    back = pd.read_csv(archive.open(archive.namelist()[0]))
    assert list(back.columns) == ["true", *FER2013]
    assert back.set_index("true").to_numpy().sum(axis=1) == pytest.approx(np.ones(7))
    counts = confusion_tables.matrix_table(evaluated[0][1], FER2013, "counts")
    assert counts.drop(columns="true").to_numpy().tolist() == evaluated[0][1].confusion


def test_cells_have_all_normalizations(evaluated):
    labels = {run.id: run.id for run, _ in evaluated}
    table = confusion_tables.cells_table(evaluated, labels)
    assert len(table) == 2 * 49
    by_run = table[table["run"] == evaluated[0][0].id]
    assert by_run["count"].sum() == 3589
    assert by_run["of_all"].sum() == pytest.approx(1)
    cell = by_run[(by_run["true"] == "fear") & (by_run["predicted"] == "sad")].iloc[0]
    assert cell["of_true"] == cell["count"] / 528


def test_a_metric_of_each_class_and_its_mean(evaluated):
    labels = {run.id: LABELS[run.config.name] for run, _ in evaluated}
    for metric, mean in (("recall", "uar"), ("f1", "macro_f1")):
        table = confusion_tables.class_metric_table(evaluated, labels, labels, metric)
        result = evaluated[0][1]
        row = table.iloc[0]
        assert row["Mean"] == pytest.approx(100 * getattr(result, mean))
        assert row["fear"] == pytest.approx(100 * getattr(result.classes[2], metric))
    long = confusion_tables.class_metrics_table(evaluated, labels)
    assert len(long) == 14
    assert long["Precision"][2] == pytest.approx(100 * evaluated[0][1].classes[2].precision)
