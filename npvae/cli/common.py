"""What the verbs share: numbers from the command line, output folders, loading a trained model with its data, saying things."""

import argparse
import json
import pathlib
import tempfile

from npvae.data import load_dataset
from npvae.training import load_checkpoint

MODEL_FILE, RUN_FILE = "model.npz", "run.json"
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
    """--model and --data, for the verbs that use a trained model."""
    parser.add_argument(
        "--model", metavar="DIR|FILE", default="npvae-run", help="a run's folder or a checkpoint (default: npvae-run)"
    )
    parser.add_argument("--data", metavar="NAME|FILE", help="other data than the model was trained on: see npvae train --help")


def load_model(args):
    """The trained model of --model, the settings of its run (or {}), and the path of its file."""
    path = pathlib.Path(args.model)
    if path.is_dir():
        path = path / MODEL_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no model there; train one with: npvae train --out {args.model}")
    run = path.parent / RUN_FILE
    settings = json.loads(run.read_text(encoding="utf-8"))["settings"] if run.exists() else {}
    return load_checkpoint(path).model, settings, path


def load_data(args, settings, model):
    """The data of --data, else of the model's own run; they must have the model's width."""
    source = args.data or settings.get("data")
    if source is None:
        raise ValueError("which data? This checkpoint does not say; name them with --data.")
    data = load_dataset(source)
    if data.train.shape[1] != model.data_dim:
        raise ValueError(
            f"{data.name} has {data.train.shape[1]} values an example, but this model was trained on {model.data_dim}; "
            "name other data with --data."
        )
    return data


def say(args, text, result):
    """The verb's answer: text for people, or with --json the result as one object."""
    if args.json:
        print(json.dumps(result, indent=1))
    elif not args.quiet:
        print(text)
