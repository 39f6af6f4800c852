"""The formulas of the core in sixty and more digits, from the exact value of each float: what rounding is measured against."""

from decimal import Decimal, localcontext

import numpy as np


def precise(f):
    """Evaluate f on the exact values of its float arguments, with digits enough that 1 + e^-a is not 1."""

    def evaluated(*arguments):
        arguments = [Decimal(float(a)) for a in arguments]
        with localcontext() as context:
            context.prec = 60 + int(max(abs(a) for a in arguments) / 2)
            return +f(*arguments)

    return evaluated


@precise
def softplus(a):
    return (1 + a.exp()).ln()


@precise
def sigmoid(a):
    return 1 / (1 + (-a).exp())


@precise
def logsumexp(*a):
    return sum(term.exp() for term in a).ln()


@precise
def bernoulli_nll(logit, x):
    return (1 + logit.exp()).ln() - x * logit


@precise
def bernoulli_gradient(logit, x):
    return 1 / (1 + (-logit).exp()) - x


@precise
def kl(mu, logvar):
    return (mu * mu + logvar.exp() - 1 - logvar) / 2


@precise
def kl_slope(logvar):
    """dKL/dlogvar."""
    return (logvar.exp() - 1) / 2


def error(got, exact):
    """|got - exact|."""
    with localcontext() as context:
        context.prec = 1000
        return float(abs(Decimal(float(got)) - exact))


def ulps(got, exact):
    """|got - exact| in units of the last place of the exact value, in the precision of `got`."""
    return error(got, exact) / float(np.spacing(np.abs(np.asarray(got).dtype.type(float(exact)))))
