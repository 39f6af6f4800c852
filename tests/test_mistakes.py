"""The museum of mistakes: the clean library passes every check, and each mistake, planted, is seen by exactly the checks that the
museum states; its labels, its page and its verb on the command line are held against it, too."""

import json
import pathlib
import sys

import numpy as np
import pytest
import reference

import npvae
from npvae.cli import main
from npvae.core.layers import Tanh
from npvae.core.optimizers import Adam
from npvae.models import VAE, Loss, vae
from npvae.verify import mistakes
from npvae.verify.mistakes import CHECKS, CONSISTENT, FAMILIES, MISTAKES, WITH_EVIDENCE, asks, complaints, failing, matrix, planted
from npvae.verify.mistakes.cases import bernoulli_case, gaussian_case
from npvae.verify.mistakes.checks import LOSS_OF_BERNOULLI_CASE, LOSS_OF_GAUSSIAN_CASE
from npvae.verify.mistakes.left_out import LEFT_OUT
from npvae.verify.mistakes.markdown import as_markdown
from npvae.verify.mistakes.volume_two import FREE_BITS_OF_BERNOULLI_CASE

ALL = list(MISTAKES.values())
PAGE = pathlib.Path(mistakes.__file__).parent / "README.md"


def test_the_library_passes_every_check():
    assert complaints() == {}


def test_the_numbers_that_the_checks_hold_are_those_of_literal_loops():
    assert reference.vae_loss(*bernoulli_case()) == pytest.approx(LOSS_OF_BERNOULLI_CASE, rel=1e-14)
    assert reference.vae_loss(*gaussian_case()) == pytest.approx(LOSS_OF_GAUSSIAN_CASE, rel=1e-14)
    (model, x, *_), Z = bernoulli_case(), 3
    codes = reference.chain(model.encoder.layers, x.tolist())
    kl = [sum(reference.kl_divergence([code[z]], [code[Z + z]]) for code in codes) / len(x) for z in range(Z)]
    assert min(kl) < 0.2 < max(kl)
    expected = LOSS_OF_BERNOULLI_CASE[1] + 3 * sum(max(0.2, each) for each in kl)
    assert expected == pytest.approx(FREE_BITS_OF_BERNOULLI_CASE, rel=1e-14)


@pytest.mark.parametrize("mistake", ALL, ids=list(MISTAKES))
def test_a_planted_mistake_is_seen_by_the_checks_that_the_museum_states(mistake):
    with planted(mistake.id):
        said = complaints(mistake.seen_by)
    assert set(said) == set(mistake.seen_by) != set(), said
    for words in mistake.diagnosis:
        assert words in said["derivative"]


@pytest.mark.slow
@pytest.mark.parametrize("mistake", ALL, ids=list(MISTAKES))
def test_and_by_no_other(mistake):
    others = [name for name in CHECKS if name not in mistake.seen_by]
    with planted(mistake.id):
        assert complaints(others) == {}


# --- what the museum teaches ----------------------------------------------------------------------------------------------------


def test_a_derivative_check_sees_no_wrong_loss_and_no_wrong_adam():
    """Derivatives prove agreement, not truth, and say nothing about sampling, an optimizer or data."""
    assert [m.id for m in ALL if m.family in (*CONSISTENT, "adam", "training", "data") and "derivative" in m.seen_by] == []
    assert sum(m.family in CONSISTENT for m in ALL) >= 50


def test_a_derivative_check_sees_every_wrong_gradient_but_those_at_a_kink_or_a_tie():
    backward = [m for m in ALL if m.family == "backward"]
    assert [m.id for m in backward if "derivative" not in m.seen_by] == ["relu_two_subgradients", "max_pool_all_ties"]
    assert all(m.diagnosis or m.unnamed for m in backward)
    assert not any(m.diagnosis or m.unnamed for m in ALL if m.family != "backward")


@pytest.mark.parametrize("check", [name for name in CHECKS if name != "derivative"])
def test_every_other_check_sees_something_that_the_derivative_check_does_not(check):
    assert any(check in m.seen_by and "derivative" not in m.seen_by for m in ALL)


# --- labels ---------------------------------------------------------------------------------------------------------------------


def test_ids_are_unique_and_none_is_also_left_out():
    rooms = [m.id for room in mistakes._ROOMS for m in room.EXHIBITS]
    assert len(rooms) == len(set(rooms)) == len(ALL) >= 159
    assert not set(LEFT_OUT) & set(rooms)
    assert all(what and reason.endswith(".") for what, reason in LEFT_OUT.values())
    assert {m.family for m in ALL} == set(FAMILIES)


