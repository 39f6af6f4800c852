"""What a trained model is worth on held-out data, in nats per example: each number with its standard error, limits and protocol.

All of it is also written, as a record, into the model's folder; npvae compare takes two of them.

examples:
  npvae evaluate --model npvae-run --binarize threshold             ELBO and log-likelihood of black-and-white pixels
  npvae evaluate --model npvae-run --binarize none                  grey pixels: a cross-entropy, and called so
  OPENBLAS_NUM_THREADS=1 npvae evaluate --model npvae-run --binarize dynamic --samples 5000 --workers 2
"""

import pathlib
import shlex
from typing import NamedTuple

import numpy as np

from npvae import evaluation
from npvae.beyond.likelihoods import ContinuousBernoulli
from npvae.cli.common import (
    BINARIZE,
    add_model_arguments,
    as_trained,
    condition,
    counted,
    likelihood_text,
    limit_lines,
    load_model,
    load_raw_data,
    named_terms,
    positive,
    refuse_untrained,
    say,
    seed,
    shown_error,
)
from npvae.cli.records import record_name
from npvae.core.gaussian import kl_divergence
from npvae.data import Dataset
from npvae.evaluation.arguments import posterior
from npvae.evaluation.bounds import Estimate, importance_sampling
from npvae.evaluation.limits import limits
from npvae.evaluation.protocol import Protocol, black_and_white, labels_sha256, measure, rows_sha256
from npvae.evaluation.record import Record, model_origin, number
from npvae.evaluation.record_file import check_place
from npvae.models import Autoencoder
from npvae.training import batches
from npvae.training.archive import versions

HELP = "ELBO and log-likelihood of held-out data"
FEW, SHARE, HALF = 10, 0.01, 0.5  # L_K is remarked below so many effective samples, or shares of all: HALF of the first few
PIXELS = {"none": "grey pixels", "threshold": "pixels black and white at 1/2", "static": "pixels drawn once",
          "dynamic": "pixels drawn afresh each epoch"}  # fmt: skip
NOTES = {
    "ELBO": "a lower bound of log p(x), one draw of z a row",
    "reconstruction": "-log p(x|z)",
    "grey cross-entropy + KL": "a training loss, not a likelihood: the pixels are grey",
    "grey cross-entropy": "",
    "KL": "KL( q(z|x) || N(0, I) )",
}


def add_arguments(parser):
    """--model, --data, --download, --split, --binarize, --samples, --workers, --limit, --seed, --record."""
    add_model_arguments(parser)
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test", help="which rows (default: test)")
    parser.add_argument(
        "--binarize",
        choices=BINARIZE,
        help="how grey pixels become black and white: at 1/2 (threshold), or drawn once with the seed (static, dynamic); "
        "none reports a grey cross-entropy. Default: as in training, if that was not none",
    )
    parser.add_argument("--samples", type=positive, default=100, metavar="K", help="importance samples (default: 100)")
    parser.add_argument(
        "--workers",
        type=positive,
        default=1,
        metavar="N",
        help="threads for the importance samples; they change no digit. For many samples on two cores, the environment "
        "variable OPENBLAS_NUM_THREADS=1 and --workers 2 are fastest (default: 1)",
    )
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N rows")
    parser.add_argument("--seed", type=seed, default=0, help="of the draws (default: 0)")
    parser.add_argument("--record", metavar="FILE", help="where the record goes (default: a name of its own in the model's folder)")


class Rows(NamedTuple):
    """The rows to be measured, as the model is given them, and where they come from."""

    data: Dataset  # standardized, if the model's own data were
    x: np.ndarray  # (B, D)
    labels: np.ndarray | None  # (B,), of a conditional model
    binarize: str
    drawn_from: np.ndarray | None  # (B, D) grey, if the pixels of x were drawn
    black_and_white: bool  # as they come, whatever --binarize says
    sha256: str  # of the rows as they are, whatever the model's precision or standardization

    @property
    def volume(self):
        """The nats by which densities of the data lie below those of the standardized data that the model knows."""
        return 0.0 if self.data.standardization is None else self.data.standardization.log_volume


class Measured(NamedTuple):
    """A number: its values (B,), what to say of it, and of importance sampling the Estimate behind it."""

    values: np.ndarray
    note: str = ""
    estimate: Estimate | None = None

    def number(self):
        """Mean and errors."""
        return number(self.values, None if self.estimate is None else self.estimate.monte_carlo_error)


