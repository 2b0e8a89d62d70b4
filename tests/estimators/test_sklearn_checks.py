"""scikit-learn's own checks."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from rankfold.estimators import CPDecomposer, TuckerDecomposer

ESTIMATORS = [
    CPDecomposer(),
    CPDecomposer(rank=2, mask="nan"),
    CPDecomposer(rank=2, nonnegative=True),
    TuckerDecomposer(tolerance=0.1),
    TuckerDecomposer(ranks=2, mask="nan"),
    TuckerDecomposer(ranks=2, nonnegative=True),
]


# A matrix of one row or column has no rank 2. The error names the shape and the ranks in range, where these checks
# look for the words n_samples and n_features.
RANK_2_OF_A_VECTOR = dict.fromkeys(
    ("check_fit2d_1sample", "check_fit2d_1feature"), "the error names the shape of the matrix and its ranks"
)


def expected_failures(estimator):
    return RANK_2_OF_A_VECTOR if 2 in estimator.get_params().values() else {}


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=expected_failures)
def test_scikit_learn(estimator, check):
    check(estimator)
