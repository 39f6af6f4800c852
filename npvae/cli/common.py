"""What the verbs share: numbers from the command line, output folders, loading a trained model with its data, saying things."""

import argparse
import json
import math
import pathlib
import tempfile
from typing import NamedTuple

from npvae.data import Standardization, load_dataset
from npvae.evaluation.limits import Limits
from npvae.models.base import Model
from npvae.training import load_checkpoint
from npvae.training.batches import Rows

MODEL_FILE, RUN_FILE = "model.npz", "run.json"
OTHER_SCALE = 4  # times larger or smaller than the training data: no longer the same kind of numbers
BINARIZE = ("none", "threshold", "static", "dynamic")


def positive(text):
    """An integer of at least 1, for argparse."""
    try:
        n = int(text)
    except ValueError:
        n = 0
    if n < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return n


def seed(text):
    """An integer of at least 0, for argparse."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def widths(text):
    """400,200 -> (400, 200), for argparse; the empty text is a model without hidden layers."""
    return tuple(positive(part) for part in text.split(",")) if text else ()


def labels(text):
    """7 or 0,1,2 -> [0, 1, 2], for argparse."""
    return [seed(part) for part in text.split(",")]


def number(text, low=0.0, above=False):
    """A finite number of at least (or above) `low`, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not (low < value < float("inf") or (value == low and not above)):
        raise argparse.ArgumentTypeError(f"expected a number {'above' if above else 'of at least'} {low:g}, got {text!r}")
    return value


def above_zero(text):
    """A finite number above 0, for argparse."""
    return number(text, above=True)


def output_folder(path):
    """The folder, made if it is not there, and proved writable before any work is done.  Raises OSError in one sentence."""
    folder = pathlib.Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 65_536)
    except OSError as error:
        raise OSError(
            f"cannot write to the output folder {folder}: {error.strerror or error}; choose another with --out."
        ) from None
    return folder


def write_json(path, content):
    """Write plain data as readable JSON."""
    pathlib.Path(path).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def add_model_arguments(parser):
    """--model, --data and --download, for the verbs that use a trained model."""
    parser.add_argument(
        "--model", metavar="DIR|FILE", default="npvae-run", help="a run's folder or a checkpoint (default: npvae-run)"
    )
    parser.add_argument("--data", metavar="NAME|FILE", help="other data than the model was trained on: see npvae train --help")
    add_download_argument(parser)


def add_download_argument(parser):
    """--download."""
    parser.add_argument("--download", action="store_true", help="fetch the named data set if it is not on this machine")


class Trained(NamedTuple):
    """What a run leaves for the verbs after it."""

    model: Model
    settings: dict  # of its run, or {}
    path: pathlib.Path  # of its checkpoint
    standardization: Standardization | None  # of its data
    range: list[float] | None  # of the training rows, as the model was given them; None: the file does not say
    steps: int | None  # made in training; None: the file does not say


def load_model(args):
    """The trained model of --model, with what belongs to it."""
    path = pathlib.Path(args.model)
    if path.is_dir():
        path = path / MODEL_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no model there; train one with: npvae train --out {args.model}")
    run = path.parent / RUN_FILE
    settings = read_settings(run) if run.exists() else {}
    checkpoint = load_checkpoint(path)
    low_high = (checkpoint.training or {}).get("range")  # a file of an older version has none
    return Trained(checkpoint.model, settings, path, checkpoint.standardization, low_high, checkpoint.steps)


