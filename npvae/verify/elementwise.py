"""What a layer's own tensors tell: a derivative, a sigma or a noise that is missing, applied twice, or taken for another.

Ratios are compared without division: that a = n p / q is tested as a q = n p, so that a zero of q is no obstacle. An entry where
both sides drown in the noise proves nothing; it may not be one of those that are visibly wrong.
"""

import numpy as np

from npvae.verify.hypotheses import Fit, peak

LEAST = 3  # entries that must be visibly wrong, and explained
TINY = 1e-300
ALSO = {1: "", 2: "; besides, 2 times too large", 0.5: "; besides, 2 times too small", -1: "; besides, of the opposite sign"}


def activation(block, clues):
    """dx = dy g for a wrong slope g: none, that of another function, that of x taken at y; or the right one twice, or inverted."""
    if not {"x", "y", "dy"} <= block.tensors.keys() or _wrong(block).sum() < LEAST:
        return
    dy, table = block.tensors["dy"], {"1": np.ones(block.n.shape), **_slopes(block.tensors)}
    right = next((name for name, g in table.items() if np.max(np.abs(block.n - dy * g)) <= block.tol), None)
    due = f"; dx = dy ({right})" if right else ""
    for cost, (name, g) in enumerate(table.items()):
        residual = block.residual(dy * g)
        if residual is not None and name == "1":
            text = f"equal to dy: the derivative of the activation is missing{due}."
            yield Fit("activation", 2, text, residual)
        elif residual is not None:
            yield Fit(
                "activation",
                2 + cost / 100,
                f"dy ({name}), {f'{name} in place of {right}' if right else 'which is not the slope of this function'}{due}.",
                residual,
            )
        residual = _ratio(block, g, dy, np.abs(g)) if name == right else None
        if residual is not None:
            text = f"dy / ({name}): divided by the derivative of the activation, and not multiplied with it."
            yield Fit("activation", 2.6, text, residual)
    residual = _ratio(block, dy, block.n**2, np.abs(dy) + 2 * np.abs(block.n))
    if residual is not None:
        yield Fit("activation", 2.5, f"the derivative of the activation is applied twice{due}.", residual)


def mask(block, clues):
    """dx holds dy or 0 in every entry, as it should, but not at the right ones."""
    dy = block.tensors.get("dy")
    if dy is None or block.entries < LEAST:
        return
    through = [np.abs(g - dy) <= block.tol for g in (block.a, block.n)]
    stopped = [np.abs(g) <= block.tol for g in (block.a, block.n)]
    if all(np.all(t | s) and t.any() and s.any() for t, s in zip(through, stopped)):
        count = int(np.sum(through[0] != through[1]))
        text = (
            f"dy or 0 in every entry, as it should be, but in the wrong ones ({count} of {dy.size}): "
            "a mask of another layer, of another pass, or turned round."
        )
        yield Fit("mask", 3, text, float(np.max(np.minimum(np.abs(block.a - dy), np.abs(block.a)))))


def tensor(block, clues):
    """A factor t is missing (a = n / t), stands twice (n t), is divided by (n / t^2), or another, s, is in its place (n s / t)."""
    if _wrong(block).sum() < LEAST:
        return
    fields = {name: t for name, t in block.tensors.items() if not name.startswith("d")}
    one, guesses = np.ones(block.n.shape), []
    for t, q in {**fields, **_slopes(block.tensors)}.items():
        if np.ptp(q) <= 1e-3 * peak(q):  # a constant is no pattern
            continue
        guesses += [
            (3, one, q, f"the factor {t} is missing"),
            (3.1, q, one, f"the factor {t} stands there once too often"),
            (3.2, one, q * q, f"divided by {t}, and not multiplied with it"),
        ]
        guesses += [(4, p, q, f"{s} in place of {t}") for s, p in fields.items() if s != t]
    for t, q in block.tensors.items():
        if t.startswith("d"):  # without it a is no gradient, and does not scale with the others: dy as it was given
            guesses.append((3, one, np.ldexp(q, block.exponent), f"the factor {t}, the upstream gradient, is missing"))
    for cost, p, q, words in guesses:
        for c, also in ALSO.items():
            residual = _ratio(block, q, c * block.n * p, np.abs(q) + np.abs(c * p))
            if residual is not None:
                yield Fit("tensor", cost + (c != 1) / 2, f"{words}{also} (element by element).", residual)


def _ratio(block, q, product, gain):
    """-> the residual of a q = product, or None; the noise of a and n is enlarged by `gain` there."""
    miss, noise, wrong = np.abs(block.a * q - product), block.tol * gain, _wrong(block)
    proven = np.maximum(np.abs(block.a * q), np.abs(product)) > 10 * noise
    if np.any(miss > noise) or np.any(wrong & ~proven):
        return None
    return float(np.max(miss / np.maximum(gain, TINY)))


def _wrong(block):
    return np.abs(block.a - block.n) > 10 * block.tol


def _slopes(tensors):
    """Derivatives of the usual activations, by what they are computed from; the right one and those that it is taken for."""
    slopes = {}
    if "y" in tensors:
        y = tensors["y"]
        slopes = {"1 - y^2": 1 - y * y, "y (1 - y)": y * (1 - y), "1 - y": 1 - y, "1 - tanh(y)^2": 1 - np.tanh(y) ** 2, "y": y}
        slopes |= {"sigmoid(y)": _sigmoid(y), "sigmoid(y) (1 - sigmoid(y))": _sigmoid(y) * _sigmoid(-y)}
    if "x" in tensors and "y" in tensors:
        x = tensors["x"]
        slopes |= {"x > 0": np.where(x > 0, 1.0, 0.0), "sigmoid(x)": _sigmoid(x), "1 - tanh(x)^2": 1 - np.tanh(x) ** 2}
        slopes |= {
            "1 - x^2": 1 - x * x,
            "x (1 - x)": x * (1 - x),
            "sigmoid(x) (1 - sigmoid(x))": _sigmoid(x) * _sigmoid(-x),
            "x": x,
        }
    return slopes


def _sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))
