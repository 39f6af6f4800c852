"""Gauss-Legendre nodes on boxes that are cut in halves where they need it: the judge of the trapezoid rule.

It has no node, no weight and no test of convergence in common with the other rule, so that what both say is so.
"""

import math

import numpy as np

from npvae.evaluation.trapezoid import not_stable, too_far

ORDER = {1: 16, 2: 8}  # nodes along each axis of a box: exact for polynomials of degree 2 ORDER - 1
REACH, WIDTH = 9.0, 2.25  # the first boxes: of this width, on [-9, 9]
DIED_AWAY = 40.0  # nats below the top
STEEP = 20.0  # nats within a box: its nodes might miss a peak
MOST_NODES = 2**21


def log_integral_and_mean(f, Z, tolerance):
    """log of the integral of e^L over all of R^Z, and the mean of F under the density that is e^L over its integral.

        integral over a box = sum_i v_i e^L(z_i),    z_i, v_i: nodes and weights of Gauss and Legendre             [QUAD-5]

    f: points (n, Z) -> L (n,), F (n,). Boxes of width 9/4 on [-9, 9], or twice, four times ... as far, until e^L has died away at
    the edge. A box is cut in 2^Z until its parts together give what it gave, to a hundredth of the tolerance of the whole, and L
    varies by less than 20 nats within it where e^L matters. Raises NotStable at MOST_NODES.
    """
    corners, L, F = _first_boxes(f, Z)
    width, nodes, top, change = WIDTH, L.size, L.max(), math.inf
    # integrals of e^L and of e^L F, both over e^top: of what is finished (2,), and of each box that is not (n, 2)
    done, whole = np.zeros(2), _integrals(L, F, top, width, Z)
    while len(corners):
        width, nodes = width / 2, nodes + 2**Z * whole.shape[0] * ORDER[Z] ** Z
        if nodes > MOST_NODES:
            raise not_stable(change)
        corners = (corners[:, None] + width * _cells(2, Z)).reshape(-1, Z)  # 2^Z parts in a row
        L, F = _at_nodes(f, corners, width, Z)
        top, before = L.max() if done[0] == 0 else max(top, L.max()), top
        # a lower top: the new nodes are farther from the peak than the old ones; all boxes are cut again, and done is still 0
        whole = whole * math.exp(before - top) if before <= top else np.full_like(whole, np.inf)
        done = done * math.exp(min(0, before - top))
        parts = _integrals(L, F, top, width, Z)
        together = parts.reshape(-1, 2**Z, 2).sum(axis=1)
        total, wrong = done + together.sum(axis=0), np.abs(together - whole)
        change = float(wrong.sum(axis=0).max() / total[0])
        spread, height = (a.reshape(-1, 2**Z).max(axis=1) for a in (np.ptp(L, axis=1), L.max(axis=1)))
        cut = np.any(wrong > 0.01 * tolerance * total[0] + 1e-15 * np.abs(total), axis=1)
        cut |= (spread > STEEP) & (height + spread > top - DIED_AWAY)
        done = done + together[~cut].sum(axis=0)
        corners, whole = (a[np.repeat(cut, 2**Z)] for a in (corners, parts))
    return float(top + math.log(done[0])), float(done[1] / done[0])


def _cells(n, Z):
    """The corners of n^Z boxes of width 1, (n^Z, Z)."""
    return np.argwhere(np.ones((n,) * Z, bool))


def _nodes(corners, width, Z):
    """The nodes of the boxes: (n, ORDER^Z, Z)."""
    nodes, _ = np.polynomial.legendre.leggauss(ORDER[Z])
    return corners[:, None] + 0.5 * width * (1 + nodes[_cells(ORDER[Z], Z)])


def _at_nodes(f, corners, width, Z):
    """L and F at the nodes of the boxes: (n, ORDER^Z) each."""
    L, F = f(_nodes(corners, width, Z).reshape(-1, Z))
    return L.reshape(len(corners), -1), F.reshape(len(corners), -1)


def _integrals(L, F, top, width, Z):
    """The integrals of e^(L - top) and of e^(L - top) F over each box, (n, 2) [QUAD-5]."""
    _, weights = np.polynomial.legendre.leggauss(ORDER[Z])
    mass = np.exp(L - top) * np.prod(0.5 * width * weights[_cells(ORDER[Z], Z)], axis=1)  # (n, ORDER^Z)
    return np.stack([mass.sum(axis=1), (mass * F).sum(axis=1)], axis=1)


def _first_boxes(f, Z):
    """The corners (n, Z) of the first boxes, and L and F at their nodes; as far out as e^L has not died away."""
    reach = REACH
    while True:
        n = round(2 * reach / WIDTH)
        if (n * ORDER[Z]) ** Z > MOST_NODES:
            raise too_far()
        corners = -reach + WIDTH * _cells(n, Z)
        L, F = _at_nodes(f, corners, WIDTH, Z)
        out = np.abs(_nodes(corners, WIDTH, Z)).max(axis=2)  # (n, ORDER^Z)
        edge, beside = L[out > out.max() - 1e-9].max(), L[(out < reach - 0.3 * WIDTH) & (out > reach - WIDTH)].max()
        if edge < beside and edge < L.max() - DIED_AWAY:
            return corners, L, F
        reach *= 2