def run(args):
    """Print the table, or the JSON object; write the record."""
    trained = load_model(args)
    refuse_untrained(trained)
    model, rows = trained.model, _rows(args, trained)
    protocol = _protocol(args, model, rows)
    origin = _origin(args, trained, rows)
    name = record_name(protocol, origin["model"]["sha256"])
    path = pathlib.Path(args.record) if args.record else trained.path.parent / name
    check_place(path, " with --record FILE")
    measured = _measured(args, model, rows, protocol.measure)
    latents = None if isinstance(model, Autoencoder) else model.latent_dim
    found = limits(rows.data, model.likelihood, rows.x, rows.binarize, latents, rows.drawn_from).shifted(rows.volume)
    record = Record(
        {name: m.number() for name, m in measured.items()}, protocol, origin, found._asdict(),
        {name: m.values for name, m in measured.items()},
    )  # fmt: skip
    record.save(path)
    lines, result = _told(args, model, rows, record, measured)
    lines += ["", *limit_lines(record), *_other_pixels(trained, rows), *_latent_lines(result), ""]
    lines += [*_protocol_lines(trained, protocol), f"  record: {path}", "", _next(args, trained, path)]
    say(args, "\n".join(lines), result | {"record": record.to_plain(), "record_file": str(path)})


def _rows(args, trained):
    """-> Rows.  Raises ValueError for a split that is not there, and for a binarization that is missing or makes no sense."""
    model, raw = trained.model, load_raw_data(args, trained)
    data = as_trained(raw, trained)
    rows = getattr(raw, args.split)
    if rows is None:
        there = ", ".join(name for name, _, _ in raw.splits())
        raise ValueError(f"{raw.name} has no {args.split} split, but {there}; choose with --split.")
    binarize = args.binarize or trained.settings.get("binarize", "none")
    if binarize != "none":
        _refuse_binarized(model, data, binarize)
    fixed = "static" if binarize == "dynamic" else binarize
    given = batches.Rows(rows[: args.limit], raw.scale)
    seen = batches.binarized(given, fixed, np.random.default_rng(args.seed), np.float64)  # for every model the same draws
    x = data.floats(args.split, model.real_dtype)[: args.limit] if seen is given else seen.floats(slice(None), model.real_dtype)
    if args.binarize is None and measure(model, x).endswith("grey cross-entropy"):
        raise ValueError(
            f"the {args.split} rows of {data.name} are grey, and a Bernoulli likelihood is one of black and white: choose "
            "--binarize threshold, static or dynamic, or --binarize none for the grey cross-entropy."
        )
    labels = getattr(data, f"{args.split}_labels")
    labels = condition(model, None if labels is None else labels[: len(x)]).get("condition")
    grey = given.floats(slice(None), model.real_dtype) if fixed == "static" else None
    already = black_and_white(given.rows, given.scale or 1)
    return Rows(data, x, labels, binarize, grey, already, rows_sha256(seen.rows, seen.scale))


def _refuse_binarized(model, data, binarize):
    """Raises ValueError where zeros and ones are not what the model's density is one of."""
    if data.standardization is not None:
        raise ValueError(
            f"--binarize {binarize}: this model was trained on standardized values, not on black and white; use --binarize none."
        )
    if isinstance(model.likelihood, ContinuousBernoulli):
        raise ValueError(
            f"--binarize {binarize}: the continuous Bernoulli is a density of grey values, without an upper bound at 0 and 1; "
            "use --binarize none."
        )


def _protocol(args, model, rows):
    return Protocol(
        measure=measure(model, rows.x), likelihood=model.likelihood.config(), data=rows.data.name, split=args.split,
        rows=len(rows.x), rows_sha256=rows.sha256, binarization=rows.binarize,
        rows_seed=None if rows.drawn_from is None else args.seed, labels_sha256=labels_sha256(rows.labels),
        k=None if isinstance(model, Autoencoder) else args.samples,
    )  # fmt: skip


def _origin(args, trained, rows):
    """What may differ between records that compare."""
    about = {"checkpoint": str(trained.path), "steps": trained.steps, "seed": args.seed, "log_volume": rows.volume}
    return {"model": model_origin(trained.model), **about, "versions": versions()}


def _measured(args, model, rows, measure):
    """{name: Measured}: the ELBO, its two terms and the importance-weighted bound, in nats of the data as they are."""
    x, volume, given, K = rows.x, rows.volume, condition(model, rows.labels), args.samples
    if isinstance(model, Autoencoder):
        nll = model.likelihood.nll(model.decode(model.encode(x)), x)
        return {"reconstruction": Measured(nll + volume, "squared-error or cross-entropy term; an autoencoder has no ELBO")}
    rng = np.random.default_rng(args.seed)
    elbo = evaluation.elbo(model, x, rng, **given) - volume
    kl = kl_divergence(*posterior(model, x, rows.labels))
    progress = False if args.quiet or args.json else None
    estimate = importance_sampling(model, x, rng, samples=K, progress=progress, workers=args.workers, **given)
    bound = estimate.log_likelihood - volume
    terms = {name: Measured(values, NOTES[name]) for name, values in named_terms(measure, -elbo - kl, kl).items()}
    if measure == "grey cross-entropy":
        return terms | {f"grey L_{K}": Measured(bound, f"weighted by importance, {counted(K, 'sample')} a row", estimate)}
    weighted = Measured(bound, f"log p(x) from below, {counted(K, 'importance sample')} a row", estimate)
    return terms | {f"L_{K}": weighted, "nll": Measured(-bound, f"-L_{K}: -log p(x) from above", estimate)}


