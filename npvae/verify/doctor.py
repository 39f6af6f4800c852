"""From "FAIL" to the name of the bug: what is wrong with a gradient, from the numbers alone.

A block is explained only if the explanation reaches the noise floor in every entry, and has fewer free choices than the block has
data; a random error has no explanation. Of several explanations the one wins that explains most blocks, then the simplest. The
numbers cannot know the program: a sentence names what would give exactly these numbers, in the simplest way.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from npvae.verify.arrangements import broadcast, exchanged_heads, halves, reordered, slices, transposed
from npvae.verify.constants import known_numbers
from npvae.verify.elementwise import activation, mask, tensor
from npvae.verify.hypotheses import (
    Clues,
    Fit,
    factor,
    make_block,
    propose_mixture,
    rows_of_batch,
    suspected,
    terms_of_loss,
    unknown_factor,
    zero,
)

PATTERNS = {  # kind of finding: what it recognizes
    "accumulated": "a second call gives the gradient once more on top of the first: += where = is due",
    "random": "a second, identical call gives another gradient: noise drawn in backward, or state that a call changes",
    "zero": "a block is 0 where the numeric gradient is not: nothing is propagated to it",
    "factor": "a constant factor: 2, 1/2, -1, 4, 1/4, a constant of the problem (B, D, Z, beta), its inverse, or a product of two",
    "terms": "a term of the loss is missing, doubled, of the wrong sign, not averaged or not weighted in a block, or half of one",
    "rows": "one row of the batch is used alone, missing, or counted twice",
    "suspected": "a product that stands in the suspects handed over, such as dy W in place of dy W^T",
    "transposed": "the transpose of the right block, or its numbers in the transposed order",
    "heads": "the mu half and the logvar half of a block are exchanged",
    "swapped": "two blocks of one shape hold each other's gradient",
    "copied": "a block holds the gradient of another one",
    "permuted": "the right rows, columns or entries in another order: reversed, shifted, permuted",
    "axis": "summed or averaged over an axis too many, or over the wrong one, and spread again",
    "slices": "right but for some rows, columns or entries, which are 0 or a constant factor off",
    "activation": "the derivative of an activation is missing, applied twice, divided by, or that of another function or argument",
    "mask": "the upstream gradient is let through in the wrong entries: a ReLU's mask of another layer or pass",
    "tensor": "a local tensor (sigma, eps, ...) is missing as a factor, stands there twice, or another one is in its place",
}
HYPOTHESES: tuple[Callable, ...] = (
    zero, factor, unknown_factor, suspected, terms_of_loss, rows_of_batch,
    transposed, exchanged_heads, reordered, broadcast, slices, halves,
    activation, mask, tensor,
)  # fmt: skip


class Finding(NamedTuple):
    """An explanation: the blocks that it explains, its kind (see PATTERNS), the sentence, and how far it is off, relatively."""

    names: tuple[str, ...]
    kind: str
    sentence: str
    residual: float


def diagnose(
    analytic: Mapping, numeric: Mapping, floors: Mapping, *,
    constants=None, terms=None, rows=None, tensors=None, suspects=None, again=None,
) -> list[Finding]:  # fmt: skip
    """Explain the blocks of a gradient that are wrong, as far as the numbers allow; last block first, as backward meets them.

    analytic, numeric: {name: array} in forward order, the gradient to be judged and the right one; floors: {name: float}, the
    absolute error that rounding may leave in an entry. More is explained if more is known:

    constants: {"B": 6, "D": 5, "Z": 3, "beta": 4.0}, numbers that may be missing or applied twice;
    terms: {term: {name: array}}, numeric gradients of the terms of the loss, which add up to `numeric`;
    rows: {name: (B, *shape)}, numeric gradients of the rows of the batch, which add up to `numeric`;
    tensors: {name: {tensor: array}}, local tensors that broadcast to the block: x, y, dy of an activation, sigma, eps of a sample
        (a name that begins with d is a gradient's, as everywhere);
    suspects: {name: {what a mistake would be called: what the block would then be}};
    again: {name: array}, the analytic gradient of a second, identical call.

    Returns a list of Finding, empty where there is no simple explanation. Pure; blocks with NaN are passed over.
    """
    names = list(analytic)[::-1]
    findings, settled = _repeated(names, analytic, numeric, floors, again or {})
    blocks = []
    for name in names:
        if name not in settled:
            of_terms = {t: term[name] for t, term in (terms or {}).items() if name in term}
            parts = (of_terms, (rows or {}).get(name), (tensors or {}).get(name), (suspects or {}).get(name))
            blocks.append(make_block(name, analytic[name], numeric[name], floors[name], *parts))
    blocks = [block for block in blocks if block is not None]
    fits = _fits(blocks, constants or {})
    for name, found in _crosswise(blocks, numeric).items():
        fits[name] += found
    findings += _select(fits, names)
    return sorted(findings, key=lambda finding: names.index(finding.names[0]))


def _repeated(names, analytic, numeric, floors, again):
    """Findings from a second call, and the names of the blocks that need no other explanation."""
    kinds: dict[str, dict[str, float]] = {"accumulated": {}, "random": {}}
    settled = set()
    for name in names:
        block = make_block(name, again[name], analytic[name], floors[name], {"numeric": numeric[name]}) if name in again else None
        if block is None:  # the same as before
            continue
        once_more = block.residual(block.n + block.terms["numeric"]) if block.terms else None
        double = block.residual(2 * block.n)
        residual = next((r for r in (once_more, double) if r is not None), None)
        kinds["random" if residual is None else "accumulated"][name] = residual or 0.0
        if double is None or once_more is not None:
            settled.add(name)
    texts = {
        "accumulated": "accumulated: a second call adds the gradient to that of the first; assign it, = in place of +=.",
        "random": "a second, identical call gives another gradient: backward draws noise of its own (use the eps of the forward "
        "pass, from the cache), or changes something that it reads (an update of the weights comes after backward).",
    }
    return [
        Finding(tuple(found), kind, f"{_said(tuple(found), names, 'block')}: {texts[kind]}", max(found.values()))
        for kind, found in kinds.items()
        if found
    ], settled


def _fits(blocks, constants):
    """{name: every Fit of the block}."""
    numbers = known_numbers(constants)
    Z = int(constants["Z"]) if "Z" in constants else None
    mixtures = []
    for block in blocks:
        last = block.n.shape[-1] if block.n.ndim else 0
        cuts = [block.cut((..., half)) for half in (slice(0, Z), slice(Z, None))] if Z and last == 2 * Z else []
        for part in (block, *cuts):
            mixture = propose_mixture(part, numbers) if part and part.terms else None
            if mixture and mixture not in mixtures:
                mixtures.append(mixture)
    clues = Clues(numbers, mixtures, Z, any(block.residual(0.0) is not None for block in blocks))
    return {block.name: [fit for hypothesis in HYPOTHESES for fit in hypothesis(block, clues)] for block in blocks}


def _crosswise(blocks, numeric):
    """{name: Fits}: the block holds the gradient of another one, and perhaps the other one holds its."""
    holds = {}
    for block in blocks:
        for other, n in numeric.items():
            if other != block.name and np.shape(n) == block.a.shape:
                n = block.scaled(n)
                if n is not None and np.sum(np.abs(n) > 100 * block.tol) >= 2 and block.residual(n) is not None:
                    holds[block.name, other] = block.residual(n)
    fits: dict[str, list[Fit]] = {block.name: [] for block in blocks}
    for (name, other), residual in holds.items():
        if (other, name) in holds:
            text = "exchanged: each holds the gradient of the other."
            fits[name].append(Fit("swapped", 2, text, residual, key=("swapped", frozenset((name, other)))))
        else:
            text = f"equal to the gradient of {other}: that of another block is stored here, or passed on."
            fits[name].append(Fit("copied", 3, text, residual))
    return fits


def _select(fits: Mapping[str, list[Fit]], names: Sequence[str]) -> list[Finding]:
    """The explanations: again and again the one for most blocks, then the simplest, then the one named first."""
    findings, open_ = [], {name: found for name, found in fits.items() if found}
    while open_:
        groups: dict = {}
        for name, found in open_.items():
            best: dict = {}
            for fit in found:
                best.setdefault(fit.key or fit.text, fit)
            for key, fit in best.items():
                groups.setdefault(key, {})[name] = fit
        groups = {key: group for key, group in groups.items() if not all(fit.weak for fit in group.values())}
        if not groups:
            break
        group = min(groups.values(), key=lambda group: (-len(group), max(fit.cost for fit in group.values())))
        fit, explained = next(iter(group.values())), tuple(group)
        residual = max(fit.residual for fit in group.values())
        findings.append(Finding(explained, fit.kind, f"{_said(explained, names)}: {fit.text}", residual))
        open_ = {name: found for name, found in open_.items() if name not in explained}
    return findings


def _said(explained, names, block="wrong block"):
    """Names for people: "a, b and c", "every wrong encoder block", "every wrong block"."""
    if len(explained) > 1:
        if len(explained) == len(names):
            return f"every {block}"
        groups = {name.split(".")[0] for name in explained}
        if len(groups) == 1 and len(explained) == sum(name.split(".")[0] in groups for name in names):
            return f"every {block.replace('block', f'{groups.pop()} block')}"
    if len(explained) > 4:
        return f"{', '.join(explained[:3])} and {len(explained) - 3} more blocks"
    return " and ".join(filter(None, (", ".join(explained[:-1]), explained[-1])))


def explain(findings: Sequence[Finding], wrong: Sequence[str]) -> str | None:
    """One paragraph for a report: the findings' sentences, and what to make of wrong blocks that have none; None without findings.

    wrong: the names of the wrong blocks, in forward order."""
    if not findings:
        return None
    wrong = list(wrong)[::-1]
    explained = {name for finding in findings for name in finding.names}
    left = [name for name in wrong if name not in explained]
    sentences = [finding.sentence for finding in findings]
    if left and wrong[0] in explained:
        sentences.append(
            f"{_said(tuple(left), ())}: no simple explanation; backward gets there later, so the error may only be passed on. "
            "Repair the first and check again."
        )
    elif left:
        sentences.append(f"{_said(tuple(left), ())}: no simple explanation; start with {left[0]}, which backward reaches first.")
    return " ".join(sentences)
