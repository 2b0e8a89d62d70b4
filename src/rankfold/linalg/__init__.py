"""Floor 0: small dense linear algebra, batched over same-shaped problems, one host sync per call."""

from rankfold.linalg._augment import augment, new_directions
from rankfold.linalg._batching import map_same_shape
from rankfold.linalg._contract import mode_inner, mode_products
from rankfold.linalg._gemm import product
from rankfold.linalg._gram_schmidt import gram_schmidt
from rankfold.linalg._hessian import hessian_product, twice_differentiable
from rankfold.linalg._hosvd import HOSVD, sequential_hosvd, truncated_hosvd
from rankfold.linalg._hyperspherical import hyperspherical_energy
from rankfold.linalg._mode_gram import mode_correlate, mode_gram, mode_project
from rankfold.linalg._orthogonal_maps import ORTHOGONAL_MAPS, OrthogonalMap, cayley, householder
from rankfold.linalg._orthonormalize import orthonormality_defect, orthonormalize
from rankfold.linalg._polar import loewdin, newton_schulz
from rankfold.linalg._power_iteration import power_iteration
from rankfold.linalg._precision import matrix_dtype, spectrum_dtype
from rankfold.linalg._spectrum import left_singular
from rankfold.linalg._unfold import fold_mode, mode_product, unfold

__all__ = [
    "HOSVD",
    "ORTHOGONAL_MAPS",
    "OrthogonalMap",
    "augment",
    "cayley",
    "fold_mode",
    "gram_schmidt",
    "hessian_product",
    "householder",
    "hyperspherical_energy",
    "left_singular",
    "loewdin",
    "map_same_shape",
    "matrix_dtype",
    "mode_correlate",
    "mode_gram",
    "mode_inner",
    "mode_product",
    "mode_products",
    "mode_project",
    "new_directions",
    "newton_schulz",
    "orthonormality_defect",
    "orthonormalize",
    "power_iteration",
    "product",
    "sequential_hosvd",
    "spectrum_dtype",
    "truncated_hosvd",
    "twice_differentiable",
    "unfold",
]
