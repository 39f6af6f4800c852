"""Send test images through a trained model and back.

examples:
  npvae reconstruct --model npvae-run --n 10
"""

import numpy as np

from npvae import visual
from npvae.cli.common import add_model_arguments, load_data, load_model, output_folder, positive, say, seed
from npvae.cli.running import binarized

HELP = "send images through a trained model and back"


def add_arguments(parser):
    """--model, --data, --n, --seed, --out."""
    add_model_arguments(parser)
    parser.add_argument("--n", type=positive, default=10, help="how many of the test rows (default: 10)")
    parser.add_argument("--seed", type=seed, default=0, help="which rows: a draw without replacement (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="where the files go (default: the model's folder)")


def run(args):
    """Write reconstructions.npz (x, x_hat, z, row) and reconstructions.png."""
    model, settings, path = load_model(args)
    data = load_data(args, settings, model)
    folder = output_folder(args.out or path.parent)
    if args.n > len(data.test):
        raise ValueError(f"--n {args.n}, but {data.name} has {len(data.test)} test rows.")
    rng = np.random.default_rng(args.seed)
    row = np.sort(rng.choice(len(data.test), args.n, replace=False))
    x = binarized(data.floats("test", model.real_dtype), settings.get("binarize", "none"), args.seed)[row]  # (n, D)
    code = model.encode(x)
    x_hat = model.reconstruct(x)  # (n, D)
    np.savez(folder / "reconstructions.npz", x=x, x_hat=x_hat, z=code[0] if isinstance(code, tuple) else code, row=row)
    visual.save(visual.plot_reconstructions(x, x_hat, data.image_shape, n=args.n), folder / "reconstructions.png")
    error = float(np.mean(np.sum((x - x_hat) ** 2, axis=1)))
    files = [str(folder / name) for name in ("reconstructions.png", "reconstructions.npz")]
    say(
        args,
        f"{args.n} test rows of {data.name}: squared error {error:.4f} an example (summed over the {model.data_dim} values); "
        f"{', '.join(files)}.\nNext: npvae evaluate --model {args.model}",
        {"n": args.n, "data": data.name, "squared_error": error, "files": files},
    )
