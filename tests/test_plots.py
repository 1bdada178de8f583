"""Pictures show the numbers of the fit: looked up in the drawn artists."""

import warnings
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from seeds import seed
from small_fit import HOSTILE, MODEL, PLAIN, TARGETS, small_fit, with_checks

from cod_bayes.evidence.record import read_table
from cod_bayes.show import numbers, plots, style

FAILED = ["r_hat 1.234", "3 divergences"]


@pytest.fixture(scope="module")
def fit():
    return small_fit()[1]


def outlook(fit):
    return fit.forecast(TARGETS)


POSTERIOR = {
    "forecast": lambda fit: plots.forecast_figure(fit, outlook(fit)),
    "clusters": plots.clusters_figure,
    "predictability": plots.predictability_figure,
    "mapping": lambda fit: plots.mapping_figure(fit, PLAIN),
}


def words(figure):
    return [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]


def points(axis):
    """y of all lines drawn as points."""
    return [line.get_ydata() for line in axis.lines if line.get_linestyle() == "None"]


@pytest.mark.parametrize("name", POSTERIOR)
def test_a_failed_check_is_in_the_picture_and_a_passed_one_is_not(name, fit):
    said = "\n".join(words(POSTERIOR[name](with_checks(fit, FAILED))))
    assert "unconverged, not to be used: r_hat 1.234, 3 divergences" in said
    assert "unconverged" not in "\n".join(words(POSTERIOR[name](with_checks(fit, []))))


@pytest.mark.parametrize("name", [*POSTERIOR, "prior", "items"])
def test_pictures_are_drawn_with_any_name(name, fit):
    """Dollar signs are no mathematics, and nothing is warned of."""
    evidence = small_fit()[0]
    figure = {
        **POSTERIOR,
        "prior": plots.prior_predictive_figure,
        "items": lambda fit: plots.items_figure(fit, evidence, HOSTILE),
    }[name](fit)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(BytesIO(), format="png")
    assert style.literal("$x$ and $") == r"\$x\$ and \$"


def test_cluster_curves_are_the_curve_of_the_posterior(fit):
    """y = g + (1 - g) exp(-gamma) (1 + nu L)^(-1 / nu), written out for one draw."""
    curves = numbers.cluster_curves(fit, PLAIN, np.array([1e22, 1e24]))
    p, k = fit.idata["posterior"].to_dataset().isel(chain=1, draw=7), f"{PLAIN}/1"
    eta, beta, gamma, g = (float(p[n].sel(cluster=k)) for n in ("eta", "beta", "gamma", "g"))
    constant = fit.idata["constant_data"].to_dataset()
    top, ratio = float(constant["x_ref"].sel(benchmark=PLAIN)), constant["nu_ratio"].sel(cluster=k)
    loss = np.exp(eta - beta * (np.array([22, 24]) - top))
    nu = float(ratio * p["nu"].sel(benchmark=PLAIN))
    drawn = curves.isel(chain=1, draw=7).sel(cluster=k)
    np.testing.assert_allclose(drawn, g + (1 - g) * np.exp(-gamma) * (1 + nu * loss) ** (-1 / nu))
    assert (curves["difficulty"].values.size, curves.sizes["compute"]) == (
        curves.sizes["cluster"],
        2,
    )


def test_cluster_rates_average_to_the_score(fit):
    """Rates are of half the trials with a correction at the edge: near, not equal."""
    rates = numbers.cluster_rates(fit, PLAIN)
    constant = fit.idata["constant_data"].to_dataset()
    mean = rates.values.T @ constant["weight"].sel(cluster=rates["cluster"]).values
    np.testing.assert_allclose(mean, constant["score"].sel(benchmark=PLAIN), atol=0.01)


def test_clusters_figure_draws_every_cluster_and_dashes_the_unpredictable(fit):
    axis = plots.clusters_figure(fit, [PLAIN]).axes[0]
    table = fit.summary()
    own = table[table["benchmark"] == PLAIN]
    curves = [line for line in axis.lines if len(line.get_xdata()) == 40]
    dashed = sum(line.get_linestyle() == "--" for line in curves)
    assert len(curves) == len(own) == len(points(axis))
    assert dashed == (own["p_predictable"] < 0.5).sum() > 0


def test_predictability_bars_are_as_wide_as_the_clusters(fit):
    axis = plots.predictability_figure(fit, [PLAIN]).axes[0]
    table = fit.summary()
    own = table[table["benchmark"] == PLAIN].sort_values("p_predictable", ascending=False)
    inside, outside = axis.containers
    for bars in (inside, outside):
        np.testing.assert_allclose([b.get_width() for b in bars], 100 * own["weight"])
    np.testing.assert_allclose([b.get_height() for b in inside], own["p_predictable"])
    np.testing.assert_allclose([b.get_y() for b in outside], own["p_predictable"])
    np.testing.assert_allclose([b.get_y() + b.get_height() for b in outside], 1)


