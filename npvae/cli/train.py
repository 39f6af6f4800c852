"""Train a VAE (or a plain autoencoder) and keep everything in one folder: the model, its history, metrics and pictures.

examples:
  npvae train                                                     the bundled digits, 20 epochs
  npvae train --data mnist --hidden 400 --activation relu         MNIST, from the folder that NPVAE_DATA names
  npvae train --data my.npz --likelihood gaussian --learn-sigma   an array of your own
  npvae train --data words.txt --latent-dim 8                     strings, one a line
  npvae train --kind conditional                                  given the labels: npvae sample --label 7
  npvae train --recipe conv-mnist --data digits                   a documented system (npvae recipes); flags override its settings
  npvae train --resume npvae-run --epochs 40                      go on where a run stopped, or longer
"""

import argparse
import pathlib
import shlex

from npvae.cli.building import ACTIVATIONS, INITS, LIKELIHOODS, MODELS
from npvae.cli.common import (
    BINARIZE,
    MODEL_FILE,
    RUN_FILE,
    above_zero,
    add_download_argument,
    counted,
    limit_lines,
    number,
    output_folder,
    positive,
    read_settings,
    say,
    seed,
    widths,
    write_json,
)
from npvae.cli.running import OBJECTIVES, OPTIMIZERS, SAMPLES, build, plain, train
from npvae.evaluation.record import Record
from npvae.recipes import find
from npvae.training.archive import versions

HELP = "train a model"
LR_SCHEDULES = ("constant", "cosine", "exponential", "step", "stages")
SWITCH = argparse.BooleanOptionalAction  # --name or --no-name, so that a recipe's choice can be undone
DATA = "digits, mnist, fashion-mnist, binarized-mnist; paraboloid, ring, two-moons, spiral, grid; a file .npz, .npy, .csv or .txt "
DATA += "(strings, one a line), or a folder of IDX files"

# name: (default, argparse arguments); a default of None leaves the choice to the library
FLAGS = {
    "recipe": (None, dict(metavar="NAME", help="a documented system: npvae recipes lists them")),
    "data": ("digits", dict(metavar="NAME|FILE", help=DATA)),
    "standardize": (False, dict(action=SWITCH, help="each column to mean 0 and variance 1, by the training rows")),
    "kind": ("vae", dict(choices=tuple(MODELS), help="the model; conditional is given the labels")),
    "architecture": ("dense", dict(choices=("dense", "convolutional"), help="of encoder and decoder; convolutional: for images")),
    "hidden": ((64,), dict(type=widths, metavar="400,200", help="widths of the encoder's hidden layers; the decoder mirrors them")),
    "channels": ((32, 64), dict(type=widths, metavar="32,64", help="of the convolutions")),
    "latent_dim": (2, dict(type=positive, metavar="Z", help="latent dimensions")),
    "activation": (None, dict(choices=tuple(ACTIVATIONS), help="of the hidden layers (default: tanh; convolutional: relu)")),
    "init": (None, dict(choices=tuple(INITS), help="of the weights; uniform is PyTorch's, normal Kingma & Welling's "
                         "(default: glorot; convolutional: he)")),
    "likelihood": (None, dict(choices=tuple(LIKELIHOODS), help="p(x|z) (default: bernoulli; for strings categorical)")),
    "sigma": (1.0, dict(type=above_zero, help="the Gaussian's standard deviation, or its start")),
    "learn_sigma": (False, dict(action=SWITCH, help="learn the Gaussian's standard deviation")),
    "output_mean": (False, dict(action=SWITCH, help="start the output bias at the mean of the training data")),
    "binarize": ("none", dict(choices=BINARIZE, help="how grey pixels become black and white")),
    "optimizer": ("adam", dict(choices=tuple(OPTIMIZERS), help="the optimizer")),
    "lr": (1e-3, dict(type=above_zero, help="learning rate")),
    "lr_schedule": ("constant", dict(choices=LR_SCHEDULES, help="from --lr to --lr-end over the whole run; step: at its half; "
                                     "stages: in 8 steps, each kept three times as long as the one before")),
    "lr_end": (None, dict(type=number, metavar="LR", help="where a schedule ends (default: 0 for cosine, else a tenth of --lr)")),
    "adam_eps": (1e-8, dict(type=number, metavar="EPS", help="Adam's epsilon")),
    "beta": (1.0, dict(type=number, help="weight of the KL")),
    "beta_warmup": (None, dict(type=positive, metavar="EPOCHS", help="let beta rise linearly from 0 over so many epochs")),
    "beta_cycles": (None, dict(type=positive, metavar="N", help="let beta rise from 0 anew in each of N cycles")),
    "capacity": (None, dict(type=number, metavar="NATS", help="minimize reconstruction + beta |KL - NATS|: a target for the KL")),
    "free_bits": (None, dict(type=number, metavar="NATS", help="let each latent have so many nats of KL for nothing")),
    "objective": (None, dict(choices=tuple(OBJECTIVES), help="minimize -L_K, the importance-weighted bound, in place of -ELBO; "
                             "doubly-reparameterized: with an estimate of its gradient that has less noise")),
    "samples": (None, dict(type=positive, metavar="K", help=f"draws of z for each example in L_K (default: {SAMPLES})")),
    "epochs": (20, dict(type=positive, help="epochs in all, resumed or not")),
    "batch_size": (32, dict(type=positive, metavar="B", help="examples a step")),
    "validation": (None, dict(choices=("valid", "test", "none"), help="rows measured each epoch (default: valid, else test)")),
    "patience": (None, dict(type=positive, metavar="EPOCHS", help="stop after so many epochs without improvement; keep the best")),
    "clip_norm": (None, dict(type=above_zero, metavar="NORM", help="bound the gradient's norm")),
    "dtype": ("float32", dict(choices=("float32", "float64"), help="precision")),
    "seed": (0, dict(type=seed, help="same seed, same result")),
}  # fmt: skip
DEFAULTS = {name: default for name, (default, _) in FLAGS.items()}
MAY_CHANGE = ("epochs",)  # on resuming


