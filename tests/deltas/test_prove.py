"""An encoder that is wrong, whatever it makes: nothing of it is listed."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard

from pipeline.deltas import make as diff
from pipeline.errors import ExitCode
from pipeline.tardiff.encoder import encode as real_encode
from pipeline.tardiff.format import MAGIC

from ..client import Client
from ..runs import Shop, app, pairs


class _Liar:
    """An encoder that makes `lie` of the first delta and is honest afterwards."""

    def __init__(self, lie: bytes | Exception) -> None:
        self._lie: bytes | Exception | None = lie

    def __call__(self, sources: Any, to: Any, out: Any, **how: Any) -> Any:
        lie, self._lie = self._lie, None
        if isinstance(lie, Exception):
            raise lie
        if lie is None:
            return real_encode(sources, to, out, **how)
        out.write(lie)
        return replace(real_encode(sources, to, io.BytesIO(), **how), size=len(lie))


def _delta(operations: bytes) -> bytes:
    return MAGIC + zstandard.ZstdCompressor(level=19).compress(operations)


_LIES: dict[str, bytes | Exception] = {
    "empty": b"",
    "cut": MAGIC,
    "other bytes": _delta(b"\x00\x05wrong"),
    "no such source": _delta(b"\x01\x07nowhere\x02\x05"),
    "outside": _delta(b"\x01\x0b../../../etc\x02\x05"),
    "bug": RuntimeError("a bug in a matcher"),
    "full disk": OSError(28, "No space left on device"),
}


@pytest.mark.parametrize("lie", _LIES)
@pytest.mark.parametrize("order", ["images-first", "deltas-first"])
def test_a_delta_that_does_not_prove_is_reported_and_never_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str, order: str
) -> None:
    shop = Shop(tmp_path, policy=f'order = "{order}"')
    shop.images({"1.0": app(1), "2.0": app(2), "3.0": app(3)})
    monkeypatch.setattr(diff, "encode", _Liar(_LIES[lie]))
    outcome, _ = shop.watched_run()
    assert outcome.exit_code is ExitCode.PARTLY_DONE
    [failure] = outcome.delta_failures
    assert failure.problem
    assert len(shop.listed()) == len(outcome.made) == 1
    assert set(Client(shop.folder.contents).tags("app")) == {"1.0", "2.0", "3.0"}
    shop.check()
    again = shop.run(1)
    assert (again.exit_code, len(again.made)) == (ExitCode.SUCCESS, 1)
    assert shop.listed() == pairs((app(1), app(3)), (app(2), app(3)))
    shop.check()


def test_a_wrong_delta_of_the_right_length_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = bytearray(app(2))
    new[600] ^= 1
    size = len(new)
    lie = _delta(b"\x00" + bytes([size & 127 | 128, size >> 7]) + new)
    shop = Shop(tmp_path, policy="max_ratio = 1.0")
    shop.images({"1.0": app(1), "2.0": app(2)})
    monkeypatch.setattr(diff, "encode", _Liar(lie))
    outcome = shop.run()
    assert len(outcome.delta_failures) == 1
    assert shop.listed() == []
