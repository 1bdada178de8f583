"""`models/schema.md` against a real fit: every variable is documented, with its dims.

A failure here means that the format of `posterior.nc` or of a forecast has changed. Update the
document and, if old files can no longer be read, the number in `FORMAT`.
"""

import re
from functools import cache
from pathlib import Path

import pytest
from small_fit import small_fit

import cod_bayes as cb
from cod_bayes.model.variables import DIMS

SCHEMA = Path(__file__).parents[1] / "models" / "schema.md"
SAMPLED = ("chain", "draw")
GROUPS = ("posterior", "sample_stats", "observed_data", "constant_data", "items", "anchors")
GROUPS = (*GROUPS, "loss_law")
OF_WHOLE = GROUPS[:4]


@cache
def sections():
    """Heading -> rows of its first table, each a list of cells; the table's head is left out."""
    found, heading = {}, ""
    for line in SCHEMA.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ").strip()
            found[heading] = []
        elif line.startswith("|"):
            found[heading].append([cell.strip() for cell in line.strip("|").split("|")])
    return {heading: rows[2:] for heading, rows in found.items()}


def names(heading):
    """The names in the first column of a table."""
    return [name for row in sections()[heading] for name in re.findall(r"`([^`]+)`", row[0])]


def documented(heading, first=()):
    """Variable -> dims of a table; `first` come before those that it states."""
    return {
        row[0].strip("`"): (*first, *(dim for dim in row[1].split(", ") if dim))
        for row in sections()[heading]
    }


def of_group(group):
    return documented(f"Group `{group}`", SAMPLED if group == "posterior" else ())


def dims_of(dataset):
    return {str(name): variable.dims for name, variable in dataset.data_vars.items()}


@pytest.fixture(scope="module")
def fitted():
    _, fit = small_fit()
    assert fit.whole is not None
    return fit


@pytest.mark.parametrize("group", [g for g in GROUPS if g != "sample_stats"])
def test_a_group_holds_what_the_schema_says(fitted, group):
    assert dims_of(fitted.idata[group].to_dataset()) == of_group(group)


@pytest.mark.parametrize("group", [g for g in OF_WHOLE if g != "sample_stats"])
def test_the_second_posterior_has_the_same_variables(fitted, group):
    assert dims_of(fitted.whole.idata[group].to_dataset()) == of_group(group)


def test_sample_stats_have_the_named_variables(fitted):
    """The other ones belong to the sampler."""
    stats = dims_of(fitted.idata["sample_stats"].to_dataset())
    assert of_group("sample_stats").items() <= stats.items()
    assert {dims for name, dims in stats.items() if name != "e_bfmi"} == {SAMPLED}


def test_the_tree_has_no_other_groups_dims_or_attributes(fitted):
    tree = fitted.idata
    assert {*tree.children} == {*GROUPS, "whole"}
    assert {*tree["whole"].children} == {*OF_WHOLE}
    assert {*tree.attrs} == {*tree["whole"].attrs} == {*names("Attributes of the tree")}
    assert "two" in tree.attrs["forecast_of"] and "two" not in tree["whole"].attrs["forecast_of"]
    used = {dim for group in GROUPS for dim in tree[group].to_dataset().dims}
    assert used | {"compute", "ahead", "checkpoint"} == {*names("Dims")}


def test_every_group_has_a_section():
    groups = {*GROUPS, "checkpoints"}  # the last one only where a ladder has them
    assert {h for h in sections() if h.startswith("Group `")} == {f"Group `{g}`" for g in groups}


def test_checkpoints_of_a_ladder(tmp_path):
    from test_checkpoints import fit_with_checkpoints

    fitted = fit_with_checkpoints()
    fitted.save(tmp_path / "posterior.nc")
    for fit in (fitted, cb.load(tmp_path / "posterior.nc")):
        assert {*fit.idata.children} - {*GROUPS, "whole"} == {"checkpoints"}
        assert dims_of(fit.idata["checkpoints"].to_dataset()) == of_group("checkpoints")


def test_declared_dims_are_those_of_the_schema():
    stated = of_group("posterior")
    assert {name: stated[name] for name in DIMS} == {n: (*SAMPLED, *d) for n, d in DIMS.items()}


def test_draws_of_a_forecast(fitted):
    draws = fitted.draws([1e24, 3.8e24])
    assert dims_of(draws) == documented("`Forecast.draws`")


def test_a_file_may_hold_its_forecast(fitted, tmp_path):
    fitted.save(tmp_path / "posterior.nc", fitted.forecast(1e24))
    tree = cb.load(tmp_path / "posterior.nc").idata
    assert {*tree.children} - {*GROUPS, "whole"} == {"predictions", "predictions_constant_data"}
    assert dims_of(tree["predictions"].to_dataset()) == documented("`Forecast.draws`")
    ((_, name, dim, *_),) = sections()["Groups `predictions` and `predictions_constant_data`"]
    assert dims_of(tree["predictions_constant_data"].to_dataset()) == {name.strip("`"): (dim,)}


def test_columns_of_the_table_of_a_forecast(fitted):
    from cod_bayes.commands.printing import FORECAST_COLUMNS

    columns = names("`forecast.csv`")
    assert columns == FORECAST_COLUMNS
    assert columns == list(fitted.forecast(1e24).summary().columns)


@pytest.mark.slow
def test_groups_on_request(fitted):
    tree = fitted.with_predictive(draws=20)
    rows = sections()["Groups on request"]
    stated = of_group("posterior")
    assert {*tree.children} - {*fitted.idata.children} == {row[0].strip("`") for row in rows}
    for group, variables, dims, _ in rows:
        found = dims_of(tree[group.strip("`")].to_dataset())
        if variables.startswith("`"):
            assert found == {variables.strip("`"): (*SAMPLED, dims)}
        else:
            assert found.items() <= stated.items()
            assert group == "`log_prior`" or found.keys() == stated.keys()
