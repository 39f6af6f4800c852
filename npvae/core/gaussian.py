"""The diagonal Gaussian: its KL divergence to the prior, the reparameterized sample, the log-density; each with its derivative.

The encoder gives mu and logvar = log sigma^2, both (B, Z), so that sigma = e^(logvar/2) is positive whatever the network says.
"""

import math

import numpy as np

from npvae.core.checks import has_shape, same_shape

LOG_2PI = math.log(2 * math.pi)


def kl_per_dimension(mu, logvar):
    """KL( N(mu, sigma^2) || N(0, 1) ) of each latent of each example, in nats.

        KL = 1/2 ( mu^2 + sigma^2 - 1 - log sigma^2 )             Kingma & Welling (2014), Appendix B              [KL-1]

    mu, logvar: (B, Z).  Returns (B, Z), never negative, 0 at the prior mu = 0, logvar = 0.
    expm1 keeps the digits that sigma^2 - 1 loses close to the prior: at logvar = 1e-8 the naive form has none left.
    """
    same_shape("kl_divergence", mu=mu, logvar=logvar)
    return 0.5 * (mu**2 + (np.expm1(logvar) - logvar))  # (B, Z)


def kl_divergence(mu, logvar):
    """KL( N(mu, diag sigma^2) || N(0, I) ) of each example, in nats: [KL-1] summed over the latents.

    mu, logvar: (B, Z).  Returns (B,).
    """
    has_shape("kl_divergence", "mu", mu, ("B", "Z"))
    return np.sum(kl_per_dimension(mu, logvar), axis=1)  # (B,)


def kl_divergence_backward(mu, logvar, dkl):
    """The gradient of `kl_divergence`.

        dL/dmu     = mu dL/dKL                                                                                     [KL-2]
        dL/dlogvar = 1/2 (sigma^2 - 1) dL/dKL                                                                      [KL-3]

    mu, logvar: (B, Z); dkl: (B,).  Returns dmu, dlogvar: (B, Z).
    """
    same_shape("kl_divergence_backward", mu=mu, logvar=logvar)
    has_shape("kl_divergence_backward", "dkl", dkl, (len(mu),))
    dkl = dkl[:, None]  # (B, 1)
    return mu * dkl, 0.5 * np.expm1(logvar) * dkl  # (B, Z), (B, Z)


def reparameterize(mu, logvar, eps):
    """A sample of N(mu, sigma^2) as a differentiable function of mu and logvar: the noise comes from outside.

        z = mu + sigma eps     sigma = e^(logvar/2)     eps ~ N(0, I)          Kingma & Welling (2014), section 2.4  [REP-1]

    mu, logvar, eps: (B, Z).  Returns z (B, Z) and the cache for `reparameterize_backward`.
    """
    same_shape("reparameterize", mu=mu, logvar=logvar, eps=eps)
    sigma = np.exp(0.5 * logvar)  # (B, Z)
    return mu + sigma * eps, (sigma, eps)


def reparameterize_backward(dz, cache):
    """The gradient through the sample, for the very noise of the forward pass.

        dL/dmu     = dL/dz                                                                                         [REP-2]
        dL/dlogvar = 1/2 sigma eps dL/dz          since dsigma/dlogvar = sigma / 2                                 [REP-3]

    dz: (B, Z).  Returns dmu, dlogvar: (B, Z).
    """
    sigma, eps = cache
    same_shape("reparameterize_backward", eps=eps, dz=dz)
    return dz, 0.5 * sigma * eps * dz  # (B, Z), (B, Z)


def log_density(x, mu, logvar):
    """log N(x; mu, diag sigma^2) of each example, in nats.

        log N = -1/2 sum_z ( log 2 pi + log sigma^2 + (x - mu)^2 / sigma^2 )                                       [GAU-1]

    x, mu, logvar: (B, Z).  Returns (B,); a log-density may be positive.
    """
    same_shape("log_density", x=x, mu=mu, logvar=logvar)
    has_shape("log_density", "x", x, ("B", "Z"))
    return -0.5 * np.sum(LOG_2PI + logvar + (x - mu) ** 2 * np.exp(-logvar), axis=1)  # (B,)


def log_density_backward(x, mu, logvar, dlogp):
    """The gradient of `log_density`.

        dL/dx      = -(x - mu) / sigma^2 dL/dlogN                                                                  [GAU-2]
        dL/dmu     =  (x - mu) / sigma^2 dL/dlogN                                                                  [GAU-3]
        dL/dlogvar =  1/2 ( (x - mu)^2 / sigma^2 - 1 ) dL/dlogN                                                    [GAU-4]

    x, mu, logvar: (B, Z); dlogp: (B,).  Returns dx, dmu, dlogvar: (B, Z).
    """
    same_shape("log_density_backward", x=x, mu=mu, logvar=logvar)
    has_shape("log_density_backward", "dlogp", dlogp, (len(x),))
    dlogp = dlogp[:, None]  # (B, 1)
    precision = np.exp(-logvar)  # (B, Z)
    dmu = (x - mu) * precision * dlogp  # (B, Z)
    return -dmu, dmu, 0.5 * ((x - mu) ** 2 * precision - 1) * dlogp
