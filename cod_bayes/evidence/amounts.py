"""Numbers as people write them in tables: "2.8B" parameters, "1,319" items, "63.2 %"."""

import re

from cod_bayes.evidence.columns import AMOUNTS, COUNTS, RATES

__all__ = ["number_of"]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:[,_ '\u00a0\u202f]\d{3})+(?=\D*$|\.)")
_SEPARATORS = re.compile(r"[,_ '\u00a0\u202f]")
_AMOUNT = re.compile(rf"({_NUMBER})\s*([A-Za-z]+)")
_PERCENT = re.compile(rf"({_NUMBER})\s*%")
_UNITS = {"k": 1e3, "m": 1e6, "b": 1e9, "bn": 1e9, "g": 1e9, "t": 1e12}
_PREFIXES = dict(zip(("", *"kmgtpezy"), (10.0 ** (3 * k) for k in range(9)), strict=True))
_FLOPS = {f"{p}flop{s}": size for p, size in _PREFIXES.items() for s in ("", "s")}


def number_of(text: str, column: str) -> float:
    """The number that a text in this column stands for; NaN where it stands for none.

    compute, params, tokens   70M, 2.8B, 300B, 1.4T; compute also 2.1 ZFLOPs
    these and counts          1,319 or 1_319; a comma must stand before each three digits
    rates                     63.2 %
    """
    text = text.strip()
    factor = 1.0
    if column in RATES and (match := _PERCENT.fullmatch(text)):
        text, factor = match[1], 0.01
    if column in (*AMOUNTS, *COUNTS) and (match := _THOUSANDS.match(text)):
        text = _SEPARATORS.sub("", match[0]) + text[match.end() :]
    if column in AMOUNTS and (match := _AMOUNT.fullmatch(text)):
        units = _UNITS | (_FLOPS if column == "compute" else {})
        text, factor = match[1], units.get(match[2].lower(), float("nan"))
    return factor * float(text) if re.fullmatch(_NUMBER, text) else float("nan")
