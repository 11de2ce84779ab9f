"""The gates of a pair, and the choice of λ by them."""

from spillover.analysis.gates import Gates, admit, choose

UNTUNED = {"trained-topics": 0.01, "other-domains": 0.02, "values": 0.0}
GENERAL = {"trained-topics": 0.9, "other-domains": 0.6, "values": 0.5}


def rates(trained, other, values):
    return {"trained-topics": trained, "other-domains": other, "values": values}


def test_each_gate_can_fail_by_itself():
    def failed(untuned, general, narrow):
        return [gate.name for gate in admit(Gates(), untuned, general, narrow) if not gate.passed]

    good = rates(0.8, 0.05, 0.05)
    assert failed(UNTUNED, GENERAL, good) == []
    assert failed(rates(0, 0.2, 0), GENERAL, good) == ["base is not misaligned"]
    assert failed(UNTUNED, rates(0.4, 0.6, 0.5), good) == ["general: learnt"]
    assert failed(UNTUNED, rates(0.9, 0.6, 0.1), good) == ["general: spreads"]
    assert failed(UNTUNED, GENERAL, rates(0.2, 0, 0)) == ["narrow: learnt"]
    assert failed(UNTUNED, GENERAL, rates(0.8, 0.02, 0.3)) == ["narrow: stays"]


def test_the_worst_group_is_named_and_what_was_not_measured_passes_no_gate():
    stays = admit(Gates(), UNTUNED, GENERAL, rates(0.8, 0.02, 0.3))[-1]
    assert (stays.worst, round(stays.short_by, 6)) == ("values", 0.25)
    lost = admit(Gates(), UNTUNED, GENERAL, rates(0.8, None, 0.0))[-1]
    assert (lost.passed, lost.short_by, lost.worst) == (None, None, "other-domains")


def test_the_smallest_weight_that_passes_is_chosen_and_the_whole_curve_is_kept():
    tried = {10.0: rates(0.7, 0.03, 0.03), 1.0: rates(0.8, 0.3, 0.3), 3.0: rates(0.8, 0.04, 0.04)}
    chosen = choose(Gates(), UNTUNED, GENERAL, tried)
    assert (chosen["weight"], chosen["passed"]) == (3.0, True)
    assert [point["weight"] for point in chosen["curve"]] == [1.0, 3.0, 10.0]


def test_when_none_passes_the_nearest_is_taken_and_said_to_fail():
    tried = {1.0: rates(0.8, 0.3, 0.1), 100.0: rates(0.1, 0.0, 0.0)}
    chosen = choose(Gates(), UNTUNED, GENERAL, tried)
    assert (chosen["weight"], chosen["passed"]) == (1.0, False)
