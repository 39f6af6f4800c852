"""The documented systems: five VAEs of published articles, put right, and three of references.

examples:
  npvae recipes                                    all of them, with the loss to expect
  npvae recipes conv-mnist                         one: what its article says, what was wrong, what stands here instead
  npvae train --recipe conv-mnist --data digits    train it
"""

from npvae.cli.common import say
from npvae.cli.train import FLAGS
from npvae.recipes import RECIPES, find

HELP = "the documented systems by name, with what was wrong in each"


def add_arguments(parser):
    """NAME."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="this one alone (default: list them all)")


def run(args):
    """Print the list, or one recipe."""
    if args.name is None:
        say(args, _list(), [_plain(recipe) for recipe in RECIPES.values()])
        return
    recipe = find(args.name)
    result = _plain(recipe)
    lines = [f"{recipe.name}: {recipe.article}", "", recipe.text, ""]
    for data, shown in result["commands"].items():
        short = f"npvae train --recipe {recipe.name}" + ("" if data == recipe.data else f" --data {data}")
        lines += [f"{short} is:", f"  {shown}"]
    own = "" if recipe.data == "paraboloid" else " --data digits"
    say(args, "\n".join([*lines, f"Next: npvae train --recipe {recipe.name}{own} --out npvae-{recipe.name}"]), result)


def command(settings):
    """The `npvae train` command with these settings, flag by flag; what is a default is left out."""
    words = ["npvae train"]
    for name, (default, _) in FLAGS.items():
        value = settings.get(name, default)
        if value != default:
            flag = f"--{name.replace('_', '-')}"
            text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            words.append(flag if value is True else f"{flag} {text}")
    return " ".join(words)


def _list():
    widths = [max(map(len, column)) for column in zip(*((r.name, r.article, r.data) for r in RECIPES.values()))]
    lines = ["The documented systems, and the test loss to expect of each (nats per example; +- over seeds):", ""]
    for recipe in RECIPES.values():
        expected = ", ".join(f"{data} {loss}" for data, loss in recipe.expected.items())
        row = zip((recipe.name, recipe.article, recipe.data), widths)
        lines.append("  ".join(["", *(f"{text:{width}}" for text, width in row), expected]))
    lines += ["", "The third column is the data that each is made for; all but nonlinear-2d also run on digits (--data digits)."]
    lines.append("On mnist the number of iwae-paper is after 40 of its 3,280 epochs, as its own page says.")
    return "\n".join([*lines, f"Next: npvae recipes {next(iter(RECIPES))}"])


def _plain(recipe):
    """Plain data, for JSON."""
    data = dict.fromkeys([recipe.data, *([] if recipe.data == "paraboloid" else ["digits"])])
    return {
        "name": recipe.name, "article": recipe.article, "data": recipe.data, "expected": recipe.expected, "text": recipe.text,
        "settings": recipe.settings(), "commands": {name: command(recipe.settings(name)) for name in data},
    }  # fmt: skip
