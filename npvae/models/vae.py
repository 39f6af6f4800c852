"""The variational autoencoder: encoder, reparameterized sample, decoder, likelihood, KL, and the way back."""

import numpy as np

from npvae.core.checks import generator, positive_integer
from npvae.core.gaussian import kl_divergence, kl_divergence_backward, reparameterize, reparameterize_backward
from npvae.models.base import Loss, Model


class VAE(Model):
    """The model p(x|z) p(z) with p(z) = N(0, I), and the approximate posterior q(z|x) = N(mu(x), diag sigma^2(x)).

        log p(x) >= ELBO = E_q[ log p(x|z) ] - KL( q(z|x) || p(z) )            Kingma & Welling (2014), eq. 3       [ELBO-3]
        loss = 1/B sum_b ( -log p(x_b|z_b) + beta KL_b ),    z_b ~ q(z|x_b)    sum over D and Z, mean over B        [ELBO-4]

    encoder: (B, D) -> (B, 2Z), columns mu, then logvar; decoder: (B, Z) -> (B, n) raw outputs for the likelihood. At beta = 1
    the loss is an unbiased estimate of -ELBO, in nats per example. Raises ValueError if the widths do not fit together.
    """

    code_width = 2

    def loss(self, x, eps, beta=1.0):
        """The loss and its parts [ELBO-4], a deterministic function of (theta, x, eps).

        x: (B, D); eps: (B, Z), from `noise`. Returns Loss(total, reconstruction, kl), in nats per example.
        Raises ValueError for wrong shapes, unscaled integers or values outside the likelihood's range; NonFiniteError if a NaN
        or an infinity arises, with the name of the first quantity that holds one.
        """
        x, eps, beta = self._arguments("loss", x, eps, beta)
        with np.errstate(all="ignore"):  # the result is looked at below
            mu, logvar = self._split(self.encoder.forward(x)[0])  # (B, Z), (B, Z)
            z, _ = reparameterize(mu, logvar, eps)  # (B, Z)
            out, _ = self.decoder.forward(z)  # (B, n)
            nll, kl = self.likelihood.nll(out, x), kl_divergence(mu, logvar)  # (B,), (B,)
            loss = self._total(nll, kl, beta)
        return self._checked("loss", loss, x=x, eps=eps, mu=mu, logvar=logvar, z=z, out=out, reconstruction=nll, kl=kl)

    def loss_and_grad(self, x, eps, beta=1.0):
        """The same loss, and its gradient with respect to every parameter, which it leaves in .params.grad.

        Forward, then backward through the same steps in reverse; each line of the second half undoes one of the first.
        """
        x, eps, beta = self._arguments("loss_and_grad", x, eps, beta)
        B, dtype = len(x), self.dtype
        with np.errstate(all="ignore"):  # the result is looked at below
            code, encoder_cache = self.encoder.forward(x)  # (B, 2Z)
            mu, logvar = self._split(code)  # (B, Z), (B, Z)
            z, sample_cache = reparameterize(mu, logvar, eps)  # (B, Z)
            out, decoder_cache = self.decoder.forward(z)  # (B, n)
            kl = kl_divergence(mu, logvar)  # (B,)
            nll, dout = self.likelihood.nll_and_grad(out, x, dnll=np.full(B, 1 / B, dtype))  # (B,), (B, n)

            dz = self.decoder.backward(dout, decoder_cache)  # (B, Z)
            dmu, dlogvar = reparameterize_backward(dz, sample_cache)  # (B, Z), (B, Z)
            dmu_kl, dlogvar_kl = kl_divergence_backward(mu, logvar, dkl=np.full(B, beta / B, dtype))
            dcode = np.concatenate([dmu + dmu_kl, dlogvar + dlogvar_kl], axis=1)  # (B, 2Z)
            self.encoder.backward(dcode, encoder_cache, need_dx=False)
            loss = self._total(nll, kl, beta)
        return self._checked("loss_and_grad", loss, x=x, eps=eps, mu=mu, logvar=logvar, z=z, out=out, reconstruction=nll, kl=kl)

    def _split(self, code):
        """The encoder's output (B, 2Z) -> mu, logvar (B, Z): views."""
        return code[:, : self.latent_dim], code[:, self.latent_dim :]

    @staticmethod
    def _total(nll, kl, beta):
        """Mean over the batch; Python scalars (complex in the complex twin)."""
        reconstruction, kl = np.mean(nll).item(), np.mean(kl).item()
        return Loss(reconstruction + beta * kl, reconstruction, kl)

    def _arguments(self, where, x, eps, beta):
        x = self.as_data(where, x)
        return x, self._latent(where, "eps", eps, len(x)), self._beta(where, beta)

    def encode(self, x):
        """q(z|x): mu, logvar (B, Z), with logvar = log sigma^2.  x: (B, D). Draws nothing."""
        return self._split(self.encoder.forward(self.as_data("encode", x))[0])

    def decode(self, z):
        """The decoder's raw output (B, n): logits for Bernoulli, means for Gaussian.  z: (B, Z)."""
        return self.decoder.forward(self._latent("decode", "z", z))[0]

    def reconstruct(self, x):
        """The mean of x given z = mu(x), (B, D): a picture of what the code keeps.  x: (B, D)."""
        return self.likelihood.mean(self.decode(self.encode(x)[0]))

    def sample(self, n, rng):
        """n new data points: z ~ p(z) = N(0, I), then the mean of x given z, (n, D); likelihood.sample adds the pixels' noise."""
        return self.likelihood.mean(self.decode(self.noise(n, rng)))

    def noise(self, B, rng):
        """eps ~ N(0, I), (B, Z), from the numpy.random.Generator rng."""
        shape = positive_integer(f"{self._name}.noise", "B", B), self.latent_dim
        return generator(f"{self._name}.noise", rng).standard_normal(shape, dtype=self.real_dtype)