@pytest.mark.parametrize("mistake", ALL, ids=list(MISTAKES))
def test_every_mistake_has_its_equation_a_symptom_in_numbers_and_evidence(mistake):
    assert mistake.wrong and mistake.right and mistake.wrong != mistake.right
    assert any(letter.isdigit() for letter in mistake.symptom)
    assert mistake.what and mistake.evidence
    assert set(mistake.seen_by) <= set(CHECKS)
    assert "the same" not in mistake.evidence.split("(")[0]  # each label is read alone


def test_every_check_says_in_a_sentence_what_it_asks():
    assert all(check.__doc__ and check.__doc__.strip().endswith(".") for check in CHECKS.values())
    assert asks("bound") == "The ELBO of a model with the exact posterior is log p(x)"
    assert all("\n" not in asks(name) and len(asks(name)) > 20 for name in CHECKS)


def test_the_page_counts_those_with_public_evidence():
    invented = [m for m in ALL if m.evidence == "planted"]
    assert WITH_EVIDENCE == len(ALL) - len(invented) >= 110
    page = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"{WITH_EVIDENCE} of the {len(ALL)} mistakes have public evidence" in page and f"The other {len(invented)} were" in page
    assert f"a batch of {len(bernoulli_case().x)} rows and beta = 1.7" in page


@pytest.mark.parametrize(
    "id, check, sentence",
    [
        ("kl_missing_half", "monte_carlo_kl", "the KL is 3.7, should be 1.861 +- 0.02"),
        ("kl_missing_half", "values", "the loss of the Bernoulli model is 7.824771145, should be 6.362609513"),
        ("kl_missing_half", "bound", "ELBO -13.32; with the exact posterior it must equal log p(x) = -9.19"),
        ("no_sampling", "moments", "the variance of z is 0 +- 1e-12, should be 2.718"),
    ],
)
def test_a_complaint_has_the_wrong_number_first_and_the_right_one_second(id, check, sentence):
    with planted(id), pytest.raises(AssertionError) as error:
        CHECKS[check]()
    assert str(error.value) == sentence


def test_a_complaint_of_the_derivative_check_has_its_reason_and_no_table():
    with planted("complex_unsafe_call"), pytest.raises(AssertionError) as error:
        CHECKS["derivative"]()
    assert str(error.value).count("complex step does not fit") == 1 and "np.abs" in str(error.value)
    with planted("tanh_derivative"), pytest.raises(AssertionError) as error:
        CHECKS["derivative"]()
    assert "1 - y in place of 1 - y^2" in str(error.value) and "worst at" not in str(error.value)


def test_the_matrix_and_the_page_are_up_to_date():
    seen = matrix()
    assert set(seen) == set(MISTAKES) and all(list(row) == list(CHECKS) for row in seen.values())
    assert sum(sum(row.values()) for row in seen.values()) == sum(len(m.seen_by) for m in ALL)
    assert PAGE.read_text(encoding="utf-8") == as_markdown(), "python -m npvae.verify.mistakes > npvae/verify/mistakes/README.md"


# --- planting -------------------------------------------------------------------------------------------------------------------


def attributes():
    """Every attribute of every file of the library, and of every class in it: names and identities."""
    files = [vars(module) for path, module in list(sys.modules.items()) if path.split(".")[0] == "npvae"]
    classes = {value for file in files for value in file.values() if isinstance(value, type) and value.__module__[:5] == "npvae"}
    return [(list(owner), list(map(id, owner.values()))) for owner in (*files, *map(vars, sorted(classes, key=id)))]


def test_all_is_as_it_was_after_each_mistake():
    before, defaults = attributes(), Adam.__init__.__defaults__
    for id in MISTAKES:
        with planted(id) as mistake:
            assert mistake is MISTAKES[id]
            assert attributes() != before or Adam.__init__.__defaults__ != defaults
        assert attributes() == before and Adam.__init__.__defaults__ == defaults, id


def test_all_is_as_it_was_after_an_error():
    before = attributes()
    with pytest.raises(KeyError), planted("both_means"):
        raise KeyError
    assert attributes() == before


def test_a_mistake_that_cannot_be_planted_leaves_no_half_of_it(monkeypatch):
    def half(patch):
        patch.set(Tanh, "backward", None)
        patch.swap(vae.kl_divergence, None)
        patch.set(VAE, "no_such_method", None)

    before = attributes()
    monkeypatch.setitem(mistakes.MISTAKES, "half", mistakes.exhibit.Mistake("half", *[""] * 6, (), (), "", half))
    with pytest.raises(KeyError, match="no_such_method"), planted("half"):
        pass
    assert attributes() == before


