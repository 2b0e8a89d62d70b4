"""What goes wrong on one worker stops all of them; what each does with its own random numbers parts none."""

import pytest
import torch

SKIPPED = [64, 32, 32, 32]  # the scale, halved after the step that was left out


def same(results, key="after"):
    assert not any(isinstance(result, str) for result in results), results
    first = results[0][key]
    for other in results[1:]:
        assert other[key].keys() == first.keys()
        for name, value in first.items():
            assert torch.equal(other[key][name], value), name
    return results


def test_nan_on_one_worker_stops_all_and_changes_nothing(pair):
    for result in same(pair["nan"]):
        assert "NonFiniteError: TDLRT: at step 2 the gradient of 0." in result["sentence"]
        assert result["unchanged"]


def test_nan_on_one_of_three(three):
    assert all("NonFiniteError" in result["sentence"] for result in same(three["nan"]))


def test_gradient_scalers_skip_the_step_on_all_workers(pair):
    for result in same(pair["scaler"]):
        assert result["scales"] == SKIPPED
        assert result["steps"] == 3


def test_workers_that_built_different_models_are_refused(pair):
    for result in pair["different models"]:
        for sentence in result.values():
            assert "OptimizerError: TDLRT: the workers built different models or passed different" in sentence


def test_ranks_of_the_first_worker_count(pair):
    assert [result["start"] for result in same(pair["different ranks"])] == [(2, 2)] * 2


def test_set_ranks_gives_all_workers_the_same_directions(pair):
    assert [result["ranks"] for result in same(pair["new ranks"])] == [(9, 8)] * 2


@pytest.mark.parametrize("name", ["apart", "other bits"])
def test_workers_that_are_no_longer_alike_all_stop(pair, name):
    for sentence in pair[name]:
        assert (
            "OptimizerError: TDLRT: the workers no longer hold the same steps, ranks or factors" in sentence
        )


def test_hooks_and_options_of_the_wrapper_see_the_dense_rest_and_no_more(pair):
    result = same(pair["static graph, mean hook"])[0]
    assert sum(result["buckets"]) == 7 * result["dense"]
    for parameter, value in pair["default"][0]["after"].items():
        torch.testing.assert_close(result["after"][parameter], value, rtol=1e-12, atol=1e-12)


def test_what_cannot_be_is_refused_in_a_sentence(pair):
    for result in pair["refused"]:
        assert "nothing to average but cores and factors" in result.pop("nothing left")
        assert "process_group must be a process group" in result.pop("group")
        assert "made with mixed_precision, under which ranks cannot change" in result.pop("mixed precision")
        assert "build the embedding with sparse=False" in result.pop("sparse")
        assert "DistributedDataParallel.join is in use" in result.pop("join")
        assert "torch.distributed was started after this optimiser was made" in result.pop("early")
        assert "it is not known how the state of ZeroRedundancyOptimizer follows" in result.pop("ZeRO")
        assert "cannot be copied or pickled" in result.pop("copy")
        assert not result


def test_groups_of_one_train_apart(pair):
    first, second = pair["alone"]
    assert any(not torch.equal(first[name], second[name]) for name in first)


def test_copies_train_on_among_the_workers(pair):
    for key in ("first", "second"):
        same(pair["copied"], key)
    for name, value in pair["copied"][0]["first"].items():
        assert torch.equal(pair["copied"][0]["second"][name], value)


def test_damaged_checkpoints_are_out_of_the_way_for_all_workers_at_once(pair):
    inside, outside = pair["set aside"]
    assert inside["steps"] == outside["steps"] == [1, 1]
    assert "OptionError: a process group is asked for" in outside["outside"]


def test_another_optimiser_gets_every_gradient_of_a_copy(pair):
    assert all(all(result["gradients"]) for result in same(pair["handed on"]))


def test_a_model_that_nobody_needs_is_gone_and_a_part_of_it_lives_on(pair):
    for result in pair["dropped"]:
        assert result == {"left": [False, False, False], "gradient": True}


def test_what_was_frozen_as_the_wrapper_was_made_is_averaged_once_it_trains(pair):
    assert all(result["moved"] for result in same(pair["thawed"]))


def test_a_step_sends_one_header_and_one_message(pair):
    result = same(pair["messages"])[0]
    header = 5 + len(result["sizes"])
    assert result["counts"][0] == header
    assert result["counts"][2] == header
    # A step on the cores has no use for gradients of factors.
    assert result["counts"][3] == sum(n for name, n in result["sizes"].items() if "factor" not in name)
    assert result["counts"][1] > result["counts"][3]
    assert len(result["counts"]) == 4
    assert result["quiet"] == 2  # nothing is sent by a backward under no_sync


def test_a_stored_run_goes_on_bit_by_bit(pair):
    same(pair["resumed"], "first")
    for result in same(pair["resumed"], "second"):
        assert result["ranks"][0] != result["ranks"][1]
        for parameter, value in result["first"].items():
            assert torch.equal(result["second"][parameter], value)


def test_fine_tuning_of_a_compressed_model_is_that_of_one_process(pair):
    from tests.training.distributed.events import compressed

    one = compressed(0, 1)["after"]
    for name, value in same(pair["compressed"])[0]["after"].items():
        torch.testing.assert_close(value, one[name], rtol=1e-9, atol=1e-9)


def test_a_model_outlives_its_workers_and_its_optimiser_does_not(pair):
    for result in pair["afterwards"]:
        assert not isinstance(result, str), result
        assert "torch.distributed was ended; make a new one" in result["sentence"]
        assert result["gradient"]
        assert result["steps"] == 1


def test_penalties_and_dropout_of_every_worker_leave_ranks_alike(pair):
    same(pair["helpers"])


def test_an_optimiser_of_orthogonal_matrices_beside_it(pair):
    from tests.training.distributed.events import orthogonal

    one = orthogonal(0, 1)
    assert one["matrices"] == 1
    for name, value in same(pair["orthogonal"])[0]["after"].items():
        torch.testing.assert_close(one["after"][name], value, rtol=1e-9, atol=1e-9)
