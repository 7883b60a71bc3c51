"""Which names code looks for, and what its failure does: small copies of how real packages load libraries."""

from __future__ import annotations

import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.analysis.javascript_loads import read_script_loads
from cape.analysis.loads import read_loads
from cape.analysis.needs import Load, LoadKind, Reach


def loads_of(text: str, **more: str) -> tuple[Load, ...]:
    """The loads of a package `p` with this `__init__`, and more modules."""
    sources = {"p/__init__.py": textwrap.dedent(text).encode()}
    sources |= {f"p/{name}.py": textwrap.dedent(body).encode() for name, body in more.items()}
    return read_loads(sources, ["p"])


def test_a_library_found_by_name_or_raised_about_is_needed_on_import() -> None:
    (load,) = loads_of(
        """
        from ctypes.util import find_library
        path = find_library("portaudio")
        if path is None:
            raise OSError("PortAudio library not found")
        """
    )
    assert (load.names, load.reach, load.kind) == (("*portaudio",), Reach.IMPORT, LoadKind.FILE)
    assert (load.path, load.line) == ("p/__init__.py", 3)


def test_what_a_template_is_filled_with_is_plain_text() -> None:
    (load,) = loads_of(
        r"""
        import ctypes
        for name in (r"C:\1\x", "snd"):
            ctypes.CDLL("lib{}.so.1".format(name))
        """
    )
    assert "libsnd.so.1" in load.names


def test_names_in_a_loop_are_alternatives() -> None:
    (load,) = loads_of(
        """
        import ctypes
        for name in ("libhidapi-hidraw.so.0", "libhidapi-libusb.so.0", "hidapi.dll"):
            try:
                found = ctypes.CDLL(name)
                break
            except OSError:
                pass
        else:
            raise ImportError("no hidapi")
        """
    )
    assert load.names == ("libhidapi-hidraw.so.0", "libhidapi-libusb.so.0")
    assert load.reach is Reach.IMPORT


def test_a_swallowed_failure_makes_a_load_optional() -> None:
    (load,) = loads_of(
        """
        import ctypes
        try:
            library = ctypes.CDLL("libfast.so.2")
        except OSError:
            library = None
        """
    )
    assert load.reach is Reach.OPTIONAL


def test_a_handler_that_raises_leaves_a_load_required() -> None:
    (load,) = loads_of(
        """
        import ctypes
        try:
            library = ctypes.CDLL("libfast.so.2")
        except OSError as error:
            raise ImportError("install libfast") from error
        """
    )
    assert load.reach is Reach.IMPORT


def test_code_of_other_systems_is_passed_over() -> None:
    (load,) = loads_of(
        """
        import ctypes, sys, platform
        system = platform.system()
        if sys.platform == "win32":
            library = ctypes.CDLL("libwin.so.1")
        elif system == "Darwin":
            library = ctypes.CDLL("libmac.so.1")
        else:
            library = ctypes.CDLL({"linux": "libnix.so.1", "win32": "liboff.so.1"}[sys.platform])
        """
    )
    assert load.names == ("libnix.so.1",)


def test_what_a_function_of_another_module_loads_on_import_is_seen() -> None:
    (load,) = loads_of(
        "from . import loader\nlib = loader.load('magic')\n",
        loader="""
        from ctypes.util import find_library
        import ctypes
        def candidates(name):
            yield find_library(name)
            yield f"lib{name}.so.1"
        def load(name):
            for one in candidates(name):
                try:
                    return ctypes.CDLL(one)
                except OSError:
                    pass
            raise ImportError(name)
        """,
    )
    assert set(load.names) == {"*magic", "libmagic.so.1"}
    assert load.reach is Reach.IMPORT


def test_one_loader_called_twice_is_two_loads() -> None:
    loads = loads_of(
        """
        def _dlopen(ffi, *names, allow_fail=False):
            for name in names:
                try:
                    return ffi.dlopen(name)
                except OSError:
                    pass
            if allow_fail:
                return None
            return ffi.dlopen(names[0])
        pango = _dlopen(ffi, "pango-1.0", "libpango-1.0.so.0")
        extra = _dlopen(ffi, "extra", "libextra.so.0", allow_fail=True)
        """
    )
    reaches = {load.names[0]: load.reach for load in loads}
    assert reaches == {"libpango-1.0.so.0": Reach.IMPORT, "libextra.so.0": Reach.OPTIONAL}


def test_a_call_that_nothing_makes_on_import_is_of_use_only() -> None:
    (load,) = loads_of(
        """
        import subprocess
        def version():
            return subprocess.check_output(["tesseract", "--version"])
        """
    )
    assert (load.kind, load.names, load.reach) == (LoadKind.PROGRAM, ("tesseract",), Reach.USE)


def test_an_import_in_a_guard_makes_what_it_loads_optional() -> None:
    loads = loads_of(
        "try:\n    from . import backend\nexcept ImportError:\n    backend = None\n",
        backend="import ctypes\nlib = ctypes.CDLL('libback.so.1')\n",
    )
    assert [load.reach for load in loads] == [Reach.OPTIONAL]


