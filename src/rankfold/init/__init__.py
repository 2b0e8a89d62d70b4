"""Floor 3: how weights begin: in a format, as elementwise products, and how their scale is shared by layers."""

from rankfold.init._balance import balanced
from rankfold.init._calibrate import CalibratedLayer, calibrate
from rankfold.init._initialize import InitializedWeight, initialize
from rankfold.init._initializers import INITIALIZERS, Initializer
from rankfold.init._products import InitializedProduct, initialize_products, product_factors
from rankfold.init._rescale import RescaledLayer, rescale_layers
from rankfold.init._spectral import FORMS, Form, WrittenWeight, spectral
from rankfold.init._two_layers import initialize_two_layers

__all__ = [
    "FORMS",
    "INITIALIZERS",
    "CalibratedLayer",
    "Form",
    "InitializedProduct",
    "InitializedWeight",
    "Initializer",
    "RescaledLayer",
    "WrittenWeight",
    "balanced",
    "calibrate",
    "initialize",
    "initialize_products",
    "initialize_two_layers",
    "product_factors",
    "rescale_layers",
    "spectral",
]
