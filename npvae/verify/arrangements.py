"""Right numbers in wrong places: hypotheses about the order of a block's entries, its axes, its slices and its halves."""

import numpy as np

from npvae.verify.constants import Number, cause, size
from npvae.verify.hypotheses import Fit, factor, peak, terms_of_loss, zero

AXES = {1: ("entry",), 2: ("row", "column")}  # what a slice along each axis is called


def transposed(block, clues):
    """a = n^T, or the numbers of n^T read in the order of n."""
    if block.n.ndim != 2 or min(block.n.shape) < 2 or block.entries < 3:
        return
    rows, columns = block.n.shape
    if rows == columns:
        residual = block.residual(block.n.T)
        if residual is not None:
            yield Fit("transposed", 2, "the transpose of the numeric gradient; check the order of the product, x^T dy.", residual)
    else:
        residual = block.residual(block.n.T.reshape(rows, columns))
        if residual is not None:
            text = (
                f"the numbers of the transposed gradient ({columns}, {rows}), read row by row into ({rows}, {columns}): "
                "a reshape in place of .T."
            )
            yield Fit("transposed", 3, text, residual)


def exchanged_heads(block, clues):
    """The halves of the last axis, mu and logvar, are exchanged."""
    Z = clues.Z
    if Z and block.n.ndim and block.n.shape[-1] == 2 * Z:
        residual = block.residual(np.roll(block.n, Z, axis=-1))
        if residual is not None:
            text = (
                f"the halves are exchanged: columns 0..{Z - 1} (mu) hold what belongs to columns {Z}..{2 * Z - 1} (logvar), "
                "and the reverse; check the order in which dmu and dlogvar are joined."
            )
            yield Fit("heads", 2, text, residual, weak=block.entries < 3)


def reordered(block, clues):
    """The slices along one axis are those of n in reverse, shifted, or in any other order."""
    if block.entries < 3:
        return
    for axis in range(block.n.ndim):
        order = _matching_order(block.a, block.n, axis)
        residual = block.residual(np.take(block.n, order, axis))
        if residual is None:
            continue
        length, (_, many) = len(order), _called(block.n.ndim, axis)
        shift = int(order[0])
        if np.array_equal(order, np.arange(length)[::-1]):
            yield Fit("permuted", 3, f"the right {many}, in reverse order.", residual)
        elif np.array_equal(order, np.roll(np.arange(length), -shift)):
            yield Fit("permuted", 3.5, f"the right {many}, shifted: place 0 holds that of place {shift}, and so on.", residual)
        else:
            first = [i for i in range(length) if order[i] != i][:3]
            held = ", ".join(f"place {i} holds that of place {order[i]}" for i in first)
            yield Fit("permuted", 5, f"the right {many}, in another order: {held}.", residual)


def _matching_order(a, n, axis):
    """The order of n's slices that is closest to a's: both sorted by one projection on fixed, irregular weights."""
    a, n = (np.moveaxis(m, axis, 0).reshape(m.shape[axis], -1) for m in (a, n))
    weights = 1 + np.cos(1 + np.arange(a.shape[1]) ** 2.0)
    order = np.empty(len(a), int)
    order[np.argsort(a @ weights, kind="stable")] = np.argsort(n @ weights, kind="stable")
    return order


def broadcast(block, clues):
    """a does not change along an axis, and n does: something was summed, or averaged, and spread again."""
    if block.entries < 3:
        return
    for axis in range(block.n.ndim):
        if block.n.shape[axis] < 2 or peak(np.ptp(block.n, axis)) <= 10 * block.tol or peak(block.a) <= block.tol:
            continue
        one, many = _called(block.n.ndim, axis)
        for total, word in ((np.sum, "sum"), (np.mean, "mean")):
            residual = block.residual(total(block.n, axis=axis, keepdims=True))
            if residual is not None:
                yield Fit("axis", 3, f"every {one} holds the {word} of all {many}: an axis too many is summed over.", residual)
        residual = block.residual(np.mean(block.a, axis=axis, keepdims=True))
        if residual is not None:
            text = f"the same in every {one}, and the numeric gradient is not: an axis is summed over, or filled by broadcasting."
            yield Fit("axis", 8, text, residual)


def slices(block, clues):
    """a is right but for some slices along one axis, where it is c times n."""
    for axis in range(block.n.ndim):
        others = tuple(i for i in range(block.n.ndim) if i != axis)
        wrong = np.flatnonzero(np.max(np.abs(block.a - block.n), axis=others) > block.tol)
        if len(wrong) == block.n.shape[axis]:
            continue
        part = block.cut((slice(None),) * axis + (wrong,))
        if part is None:
            continue
        called = _called(block.n.ndim, axis)[len(wrong) > 1]
        for number in (Number(0.0, 1, ()), *clues.numbers):
            residual = part.residual(number.value * part.n)
            if residual is None or (part.entries < 2 and number.value not in (0, 2, 0.5, -1)):
                continue
            what = f"{size(number.value)}; {cause(number)}" if number.value else "0, and the numeric gradient is not"
            where = f"{called} {_listed(wrong)}" + (f" of the {block.n.size} compared" if block.n.ndim == 1 else "")
            yield Fit("slices", 5 + number.cost, f"right but for {where}: {what}.", residual)


def halves(block, clues):
    """Of the halves mu and logvar of the last axis, one is right and one is wrong, or each is wrong in its own way."""
    Z = clues.Z
    if not Z or block.n.ndim == 0 or block.n.shape[-1] != 2 * Z:
        return
    sides = []
    for first, head in ((0, "mu"), (Z, "logvar")):
        index = (..., slice(first, first + Z))
        place = f"columns {first}..{first + Z - 1} ({head})" if Z > 1 else f"column {first} ({head})"
        if peak(block.a[index] - block.n[index]) <= block.tol:
            sides.append([Fit("right", 0, f"{place} right", 0.0, weak=True)])
            continue
        part = block.cut(index)
        fits = [fit for h in (zero, factor, terms_of_loss) for fit in h(part, clues)] if part else []
        sides.append([fit._replace(text=f"{place}: {fit.text.rstrip('.')}") for fit in fits])
    for mu in sides[0]:
        for logvar in sides[1]:
            wrong = [fit for fit in (mu, logvar) if fit.kind != "right"]
            text = "; ".join(fit.text for fit in sorted((mu, logvar), key=lambda fit: fit.kind == "right")) + "."
            residual = max(fit.residual for fit in wrong)
            yield Fit(wrong[0].kind, 2 + mu.cost + logvar.cost, text, residual, weak=all(fit.weak for fit in wrong))


def _called(ndim, axis):
    """What a slice along this axis is called, one and many."""
    one = AXES[ndim][axis] if ndim in AXES else f"slice of axis {axis}"
    return one, {"entry": "entries"}.get(one, one.replace("slice", "slices") if " " in one else f"{one}s")


def _listed(indices):
    """[3, 4, 5] -> "3..5"; [0, 2] -> "0, 2"; many -> the first few and their count."""
    indices = [int(i) for i in indices]
    if len(indices) > 2 and indices[-1] - indices[0] == len(indices) - 1:
        return f"{indices[0]}..{indices[-1]}"
    listed = ", ".join(map(str, indices[:4]))
    return listed if len(indices) <= 4 else f"{listed} ... ({len(indices)} in all)"