def test_the_last_of_several_ways_fails_the_import() -> None:
    (load,) = loads_of(
        """
        def choose():
            module = None
            try:
                from . import pure as module
            except Exception as error:
                note(error)
            if module is None:
                raise ImportError("no pq wrapper available")
        choose()
        """,
        pure="import ctypes.util\nif not ctypes.util.find_library('pq'):\n    raise ImportError('none')\n",
    )
    assert (load.names, load.reach) == (("*pq",), Reach.IMPORT)


def test_typelibs_are_named_with_their_version() -> None:
    (load,) = loads_of("import gi\ngi.require_version('Gtk', '3.0')\n", other="find_library = 1\n")
    assert (load.kind, load.names) == (LoadKind.TYPELIB, ("Gtk-3.0.typelib",))


def test_a_package_that_loads_nothing_has_no_loads() -> None:
    assert loads_of("import os\nprint(os.name)\n") == ()


def test_code_that_is_no_python_is_passed_over() -> None:
    assert loads_of("find_library('x'", other="def find_library(\n") == ()


@pytest.mark.parametrize("text", ["", "\0", "find_library(" * 300, "CDLL(CDLL)\nCDLL(*a, **b)\n"])
def test_strange_code_is_no_trouble(text: str) -> None:
    assert loads_of(text) == ()


@settings(max_examples=40, deadline=None)
@given(st.permutations(["libone.so.1", "libtwo.so.2", "libthree.so.3"]))
def test_the_order_of_statements_does_not_change_what_is_loaded(names: list[str]) -> None:
    text = "import ctypes\n" + "".join(f"v{at} = ctypes.CDLL('{name}')\n" for at, name in enumerate(names))
    assert {name for load in loads_of(text) for name in load.names} == set(names)


def test_a_script_that_opens_a_library_is_read() -> None:
    (load,) = read_script_loads("a.js", 'const ffi = require("ffi")\nffi.Library("libusb-1.0.so.0", {})\n')
    assert (load.line, load.names) == (2, ("libusb-1.0.so.0",))


@pytest.mark.parametrize(
    "text",
    [
        'from subprocess import run as start\ndef f():\n    start(["tool", "-v"])',
        'import subprocess\nstart = subprocess.Popen\ndef f():\n    start(["tool"] + g() + h())',
        "import subprocess\nclass A:\n    def __init__(self, program='tool'):\n"
        "        self.command = [program]\n"
        "    def go(self):\n        subprocess.call(self.command)",
        "import subprocess\nclass A:\n    def __init__(self):\n        self.program: str = 'tool'\n"
        "    def go(self, program=None):\n        program = program or self.program\n"
        "        subprocess.call([program, '-x'])",
    ],
)
def test_a_program_is_followed_through_other_names_of_what_starts_it(text: str) -> None:
    (load,) = loads_of(text)
    assert (load.kind, load.names, load.reach) == (LoadKind.PROGRAM, ("tool",), Reach.USE)


def test_a_program_of_a_module_that_nothing_imports_is_optional_and_one_of_a_command_is_not() -> None:
    sources = {"p/__init__.py": b"x = 1\ny = 2\n", "p/__main__.py": b"", "p/a.py": b"", "p/b.py": b""}
    sources["p/back.py"] = b'import subprocess\ndef f():\n    subprocess.run(["tool"])\n'
    sources["p/__init__.py"] = b"from p import a, b, __main__\n"
    (load,) = read_loads(sources, ["p"])
    assert load.reach is Reach.OPTIONAL
    (load,) = read_loads(sources, ["p"], ["p.back"])
    assert load.reach is Reach.USE


def test_a_script_that_starts_a_program_is_read_too() -> None:
    text = 'const cp = require("child_process");\ncp.spawn("ffmpeg", []);\nwhich("ffprobe", f);\nspawn(bin)\n'
    rows = list(read_script_loads("a.js", text))
    assert [(row.names, row.kind, row.line) for row in rows] == [
        (("ffmpeg",), LoadKind.PROGRAM, 2),
        (("ffprobe",), LoadKind.PROGRAM, 3),
    ]


def web(count: int) -> dict[str, bytes]:
    """A package whose modules start programs, and import all others within functions."""
    imports = "".join(f"    from big.m{at} import go{at}\n" for at in range(count))
    code = {}
    for at in range(count):
        text = f"import subprocess\ndef go{at}():\n{imports}    subprocess.run(['p{at}x'])\n"
        code[f"big/m{at}.py"] = text.encode()
    return {"big/__init__.py": b"", **code}


def test_modules_that_all_import_each_other_in_functions_are_read_in_a_bounded_time() -> None:
    sources = web(120)
    started = time.process_time()
    loads = read_loads(sources, ["big"])
    assert time.process_time() - started < 20
    assert {name for load in loads for name in load.names} == {f"p{at}x" for at in range(120)}


