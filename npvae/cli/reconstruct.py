"""Send test rows through a trained model and back.

examples:
  npvae reconstruct --model npvae-run --n 10
"""

import numpy as np

from npvae.cli.common import add_model_arguments, condition, counted, load_data, load_model, output_folder, positive, say, seed
from npvae.cli.pictures import binarized, draw_reconstructions
from npvae.core.likelihoods import Bernoulli
from npvae.data.strings import read_strings

HELP = "send test rows through a trained model and back"


def add_arguments(parser):
    """--model, --data, --download, --n, --seed, --out."""
    add_model_arguments(parser)
    parser.add_argument("--n", type=positive, default=10, help="how many of the test rows (default: 10)")
    parser.add_argument("--seed", type=seed, default=0, help="which rows: a draw without replacement (default: 0)")
    parser.add_argument("--out", metavar="DIR", help="where the files go (default: the model's folder)")


def run(args):
    """Write reconstructions.npz (x, x_hat, z, row) and reconstructions.png, or reconstructions.txt for strings."""
    trained = load_model(args)
    model = trained.model
    data = load_data(args, trained)
    folder = output_folder(args.out or trained.path.parent)
    if args.n > len(data.test):
        raise ValueError(f"--n {args.n}, but {data.name} has {counted(len(data.test), 'test row')}.")
    rng = np.random.default_rng(args.seed)
    row = np.sort(rng.choice(len(data.test), args.n, replace=False))
    x = binarized(data.floats("test", model.real_dtype), trained.settings.get("binarize", "none"), args.seed)[row]  # (n, D)
    given = condition(model, None if data.test_labels is None else data.test_labels[row])
    code = model.encode(x, **given)
    x_hat = model.reconstruct(x, **given)  # (n, D)
    if data.standardization is not None:
        x, x_hat = data.standardization.undo(x), data.standardization.undo(x_hat)
    np.savez(folder / "reconstructions.npz", x=x, x_hat=x_hat, z=code[0] if isinstance(code, tuple) else code, row=row)
    picture = draw_reconstructions(x, x_hat, data.image_shape, data.alphabet, folder, n=args.n)
    error = float(np.mean(np.sum((x - x_hat) ** 2, axis=1)))
    files = [str(picture), str(folder / "reconstructions.npz")]
    result = {"n": args.n, "data": data.name, "squared_error": error, "files": files}
    rows = f"{counted(args.n, 'test row')} of {data.name}"
    text = f"{rows}: squared error {error:.4f} an example (summed over the {model.data_dim} values)"
    if data.alphabet is not None:
        result["strings"] = list(zip(read_strings(x, data.alphabet), read_strings(x_hat, data.alphabet)))
        same = sum(a == b for a, b in result["strings"])
        text = "\n".join([*(f"{a} -> {b}" for a, b in result["strings"]), f"{same} of {rows} came back"])
    grey = " --binarize none" if isinstance(model.likelihood, Bernoulli) and not np.all((x == 0) | (x == 1)) else ""
    say(args, f"{text}; {', '.join(files)}.\nNext: npvae evaluate --model {args.model}{grey}", result)
