"""Train a VAE with two latent dimensions on the bundled digits, in a few seconds, and draw what it has learned.

Writes ./npvae-demo/: loss curves, reconstructions, samples, the latent map, the latent manifold, metrics.json, the model.
"""

import shlex

from npvae.cli.common import RUN_FILE, output_folder, positive, say, seed, write_json
from npvae.cli.running import build, plain, train
from npvae.cli.train import DEFAULTS, describe_record
from npvae.training.archive import versions

HELP = "see a VAE trained on real digits within ten seconds"
# Products of 32 x 128 x 64 are small enough for OpenBLAS to leave to one thread: faster, and steadier on a busy machine.
SETTINGS = {"hidden": (128, 64), "latent_dim": 2, "epochs": 120, "batch_size": 32, "lr": 1e-3}


def add_arguments(parser):
    """--out, --epochs, --seed."""
    parser.add_argument("--out", default="npvae-demo", metavar="DIR", help="where everything goes (default: npvae-demo)")
    parser.add_argument("--epochs", type=positive, default=SETTINGS["epochs"], help="(default: %(default)s)")
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same result (default: 0)")


def run(args):
    """Train, draw, say where everything is. Running it again writes the same files anew."""
    settings = {**DEFAULTS, **SETTINGS, "epochs": args.epochs, "seed": args.seed}
    model, data, rng = build(settings)
    folder = output_folder(args.out)
    if not (args.quiet or args.json):
        print(f"Training a VAE of {model.params.size:,} parameters on {len(data.train):,} handwritten digits of 8 x 8 pixels ...")
    write_json(folder / RUN_FILE, {"settings": plain(settings), "versions": versions()})
    metrics, history = train(model, data, rng, settings, folder, progress=False if args.quiet or args.json else None)
    where = shlex.quote(str(folder))
    lines = [
        describe_record(history.records[-1], settings),
        f"Look at {folder}/:",
        "  history.png          how loss, reconstruction and KL went down",
        "  reconstructions.png  test digits above what the model makes of them",
        "  samples.png          digits that never were, from z ~ N(0, I)",
        "  latent.png           where each test digit lies in the two latent dimensions",
        "  manifold.png         what lies where in them",
        "  metrics.json, history.csv, model.npz, run.json, kl_per_dimension.png",
        f"Next: npvae trace  (one training step, every number of it), or npvae evaluate --model {where} --binarize none",
    ]
    say(args, "\n".join(lines), metrics)
