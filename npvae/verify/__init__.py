"""Gradients checked: yours as well as the library's. Needs NumPy alone.

    check_gradient     any function of an array, or of named arrays
    check_layer        anything with forward(x) -> y, cache and backward(dy, cache) -> dx
    check_likelihood   anything with nll and nll_and_grad
    check_model        a model of this library, or a subclass

derivatives.py (the judges, on slopes.py; traps.py: is f fit for the complex step?), directions.py and certify.py (large models),
compare.py and kinks.py (the verdict), doctor.py (names the bug; constants, hypotheses, arrangements, elementwise are its
textbooks), report.py (what comes back). examine.py joins them; check.py, layer.py, likelihood.py and model.py are the four doors.
mistakes/ is a museum: documented bugs that can be switched on.
"""

from npvae.verify.check import check_gradient
from npvae.verify.layer import check_layer
from npvae.verify.likelihood import check_likelihood
from npvae.verify.model import check_model
from npvae.verify.report import Report

__all__ = ["Report", "check_gradient", "check_layer", "check_likelihood", "check_model"]
