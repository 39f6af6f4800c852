"""What a trained model is worth on held-out data, in nats per example, each number with its standard error.

examples:
  npvae evaluate --model npvae-run --binarize threshold             ELBO and log-likelihood of black-and-white pixels
  npvae evaluate --model npvae-run --binarize none                  grey pixels: a cross-entropy, and called so
  npvae evaluate --model npvae-run --binarize dynamic --samples 5000
"""

import numpy as np

from npvae import evaluation
from npvae.beyond.likelihoods import ContinuousBernoulli
from npvae.cli.common import BINARIZE, add_model_arguments, condition, load_data, load_model, positive, say, seed
from npvae.cli.pictures import binarized
from npvae.core.gaussian import kl_divergence
from npvae.core.likelihoods import Bernoulli
from npvae.models import Autoencoder

HELP = "ELBO and log-likelihood of held-out data"


def add_arguments(parser):
    """--model, --data, --download, --split, --binarize, --samples, --limit, --seed."""
    add_model_arguments(parser)
    parser.add_argument("--split", choices=("train", "valid", "test"), default="test", help="which rows (default: test)")
    parser.add_argument(
        "--binarize",
        choices=BINARIZE,
        help="how grey pixels become black and white: at 1/2 (threshold), or drawn once with the seed (static, dynamic); "
        "none reports a grey cross-entropy. Default: as in training, if that was not none",
    )
    parser.add_argument("--samples", type=positive, default=100, metavar="K", help="importance samples (default: 100)")
    parser.add_argument("--limit", type=positive, metavar="N", help="only the first N rows")
    parser.add_argument("--seed", type=seed, default=0, help="of the draws (default: 0)")


def run(args):
    """Print the table, or the JSON object."""
    trained = load_model(args)
    model, data = trained.model, load_data(args, trained)
    x = data.floats(args.split, model.real_dtype)[: args.limit]
    binarize = args.binarize or trained.settings.get("binarize", "none")
    if binarize != "none":
        _refuse_binarized(model, data, binarize)
    x = binarized(x, binarize, args.seed)
    grey = isinstance(model.likelihood, Bernoulli) and not np.all((x == 0) | (x == 1))
    if grey and args.binarize is None:
        raise ValueError(
            f"the {args.split} rows of {data.name} are grey, and a Bernoulli likelihood is one of black and white: choose "
            "--binarize threshold, static or dynamic, or --binarize none for the grey cross-entropy."
        )
    labels = getattr(data, f"{args.split}_labels")
    given = condition(model, None if labels is None else labels[: len(x)])
    volume = 0.0 if data.standardization is None else data.standardization.log_volume
    if isinstance(model, Autoencoder):
        nll = _per_row(model, x) + volume
        rows = [("reconstruction", nll, "squared-error or cross-entropy term; an autoencoder has no ELBO")]
    else:
        rows = _vae_rows(model, x, given, args, grey, volume)
    title = f"{len(x):,} {args.split} rows of {data.name}, binarize {binarize}, seed {args.seed}; nats per example"
    if data.standardization is not None:
        title += f" of the data as they are, with {-volume:+.4f} in log p(x) for their standardization"
    lines = [title, ""]
    lines += [f"  {name:<28}{np.mean(v):>14.4f}  +- {_error(v):.4f}   {note}" for name, v, note in rows]
    result = {
        "data": data.name, "split": args.split, "rows": len(x), "binarize": binarize, "seed": args.seed,
        "units": "nats per example", "log_volume": volume,
        **{name: {"mean": float(np.mean(v)), "standard_error": _error(v)} for name, v, _ in rows},
    }  # fmt: skip
    if not isinstance(model, Autoencoder):
        extra, more = _latent(model, x, given)
        lines += extra
        result.update(more)
    say(args, "\n".join([*lines, "", f"Next: npvae sample --model {args.model}"]), result)


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


def _vae_rows(model, x, given, args, grey, volume):
    """(name, value of each row, note) for the ELBO, its two terms and the importance-weighted bound.

    volume: the nats by which densities of the data lie below those of the standardized data that the model knows."""
    rng = np.random.default_rng(args.seed)
    elbo = evaluation.elbo(model, x, rng, **given) - volume
    kl = kl_divergence(*model.encode(x, **given))
    bound = evaluation.log_likelihood(model, x, rng, samples=args.samples, **given) - volume
    if grey:
        return [
            ("grey cross-entropy + KL", -elbo, "a training loss, not a likelihood: the pixels are grey"),
            ("grey cross-entropy", -elbo - kl, ""),
            ("KL", kl, "KL( q(z|x) || N(0, I) )"),
            (f"grey L_{args.samples}", bound, "the importance-weighted form of it"),
        ]
    return [
        ("ELBO", elbo, "a lower bound of log p(x), one draw of z a row"),
        ("reconstruction", -elbo - kl, "-log p(x|z)"),
        ("KL", kl, "KL( q(z|x) || N(0, I) )"),
        (f"L_{args.samples}", bound, f"log p(x) from below, {args.samples} importance samples"),
    ]


def _latent(model, x, given):
    """Active units and the KL of each latent, as lines and as data."""
    active, kl = evaluation.active_units(model, x, **given), evaluation.kl_per_dimension(model, x, **given)
    each = ", ".join(f"{value:.3f}" for value in kl)
    lines = ["", f"  active units: {int(active.sum())} of {len(active)}", f"  KL of each latent: {each}"]
    return lines, {"active_units": int(active.sum()), "kl_per_dimension": [float(value) for value in kl]}


def _per_row(model, x):
    return model.likelihood.nll(model.decode(model.encode(x)), x)


def _error(values):
    """The standard error of the mean over the rows."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")
