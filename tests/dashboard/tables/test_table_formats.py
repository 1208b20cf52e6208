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
    assert list(back.columns) == [
        *("experiment", "accuracy_percent", "n", "state", "ci_low", "ci_high"),
        "training_time_s",
    ]
    assert back["accuracy_percent"][0] == 61.234567
    assert back["state"][1] == "running, failed"
    assert back["training_time_s"][0] == 90.0


def test_intervals_in_csv_are_two_numbers():
    table = pd.DataFrame(
        {
            "95% interval": [f"66.33{DASH}69.38{THIN}%", DASH],
            "Interval": ["\u22120.40 to +1.93", None],
            "Note": [f"a{DASH}b", "66 to nothing"],
            "No interval": [None, DASH],
        }
    )
    back = pd.read_csv(io.StringIO(table_formats.as_csv(table)))
    assert (back["ci_low"][0], back["ci_high"][0]) == (66.33, 69.38)
    assert back["ci_low"].isna()[1]
    assert (back["interval_ci_low"][0], back["interval_ci_high"][0]) == (-0.40, 1.93)
    assert list(back["note"]) == [f"a{DASH}b", "66 to nothing"]


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


def test_latex_has_a_caption_and_bold_best_values():
    table = pd.DataFrame(
        {
            "Run": ["a · s0", "b · s1", "c"],
            "Accuracy": [61.2, 68.161, 68.163],
            "ECE": [2.0, None, 9.5],
            "n": [1, 2, 3],
        }
    )
    text = table_formats.as_latex(table, "Results on 3,301 images.", "tab:a b_c")
    lines = text.splitlines()
    assert lines[:4] == [
        r"\begin{table}",
        r"\centering",
        r"\caption{Results on 3,301 images.}",
        r"\label{tab:a-b-c}",
    ]
    assert lines[-1] == r"\end{table}"
    assert r"Run & Accuracy (\%) & ECE (\%) & n \\" in lines
    assert r"a-s0 & 61.20 & \textbf{2.00} & 1 \\" in lines
    # Equal as printed.
    assert r"b-s1 & \textbf{68.16} & -- & 2 \\" in lines
    assert r"c & \textbf{68.16} & 9.50 & 3 \\" in lines
    assert "table}" not in table_formats.as_latex(table).replace("tabular", "")


def test_one_value_is_not_the_best_of_any():
    assert "textbf" not in table_formats.as_latex(pd.DataFrame({"Accuracy": [61.0, None]}))
