"""The plain autoencoder: the VAE without noise and without KL. It has no prior, so it cannot sample; it is the baseline."""

import numpy as np

from npvae.models.base import Loss, Model


class Autoencoder(Model):
    """loss = 1/B sum_b -log p(x_b | z_b),    z_b = encoder(x_b)                sum over D, mean over B             [AE-1]

    encoder: (B, D) -> (B, Z); decoder: (B, Z) -> (B, n). The same methods as VAE; eps is None, kl is 0, beta plays no part.
    """

    def loss(self, x, eps=None, beta=1.0):
        """Loss(total, reconstruction, kl = 0), in nats per example [AE-1].  x: (B, D). Errors as for VAE.loss."""
        x = self._arguments("loss", x, eps, beta)
        with np.errstate(all="ignore"):  # the result is looked at below
            z, _ = self.encoder.forward(x)  # (B, Z)
            out, _ = self.decoder.forward(z)  # (B, n)
            nll = self.likelihood.nll(out, x)  # (B,)
        return self._checked("loss", self._total(nll), x=x, z=z, out=out, reconstruction=nll)

    def loss_and_grad(self, x, eps=None, beta=1.0):
        """The same loss, and its gradient with respect to every parameter, which it leaves in .params.grad."""
        x = self._arguments("loss_and_grad", x, eps, beta)
        B = len(x)
        with np.errstate(all="ignore"):
            z, encoder_cache = self.encoder.forward(x)  # (B, Z)
            out, decoder_cache = self.decoder.forward(z)  # (B, n)
            nll, dout = self.likelihood.nll_and_grad(out, x, dnll=np.full(B, 1 / B, self.dtype))  # (B,), (B, n)

            dz = self.decoder.backward(dout, decoder_cache)  # (B, Z)
            self.encoder.backward(dz, encoder_cache, need_dx=False)
        return self._checked("loss_and_grad", self._total(nll), x=x, z=z, out=out, reconstruction=nll)

    @staticmethod
    def _total(nll):
        reconstruction = np.mean(nll).item()
        return Loss(reconstruction, reconstruction, 0.0)

    def _arguments(self, where, x, eps, beta):
        if eps is not None:
            raise ValueError(f"Autoencoder.{where}: eps must be None, an autoencoder draws no noise.")
        self._beta(where, beta)
        return self.as_data(where, x)

    def encode(self, x):
        """z (B, Z).  x: (B, D)."""
        return self.encoder.forward(self.as_data("encode", x))[0]

    def decode(self, z):
        """The decoder's raw output (B, n).  z: (B, Z)."""
        return self.decoder.forward(self._latent("decode", "z", z))[0]

    def reconstruct(self, x):
        """The mean of x given its code, (B, D).  x: (B, D)."""
        return self.likelihood.mean(self.decode(self.encode(x)))

    def sample(self, n, rng):
        """Refused: nothing says how an autoencoder's codes are distributed.  Raises ValueError."""
        raise ValueError("Autoencoder.sample: an autoencoder has no prior p(z) to sample from; train a VAE.")

    def noise(self, B, rng):
        """None: an autoencoder draws no noise."""
