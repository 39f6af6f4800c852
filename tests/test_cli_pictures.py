"""What goes into a run's pictures: the data as they are, whatever the model was trained on, under the right labels."""

import json

import numpy as np
import pytest
from test_cli_models import train

from npvae.cli import main, pictures, running
from npvae.data import load_dataset
from npvae.data.strings import from_strings


@pytest.fixture
def drawn(monkeypatch):
    """The arguments of every picture drawn, by function; nothing is drawn."""
    calls = {}
    for name in ("plot_points", "plot_samples", "plot_reconstructions", "plot_latent", "plot_history", "plot_kl_per_dimension"):
        monkeypatch.setattr(
            f"npvae.visual.{name}", lambda *args, name=name, **more: calls.setdefault(name, []).append((args, more))
        )
    monkeypatch.setattr("npvae.visual.save", lambda figure, path: None)
    return calls


def test_points_are_drawn_in_the_plane_of_the_data(drawn, tmp_path):
    """Standardized ones, too: shifted by 100 and widened, data, reconstructions and new points lie where the data do."""
    x = load_dataset("ring").test * 5 + 100
    np.savez(tmp_path / "far.npz", train=x, test=x)
    train(tmp_path / "run", "--data", str(tmp_path / "far.npz"), "--standardize", "--likelihood", "gaussian", "--sigma", "2")
    (((reconstructed,), _), ((generated,), _)) = drawn["plot_points"]
    assert list(reconstructed) == ["data", "reconstruction"] and list(generated) == ["data", "generated"]
    for group in (*reconstructed.values(), *generated.values()):
        assert group.shape == x.shape and np.all(np.abs(group.mean(axis=0) - 100) < 10)
    assert np.allclose(generated["data"], x)
    spread = 2 * x.std(axis=0)  # of p(x|z) in the data's own units: new points are drawn with their noise, not its means alone
    assert np.all(generated["generated"].std(axis=0) > 0.95 * spread)


def test_sampled_points_are_points(drawn, tmp_path):
    run = train(tmp_path / "run", "--data", "ring", "--likelihood", "gaussian", "--sigma", "0.3")
    assert main(["sample", "--model", run, "--quiet"]) == 0
    ((groups,), _) = drawn["plot_points"][-1]
    assert list(groups) == ["generated"] and groups["generated"].shape == (50, 2)


def test_a_row_of_samples_has_the_name_of_its_label(drawn, tmp_path):
    x, labels = np.arange(8.0).reshape(4, 2).repeat(2, axis=1), np.array([5, 5, 2, 2])
    pictures.draw_samples(x, (2, 2), None, tmp_path, labels)
    (((rows, _), more),) = drawn["plot_samples"]
    assert more == {"columns": 2, "row_names": ["label 2", "label 5"]}
    assert np.array_equal(rows, x[[2, 3, 0, 1]])


def test_points_of_labels_are_groups(drawn, tmp_path):
    x = np.arange(8.0).reshape(4, 2)
    pictures.draw_samples(x, (2,), None, tmp_path, np.array([1, 0, 1, 0]))
    (((groups,), _),) = drawn["plot_points"]
    assert np.array_equal(groups["label 0"], x[[1, 3]]) and np.array_equal(groups["label 1"], x[[0, 2]])


def test_strings_become_texts_with_their_labels(tmp_path):
    data = from_strings(["ab", "b", "a", "bb"], "words")
    path = pictures.draw_samples(data.train, data.image_shape, data.alphabet, tmp_path, np.array([0, 1, 1]))
    assert path.read_text() == "0\tab\n1\tb\n1\ta\n"
    path = pictures.draw_reconstructions(data.train, data.train[::-1], data.image_shape, data.alphabet, tmp_path)
    assert path.read_text() == "ab\ta\nb\tb\na\tab\n"


def test_a_run_of_an_older_version_without_a_setting_of_today_is_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "draw", lambda *_: None)
    run = train(tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    content = json.loads(file.read_text())
    for name in ("recipe", "standardize", "architecture", "channels", "capacity", "free_bits"):
        del content["settings"][name]
    file.write_text(json.dumps(content))
    assert main(["train", "--resume", run, "--epochs", "3", "--quiet"]) == 0
