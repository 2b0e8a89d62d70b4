import pytest

import rankfold
from rankfold import RankfoldError, _errors

ERRORS = [getattr(_errors, name) for name in _errors.__all__]


@pytest.mark.parametrize("error", ERRORS)
def test_every_error_is_ours_public_and_described(error: type[Exception]) -> None:
    assert issubclass(error, RankfoldError)
    assert getattr(rankfold, error.__name__) is error
    assert error.__doc__


@pytest.mark.parametrize("error", ERRORS[:-1])
def test_every_error_is_also_of_a_builtin_kind(error: type[Exception]) -> None:
    if error is not RankfoldError:
        assert issubclass(error, ValueError | RuntimeError)


def test_no_error_catches_another() -> None:
    own = [error for error in ERRORS if error is not RankfoldError]
    assert all(not issubclass(one, other) for one in own for other in own if one is not other)
