"""What an engine refuses, and a model file that only the engines of stated models sample."""

import sys
import warnings
from importlib import resources

import numpy as np
import pytest
from seeds import seed
from test_fit import ladder_table

import cod_bayes as cb
from cod_bayes.model.spec import load_spec
from cod_bayes.sampling.engines import check_engine


@pytest.fixture
def gamma_file(tmp_path):
    """The shipped model with a gamma prior of sigma_delta, of about the same mean and sd."""
    text = (resources.files("cod_bayes.models") / "cod.toml").read_text(encoding="utf-8")
    before, after = text.split("[priors.sigma_delta]\n")
    head, rest = after.split("unit =", 1)
    assert head.split("\n")[0] == 'family = "lognormal"'
    new = '[priors.sigma_delta]\nfamily = "gamma"\nmu = 0.15\nsigma = 0.08\nunit ='
    path = tmp_path / "gamma.toml"
    path.write_text(before + new + rest, encoding="utf-8")
    return path


def test_the_fast_engine_refuses_a_family_that_is_not_its_own(gamma_file):
    with pytest.raises(cb.ModelError, match=r"gamma prior for sigma_delta; use engine='pymc'"):
        cb.fit("not read: models are checked first", gamma_file)


def test_jax_that_is_not_installed_is_refused_with_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)  # an import of it then fails
    with pytest.raises(cb.ModelError, match=r"install cod-bayes\[jax\], or use engine='pymc'"):
        cb.fit("not read", engine="jax")
    check_engine("pymc", load_spec("cod"), built=False)


@pytest.mark.slow
def test_a_gamma_prior_is_sampled_as_it_is_stated(gamma_file, monkeypatch):
    monkeypatch.setattr("cod_bayes.sampling.engines._LEAST", (300, 300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few draws; the compilers' own
        fit = cb.fit(
            ladder_table(),
            gamma_file,
            engine="pymc",
            random_seed=seed(1),
            draws=300,
            tune=300,
            chains=2,
            progressbar=False,
        )
    assert fit.idata.attrs["engine"] == "pymc"
    prior = fit.spec.priors["sigma_delta"]
    assert (prior.family, prior.distribution.mean()) == ("gamma", pytest.approx(0.15))
    drawn = fit.idata["posterior"]["sigma_delta"].values
    # One benchmark of seven models says little of it.
    assert drawn.mean() == pytest.approx(0.15, abs=0.05)
    assert np.isfinite(fit.forecast(1e24).draws["score"]).all()
