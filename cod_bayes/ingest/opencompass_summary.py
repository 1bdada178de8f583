"""OpenCompass's own scores: those in results/<model>/<dataset>.json, and the tables of them,
summary/summary_<time>.csv,

    dataset,version,metric,mode,<model>,<model>,..

with scores in percent and "-" for none. A row that averages others (naive_average) is left out
where the rows that it averages are in the table.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from math import nan
from pathlib import Path
from typing import Any

from cod_bayes.ingest.answers import Answers, Total, number, total_of
from cod_bayes.ingest.json_logs import IngestError, head, opened, plain_name

__all__ = ["headline", "is_summary", "read_summary"]

# The metrics that OpenCompass's summaries take, in order of preference.
_HEADLINES = (
    r"accuracy|score|.*pass@1|exact_match|em|acc|f1|auc_score|matthews_correlation|truth".split("|")
)
_AVERAGE = re.compile(r".*average.*")


def headline(results: dict[str, Any]) -> tuple[str, float]:
    """The name and value, in percent, of the score that a summary would show; NaN for none."""
    for pattern in _HEADLINES:
        for name, value in results.items():
            plain = name.partition(" (")[0]
            if re.fullmatch(pattern, plain) and 0 <= number(value) <= 100:
                return plain, number(value)
    return "score", nan


def is_summary(path: Path) -> bool:
    name = plain_name(path)
    return name.endswith(".csv") and head(path, 64).lstrip(b"\xef\xbb\xbf").startswith(
        b"dataset,version,metric,mode,"
    )


def read_summary(path: Path) -> Iterator[Answers]:
    """The score of every data set, metric and model in the table."""
    with opened(path) as file:
        try:
            rows = list(csv.reader(io.StringIO(file.read().decode("utf-8-sig")), strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise IngestError(f"{path}: expected a CSV file in UTF-8 ({error})") from None
    names = {row[0] for row in rows[1:] if len(row) > 4 and not _AVERAGE.fullmatch(row[2])}
    for line, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        if len(row) != len(rows[0]):
            raise IngestError(
                f"{path}, line {line}: expected {len(rows[0])} cells as in the header, got "
                f"{len(row)}; the file is cut off or was edited: write the summary again"
            )
        dataset, _, metric, _ = row[:4]
        plain = re.sub(r"[^a-z0-9]", "", dataset.lower())
        of_others = _AVERAGE.fullmatch(metric) and any(
            plain in re.sub(r"[^a-z0-9]", "", name.lower()) for name in names - {dataset}
        )
        for model, cell in zip(rows[0][4:], row[4:], strict=True):
            score = number(cell.strip())
            if of_others or not 0 <= score <= 100:
                continue
            yield total_of(
                {metric.partition(" (")[0]: score / 100},
                Total(),
                source=path,
                model=model,
                benchmark=dataset,
                subset="",
                filter="none",
                run=path.resolve().parents[1].name,
                sampled=False,
            )