def add_arguments(parser):
    """The flags; None stands for "not given", so that a resumed run knows what it was told anew."""
    for name, (default, options) in FLAGS.items():
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text = options["help"] + (f" (default: {shown})" if default is not None and default is not False else "")
        parser.add_argument(f"--{name.replace('_', '-')}", default=None, **{**options, "help": text})
    add_download_argument(parser)
    parser.add_argument("--out", metavar="DIR", help="where everything goes (default: npvae-run)")
    parser.add_argument("--resume", metavar="DIR|FILE", help="go on with the run in that folder; its settings hold")
    parser.add_argument(
        "--checkpoint-every", type=number, default=10.0, metavar="SECONDS", help="save at least so often (default: 10)"
    )


def run(args):
    """Train, measure the validation rows, write the folder."""
    folder, checkpoint, settings = _folder_and_settings(args)
    model, data, rng = build(settings, args.download)
    folder = output_folder(folder)
    write_json(folder / RUN_FILE, {"settings": plain(settings), "versions": versions()})
    progress = False if args.quiet or args.json else None
    every = args.checkpoint_every
    metrics, history = train(model, data, rng, settings, folder, resume=checkpoint, checkpoint_every=every, progress=progress)
    where = shlex.quote(str(folder))
    grey = " --binarize none" if history.records[-1]["measure"] == "grey cross-entropy" else ""
    lines = [
        describe_record(history.records[-1], settings),
        *measured_lines(metrics),
        f"In {folder}: {', '.join(sorted(p.name for p in folder.iterdir()))}.",
        f"Seed {settings['seed']}, {', '.join(f'{k} {v}' for k, v in versions().items())}.",
        f"Next: npvae evaluate --model {where}{grey}, or npvae {'reconstruct' if settings['kind'] == 'autoencoder' else 'sample'} "
        f"--model {where}",
    ]
    say(args, "\n".join(lines), metrics)


