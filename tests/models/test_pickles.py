"""What pickles would call, in every form that they come in; picklescan is the witness where it sees them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.models.formats.globals import is_dangerous, is_harmless
from cape.models.formats.pickles import scan
from tests.models.weights import Runs, dangerous_pickle, harmless_pickle


def found(data: bytes) -> tuple[str, ...]:
    return scan(io.BytesIO(data)).dangerous


def zipped(**members: bytes) -> bytes:
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w") as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_pkl", ".pkl"), data)
    return output.getvalue()


def array_of_objects() -> bytes:
    output = io.BytesIO()
    np.save(output, np.array([Runs()], dtype=object), allow_pickle=True)
    return output.getvalue()


FORMS = {
    **{f"protocol {number}": dangerous_pickle(number) for number in range(6)},
    "after a harmless one": harmless_pickle() + dangerous_pickle(),
    "cut off": dangerous_pickle()[:-1],
    "torch's zip": zipped(archive__data_pkl=dangerous_pickle(), archive__data__0=b"\0" * 64),
    "a zip in a zip": zipped(inner_pkl=zipped(data_pkl=dangerous_pickle())),
    "a zip after a pickle": dangerous_pickle() + zipped(a=b"x"),
    "a pickle before a zip": harmless_pickle() + zipped(data_pkl=dangerous_pickle()),
    "zlib": zlib.compress(dangerous_pickle()),
    "gzip": gzip.compress(dangerous_pickle()),
    "bz2": bz2.compress(dangerous_pickle()),
    "xz": lzma.compress(dangerous_pickle()),
    "an array of objects": array_of_objects(),
    "names through the memo": b"\x80\x04\x8c\x05posix\x94\x8c\x06system\x9400h\x00h\x01\x93\x8c\x01a\x85R.",
    "a second memo": b"\x80\x04\x8c\x01a\x94.\x80\x04\x8c\x02os\x94\x8c\x06system\x9400h\x00h\x01\x93.",
    "names that are copied": b"\x80\x04\x8c\x05posix\x8c\x06system2\x30\x8c\x06system\x93\x8c\x01a\x85R.",
    "text in another encoding before it": b"S'\xe9'\n0cos\nsystem\n(S'a'\ntR.",
    "an old instance": b"(S'a'\nios\nsystem\n.",
    "python 2": b"c__builtin__\neval\n(S'a'\ntR.",
    "through another module": b"\x80\x04\x8c\x13torch.serialization\x8c\x09os.system\x93\x8c\x01a\x85R.",
    "a name that is computed": b"\x80\x04\x8c\x02osc_codecs\nencode\n\x8c\x06system\x8c\x05ascii\x86R\x93)R.",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_dangerous_pickle_is_found_in_every_form(form: str) -> None:
    assert found(FORMS[form])


@pytest.mark.parametrize(
    "data",
    [harmless_pickle(), pickle.dumps(np.arange(5.0)), pickle.dumps([np.float32(1), {"a": {1}}]), b"plain\n",
     b"\x89PNG\r\n\x1a\n", zipped(a=b"\0" * 20), b"", bytes(range(256))],
)  # fmt: skip
def test_what_only_builds_data_is_not_dangerous(data: bytes) -> None:
    result = scan(io.BytesIO(data))
    assert result.dangerous == () and result.unreadable == () and result.unknown == ()


def test_names_that_are_neither_are_told_apart() -> None:
    result = scan(io.BytesIO(b"\x80\x04\x8c\x07sklearn\x8c\x04Tree\x93)R."))
    assert result.unknown == ("sklearn.Tree",) and result.dangerous == ()


def test_torchs_old_format_is_read_to_its_raw_weights() -> None:
    magic = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
    whole = magic + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + harmless_pickle() + pickle.dumps(["0"], 2)
    assert scan(io.BytesIO(whole + b"cos\nsystem\n")).dangerous == ()
    bad = magic + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + dangerous_pickle() + pickle.dumps(["0"], 2)
    assert found(bad) == ("posix.system",)


def test_an_array_that_joblib_writes_between_opcodes_is_passed() -> None:
    """Made as joblib makes it: the wrapper with its state, padding, the raw numbers, then more pickle."""
    dtype = b"\x8c\x05numpy\x8c\x05dtype\x93\x8c\x02f8\x89\x88\x87R"
    wrapper = b"\x8c\x13joblib.numpy_pickle\x8c\x11NumpyArrayWrapper\x93)\x81"
    state = b"}(\x8c\x05shapeK\x03\x85\x8c\x05dtype" + dtype + b"\x8c\x1bnumpy_array_alignment_bytesK\x10u"
    raw = b"\x05" + b"\xff" * 5 + struct.pack("<3d", 1, 2, 3)
    data = b"\x80\x04(" + wrapper + state + b"b" + raw + b"cos\nsystem\n)Rt."
    assert found(data) == ("os.system",)


def test_what_cannot_be_looked_through_is_told() -> None:
    assert scan(io.BytesIO(b"7z\xbc\xaf\x27\x1c rest")).unreadable
    assert scan(io.BytesIO(b"\x04\x22\x4d\x18 lz4")).unreadable
    broken = zipped(data_pkl=harmless_pickle())
    assert scan(io.BytesIO(broken[:-8])).unreadable


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_scanned_without_a_fall(data: bytes) -> None:
    for first in (b"", b"\x80\x04", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"\x1f\x8b"):
        scan(io.BytesIO(first + data))


def test_what_picklescan_finds_is_found_here_too() -> None:
    picklescan = pytest.importorskip("picklescan.scanner")
    for module, names in picklescan._unsafe_globals.items():
        for name in ("anything",) if isinstance(names, str) else names:
            is_one_name = isinstance(names, str) and names != "*"
            assert is_one_name or is_dangerous(f"{module}.{name}"), (module, name)
    for module, names in picklescan._safe_globals.items():
        assert all(is_harmless(f"{module}.{name}") for name in names), module
