from groundup.reports.format import (
    decimals,
    difference,
    interval,
    number,
    percent,
    share,
    significant,
    starred,
)

ENTRY = {"mean": 0.4249, "low": 0.3, "high": 0.5}
BELOW = {"mean": -0.1, "low": -0.2, "high": 0.05}


def test_single_numbers():
    assert number(1234567) == "1,234,567"
    assert decimals(1.239) == "1.24" and decimals(-0.00123) == "0.00"
    assert share(0.98765) == "98.8%" and share(0.95, 0) == "95%"


def test_means_with_their_bounds():
    assert interval(ENTRY) == "0.425 (0.300–0.500)"
    assert interval(ENTRY, 1, 100) == "42.5 (30.0–50.0)"
    assert interval(BELOW, 1) == "-0.1 (-0.2 to 0.1)"  # no dash next to a minus sign
    assert interval(dict.fromkeys(ENTRY, 0.94)) == "0.940"
    assert percent(ENTRY) == "42.5% (30.0%–50.0%)"


def test_differences_and_their_significance():
    assert difference(BELOW, 1) == starred(BELOW, 1) == "-0.1 (-0.2 to +0.1)"
    assert starred(ENTRY, 2) == "+0.42 (+0.30 to +0.50) *"
    assert significant({"mean": -0.1, "low": -0.2, "high": -0.01}) and not significant(BELOW)
