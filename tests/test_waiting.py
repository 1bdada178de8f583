"""What a small forecast does not import, because it takes longer than the sampling."""

import json
import subprocess
import sys

NOT_NEEDED = {"arviz", "arviz_base", "arviz_plots", "jax", "pymc", "pytensor"}


def test_a_small_forecast_imports_no_library_that_it_does_not_need(tmp_path):
    rows = [
        f"b,i{item},m{model},{10.0 ** (19 + model)},{min(20, 3 + 3 * model + item % 3)},20"
        for item in range(10)
        for model in range(6)
    ]
    columns = "benchmark,item,model,compute,n_correct,n_trials"
    (tmp_path / "ten.csv").write_text("\n".join([columns, *rows]) + "\n")
    arguments = ["forecast", str(tmp_path / "ten.csv"), "--target-compute", "1e26", "--quiet"]
    code = (
        "import json, sys\nfrom cod_bayes.cli import main\n"
        f"assert main({[*arguments, '--out', str(tmp_path / 'out')]!r}) == 0\n"
        "loaded = sorted({name.split('.')[0] for name in sys.modules})\n"
        "import arviz_stats\n"
        "whole = hasattr(arviz_stats, 'summary')\n"
        "print(json.dumps([loaded, 'matplotlib.pyplot' in sys.modules, whole]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded, with_pyplot, whole = json.loads(done.stdout.splitlines()[-1])
    assert {*loaded} & NOT_NEEDED == set() and not with_pyplot
    assert whole  # ArviZ is complete for who imports it afterwards
