"""Draw new data from a trained VAE: z ~ N(0, I), then the mean of x given z.

examples:
  npvae sample --model npvae-run --n 100 --seed 1
  npvae sample --model npvae-run --label 7             sevens, from a conditional model (npvae train --kind conditional)
  npvae sample --model npvae-run --label 0,1,2 --n 5   five of each
"""

import numpy as np

from npvae.cli.common import condition, counted, image_shape, labels, load_model, output_folder, positive, say, seed
from npvae.cli.pictures import OF_EACH_LABEL, SAMPLES, draw_samples
from npvae.data.strings import read_strings
from npvae.models import Autoencoder

HELP = "draw new data from a trained model"


def add_arguments(parser):
    """--model, --n, --label, --draw, --seed, --out."""
    parser.add_argument(
        "--model", metavar="DIR|FILE", default="npvae-run", help="a run's folder or a checkpoint (default: npvae-run)"
    )
    parser.add_argument("--n", type=positive, help=f"how many (default: {SAMPLES}, or {OF_EACH_LABEL} of each label)")
    parser.add_argument(
        "--label", type=labels, metavar="LABEL[,LABEL]", help="which labels, 7 or 0,1,2; conditional models (default: all)"
    )
    parser.add_argument("--draw", action="store_true", help="draw each value from p(x|z), too, instead of its mean")
    parser.add_argument("--seed", type=seed, default=0, help="same seed, same samples (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="where the files go (default: the model's folder)")


def run(args):
    """Write samples.npy (n, D) and samples.png, or samples.txt for strings."""
    trained = load_model(args)
    model, settings = trained.model, trained.settings
    if isinstance(model, Autoencoder):
        model.sample(1, np.random.default_rng(0))  # refuses: it has no prior
    each = _labels(args.label, model)
    n = args.n or (SAMPLES if each is None else OF_EACH_LABEL)
    each = None if each is None else np.repeat(each, n)
    folder = output_folder(args.out or trained.path.parent)
    x = _draw(model, n if each is None else len(each), each, args)  # (n, D)
    if trained.standardization is not None:
        x = trained.standardization.undo(x)
    np.save(folder / "samples.npy", x)
    alphabet = settings.get("alphabet")
    picture = draw_samples(x, image_shape(settings, model), alphabet, folder, each)
    result = {"n": len(x), "seed": args.seed, "files": [str(picture), str(folder / "samples.npy")]}
    text = f"{counted(len(x), 'sample')}, seed {args.seed}: {picture}, {folder / 'samples.npy'} {x.shape}."
    if each is not None:
        result["labels"] = each.tolist()
        asked = list(dict.fromkeys(each.tolist()))
        text += (
            f" {n} of label {asked[0]}." if len(asked) == 1 else f" {n} of each label, in this order: {', '.join(map(str, asked))}."
        )
    if alphabet is not None:
        result["strings"] = read_strings(x, alphabet)
        text = "\n".join([*result["strings"], text])
    say(args, f"{text}\nNext: npvae reconstruct --model {args.model}", result)


def _labels(asked, model):
    """The labels to draw: those asked for, else all; None for a model without labels."""
    if not model.n_classes:
        if asked is not None:
            raise ValueError("--label needs a conditional model, which this is not: npvae train --kind conditional makes one.")
        return None
    wrong = [label for label in asked or () if label >= model.n_classes]
    if wrong:
        raise ValueError(f"--label {wrong[0]}: this model knows the labels 0 to {model.n_classes - 1}.")
    return list(range(model.n_classes)) if asked is None else list(dict.fromkeys(asked))


def _draw(model, n, each, args):
    """n new rows, or their means.  (n, D)"""
    rng, given = np.random.default_rng(args.seed), condition(model, each)
    if args.draw:
        return model.likelihood.sample(model.decode(model.noise(n, rng), **given), rng)
    return model.sample(n, rng, **given)