def _told(args, model, rows, record, measured):
    """The table as lines, and everything as plain data."""
    protocol, volume = record.protocol, rows.volume
    title = f"{counted(len(rows.x), f'{args.split} row')} of {protocol.data}, binarize {rows.binarize}, seed {args.seed}; "
    title += "nats per example"
    if volume:
        title += f" of the data as they are, with {-volume:+.4f} in log p(x) for their standardization"
    lines = [title, ""]
    for name, n in record.numbers.items():
        lines.append(f"  {name:<28}{n.mean:>14.4f}  +- {shown_error(n.standard_error)}   {measured[name].note}".rstrip())
    result = {
        "data": protocol.data, "split": args.split, "rows": len(rows.x), "binarize": rows.binarize, "seed": args.seed,
        "units": "nats per example", "log_volume": volume, "limits": record.limits,
        **{name: n._asdict() for name, n in record.numbers.items()},
    }  # fmt: skip
    if not isinstance(model, Autoencoder):
        name = next(name for name, m in measured.items() if m.estimate is not None)
        error, effective = record.numbers[name].monte_carlo_error, float(np.median(measured[name].estimate.effective_samples))
        lines.append(f"  Monte-Carlo error of {name}: {shown_error(error)}; effective samples of a row: {effective:.1f} (median)")
        lines += _remarks(record, name, effective)
        result["effective_samples"] = effective
        given = condition(model, rows.labels)
        kl = evaluation.kl_per_dimension(model, rows.x, **given)
        active = int(evaluation.active_units(model, rows.x, **given).sum()) if len(rows.x) > 1 else None
        result |= {"active_units": active, "kl_per_dimension": [float(value) for value in kl]}
    return lines, result


def _remarks(record, name, effective):
    """What to say of a bound L_K, called name, that few draws decide, and of an ELBO above it."""
    K, lines = record.protocol.k, []
    if effective < max(min(FEW, HALF * K), SHARE * K):
        limit = "log p(x)" if name.startswith("L_") else "what many samples give"
        lines.append(f"  Note: these are few of {counted(K, 'sample')}: {name} may lie well below {limit}; try more --samples.")
    if "ELBO" in record.numbers and record.numbers["ELBO"].mean > record.numbers[name].mean:
        lines.append(f"  Note: the ELBO is above {name} by chance: it is one draw of z a row. In expectation it is never above.")
    return lines


def _other_pixels(trained, rows):
    """That the model was trained on pixels made black and white in another way, or not at all."""
    before = trained.settings.get("binarize", rows.binarize)
    if before == rows.binarize or rows.black_and_white:
        return []
    return [f"  Note: it was trained on {PIXELS[before]} (--binarize {before}), and these are others (--binarize {rows.binarize})."]


def _latent_lines(result):
    """Active units and the KL of each latent."""
    if "kl_per_dimension" not in result:
        return []
    kl, active = result["kl_per_dimension"], result["active_units"]
    count = "not told by a single row" if active is None else f"{active} of {len(kl)}"
    return ["", f"  active units: {count}", f"  KL of each latent: {', '.join(f'{value:.3f}' for value in kl)}"]


def _protocol_lines(trained, protocol):
    """The protocol, and which model it was."""
    k = "" if protocol.k is None else f", k = {protocol.k:,}"
    told = ", given the labels" if protocol.labels_sha256 else ""
    steps = "its file does not say how long it was trained"
    steps = steps if trained.steps is None else f"trained for {counted(trained.steps, 'step')}"
    return [
        f"  protocol: {protocol.measure}, {likelihood_text(protocol.likelihood)}{k}{told}, rows {protocol.rows_sha256[:8]}",
        f"  {protocol.reduction}",
        f"  model: {type(trained.model).__name__} {model_origin(trained.model)['sha256'][:8]}, {steps}",
    ]


def _next(args, trained, path):
    """The folder stands for the record if it was written there."""
    verb = "reconstruct" if isinstance(trained.model, Autoencoder) else "sample"
    record = path if args.record or not pathlib.Path(args.model).is_dir() else args.model
    model, record = shlex.quote(args.model), shlex.quote(str(record))
    return f"Next: npvae {verb} --model {model}, or npvae compare {record} ANOTHER-RUN"
