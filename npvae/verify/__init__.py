"""Gradients checked: yours as well as the library's. Needs NumPy alone.

    check_gradient     any function of an array, or of named arrays
    check_layer        anything with forward(x) -> y, cache and backward(dy, cache) -> dx
    check_likelihood   anything with nll and nll_and_grad
    check_model        a model of this library, or a subclass

derivatives.py (the judges, on slopes.py; traps.py: is f fit for the complex step?), directions.py and certify.py (large models),
compare.py and kinks.py (the verdict), doctor.py (names the bug; constants, hypotheses, arrangements, elementwise are its
textbooks), report.py (what comes back). examine.py joins them; check.py, layer.py, likelihood.py and model.py are the four doors.
mistakes/ is a museum: documented bugs that can be switched on.

Limits. A check looks at one point theta, and proves that f and its gradient agree there, never that f is right. Differences see
nothing below the rounding of f divided by the step; what that is stands in the report, and a block below it "proves nothing". The
complex step judges no entry below 1e-13 of the largest. At a kink each entry is held between its own two slopes, which is less than
to be a subgradient; where one entry moves several units off their kinks at once, Richardson may call a right slope wrong (the
complex step does not). Beyond 2,000 parameters a block of less than 1e-5 of the whole is known less well than the others, and the
report says how well.
"""

from npvae.verify.check import check_gradient
from npvae.verify.layer import check_layer
from npvae.verify.likelihood import check_likelihood
from npvae.verify.model import check_model
from npvae.verify.report import Report

__all__ = ["Report", "check_gradient", "check_layer", "check_likelihood", "check_model"]