def test_a_mistake_in_a_mistake():
    with planted("kl_missing_half"), planted("adam_no_sqrt"):
        assert {"adam", "monte_carlo_kl"} <= failing()
    assert vae.kl_divergence is npvae.core.gaussian.kl_divergence is npvae.evaluation.bounds.kl_divergence


def test_a_mistake_is_made_wherever_the_function_is_used():
    with planted("kl_missing_half"):
        assert vae.kl_divergence is npvae.core.gaussian.kl_divergence is npvae.evaluation.bounds.kl_divergence


def test_an_unknown_mistake_is_told_the_closest_names():
    with pytest.raises(ValueError, match="no mistake 'kl_mising_half'; did you mean kl_missing_half, "), planted("kl_mising_half"):
        pass
    with pytest.raises(ValueError, match=r"did you mean adam_no_sqrt\? npvae mistakes lists them all\.$"):
        mistakes.find("NO-SQRT")  # a part of a name, in any case
    with pytest.raises(ValueError, match=r"did you mean (kl_\w+, ){5}\.\.\.\? npvae mistakes lists"):
        mistakes.find("KL")
    with pytest.raises(ValueError, match=r"no mistake 'xyz'; npvae mistakes lists them all\.$"):
        mistakes.find("xyz")


# --- the command line -----------------------------------------------------------------------------------------------------------


def test_the_verb_lists_all_mistakes(capsys):
    assert main(["mistakes"]) == 0
    printed = capsys.readouterr().out
    assert all(m.id in printed and m.what in printed for m in ALL)
    assert all(f"  {name:16}{asks(name)}\n" in printed for name in CHECKS)
    assert printed.rstrip().endswith(f"Next: npvae mistakes {ALL[0].id}")


def test_the_verb_plants_one_and_shows_who_sees_it(capsys):
    assert main(["mistakes", "kl_missing_half"]) == 0
    printed = capsys.readouterr().out
    assert "sum_z 1/2 (" in printed and "[KL-1]" in printed and "AntixK/PyTorch-VAE#68" in printed
    assert "4 of 22 checks see it" in printed and "Next: npvae mistakes kl_sign" in printed
    assert "monte_carlo_kl  SEES IT: the KL is 3.7, should be" in printed and "derivative      passes" in printed
    assert f"it asks: {asks('monte_carlo_kl')}\n" in printed and asks("derivative") not in printed


def test_the_verb_does_not_cut_a_reason(capsys):
    assert main(["mistakes", "complex_unsafe_call"]) == 0
    printed = capsys.readouterr().out
    with planted("complex_unsafe_call"):
        assert complaints()["derivative"] in " ".join(printed.split())
    assert max(map(len, printed.splitlines())) <= 132


def test_the_verb_prints_what_the_gradient_check_says(capsys):
    assert main(["mistakes", "reparam_missing_half"]) == 0
    assert MISTAKES["reparam_missing_half"].diagnosis[0] in capsys.readouterr().out.split("The gradient check:")[1]
    assert main(["mistakes", "relu_two_subgradients"]) == 0
    assert "The gradient check:" not in capsys.readouterr().out


def test_the_verb_gives_json(capsys):
    assert main(["mistakes", "bias_mean", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["as_stated"] and set(answer["complaints"]) == {"derivative", "duplicates", "adam"}
    assert answer["report"]["ok"] is False and answer["right"] == MISTAKES["bias_mean"].right
    assert main(["mistakes", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == set(MISTAKES)


def test_the_verb_says_so_if_other_checks_see_it_than_stated(capsys, monkeypatch):
    monkeypatch.setattr(Loss, "elbo", property(lambda self: 0.0))
    assert main(["mistakes", "adam_no_sqrt"]) == 1
    assert "The museum says that adam see it: a check or the library has changed." in capsys.readouterr().out


def test_the_verb_refuses_an_unknown_name_in_a_sentence(capsys):
    assert main(["mistakes", "kl_mising_half"]) == 2
    assert "npvae mistakes: there is no mistake 'kl_mising_half'; did you mean kl_missing_half, " in capsys.readouterr().err


def test_the_checks_hold_without_assert_statements():
    """python -O removes them: the checks complain by raising."""
    names = ("checks", "housekeeping", "volume_two", "saying", "invariances", "adam_vectors")
    files = [PAGE.parent / f"{name}.py" for name in names]
    assert not any(line.lstrip().startswith("assert ") for file in files for line in file.read_text(encoding="utf-8").splitlines())
    with pytest.raises(AssertionError, match="what is nan, should be 1"):
        mistakes.checks.close("what", np.array([1.0, np.nan]), 1.0)
