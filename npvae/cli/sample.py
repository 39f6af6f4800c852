"""Draw new data from a trained VAE: z ~ N(0, I), then the mean of x given z.

examples:
  npvae sample --model npvae-run --n 100 --seed 1
"""

import numpy as np

from npvae import visual
from npvae.cli.common import load_model, output_folder, positive, say, seed

HELP = "draw new images from a trained model"


def add_arguments(parser):
    """--model, --n, --draw, --seed, --out."""
    parser.add_argument(
        "--model", metavar="DIR|FILE", default="npvae-run", help="a run's folder or a checkpoint (default: npvae-run)"
    )
    parser.add_argument("--n", type=positive, default=50, help="how many (default: 50)")
    parser.add_argument("--draw", action="store_true", help="draw each pixel from p(x|z), too, instead of its mean")
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same samples (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="where samples.png and samples.npy go (default: the model's folder)")


def run(args):
    """Write samples.npy (n, D) and samples.png."""
    model, settings, path = load_model(args)
    folder = output_folder(args.out or path.parent)
    rng = np.random.default_rng(args.seed)
    if args.draw:
        x = model.likelihood.sample(model.decode(model.noise(args.n, rng)), rng)  # (n, D)
    else:
        x = model.sample(args.n, rng)  # (n, D)
    np.save(folder / "samples.npy", x)
    visual.save(visual.plot_samples(x, image_shape(settings, model)), folder / "samples.png")
    result = {"n": args.n, "seed": args.seed, "files": [str(folder / name) for name in ("samples.png", "samples.npy")]}
    text = f"{args.n} samples, seed {args.seed}: {folder / 'samples.png'}, {folder / 'samples.npy'} {x.shape}."
    say(args, f"{text}\nNext: npvae reconstruct --model {args.model}", result)


def image_shape(settings, model):
    """The shape of an example's picture: the run remembers it; else a square, if D is one; else a plain row."""
    if settings.get("image_shape"):
        return tuple(settings["image_shape"])
    side = round(model.data_dim**0.5)
    return (side, side) if side * side == model.data_dim else (model.data_dim,)
