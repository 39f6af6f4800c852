"""What every evaluation asks of the model and the data it is given, and the posterior of all rows."""

import numpy as np

from npvae.core.checks import finite
from npvae.models import VAE, Autoencoder, ConditionalVAE
from npvae.models.conditional import GivenLabels

ROWS_AT_ONCE = 1024


def checked_data(where, vae, x):
    """-> x (B, D) in the model's real dtype, after a look at the model's parameters and at every value of x.

    Raises TypeError if the model has no q(z|x); ValueError for wrong shapes, unscaled integers and values outside the
    likelihood's range; NonFiniteError for a NaN or an infinity in the parameters or in x."""
    if not isinstance(vae, VAE):
        reason = " An autoencoder has no q(z|x) and no prior, hence no ELBO." if isinstance(vae, Autoencoder) else ""
        raise TypeError(f"{where}: the model must be a VAE, got {type(vae).__name__}.{reason}")
    if isinstance(vae, GivenLabels):  # it knows the labels of one batch; here rows come in parts, and each of them many times
        kind = type(vae.model).__name__
        raise TypeError(f"{where}: the model is a {kind} given the labels of a batch; pass the {kind} itself, and condition=.")
    x = vae.as_data(where, x)
    for name, value, _ in vae.params:
        finite(where, "the parameter itself is broken: go back to the last good checkpoint.", **{name: value})
    finite(where, "remove or repair such rows.", x=x)
    check_data = getattr(vae.likelihood, "check_data", None)  # a likelihood of the user's own may have none
    if check_data is not None:
        check_data(x)  # all rows now, not the 9,000th after an hour
    return x


def checked_labels(where, vae, x, condition):
    """-> the labels (B,) that a conditional model is told, None for any other.

    Raises TypeError if they are missing or nobody asked for them; ValueError for a wrong number of them, or out of range."""
    if isinstance(vae, ConditionalVAE):
        return vae.as_labels(where, condition, len(x))
    if condition is not None:
        raise TypeError(f"{where}: condition is for a ConditionalVAE; this {type(vae).__name__} is told no labels, leave it out.")
    return None


def given(vae, labels, rows, times=1):
    """The VAE of these rows: vae itself, or a conditional one given their labels, each of them `times` times in a row."""
    return vae if labels is None else vae.given(np.repeat(labels[rows], times))


def posterior(vae, x, labels):
    """mu, logvar of q(z|x) in float64, (B, Z) each, some rows at a time: sums over many rows keep their digits."""
    cuts = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(x), ROWS_AT_ONCE)]
    with np.errstate(all="ignore"):  # the caller looks at the result
        chunks = [given(vae, labels, rows).encode(x[rows]) for rows in cuts]
    mu, logvar = (np.concatenate(parts).astype(np.float64) for parts in zip(*chunks))
    return mu, logvar
