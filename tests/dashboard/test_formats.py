import pytest

from dashboard import formats

THIN = formats.THIN


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (formats.percent(0.65871), f"65.87{THIN}%"),
        (formats.percent(None), "–"),
        (formats.interval(0.643, 0.6741), f"64.30–67.41{THIN}%"),
        (formats.interval(None, 0.5), "–"),
        (formats.points(-0.1653), "−16.53 points"),
        (formats.points(0.0247), "+2.47 points"),
        (formats.points(-0.00001), "0.00 points"),
        (formats.size(643_812), f"644{THIN}kB"),
        (formats.size(5_950_000), f"5.95{THIN}MB"),
        (formats.size(1_830_000_000), f"1.83{THIN}GB"),
        (formats.duration(42.4), f"42{THIN}s"),
        (formats.duration(200), f"3{THIN}min 20{THIN}s"),
        (formats.duration(2076), f"35{THIN}min"),
        (formats.duration(3599), f"1{THIN}h"),
        (formats.duration(4320), f"1{THIN}h 12{THIN}min"),
        (formats.duration(None), "–"),
        (formats.ago(20), "just now"),
        (formats.ago(3700), f"1{THIN}h ago"),
        (formats.ago(3 * 86400), "3 days ago"),
    ],
)
def test_numbers(shown, expected):
    assert shown == expected


def test_markdown_shows_text_as_it_stands():
    assert formats.markdown("a *b* [c](http://d)\ne") == r"a \*b\* \[c\]\(http\://d\) e"


def test_legend_escapes_labels():
    shown = formats.legend({"<script>": "#123456"})
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "#123456" in shown
