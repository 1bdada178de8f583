"""The page stands alone, trusts no name, says what the forecast says, and a browser agrees."""

import base64
import hashlib
import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import xarray as xr
from small_fit import HOSTILE, MODEL, PLAIN, TARGETS, small_fit, with_checks

from cod_bayes.cli import main
from cod_bayes.forecast.outlook import Forecast
from cod_bayes.sampling.checks import convergence
from cod_bayes.show.report import _diagnostics, _goals, page, write_report

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
VOID = {"meta", "br", "link", "img", "input"}


@pytest.fixture(scope="module")
def fit():
    return small_fit()[1]


@pytest.fixture(scope="module")
def outlook(fit):
    return fit.forecast(TARGETS)


@pytest.fixture(scope="module")
def text(fit, outlook):
    return page(fit, outlook)


class Reader(HTMLParser):
    """Every element with its attributes, and the text outside style and script; checks nesting."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.words, self.open = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)


def said(text):
    return "".join(Reader(text).words)


def test_the_page_needs_nothing_and_its_policy_allows_its_two_parts_alone(text):
    tags = [tag for tag, _ in Reader(text).elements]
    assert (tags.count("script"), tags.count("style")) == (1, 1)
    assert not {"link", "img", "iframe", "object", "image", "use"} & set(tags)
    assert (
        "url(" not in text
        and "@import" not in text
        and "http" not in re.sub("http-equiv", "", text)
    )
    (policy,) = (a["content"] for t, a in Reader(text).elements if "http-equiv" in a)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    for tag in ("style", "script"):
        inside = text.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_no_attribute_carries_style_or_script(text):
    for _, attributes in Reader(text).elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]


def test_hostile_names_are_text(text):
    words = said(text)
    assert HOSTILE in words and MODEL in words
    assert "<script>alert" not in text and "<img" not in text


def test_sections_come_in_order_with_verdicts_first(text):
    ids = [a["id"] for tag, a in Reader(text).elements if tag == "section"]
    assert ids == "verdicts forecasts clusters mapping diagnostics prior decisions".split()


def test_verdicts_are_those_of_the_forecast(text, outlook):
    words = said(text)
    for row in outlook.summary().itertuples():
        shown = f"{100 * row.q50:.1f} %90 %: {100 * row.q05:.1f} – {100 * row.q95:.1f} %"
        assert re.search(re.escape(shown) + r"[●◐○] " + re.escape(row.verdict), words)


def test_both_forecasts_stand_beside_their_mean(fit, outlook, text):
    asked = outlook.draws["compute"].values
    each = [f.draws(asked)["score"] for f in (fit.alone, fit.whole)] + [outlook.draws["score"]]
    medians = [float(score.sel(benchmark=PLAIN).isel(compute=-1).median()) for score in each]
    words = said(text)
    row = words[words.index("Two forecasts and their mean") :]
    row = row[row.index(f"{PLAIN}3.8 × 10²⁴") :]
    numbers = re.findall(r"([\d.]+) \([\d.]+ to [\d.]+\)", row)[:3]
    assert numbers == [f"{100 * median:.1f}" for median in medians]
    assert "Two forecasts" not in said(page(fit.whole, outlook))


def test_failed_checks_stand_on_top_and_in_every_verdict(fit):
    broken = with_checks(fit, ["r_hat 1.234"])
    outlook = broken.forecast(TARGETS)
    words = said(page(broken, outlook))
    alarm = words.index("The posterior did not converge: r_hat 1.234")
    assert alarm < words.index("of 2 benchmarks:")
    assert words.count("(unconverged: r_hat 1.234)") == len(outlook.summary())


def test_a_converged_page_has_no_alarm(fit, outlook):
    sound = with_checks(fit, [])
    words = said(page(sound, Forecast(outlook.draws, ())))
    assert "did not converge" not in words and "unconverged" not in words


def test_the_convergence_table_agrees_with_the_checks(fit):
    """A cross, with its figure, where `checks.convergence` names a failure and nowhere else."""
    few = fit.idata.copy()
    for group in ("posterior", "sample_stats"):
        few[group] = xr.DataTree(
            fit.idata[group].to_dataset().isel(draw=slice(0, 40)).copy(deep=True)
        )
    few["sample_stats"]["diverging"].values[0, :3] = True
    for tree in (fit.idata, few):
        tables = [t for _, each in _diagnostics(replace(fit, idata=tree)) for t in each]
        cells = [cell for table in tables for row in table.rows for cell in row]
        words = "\n".join(c["text"] if isinstance(c, dict) else str(c) for c in cells)
        failed = convergence(tree)
        for check in failed:
            assert f"✗ {re.search(r'[0-9.]+', check).group()}" in words
        assert bool(failed) == ("✗" in words)
    assert {check.rstrip(" 0123456789.") for check in failed} >= {"r_hat", "bulk ESS"}


def test_decision_table_holds_the_probabilities(text, outlook):
    score = outlook.draws["score"].sel(benchmark=PLAIN, compute=TARGETS[0]).values
    goals = _goals(*np.quantile(outlook.draws["score"].sel(benchmark=PLAIN), [0.01, 0.99]))
    table = text[text.index(f"<caption>{PLAIN}") :]
    cells = re.findall(r'<td class="p\d+">([^<]*)</td>', table)[: len(goals)]
    for goal, cell in zip(goals, cells, strict=True):
        p = float((score >= goal / 100).mean())
        assert cell in (f"{100 * p:.0f}", "&lt; 1" if p < 0.01 else "&gt; 99")


@pytest.mark.parametrize("low, high", [(0.02, 0.05), (0.31, 0.78), (0.0, 1.0), (0.5, 0.5)])
def test_goals_are_few_round_and_reach_across(low, high):
    goals = _goals(low, high)
    assert 1 <= len(goals) <= 12 and (goals % 1 == 0).all()
    assert goals[0] <= max(100 * low, goals[1] - goals[0] if len(goals) > 1 else 1)
    assert goals[-1] >= 100 * high - 1e-9


def test_every_value_of_the_charts_can_be_pointed_at(fit, outlook, text):
    """A title for every grid point, target, ladder model, cluster, anchor and bar of each chart."""
    titles = list(map(unescape, re.findall(r"<title>([^<]*)</title>", text.split("<body>")[1])))
    models = fit.idata["constant_data"].sizes["model"]
    ladder = fit.idata["constant_data"].to_dataset()
    for name in fit.benchmarks:
        for model, score in zip(
            ladder["model"].values, ladder["score"].sel(benchmark=name).values, strict=True
        ):
            assert sum(t.startswith(f"{model}: {100 * score:.1f} %") for t in titles) >= 2
    for cluster, row in fit.summary().iterrows():
        at = [t for t in titles if t.startswith(str(cluster))]
        assert len(at) >= models + 3  # its rates, its curve, its two bars
        assert any(f"P(predictable) {row['p_predictable']:.2f}" in t for t in at)
    for row in outlook.summary().itertuples():
        shown = f"median {100 * row.q50:.1f} %\n50 %: {100 * row.q25:.1f} – {100 * row.q75:.1f} %"
        assert sum(t.startswith("target of") and shown in t for t in titles) >= 1
    assert sum(t.startswith("anchor ") for t in titles) == 2  # of the rest and of the whole
    assert sum(t.startswith("PIT ") for t in titles) == 10


def test_constants_are_explained_by_the_model_itself(fit, text):
    words = said(text)
    for name, constant in fit.spec.described.items():
        assert f"{name}{constant.value:g}{constant.why}{constant.unit}" in words


def test_the_page_says_that_a_forecast_is_a_mean_of_two_posteriors(fit, outlook, text):
    sentence = "The forecast of a benchmark with clusters is a mean of two posteriors"
    assert sentence in said(text)
    assert "two posteriors" not in said(page(fit.whole, outlook))


def test_command_takes_the_saved_forecast_or_new_computes(fit, outlook, text, tmp_path, capsys):
    fit.save(tmp_path / "p.nc", outlook)
    out = tmp_path / "r.html"
    assert main(["report", str(tmp_path / "p.nc"), "--out", str(out)]) == 0
    assert out.read_text(encoding="utf-8") == text
    assert (
        main(["report", str(tmp_path / "p.nc"), "--target-compute", "7e24", "--out", str(out)]) == 0
    )
    words = said(out.read_text(encoding="utf-8"))
    assert "At 7 × 10²⁴ FLOPs" in words and "At 1 × 10²⁴ FLOPs" not in words
    assert not list(tmp_path.glob("*.part"))


def test_command_refuses_a_posterior_without_a_forecast(fit, tmp_path, capsys):
    fit.save(tmp_path / "p.nc")
    assert main(["report", str(tmp_path / "p.nc"), "--out", str(tmp_path / "r.html")]) == 2
    assert "give --target-compute" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "p.nc"), "--out", str(tmp_path / "r.pdf")]) == 2
    assert "expected --out to end in .html" in capsys.readouterr().err
    assert not list(tmp_path.glob("r.*"))


def test_a_page_that_fails_leaves_the_old_one(fit, outlook, tmp_path):
    (tmp_path / "r.html").write_text("old")
    broken = Forecast(outlook.draws.drop_vars("score"), ())
    with pytest.raises(KeyError):
        write_report(fit, broken, tmp_path / "r.html")
    assert [p.name for p in tmp_path.iterdir()] == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "old"


# --- in a browser --------------------------------------------------------------------------------

PROBE = """
<script>
addEventListener("load", () => {
  const target = document.querySelector("#forecasts [data-tip]");
  target.dispatchEvent(new PointerEvent("pointermove", {bubbles: true, clientX: 50, clientY: 200}));
  const wide = [...document.querySelectorAll("body *")].filter((e) => {
    const box = e.getBoundingClientRect();
    return box.width && box.right > innerWidth + 1 && !e.closest(".scroll, nav, pre");
  });
  console.info("PROBE " + JSON.stringify({
    tip: document.getElementById("tip").textContent,
    titles: document.querySelectorAll("svg title").length,
    wide: wide.map((e) => e.tagName + "." + e.getAttribute("class")).slice(0, 5),
    scroll: document.documentElement.scrollWidth - innerWidth,
  }));
});
</script>
"""


def browse(file, folder, *arguments):
    """What the browser's console says."""
    command = [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    command += [
        "--hide-scrollbars",
        f"--user-data-dir={folder / 'profile'}",
        "--enable-logging=stderr",
    ]
    run = subprocess.run(
        [*command, *arguments, file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return run.stdout, [line for line in run.stderr.splitlines() if ":CONSOLE" in line]


def picture(path):
    """Width, height and number of different bytes in a row of a PNG: is anything on it?"""
    data = path.read_bytes()
    width, height = struct.unpack(">2L", data[16:24])
    at, packed = 8, b""
    while at < len(data):
        (length,) = struct.unpack(">L", data[at : at + 4])
        if data[at + 4 : at + 8] == b"IDAT":
            packed += data[at + 8 : at + 8 + length]
        at += 12 + length
    return width, height, len(set(zlib.decompress(packed)))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_it_without_complaint(width, text, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(text, encoding="utf-8")
    shot = tmp_path / "shot.png"
    size = f"--window-size={width},3000"
    _, console = browse(file, tmp_path, size, f"--screenshot={shot}")
    assert console == []
    assert picture(shot)[:2] == (width, 3000) and picture(shot)[2] > 20
    dom, console = browse(file, tmp_path, size, "--dump-dom")
    assert console == []
    assert 'data-tip="' in dom  # the script ran: the policy lets it


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome")
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_sticks_out_and_pointing_shows_values(width, text, tmp_path):
    """A probe is let in by its own hash; the page is else as it was."""
    inside = PROBE.split("<script>")[1].split("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
    probed = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    file = tmp_path / "report.html"
    file.write_text(probed.replace("</body>", f"{PROBE.strip()}</body>"), encoding="utf-8")
    frame = tmp_path / "frame.html"  # some windows have a least width, a frame has none
    frame.write_text(f'<iframe src="report.html" width="{width}" height="800"></iframe>')
    _, console = browse(frame, tmp_path, "--window-size=1400,900", "--dump-dom")
    (line,) = console
    assert re.search(r'"tip":"[^"]*FLOPs\\nmedian [\d.]+ %', line.replace('\\"', '"'))
    assert '"titles":0,"wide":[],"scroll":0' in line.replace('\\"', '"')


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome")
def test_the_policy_stops_a_script_that_got_in(text, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(text.replace("</main>", '<script>console.error("in")</script></main>'))
    _, console = browse(file, tmp_path, "--dump-dom")
    assert len(console) == 1 and "Content Security Policy" in console[0]
