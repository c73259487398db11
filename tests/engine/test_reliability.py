"""Bins of equal counts, and the error that they show."""

from midfill.engine.reliability import Bin, calibration_error, reliability


def test_each_bin_has_as_many_fills_from_the_least_sure_up() -> None:
    confidences = [number / 200 for number in range(200)][::-1]
    bins = reliability(confidences, [confidence >= 0.5 for confidence in confidences])
    assert [each.records for each in bins] == [20] * 10
    assert [each.exact for each in bins] == [0.0] * 5 + [1.0] * 5
    assert bins[0].confidence == 0.0475


def test_the_error_is_the_mean_distance_weighed_by_fills() -> None:
    assert calibration_error([Bin(0.25, 0.5, 30), Bin(0.75, 0.75, 10)]) == 0.1875
    assert calibration_error(reliability([0.0] * 50 + [1.0] * 50, [False] * 50 + [True] * 50)) == 0.0


def test_few_fills_make_few_bins() -> None:
    assert reliability([0.2, 0.1], [True, False]) == [Bin(0.15, 0.5, 2)]
    assert [each.records for each in reliability([0.5] * 59, [True] * 59)] == [30, 29]