def test_mapping_figure_ends_at_its_corners_and_shows_the_anchor(fit):
    rest, full = plots.mapping_figure(fit, PLAIN).axes
    bands = numbers.mapping_bands(fit, PLAIN)
    np.testing.assert_allclose(bands["full"].isel(s=[0, -1]), [[0, 1]] * 5, atol=1e-12)
    (anchor,) = numbers.shown_anchors(fit, PLAIN).to_dict("records")
    np.testing.assert_allclose(points(rest)[0], 100 * anchor["rest"])
    w = bands.attrs["share"]
    whole = w * anchor["subset"] + (1 - w) * anchor["rest"]
    np.testing.assert_allclose(points(full)[0], 100 * whole)


def test_mapping_figure_refuses_a_benchmark_without_a_rest(fit):
    with pytest.raises(ValueError, match="a rest and a cluster that is likely predictable"):
        plots.mapping_figure(fit, HOSTILE)


def test_prior_picture_owes_the_posterior_nothing(fit):
    before = plots.prior_predictive_figure(fit, [PLAIN]).axes[0].lines
    other = fit.idata.copy(deep=True)
    other["posterior"]["eta"].values += 1
    after = plots.prior_predictive_figure(replace(fit, idata=other), [PLAIN]).axes[0].lines
    for one, two in zip(before, after, strict=True):
        np.testing.assert_array_equal(one.get_ydata(), two.get_ydata())


def test_heat_map_has_every_item_once_clusters_together_and_from_easy_to_hard(fit):
    evidence = small_fit()[0]
    (image,) = plots.items_figure(fit, evidence, PLAIN).axes[0].images
    data = evidence.benchmarks[PLAIN]
    rate = 100 * data["rate"].values[:, data["role"].values == "ladder"]
    shown = image.get_array()
    assert sorted(map(tuple, shown)) == sorted(map(tuple, rate))
    label = fit.clusters[PLAIN].membership.argmax(axis=1)
    # Items with the same rates may be of two clusters, which are found on half of the trials.
    of = {row: set(label[(rate == row).all(axis=1)]) for row in map(tuple, rate)}
    labels = [next(iter(of[row])) for row in map(tuple, shown) if len(of[row]) == 1]
    starts = [k for k in range(len(labels)) if k == 0 or labels[k] != labels[k - 1]]
    assert len(starts) == len(set(labels)) > 1
    means = [np.mean(rate[label == labels[k]]) for k in starts]
    assert means == sorted(means, reverse=True)


def test_heat_map_refuses_a_saved_fit_and_other_evidence(fit):
    evidence = small_fit()[0]
    with pytest.raises(ValueError, match="fit the evidence again"):
        plots.items_figure(replace(fit, clusters={}), evidence, PLAIN)
    other = read_table(evidence.to_table()[lambda t: t["model"] != MODEL])
    with pytest.raises(ValueError, match="the evidence that was fitted"):
        plots.items_figure(fit, other, PLAIN)


def test_unknown_benchmarks_are_refused_by_name(fit):
    with pytest.raises(ValueError, match=r"expected a benchmark of the fit.*'nothing'"):
        plots.clusters_figure(fit, ["nothing"])


def test_forecast_picture_shows_ladder_and_targets(fit):
    figure = plots.forecast_figure(fit, outlook(fit))
    axis = figure.axes[fit.benchmarks.index(PLAIN)]
    score = fit.idata["constant_data"].to_dataset()["score"].sel(benchmark=PLAIN).values
    np.testing.assert_allclose(points(axis)[0], 100 * score)
    middle = outlook(fit).summary().query("benchmark == @PLAIN")["q50"]
    (bars,) = axis.containers
    np.testing.assert_allclose(bars.lines[0].get_xdata(), TARGETS)
    np.testing.assert_allclose(bars.lines[0].get_ydata(), 100 * middle)


@pytest.mark.filterwarnings("ignore")  # PyTensor's own, about BLAS and compilers
def test_the_prior_s_picture_is_of_the_stated_model(fit):
    """The picture draws the curves' priors in NumPy, because PyMC would compile for seconds."""
    import pymc as pm

    from cod_bayes.forecast.curves import Curves

    with fit.build_model():
        drawn = pm.sample_prior_predictive(
            1000, random_seed=seed(1), compile_kwargs={"mode": "FAST_COMPILE"}
        )
    constant = fit.idata["constant_data"].to_dataset()
    inside = np.flatnonzero(constant["benchmark_of_cluster"].values == PLAIN)
    curves = Curves.of(drawn["prior"].to_dataset(), constant, inside)
    ahead = np.array([-2.0, 0.0, 2.0])
    weight = constant["weight"].values[inside]
    stated = sum(w * curves.at(k, ahead) for k, w in enumerate(weight))
    compute = 10 ** (float(constant["x_ref"].sel(benchmark=PLAIN)) + ahead)
    pictured = numbers.prior_scores(fit, PLAIN, compute)
    error = np.sqrt(stated.var(axis=0) / len(stated) + pictured.var(axis=0) / len(pictured))
    assert (abs(stated.mean(axis=0) - pictured.mean(axis=0)) < 5 * error).all()
    np.testing.assert_allclose(pictured.std(axis=0), stated.std(axis=0), rtol=0.25)