def read_settings(path):
    """The settings in a run.json.  Raises ValueError if there are none."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))["settings"]
    except (ValueError, KeyError, TypeError):
        settings = None
    if not isinstance(settings, dict):
        raise ValueError(
            f"{path}: this is no {RUN_FILE} of npvae train, it has no settings; put the right one there, or delete it."
        )
    return settings


def refuse_untrained(trained):
    """Raises ValueError for a model that is known to stand where it began."""
    if trained.steps == 0:
        raise ValueError(
            f"{trained.path}: the model in it has not made a single training step, so there is nothing to measure; "
            "train one with: npvae train"
        )


def load_data(args, trained):
    """The data of --data, else of the model's own run, standardized as there; they must be of the model's kind.

    Raises ValueError for another width, alphabet or scaling, or for data without the labels that a conditional model needs."""
    return as_trained(load_raw_data(args, trained), trained)


def as_trained(data, trained):
    """The data as the model is given them: standardized, if its training data were.  Raises ValueError for another scaling."""
    divided = "" if data.scale in (None, 1) else f", its integers divided by {data.scale:g} (an .npz can say another `scale`)"
    data = data if trained.standardization is None else data.standardized(by=trained.standardization)
    if trained.range is not None:
        ends = [Rows(rows, data.scale).range() for _, rows, _ in data.splits() if len(rows)]
        theirs, ours = (min(low for low, _ in ends), max(high for _, high in ends)), trained.range
        sizes = [max(map(abs, ends)) for ends in (theirs, ours)]
        if max(sizes) >= OTHER_SCALE * min(sizes) and sizes[0] != sizes[1]:
            raise ValueError(
                f"{data.name} goes from {theirs[0]:.4g} to {theirs[1]:.4g}{divided}, but this model was trained on values from "
                f"{ours[0]:.4g} to {ours[1]:.4g}; bring the data to the same scale, or name other data with --data."
            )
    return data


def load_raw_data(args, trained):
    """The same data as they are, before the model's standardization.  Raises the other errors of `load_data`."""
    model, settings = trained.model, trained.settings
    source = args.data or settings.get("data")
    if source is None:
        raise ValueError("which data? This checkpoint does not say; name them with --data.")
    data = load_dataset(source, download=args.download)
    if data.train.shape[1] != model.data_dim:
        raise ValueError(
            f"{data.name} has {data.train.shape[1]} values an example, but this model was trained on {model.data_dim}; "
            "name other data with --data."
        )
    if data.alphabet != settings.get("alphabet", data.alphabet):
        raise ValueError(
            f"{data.name} is written in the letters {data.alphabet!r}, but this model was trained on {settings['alphabet']!r}; "
            "name other data with --data."
        )
    if model.n_classes and data.test_labels is None:
        raise ValueError(f"{data.name} has no labels, and a conditional model asks for them; name other data with --data.")
    return data


def condition(model, labels):
    """The argument that a conditional model's methods ask for, {"condition": labels}; {} for every other model.

    Raises ValueError if there are no labels to give."""
    if model.n_classes and labels is None:
        raise ValueError("these rows have no labels, and a conditional model asks for them; name another --split, or other --data.")
    return {"condition": labels} if model.n_classes else {}


def image_shape(settings, model):
    """The shape of an example's picture: the run remembers it; else a square, if D is one; else a plain row."""
    if settings.get("image_shape"):
        return tuple(settings["image_shape"])
    side = round(model.data_dim**0.5)
    return (side, side) if side * side == model.data_dim else (model.data_dim,)


def named_terms(measured, nll, kl):
    """{name: (B,)}: reconstruction, KL and what they come to, under the names that the measure has; kl None: an autoencoder's."""
    if kl is None:
        return {"reconstruction": nll}
    if measured == "grey cross-entropy":
        return {"grey cross-entropy + KL": nll + kl, "grey cross-entropy": nll, "KL": kl}
    return {"ELBO": -(nll + kl), "reconstruction": nll, "KL": kl}


def limit_lines(record, where=""):
    """Lines for people: the loss of a record between its limits, and a remark if it is too large."""
    found, numbers = Limits(**record.limits), {name: number.mean for name, number in record.numbers.items()}
    kl = " + KL" if "KL" in numbers else ""
    loss = numbers["grey cross-entropy" if "grey cross-entropy" in numbers else "reconstruction"] + numbers.get("KL", 0.0)
    told = {
        "floor": "no model can pass it",
        "ceiling": "the model that ignores z and knows the training rows' mean",
        "linear": "the best linear VAE of as many latents: probabilistic PCA",
    }
    known = {name: value for name, value in found._asdict().items() if value is not None}
    lines = [f"  {name:<28}{value:>14.4f}   {told[name]}" for name, value in known.items()]
    remark = found.remark(loss)
    title = f"  The loss (reconstruction{kl}){where} is {loss:.4f}; beside it:"
    return [title, *lines, *([f"  Note: {remark}"] if remark else [])]


def counted(n, noun):
    """1 row, 2 rows, 5,000 rows."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def likelihood_text(likelihood):
    """Gaussian (sigma 0.7071, learn False): a likelihood's config for people."""
    values = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in likelihood.items() if name != "type"}
    return f"{likelihood.get('type')}" + (f" ({', '.join(f'{n} {v}' for n, v in values.items())})" if values else "")


def shown_error(error):
    """A standard error for people; that of a single row is not known."""
    return "unknown" if error is None or math.isnan(error) else f"{error:.4f}"


def say(args, text, result):
    """The verb's answer: text for people, or with --json the result as one object."""
    if args.json:
        print(json.dumps(result, indent=1))
    elif not args.quiet:
        print(text)
