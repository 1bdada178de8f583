"""What was compiled from older sources is not used."""

import os

from cod_bayes.compiled import forget_stale


def test_what_holds_copies_of_a_changed_function_is_compiled_again(tmp_path):
    sources, kept = tmp_path / "sources", tmp_path / "kept"
    sources.mkdir()
    kept.mkdir()
    for at, name in enumerate(["called.py", "caller.py", "other.py"]):
        (sources / name).touch()
        os.utime(sources / name, (100 + at, 100 + at))
    for name in ("called.f-1.py313.nbi", "caller.g-1.py313.nbi", "other.h-1.py313.nbi"):
        (kept / name).touch()
        os.utime(kept / name, (200, 200))

    forget_stale(sources, kept, ["called", "caller"])
    assert len(list(kept.iterdir())) == 3

    os.utime(sources / "called.py", (300, 300))
    forget_stale(sources, kept, ["called", "caller"])
    assert [index.name for index in kept.iterdir()] == ["other.h-1.py313.nbi"]
