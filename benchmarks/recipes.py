"""What the recipes reach, measured through the real command line; writes benchmarks/RECIPES.md.

    python benchmarks/recipes.py                            on the bundled digits (nonlinear-2d: its own data), seeds 0, 1 and 2
    python benchmarks/recipes.py --data mnist               on MNIST, seed 0; NPVAE_DATA says where it lies
    python benchmarks/recipes.py --only conv-mnist          one of them (may be repeated)

Each run is `npvae train --recipe NAME --data DATA --seed SEED` in a process of its own, with one BLAS thread, in a folder of
--work. Runs that are done are not repeated, one that was interrupted is resumed; remove a folder to repeat its run. Rows of
RECIPES.md that were not measured this time stay as they are. At the end the lines are printed that docstrings state otherwise.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

from npvae.cli.building import LIKELIHOODS
from npvae.cli.recipes import command
from npvae.data import load_dataset
from npvae.data.toy import log_density
from npvae.evaluation.limits import limits
from npvae.recipes import RECIPES

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "RECIPES.md"
SEEDS = {"digits": (0, 1, 2), "paraboloid": (0, 1, 2)}  # of other data 0 alone
EPOCHS = {("iwae-paper", "mnist"): 40}  # only started: the whole, 3,280 epochs, takes hours
COLUMNS = "recipe | data | test loss | reconstruction | KL | floor | ceiling | epochs | seeds | seconds a run"

TEXT = """# What the recipes reach

Measured by `python benchmarks/recipes.py`: each run is `npvae train --recipe NAME --data DATA --seed SEED`, one process, one BLAS
thread, float32, on a machine shared with other work, so that seconds are an upper bound. `npvae recipes NAME` shows all settings.

Every number is in nats per example, summed over pixels and latents. *Test loss*: after the last epoch, on all test rows, one draw
of z for each, beta = 1; it is reconstruction + KL, that is -ELBO. Means over the seeds, +- their standard deviation. Recipes differ
in likelihood and binarization, so their losses do not compare with each other. *Floor*: what no model can pass. For Bernoulli
pixels, grey or drawn from grey, it is the entropy of the grey values; for a Gaussian of fixed sigma the constants alone,
D/2 log(2 pi sigma^2), as if every pixel were met for nothing; for the paraboloid minus the mean log-density of its test points.
*Ceiling*: on the test rows, a model that ignores z and knows the training rows' mean (where sigma is learned, their sigma too).

"""


def run(work, name, data, seed):
    """The run's metrics; trained, or resumed, if they are not there yet."""
    folder = work / f"{name}-{data}-{seed}"
    if not (folder / "metrics.json").exists():
        words = [sys.executable, "-m", "npvae", "train", "--json"]
        if (folder / "model.npz").exists():
            words += ["--resume", str(folder)]
        else:
            words += ["--recipe", name, "--data", data, "--seed", str(seed), "--out", str(folder)]
            words += ["--epochs", str(EPOCHS[name, data])] if (name, data) in EPOCHS else []
        print(" ".join(words[2:]), flush=True)
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
        subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def floor_and_ceiling(settings):
    """Bounds of the test loss, from the data alone; in expectation, where pixels are drawn."""
    data = load_dataset(settings["data"])
    x, likelihood = data.floats("test", np.float64), LIKELIHOODS[settings["likelihood"]](settings, data)
    found = limits(data, likelihood, x, settings["binarize"])
    floor = -np.mean(log_density(data.name, x)) if data.name == "paraboloid" else found.floor
    return floor, found.ceiling


def summary(metrics):
    """The row of the table as a dict of texts, from the metrics of all seeds."""
    last = [m["last"] for m in metrics]
    loss, reconstruction, kl = (np.array([r[f"valid_{term}"] for r in last]) for term in ("loss", "reconstruction", "kl"))
    settings = metrics[0]["settings"]
    floor, ceiling = floor_and_ceiling(settings)
    spread = f" +- {loss.std(ddof=1):.2f}" if len(loss) > 1 else ""
    return {
        "recipe": settings["recipe"], "data": settings["data"], "test loss": f"{loss.mean():.2f}{spread}",
        "reconstruction": f"{reconstruction.mean():.2f}", "KL": f"{kl.mean():.2f}", "floor": f"{floor:.2f}",
        "ceiling": f"{ceiling:.2f}", "epochs": f"{last[0]['epoch']}",
        "seeds": ", ".join(str(m["settings"]["seed"]) for m in metrics),
        "seconds a run": f"{np.mean([m['seconds'] for m in metrics]):.0f}",
    }  # fmt: skip


def known_rows():
    """(recipe, data) -> the row of RECIPES.md as a dict of texts."""
    if not TABLE.exists():
        return {}
    names = COLUMNS.split(" | ")
    rows = [dict(zip(names, line.strip("| \n").split(" | "))) for line in TABLE.read_text(encoding="utf-8").splitlines()]
    return {(row["recipe"], row["data"]): row for row in rows if row["recipe"] in RECIPES}


def stated(row):
    """The line of the recipe's docstring."""
    return f"{row['data']}: {row['test loss']} = reconstruction {row['reconstruction']} + KL {row['KL']}"


def write(rows):
    """RECIPES.md, recipe by recipe, with the command of each."""
    order = sorted(rows, key=lambda key: (list(RECIPES).index(key[0]), key[1] == "mnist"))
    lines = [f"| {COLUMNS} |", "|" + "---|" * len(COLUMNS.split(" | "))]
    lines += ["| " + " | ".join(rows[key].values()) + " |" for key in order]
    lines += ["", "The settings, flag by flag:", "", "```bash"]
    lines += [command(RECIPES[name].settings(data) | {"epochs": int(rows[name, data]["epochs"])}) for name, data in order]
    lines += ["```", ""]
    TABLE.write_text(TEXT + "\n".join(lines), encoding="utf-8")


def main():
    """Run what is missing, write the table, say which docstrings differ from it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("digits", "mnist"), default="digits")
    parser.add_argument("--only", choices=tuple(RECIPES), action="append", help="this recipe")
    parser.add_argument("--work", type=pathlib.Path, default=pathlib.Path("npvae-recipes"), help="folder of the runs")
    args = parser.parse_args()
    rows = known_rows()
    for name in args.only or RECIPES:
        data = RECIPES[name].data if RECIPES[name].data == "paraboloid" else args.data
        if data == "paraboloid" and args.data == "mnist":
            continue
        metrics = [run(args.work, name, data, seed) for seed in SEEDS.get(data, (0,))]
        rows[name, data] = row = summary(metrics)
        write(rows)
        print(f"{name}: {stated(row)}", flush=True)
    for (name, _), row in rows.items():
        if stated(row) not in RECIPES[name].text:
            print(f"the docstring of {name} must say:  {stated(row)}")


if __name__ == "__main__":
    main()
