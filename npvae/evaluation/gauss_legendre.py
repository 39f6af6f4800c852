"""Gauss-Legendre nodes on boxes that are cut in halves where they need it: the judge of the trapezoid rule.

It has no node, no weight and no test of convergence in common with the other rule, so that what both say is so; unless a peak is
so narrow that both miss it.
"""

import math

import numpy as np

from npvae.evaluation.trapezoid import not_stable, out_of_reach, too_far, too_wide

ORDER = {1: 16, 2: 8}  # nodes along each axis of a box: exact for polynomials of degree 2 ORDER - 1
REACH, WIDTH = 9.0, 2.25  # the first boxes: of this width, on [-9, 9]
DIED_AWAY = 40.0  # nats below the top
STEEP = 20.0  # nats within a box: its nodes might miss a peak
UNSEEN = 2.0  # nats by which a known point lies above all nodes of its box: they do miss one
MOST_NODES = 2**21


def log_integral_and_mean(f, Z, tolerance, known=None, sigma=1.0):
    """log of the integral of e^L over all of R^Z, and the mean of F under the density that is e^L over its integral.

        integral over a box = sum_i v_i e^L(z_i),    z_i, v_i: nodes and weights of Gauss and Legendre             [QUAD-5]

    f: points (n, Z) -> L (n,), F (n,); known: other points (m, Z) and L at them (m,), if there are any; sigma: (Z,), where F is a
    function of mu + sigma z. Boxes of width 9/4, in z and in sigma z, on [-9, 9], or as far as the known points lie, or twice,
    four times ... as far, until e^L has died away at the edge. A box is cut in 2^Z until its parts together give what it gave, to a
    hundredth of the tolerance of the whole, and where e^L matters L varies by less than 20 nats within it and no known point lies 2
    nats above its nodes. Raises NotStable at MOST_NODES.
    """
    known = known or (np.empty((0, Z)), np.empty(0))
    corners, width, L, F = _first_boxes(f, Z, known, sigma)
    nodes, top, change, seen = L.size, L.max(), math.inf, known[1].max(initial=-math.inf)
    # integrals of e^L and of e^L F, both over e^top: of what is finished (2,), and of each box that is not (n, 2)
    done, whole = np.zeros(2), _integrals(L, F, top, width, Z)
    while len(corners):
        inside = _highest(known, corners, width)
        width, nodes = width / 2, nodes + 2**Z * whole.shape[0] * ORDER[Z] ** Z
        if nodes > MOST_NODES:
            raise not_stable(change)
        corners = (corners[:, None] + width * _cells((2,) * Z)).reshape(-1, Z)  # 2^Z parts in a row
        L, F = _at_nodes(f, corners, width, Z)
        top, before = L.max() if done[0] == 0 else max(top, L.max()), top
        # a lower top: the new nodes are farther from the peak than the old ones, and done is still 0; if by more than 600 nats, no
        # box has its parts' integral, so that all are cut
        whole = whole * math.exp(min(600, before - top))
        done = done * math.exp(min(0, before - top))
        parts = _integrals(L, F, top, width, Z)
        together = parts.reshape(-1, 2**Z, 2).sum(axis=1)
        total, wrong = done + together.sum(axis=0), np.abs(together - whole)
        change = float(wrong.sum(axis=0).max() / total[0])
        spread, height = (a.reshape(-1, 2**Z).max(axis=1) for a in (np.ptp(L, axis=1), L.max(axis=1)))
        cut = np.any(wrong > 0.01 * tolerance * total[0] + 1e-15 * np.abs(total), axis=1)
        cut |= (spread > STEEP) & (height + spread > max(top, seen) - DIED_AWAY)
        cut |= (inside > height + UNSEEN) & (inside > max(top, seen) - DIED_AWAY)
        done = done + together[~cut].sum(axis=0)
        corners, whole = (a[np.repeat(cut, 2**Z)] for a in (corners, parts))
    return float(top + math.log(done[0])), float(done[1] / done[0])


def nodes_of_normal(Z):
    """Points eps (n, Z) where N(0, I) has its mass: the nodes of nine boxes up to 6.75, or 5 x 5 for Z = 2, and its mean."""
    boxes = {1: 9, 2: 5}[Z]
    width = 13.5 / boxes
    nodes = _nodes(-6.75 + width * _cells((boxes,) * Z), np.full(Z, width), Z).reshape(-1, Z)
    return np.vstack([nodes, np.zeros(Z)])


def _cells(n):
    """The corners of n boxes of width 1 along each axis, (prod n, Z)."""
    return np.argwhere(np.ones(n, bool))


def _highest(known, corners, width):
    """The highest known value in each box: (n,), -inf where there is none."""
    points, values = known
    axes = np.array([1, 1j])[: len(width)]  # the place of a box along its one or two axes as one number
    own, theirs = np.round(corners / width) @ axes, np.floor(points / width) @ axes
    order = np.argsort(own)
    box = order[np.minimum(np.searchsorted(own, theirs, sorter=order), len(own) - 1)]
    inside = own[box] == theirs
    highest = np.full(len(corners), -np.inf)
    np.maximum.at(highest, box[inside], values[inside])
    return highest


def _nodes(corners, width, Z):
    """The nodes of the boxes: (n, ORDER^Z, Z)."""
    nodes, _ = np.polynomial.legendre.leggauss(ORDER[Z])
    return corners[:, None] + 0.5 * width * (1 + nodes[_cells((ORDER[Z],) * Z)])


def _at_nodes(f, corners, width, Z):
    """L and F at the nodes of the boxes: (n, ORDER^Z) each."""
    L, F = f(_nodes(corners, width, Z).reshape(-1, Z))
    return L.reshape(len(corners), -1), F.reshape(len(corners), -1)


def _integrals(L, F, top, width, Z):
    """The integrals of e^(L - top) and of e^(L - top) F over each box, (n, 2) [QUAD-5]."""
    _, weights = np.polynomial.legendre.leggauss(ORDER[Z])
    mass = np.exp(L - top) * np.prod(0.5 * width * weights[_cells((ORDER[Z],) * Z)], axis=1)  # (n, ORDER^Z)
    return np.stack([mass.sum(axis=1), (mass * F).sum(axis=1)], axis=1)


def _first_boxes(f, Z, known, sigma):
    """The corners (n, Z) and the width (Z,) of the first boxes, and L and F at their nodes; as far out as e^L has not died away."""
    parts = [math.ceil(max(1.0, float(s))) for s in np.broadcast_to(sigma, Z)]  # of a box of WIDTH
    points, values = known
    reach, reached = WIDTH * math.ceil(max(REACH, np.abs(points).max(initial=0)) / WIDTH), False
    while True:
        n = [round(2 * reach / WIDTH) * part for part in parts]
        if (1 + 2**Z) * math.prod(n) * ORDER[Z] ** Z > MOST_NODES:  # they are all cut at least once
            raise too_far() if reached else too_wide(np.max(sigma)) if max(parts) > 1 else out_of_reach()
        width, reached = WIDTH / np.array(parts), True
        corners = -reach + width * _cells(n)
        L, F = _at_nodes(f, corners, width, Z)
        out = np.abs(_nodes(corners, width, Z)).max(axis=2)  # (n, ORDER^Z)
        edge, beside = L[out > out.max() - 1e-9].max(), L[(out < reach - 0.3 * WIDTH) & (out > reach - WIDTH)].max()
        if edge < beside and edge < max(L.max(), values.max(initial=-math.inf)) - DIED_AWAY:
            return corners, width, L, F
        reach *= 2
