"""Random streams and batches: every row once an epoch, binarization as promised, and a stream that skips as it would have run."""

import tracemalloc

import numpy as np
import pytest
from runs import BATCH, STEPS, D, grey_data, make_model

from npvae import Autoencoder
from npvae.training.batches import BINARIZE, EVALUATION, NOISE, SHUFFLE, Rows, TrainingBatches, ValidationBatches, binarized, stream

ROOT = 2**62 + 12345


def batches(binarize=None, model=None, rows=None, **options):
    rows = Rows(grey_data().train, 255.0) if rows is None else rows
    return TrainingBatches(make_model() if model is None else model, rows, BATCH, binarize, ROOT, **options)


def in_order(training, epoch):
    """The rows that an epoch drew, back in their original order."""
    order = stream(ROOT, SHUFFLE, epoch).permutation(len(training.data))
    drawn = np.concatenate([x for x, *_ in training.epoch(epoch)])
    return drawn[np.argsort(order)]


def test_the_streams_are_those_of_the_documented_seed_sequence():
    for purpose, number in ((SHUFFLE, 0), (NOISE, 1), (BINARIZE, 2), (EVALUATION, 3)):
        expected = np.random.default_rng(np.random.SeedSequence(ROOT, spawn_key=(number, 7)))
        np.testing.assert_array_equal(stream(ROOT, purpose, 7).random(5), expected.random(5))


def test_no_two_streams_draw_the_same():
    drawn = {stream(ROOT, purpose, epoch).random() for purpose in range(4) for epoch in range(50)}
    assert len(drawn) == 200


def test_every_row_comes_once_an_epoch_scaled_in_an_order_of_its_own():
    training = batches()
    sizes = [len(x) for x, *_ in training.epoch(1)]
    assert sizes == [5, 5, 5, 5, 3] and len(training) == STEPS
    expected = grey_data().train.astype(np.float32) / np.float32(255)
    for epoch in (1, 2):
        np.testing.assert_array_equal(in_order(training, epoch), expected)
    first, second = (np.concatenate([x for x, *_ in training.epoch(epoch)]) for epoch in (1, 2))
    assert not np.array_equal(first, expected) and not np.array_equal(first, second), "shuffled, and anew each epoch"


@pytest.mark.parametrize("binarize", [None, "threshold", "static", "dynamic"])
def test_starting_in_the_middle_gives_what_would_have_come(binarize):
    whole = list(batches(binarize).epoch(3))
    for start in range(STEPS + 1):
        rest = list(batches(binarize).epoch(3, start=start))
        assert len(rest) == STEPS - start
        for (x, eps, _), (x_whole, eps_whole, _) in zip(rest, whole[start:]):
            np.testing.assert_array_equal(x, x_whole)
            np.testing.assert_array_equal(eps, eps_whole)


def test_the_noise_is_fresh_in_every_batch_and_epoch():
    drawn = [eps for epoch in (1, 2) for _, eps, _ in batches().epoch(epoch)]
    values = np.concatenate([eps.ravel() for eps in drawn])
    assert len(np.unique(values)) == values.size
    assert drawn[0].dtype == np.float32


def test_noise_has_an_axis_of_samples_if_an_objective_asks_for_them():
    shapes = [eps.shape for _, eps, _ in batches(samples=4).epoch(1)]
    assert shapes == [(4, 5, 2)] * 4 + [(4, 3, 2)]
    assert [eps for _, eps, _ in batches(model=make_model(kind=Autoencoder), samples=4).epoch(1)] == [None] * STEPS


def test_a_threshold_makes_half_and_more_white():
    pixels = np.array([[0, 7, 8, 9, 16, 0]], np.uint8)  # 8 / 16 is exactly one half
    black = binarized(Rows(pixels, 16.0), "threshold", None, np.float32)
    assert black.floats(slice(None), np.float32).tolist() == [[0, 0, 1, 1, 1, 0]]
    assert black.rows.dtype == np.uint8
    floats = binarized(Rows(pixels / 16, None), "threshold", None, np.float64)
    np.testing.assert_array_equal(floats.rows, black.rows)


def test_static_pixels_stay_and_dynamic_ones_are_drawn_afresh_each_epoch():
    static, dynamic = batches("static"), batches("dynamic")
    np.testing.assert_array_equal(in_order(static, 1), in_order(static, 2))
    np.testing.assert_array_equal(in_order(static, 1), in_order(batches("static"), 9))
    assert not np.array_equal(in_order(dynamic, 1), in_order(dynamic, 2))
    half = batches("dynamic", rows=Rows(np.full((23, D), 0.5, np.float32), None))
    first, second = (np.concatenate([x for x, *_ in half.epoch(epoch)]) for epoch in (1, 2))
    assert not np.array_equal(first, second), "the draws themselves are new, not only the order of the rows"
    for x in (in_order(static, 1), in_order(dynamic, 1)):
        assert set(np.unique(x)) == {0, 1}


@pytest.mark.parametrize("binarize", ["static", "dynamic"])
def test_a_pixel_is_white_as_often_as_it_is_bright(binarize):
    grey = np.tile(np.array([0, 1, 64, 128, 254, 255], np.uint8), (20_000, 1))
    drawn = in_order(batches(binarize, rows=Rows(grey, 255.0)), 1).mean(axis=0)
    p = grey[0] / 255
    assert np.all(np.abs(drawn - p) <= 5 * np.sqrt(p * (1 - p) / 20_000)), drawn
    assert drawn[0] == 0 and drawn[-1] == 1


def test_pixels_that_are_black_and_white_already_stay():
    rows = Rows(np.eye(D, dtype=np.uint8)[np.arange(23) % D], 1.0)
    for binarize in ("threshold", "static", "dynamic"):
        np.testing.assert_array_equal(in_order(batches(binarize, rows=rows), 1), rows.rows)


@pytest.mark.parametrize("binarize", ["threshold", "static", "dynamic"])
def test_validation_pixels_are_the_same_at_every_epoch_and_the_noise_is_not(binarize):
    rows = Rows(grey_data().train, 255.0)
    validation = ValidationBatches(make_model(), rows, 10, binarize, ROOT)
    first, second = ([np.concatenate(part) for part in list(zip(*validation.epoch(epoch)))[:2]] for epoch in (1, 2))
    np.testing.assert_array_equal(first[0], second[0])
    assert set(np.unique(first[0])) == {0, 1}
    assert not np.array_equal(first[1], second[1])


def test_images_stay_small_in_memory():
    rows = np.random.default_rng(0).integers(0, 256, (50_000, D)).astype(np.uint8)
    training = TrainingBatches(make_model(), Rows(rows, 255.0), 100, None, ROOT)
    tracemalloc.start()
    for _ in training.epoch(1):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    order = 8 * len(rows)  # the permutation
    assert peak < order + rows.nbytes, f"{peak} bytes; the rows as float32 are {4 * rows.nbytes}"
