"""One training step as a table: every intermediate, forward and backward, with its name, equation, shape and value.

examples:
  npvae trace                                   the worked example of notebook 2, small enough for pen and paper
  npvae trace --format markdown                 the same for a lecture; or latex
  npvae trace --model npvae-demo                one step of a trained model on a row of its test data
"""

import numpy as np

from npvae.cli.common import above_zero, add_download_argument, load_data, load_model, number, positive, say, seed
from npvae.core.optimizers import Adam
from npvae.teaching import format_trace, trace, worked_example

HELP = "one training step, every number of it"


def add_arguments(parser):
    """--model, --data, --download, --rows, --beta, --lr, --seed, --format, --digits."""
    parser.add_argument("--model", metavar="DIR|FILE", help="a trained model in place of the worked example")
    parser.add_argument("--data", metavar="NAME|FILE", help="its data, if not those of its run")
    add_download_argument(parser)
    parser.add_argument("--rows", type=positive, default=1, metavar="B", help="test rows in the batch, with --model (default: 1)")
    parser.add_argument("--beta", type=number, default=1.0, help="weight of the KL (default: 1)")
    parser.add_argument("--lr", type=above_zero, default=0.1, help="of the Adam step at the end (default: 0.1)")
    parser.add_argument("--seed", type=seed, default=0, help="of the noise, with --model (default: 0)")
    parser.add_argument("--format", choices=("text", "markdown", "latex"), default="text", help="(default: text)")
    parser.add_argument("--digits", type=positive, default=6, help="after the point (default: 6)")


def run(args):
    """Print the table."""
    if args.model is None:
        model, x, eps = worked_example()
    else:
        trained = load_model(args)
        model = trained.model.astype(np.float64)
        if model.n_classes:
            raise ValueError(
                "a trace shows a VAE without labels, and this model is conditional; train another: npvae train --out npvae-plain"
            )
        x = load_data(args, trained).floats("test", np.float64)[: args.rows]
        eps = model.noise(len(x), np.random.default_rng(args.seed))
    rows = trace(model, x, eps, beta=args.beta, optimizer=Adam(lr=args.lr))
    result = [{**row._asdict(), "value": np.asarray(row.value).tolist()} for row in rows]
    say(args, format_trace(rows, style=args.format, digits=args.digits), result)
