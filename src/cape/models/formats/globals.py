"""Which names in a pickle do harm, which only build data, and which are neither.

Owns the two tables. All of the standard library is dangerous but for what is listed as harmless: a list of
what is bad would always lack something. Of other libraries, only what is known to load code, run commands or
reach the network is.
"""

from __future__ import annotations

import sys
from _compat_pickle import IMPORT_MAPPING
from collections.abc import Mapping

_HARMLESS: Mapping[str, str] = {
    "builtins": "set frozenset bytearray bytes list dict tuple int float complex str bool slice range object",
    "__builtin__": "set frozenset bytearray list dict tuple int long float complex str unicode bool slice "
    "xrange object",
    "collections": "OrderedDict defaultdict deque Counter",
    "copyreg": "_reconstructor __newobj__",
    "copy_reg": "_reconstructor __newobj__",
    "_codecs": "encode",
    "datetime": "date datetime time timedelta timezone",
    "decimal": "Decimal",
    "fractions": "Fraction",
    "uuid": "UUID",
    "pathlib": "Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath",
    "argparse": "Namespace",
    "types": "SimpleNamespace",
    "numpy": "dtype ndarray bool_ bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 "
    "float64 longdouble complex64 complex128 str_ bytes_ datetime64 timedelta64",
    "numpy.core.multiarray": "_reconstruct scalar",
    "numpy._core.multiarray": "_reconstruct scalar",
    "numpy.core.numeric": "_frombuffer",
    "numpy._core.numeric": "_frombuffer",
    "numpy.ma.core": "_mareconstruct MaskedArray",
    "numpy.random._pickle": "__randomstate_ctor __generator_ctor __bit_generator_ctor",
    "numpy.random._mt19937": "MT19937",
    "numpy.random._pcg64": "PCG64",
    "scipy.sparse._csr": "csr_matrix csr_array",
    "scipy.sparse._csc": "csc_matrix csc_array",
    "joblib.numpy_pickle": "NumpyArrayWrapper",
    "torch": "Tensor Size device dtype BFloat16Storage BoolStorage ByteStorage CharStorage "
    "ComplexDoubleStorage ComplexFloatStorage DoubleStorage FloatStorage HalfStorage IntStorage LongStorage "
    "QInt32Storage QInt8Storage QUInt2x4Storage QUInt4x2Storage QUInt8Storage ShortStorage "
    "float8_e4m3fn float8_e5m2 bfloat16 float16 float32 float64 int8 int16 int32 int64 uint8 bool complex64 "
    "complex128 strided per_tensor_affine per_channel_affine",
    "torch.storage": "TypedStorage UntypedStorage _TypedStorage _UntypedStorage",
    "torch.nn.parameter": "Parameter Buffer",
    "torch._utils": "_rebuild_tensor _rebuild_tensor_v2 _rebuild_tensor_v3 _rebuild_parameter "
    "_rebuild_parameter_with_state _rebuild_qtensor _rebuild_sparse_tensor _rebuild_meta_tensor_no_storage",
    "torch._tensor": "_rebuild_from_type_v2",
    "torch.serialization": "_get_layout",
}
_HARMLESS_NAMES = frozenset(
    f"{module}.{name}" for module, names in _HARMLESS.items() for name in names.split()
)

_DANGEROUS_TEXT = """
IPython PIL.ImageMath aiohttp cffi cloudpickle dill fabric fsspec git httpcore httpx importlib_metadata
jinja2 joblib keras.config keras.models keras.saving keras.src numpy.ctypeslib numpy.distutils numpy.f2py
numpy.fromfile numpy.lib numpy.load numpy.memmap numpy.testing pandas.core.computation pandas.eval
pandas.io pandas.read_pickle paramiko pexpect pip pkg_resources plumbum psutil ptyprocess pyarrow.fs
requests selenium setuptools sh sympy tensorflow tornado torch._C torch._dynamo torch._inductor
torch._library torch.classes torch.compile torch.cuda torch.distributed torch.fx torch.hub torch.jit
torch.load torch.multiprocessing torch.onnx torch.ops torch.package torch.save torch.serialization
torch.storage._load_from_bytes torch.testing torch.utils urllib3 uvloop websocket websockets wheel yaml
zmq
"""
_DANGEROUS = frozenset(_DANGEROUS_TEXT.split())
"""Modules (with all that is below them) and single names of other libraries."""

_OTHERS = frozenset(("_pyrepl", "annotationlib", "compression", "distutils", "imp", "nt", "popen2", "test"))
_STANDARD = frozenset(sys.stdlib_module_names) | IMPORT_MAPPING.keys() | _OTHERS
"""With the names that modules had before Python 3, which unpicklers still know, and newer Python's."""


def is_harmless(name: str) -> bool:
    """Whether a name such as `collections.OrderedDict` only builds data."""
    return name in _HARMLESS_NAMES


def is_dangerous(name: str) -> bool:
    """Whether a name can run a command, load code, use the network or touch files.

    A name that goes through another module's import (`torch.serialization.os.system`) is as dangerous as
    what it leads to.
    """
    if is_harmless(name):
        return False
    parts = name.split(".")
    if parts[0] in _STANDARD or parts[0] == "unreadable":
        return True
    if any(part in _STANDARD or part.startswith("__") for part in parts[2:]):
        return True
    if any(".".join(parts[:length]) in _DANGEROUS for length in range(1, len(parts) + 1)):
        return True
    return any(part in ("eval", "exec", "system", "popen", "Popen", "import_module") for part in parts)
