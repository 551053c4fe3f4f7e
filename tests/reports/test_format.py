from groundup.reports.format import by_chance, difference, interval, percent, significant, starred

ENTRY = {"mean": 0.4249, "low": 0.3, "high": 0.5}
BELOW = {"mean": -0.1, "low": -0.2, "high": 0.05}


def test_means_with_their_ends():
    assert interval(ENTRY) == "0.425 (0.300–0.500)"
    assert interval(ENTRY, 1, 100) == "42.5 (30.0–50.0)"
    assert interval(BELOW, 1) == "-0.1 (-0.2 to 0.1)"  # no dash beside a sign
    assert interval(dict.fromkeys(ENTRY, 0.94)) == "0.940"
    assert percent(ENTRY) == "42.5% (30.0%–50.0%)"


def test_differences_and_their_verdict():
    assert difference(BELOW, 1) == starred(BELOW, 1) == "-0.1 (-0.2 to +0.1)"
    assert starred(ENTRY, 2) == "+0.42 (+0.30 to +0.50) *"
    assert significant({"mean": -0.1, "low": -0.2, "high": -0.01}) and not significant(BELOW)


def test_what_many_differences_give_by_chance():
    assert by_chance(12, 0.95).startswith("12 differences are judged at 95%, so about 0.6 of them")
