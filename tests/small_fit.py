"""Small fits: one with every part that a picture shows, under names that no page may trust."""

import json
import warnings
from dataclasses import replace
from functools import cache

from seeds import seed

HOSTILE = "<script>alert(1)</script>"
PLAIN = "MATH"
MODEL = '12B"><img src=x onerror=alert(2)>'
TARGETS = [1e24, 3.8e24]


@cache
def small_fit():
    """(evidence, fit), with clusters, a mapping and an anchor for `PLAIN`."""
    from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, simulate
    from cod_bayes.evidence.record import read_table
    from cod_bayes.forecast.fitting import fit

    of = {b.name: b for b in PAPER_BENCHMARKS}
    benchmarks = [
        replace(of["MATH"], name=PLAIN, n_items=100),
        replace(of["MBPP"], name=HOSTILE, n_items=18),
    ]
    table = simulate(seed(0), benchmarks=benchmarks, include_target=False).table
    table["tokens"] = table["compute"] / (6 * table["params"])
    evidence = read_table(table.replace({"model": {"12B": MODEL}}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = fit(evidence, random_seed=seed(1), draws=250, tune=300, progressbar=False)
    return evidence, fitted


def run_fit(models):
    """Two simulated benchmarks on these of the paper's models, 16 trials, no anchor."""
    from cod_bayes.evaluate.simulate import PAPER_BENCHMARKS, PAPER_LADDER, simulate
    from cod_bayes.forecast.fitting import fit

    world = simulate(
        seed(2),
        benchmarks=PAPER_BENCHMARKS[:2],
        ladder=PAPER_LADDER[models],
        items_scale=0.03,
        trials=16,
        anchors=0,
        include_target=False,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(world.evidence, random_seed=seed(1), draws=500, tune=500, progressbar=False)


def with_checks(fit, failed):
    """The same fit, with these checks failed."""
    tree = fit.idata.copy()
    tree.attrs = fit.idata.attrs | {"failed_checks": json.dumps(failed)}
    return replace(fit, idata=tree)
