import io

import pandas as pd

from dashboard.formats import DASH, THIN
from dashboard.tables import table_formats

TABLE = pd.DataFrame(
    {
        "Color": ["data:image/svg+xml,a", "data:image/svg+xml,b"],
        "Experiment": ["A | B", "50 % & more_"],
        "Accuracy": [61.234567, None],
        "n": [3589, 3589],
        "State": [["finished"], ["running", "failed"]],
        "Interval": [f"60.1{DASH}62.3{THIN}%", None],
        "Training time": pd.to_timedelta([90.0, None], unit="s"),
        "Nothing": [None, None],
    }
)


def test_csv_keeps_every_digit_and_no_pictures():
    back = pd.read_csv(io.StringIO(table_formats.as_csv(TABLE)))
    assert list(back.columns) == list(TABLE.columns[1:-1])
    assert back["Accuracy"][0] == 61.234567
    assert back["State"][1] == "running, failed"
    assert back["Training time"][0] == 90.0


def test_markdown_is_a_table_of_as_many_columns():
    lines = table_formats.as_markdown(TABLE).splitlines()
    assert lines[1] == "| --- | ---: | ---: | --- | --- | ---: |"
    assert lines[2].startswith("| A \\| B | 61.23 | 3,589 | finished |")
    assert lines[3].split(" | ")[1] == DASH


def test_numbers_of_a_column_have_as_many_digits():
    table = pd.DataFrame(
        {"a": [66.0, 66.82, None], "n": [3589.0, None, 12.0], "p": [0.0, 1.0, 0.02]}
    )
    assert table_formats.cell_texts(table) == [
        ["66.00", "3,589", "0.00"],
        ["66.82", DASH, "1.00"],
        [DASH, "12", "0.02"],
    ]


def test_latex_escapes_what_it_would_read():
    text = table_formats.as_latex(TABLE)
    assert r"\begin{tabular}{lrrllr}" in text
    assert r"50 \% \& more\_ & -- & 3,589 & running, failed" in text
    assert r"60.1--62.3\,\%" in text
    assert text.count(r"\\") == 3


def test_a_small_number_is_not_nought_and_a_missing_date_is_a_dash():
    table = pd.DataFrame({"p": [0.0004, 0.0496, 0.5, 12.0], "t": [pd.NaT, None, float("nan"), "a"]})
    numbers, dates = zip(*table_formats.cell_texts(table), strict=True)
    assert numbers == ("0.0004", "0.0496", "0.50", "12.00")
    assert dates == (DASH, DASH, DASH, "a")


def test_a_bar_is_escaped_in_markdown_alone():
    assert "A | B" in table_formats.as_latex(TABLE)
    assert table_formats.cell_texts(pd.DataFrame({"a": ["A | B"]})) == [["A | B"]]
