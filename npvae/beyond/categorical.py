"""p(x|z) for letters: at each place one of n classes, as in strings written one-hot."""

import numpy as np

from npvae.core.checks import NonFiniteError, first_nonfinite, generator, has_shape, positive_integer, same_shape
from npvae.core.parameters import Layer


class Categorical(Layer):
    """x: a single 1 among n places, L times in a row: (B, L n).  out = a: the logits, (B, L n).  p(class i) = softmax(a)_i.

        log p_i = a_i - m - log sum_j e^(a_j - m),      m = max_j a_j,      in each group of n = n_classes         [CAT-1]
        nll = -sum over the groups of sum_i x_i log p_i                                                            [CAT-2]

    Only differences of logits within a group count, so that the largest may be taken off: no exponent is positive, and the sum is
    at least 1. Words of 3 letters over " ab", with n_classes = 3, are rows of 9 numbers; see npvae.data.strings.
    Raises ValueError if n_classes is below 2.
    """

    def __init__(self, n_classes):
        self.n_classes = positive_integer("Categorical", "n_classes", n_classes)
        if self.n_classes == 1:
            raise ValueError("Categorical: n_classes must be at least 2; a class alone is certain.")

    def config(self):
        """The constructor's argument."""
        return {**super().config(), "n_classes": self.n_classes}

    def n_outputs(self, D):
        """How many numbers the decoder gives for D data values: a logit each."""
        return D

    def nll(self, out, x):
        """-log p(x|z) of each example, in nats [CAT-2].  out, x: (B, L n).  Returns (B,).

        Raises ValueError if a group of x is not one-hot."""
        return self._terms(out, x)[0]

    def nll_and_grad(self, out, x, dnll=None):
        """-log p(x|z) and its gradient.

            dnll/da = p - x                                                                                        [CAT-3]

        out, x: (B, L n); dnll: (B,), the weight of each example in the loss (1/B for the batch mean), 1 if None.
        Returns nll (B,) and dL/dout (B, L n).
        """
        nll, p = self._terms(out, x)
        dout = p.reshape(x.shape) - x  # (B, L n)
        if dnll is not None:
            has_shape("Categorical", "dnll", dnll, (len(x),), "one weight an example.")
            dout *= dnll[:, None]
        return nll, dout

    def _terms(self, out, x):
        """nll (B,) and p (B, L, n)."""
        same_shape("Categorical", x=x, out=out)
        self.check_data(x)
        log_p, p = self._softmax(out)
        return -np.sum(self._groups("x", x) * log_p, axis=(1, 2)), p

    def _softmax(self, out):
        """log p and p (B, L, n) [CAT-1], from the same exponentials."""
        a = self._groups("out", out)
        a = a - np.max(a.real, axis=2, keepdims=True)  # (B, L, n)
        e = np.exp(a)
        total = np.sum(e, axis=2, keepdims=True)  # (B, L, 1)
        return a - np.log(total), e / total

    def _groups(self, name, rows):
        """(B, L n) -> (B, L, n): a view.  Raises ValueError if the rows are not made of groups of n."""
        n = self.n_classes
        has_shape("Categorical", name, rows, ("B", "L n"))
        if rows.shape[1] % n:
            raise ValueError(f"Categorical: {name} has {rows.shape[1]} columns, which are not groups of {n} classes.")
        return rows.reshape(len(rows), rows.shape[1] // n, n)

    def check_data(self, x):
        """Refuse x unless each group is a single 1 among zeros.  Raises ValueError with the first row and place that is not."""
        x = self._groups("x", x)  # (B, L, n)
        bad = first_nonfinite(x)
        if bad:
            (row, place, i), value = bad
            raise NonFiniteError(
                f"Categorical: x is {value} at {[row, place * self.n_classes + i]}; remove or repair such rows first."
            )
        one_hot = np.all((x == 0) | (x == 1), axis=2) & (np.sum(x, axis=2) == 1)  # (B, L)
        if not one_hot.all():
            row, place = (int(i) for i in np.argwhere(~one_hot)[0])
            n = int(np.sum(~one_hot))
            raise ValueError(
                f"Categorical: x is not one-hot in row {row}, place {place}: {x[row, place].tolist()!s:.60} should be one 1 among "
                f"zeros ({n} of {one_hot.size} groups of {self.n_classes} are wrong); is n_classes right?"
            )

    def mean(self, out):
        """E[x|z] = p: the probabilities of the classes.  (B, L n) -> (B, L n)."""
        return self._softmax(out)[1].reshape(out.shape)

    def sample(self, out, rng):
        """x ~ p(x|z), one-hot.  (B, L n) -> (B, L n).

        The largest of a + g is class i with probability p_i if the g are independent Gumbel noise (Gumbel 1954)."""
        a = self._groups("out", out)
        noisy = a + generator("Categorical.sample", rng).gumbel(size=a.shape)  # (B, L, n)
        chosen = np.argmax(noisy, axis=2)[:, :, None] == np.arange(self.n_classes)
        return chosen.reshape(out.shape).astype(out.dtype)

    def output_for_mean(self, mean):
        """The logits at which E[x|z] = mean: its logarithm, of probabilities kept above 0.001 so that it is finite.  (L n,)."""
        return np.log(np.maximum(mean, 0.001))
