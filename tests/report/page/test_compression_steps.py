"""The next policy to try is one that can be tried."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfold.convert import POLICIES, parse_policy
from rankfold.report.page._compression_steps import changed_policy, faster_policy

INPUTS = object()  # not looked at before the policy is used


@pytest.mark.parametrize("name", [name for name, info in POLICIES.items() if name != "evbmf"])
@given(data=st.data())
def test_every_policy_is_changed_to_one_that_can_be_parsed(name, data):
    whole = name == "fixed"
    least, most = {"fixed": (1, 512), "latency": (1.01, 3.0)}.get(name, (0.01, 0.99))
    number = data.draw(
        st.integers(least, most) if whole else st.floats(least, most).map(lambda value: round(value, 2))
    )
    option = POLICIES[name].options[0]
    policy = data.draw(st.sampled_from([f"{name}={number}", f"{name} {option}={number}"]))
    for more in (True, False):
        changed = changed_policy(policy, more=more)
        if changed is None:
            continue
        parse_policy(changed, INPUTS)
        value = float(changed.rpartition("=")[2])
        larger = more != (name in ("tolerance", "latency"))
        assert value > number if larger else value < number


@pytest.mark.parametrize(
    "policy", ["", "evbmf", "magic=3", "budget", "budget params=x", "fixed=0", "energy=nan", "="]
)
def test_what_cannot_be_changed(policy):
    assert changed_policy(policy, more=True) is None


def test_other_options_stay():
    assert changed_policy("budget faster=1 flops=0.4", more=True) == "budget faster=1 flops=0.6"
    assert changed_policy("latency=1.2 quantum=8", more=True) == "latency=1.1 quantum=8"


@pytest.mark.parametrize(
    ("policy", "share", "wanted"),
    [
        ("budget flops=0.5", 0.4, "budget flops=0.5 faster=1"),
        ("energy=0.9", 0.4, "budget params=0.4 faster=1"),
        ("energy=0.9", 1.2, None),
        ("budget latency=0.5", 0.4, None),
        ("budget params=0.5 faster=1", 0.4, None),
        ("latency", 0.4, None),
    ],
)
def test_a_budget_that_is_faster(policy, share, wanted):
    assert faster_policy(policy, share) == wanted
    if wanted is not None:
        parse_policy(wanted, INPUTS)