def test_a_large_packages_loader_is_followed_to_who_calls_it() -> None:
    sources = {f"big/m{at}.py": b"import os\n" for at in range(100)}
    sources["big/__init__.py"] = b"from big import caller\n"
    sources["big/loader.py"] = b"import ctypes\ndef load(name):\n    return ctypes.CDLL(name)\n"
    sources["big/caller.py"] = b"from big.loader import load\nlib = load('libgone.so.1')\n"
    (load,) = read_loads(sources, ["big"])
    assert (load.names, load.reach) == (("libgone.so.1",), Reach.IMPORT)


def test_a_loader_that_is_given_to_a_function_loads_what_that_is_called_with() -> None:
    (load,) = loads_of(
        """
        import ctypes, ctypes.util
        def load(kind, name):
            if isinstance(kind, ctypes.LibraryLoader):
                kind = kind._dlltype
            for text in ["lib" + name + ".so"] + ["lib" + name + ".so" + ".%i" % at for at in range(3)]:
                try:
                    return kind(text)
                except OSError:
                    pass
        def gone():
            lib = load(ctypes.cdll, "gone")
            if not lib:
                raise ImportError
        """
    )
    assert load.names == ("libgone.so", "libgone.so.0", "libgone.so.1", "libgone.so.2")
    assert load.reach is Reach.USE


@pytest.mark.parametrize("name", ["executable", "git_exec_name", "DEFAULT_EXECUTABLE", "binary_path"])
def test_a_program_is_told_by_the_name_that_holds_it(name: str) -> None:
    text = f"import os, subprocess\nclass A:\n    {name} = 'git'\n    go = lambda: subprocess.run(os.sep)\n"
    (load,) = loads_of(text)
    assert (load.kind, load.names, load.reach) == (LoadKind.PROGRAM, ("git",), Reach.USE)
    assert loads_of(text.replace(name, "colour")) == ()


def test_a_library_is_told_by_the_name_that_holds_it() -> None:
    (load,) = loads_of("import ctypes\nload = ctypes.CDLL\nlibfile = 'libgone.so.2'\n")
    assert (load.names, load.reach) == (("libgone.so.2",), Reach.USE)


def test_who_asks_for_a_program_is_not_taken_for_it() -> None:
    assert loads_of("import subprocess\nsubprocess.call(['which', 'git'])\n") == ()


def test_places_are_counted() -> None:
    text = "import subprocess\ndef run(*words):\n    subprocess.run(words)\n"
    text += "".join(f"def f{at}():\n    run('git', 'w{at}')\n" for at in range(5))
    (load,) = loads_of(text)
    assert (load.names, load.places) == (("git",), 5)


def test_an_import_that_is_tried_and_whose_failure_raises_is_no_guard() -> None:
    guarded = """
        try:
            from p.loader import lib
        except ImportError as error:
            # what comes of it
            {}
        """
    loader = "import ctypes\nlib = ctypes.CDLL('libgone.so.1')\n"
    (load,) = loads_of(guarded.format("raise ImportError('no') from error"), loader=loader)
    assert load.reach is Reach.IMPORT
    (load,) = loads_of(guarded.format("lib = None"), loader=loader)
    assert load.reach is Reach.OPTIONAL


@pytest.mark.parametrize("after", ["except ImportError:\n", "finally:\n"])
def test_long_trials_and_handlers_are_read_in_time(after: str) -> None:
    """A pattern that tries every way of dividing lines and blanks comes to no end on real packages."""
    many = "    # why\n\n        deeper = 1\n" * 300
    text = f"try:\n    from p.loader import lib\n{many}{after}{many}    lib = None\n"
    loader = "import ctypes\nlib = ctypes.CDLL('libgone.so.1')\n"
    assert loads_of(text, loader=loader)


def test_a_driver_that_a_large_package_imports_in_a_guard_is_optional() -> None:
    sources = {f"big/m{at}.py": b"import os\n" for at in range(100)}
    sources["big/__init__.py"] = b""
    sources["big/drivers.py"] = (
        b"def get():\n    try:\n        from big import sound\n    except Exception:\n        return None\n"
    )
    sources["big/sound.py"] = b"from big import lib_sound\n"
    sources["big/lib_sound.py"] = b"import ctypes\nlib = ctypes.CDLL('libgone.so.1')\n"
    (load,) = read_loads(sources, ["big"])
    assert load.reach is Reach.OPTIONAL


@pytest.mark.parametrize("text", [r"'%s' % '\\1'", r"'{}'.format('\\g<x>')"])
def test_texts_that_look_like_groups_of_a_pattern_are_texts(text: str) -> None:
    assert loads_of(f"import ctypes\nctypes.CDLL({text})\n") == ()


def test_a_script_tells_a_program_by_the_variable_that_holds_it() -> None:
    text = "const spawn = require('cross-spawn')\ncase 1: bin = 'magick'\ndefault: bin = 'gm'\n"
    (load,) = read_script_loads("a.js", text)
    assert (load.kind, load.names) == (LoadKind.PROGRAM, ("magick", "gm"))
    assert list(read_script_loads("a.js", "bin = 'gm'\n")) == []