def describe_record(record, settings):
    """One sentence with the last epoch's numbers and their names."""
    grey = "grey " if record["measure"] == "grey cross-entropy" else ""
    term = "grey cross-entropy" if grey else "reconstruction"
    text = f"Epoch {record['epoch']}: train loss {record['loss']:.4f} = {term} {record['reconstruction']:.4f}"
    if settings["objective"] is not None:
        text = f"Epoch {record['epoch']}: train loss {record['loss']:.4f} = -{grey}L_{settings['samples']}; over its draws, {term} "
        text += f"{record['reconstruction']:.4f} + KL {record['kl']:.4f}"
    elif settings["capacity"] is not None:
        text += f" + {settings['beta']:g} x |KL - {settings['capacity']:g}|, KL {record['kl']:.4f}"
    elif settings["free_bits"] is not None:
        text += f" + {settings['beta']:g} x KL above {settings['free_bits']:g} nats a latent, KL {record['kl']:.4f}"
    elif settings["kind"] != "autoencoder":
        text += f" + {record['beta']:g} x KL {record['kl']:.4f}"
    if record.get("valid_loss") is not None:
        text += f"; {settings['validation']} loss {record['valid_loss']:.4f}"
    return text + f" (nats per example{', of the standardized data' if settings['standardize'] else ''})."


def measured_lines(metrics):
    """The validation loss of the model that was kept, beside its limits; nothing if none was measured."""
    if metrics["record"] is None:
        return []
    record = Record.from_plain(metrics["record"])
    rows = f"{counted(record.protocol.rows, f'{record.protocol.split} row')}, after epoch {record.origin['epoch']}"
    units = " in nats of the data as they are," if record.origin["log_volume"] else ""
    return limit_lines(record, f" of the {rows},{units}")


def _folder_and_settings(args):
    """-> the run's folder, the checkpoint to go on from (or None), every setting: given, else of run or recipe, else default."""
    given = {name: getattr(args, name) for name in FLAGS if getattr(args, name) is not None}
    if args.resume is not None:
        return _resumed(args, given)
    folder = pathlib.Path(args.out or "npvae-run")
    if (folder / MODEL_FILE).exists():
        raise ValueError(f"{folder} holds a run already: --resume {folder} goes on with it, --out DIR starts another.")
    recipe = find(given["recipe"]).settings(given.get("data")) if "recipe" in given else {}
    settings = {**DEFAULTS, **recipe, **given}
    for name, needs, value in (("sigma", "likelihood", "gaussian"), ("learn_sigma", "likelihood", "gaussian"),
                               ("channels", "architecture", "convolutional")):  # fmt: skip
        if given.get(name) and settings[needs] != value:
            raise ValueError(f"--{name.replace('_', '-')} needs --{needs} {value}.")
    if settings["samples"] is not None and settings["objective"] is None:
        raise ValueError(f"--samples is the K of L_K, so it needs --objective {' or '.join(OBJECTIVES)}.")
    return folder, None, settings


def _resumed(args, given):
    """The same for a run that is taken up again."""
    if args.out:
        raise ValueError("--resume goes on in the run's own folder; leave --out away.")
    path = pathlib.Path(args.resume)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such run; --resume takes its folder, or its checkpoint file.")
    folder = path if path.is_dir() else path.parent
    if not (folder / RUN_FILE).exists():
        raise FileNotFoundError(f"{folder}: there is no {RUN_FILE} there, so no run to resume.")
    settings = DEFAULTS | read_settings(folder / RUN_FILE)
    settings |= {name: tuple(settings[name]) for name in ("hidden", "channels")}
    changed = [n for n in given if n not in MAY_CHANGE and given[n] != settings[n]]
    if changed:
        differences = "; ".join(f"--{n.replace('_', '-')} {given[n]} (the run has {settings[n]})" for n in changed)
        raise ValueError(f"a resumed run keeps its settings, except --epochs; it cannot take {differences}.")
    checkpoint = folder / MODEL_FILE if path.is_dir() else path
    return folder, checkpoint if checkpoint.exists() else None, {**settings, **given}
