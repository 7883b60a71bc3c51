"""Which Python index a machine uses: cape's setting, uv's, pip's, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cape.configuration import Configuration
from cape.names import System
from cape.sources.protocol import Platform
from cape.sources.pypi.index import choose_index
from cape.sources.pypi.wheels import PylockPackage, Wheel, best_wheel, holds

X86, ARM = System.X86_64_LINUX, System.AARCH64_LINUX
X86_DARWIN, ARM_DARWIN = System.X86_64_DARWIN, System.AARCH64_DARWIN
ONE, TWO, THREE = (f"http://127.0.0.1:{port}/simple" for port in (1, 2, 3))


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Variables of a machine on which nothing is set, but for files of the machine itself."""
    return {
        "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_CONFIG_DIRS": str(tmp_path / "xdg"),
    }


def write(environment: dict[str, str], name: str, text: str) -> Path:
    file = Path(environment["XDG_CONFIG_HOME"]) / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def test_capes_own_setting_wins(home: dict[str, str]) -> None:
    environment = {**home, "PIP_INDEX_URL": TWO, "UV_DEFAULT_INDEX": THREE}
    choice = choose_index(Configuration({"pypi.index": (ONE,)}), environment)
    assert choice.default == ONE and choice.variables == {"UV_DEFAULT_INDEX": ONE}


@pytest.mark.parametrize("variable", ["UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL"])
def test_uvs_variables_are_left_to_uv(home: dict[str, str], variable: str) -> None:
    choice = choose_index(Configuration(), {**home, variable: ONE, "PIP_INDEX_URL": TWO})
    assert choice.variables == {} and choice.origin == f"${variable}"


def test_uvs_file_is_left_to_uv(home: dict[str, str]) -> None:
    file = write(home, "uv/uv.toml", f'[[index]]\nurl = "{ONE}"\ndefault = true\n')
    choice = choose_index(Configuration(), {**home, "PIP_INDEX_URL": TWO})
    assert choice.variables == {} and choice.origin == str(file)


def test_pips_files_and_variables_are_read_in_pips_order(home: dict[str, str]) -> None:
    write(home, "pip/pip.conf", f"[global]\nindex-url = {ONE}\n[install]\nindex_url = {TWO}\n")
    assert choose_index(Configuration(), home).default == TWO
    assert choose_index(Configuration(), {**home, "PIP_INDEX_URL": THREE}).default == THREE
    named = write(home, "other.conf", f"[global]\nindex-url = {ONE}\n")
    assert choose_index(Configuration(), {**home, "PIP_CONFIG_FILE": str(named)}).default == ONE


def test_directories_and_find_links_of_pip_are_no_index(home: dict[str, str]) -> None:
    extra = f"file:///opt/simple {TWO}"
    write(
        home, "pip/pip.conf", f"[global]\nfind-links = /opt\nextra-index-url = {extra}\nindex-url = {ONE}\n"
    )
    choice = choose_index(Configuration(), home)
    assert choice.default == ONE and choice.extra == (TWO,)
    write(home, "pip/pip.conf", "[global]\nindex-url = file:///opt/simple\n")
    assert choose_index(Configuration(), home).default is None


def test_a_pip_file_that_cannot_be_read_is_passed_over(home: dict[str, str]) -> None:
    before = choose_index(Configuration(), home)
    write(home, "pip/pip.conf", "no section\n")
    assert choose_index(Configuration(), home) == before


def test_credentials_go_to_files_of_the_same_host_only() -> None:
    choice = choose_index(Configuration({"pypi.index": ("http://me:pw@127.0.0.1:1/simple",)}), {})
    assert choice.with_credentials("http://127.0.0.1:1/f.whl") == "http://me:pw@127.0.0.1:1/f.whl"
    assert choice.with_credentials("http://127.0.0.1:2/f.whl") == "http://127.0.0.1:2/f.whl"


def package_of(*tags: str) -> PylockPackage:
    wheels = tuple(Wheel(file_name=f"a-1-{tag}.whl", url="", sha256=None, size_bytes=None) for tag in tags)
    return PylockPackage(name="a", version="1", marker=None, wheels=wheels)


@pytest.mark.parametrize(
    ("tags", "system", "glibc", "best"),
    [
        (["py3-none-any", "cp313-abi3-manylinux_2_17_x86_64"], X86, "2.41", 1),
        (["cp39-abi3-manylinux_2_17_x86_64", "py3-none-any"], X86, "2.41", 0),
        (
            ["cp313-cp313-manylinux_2_35_x86_64", "cp313-cp313-manylinux1_x86_64"],
            X86,
            "2.31",
            1,
        ),
        (["cp313-cp313-manylinux1_x86_64"], ARM, "2.41", None),
        (["cp313-cp313t-manylinux_2_17_x86_64"], X86, "2.41", None),
        (["cp313-cp313-linux_aarch64"], ARM, "2.41", 0),
        (
            ["cp313-cp313-macosx_11_0_arm64", "cp313-cp313-macosx_10_13_universal2"],
            ARM_DARWIN,
            None,
            0,
        ),
        (["cp313-cp313-macosx_10_13_universal2"], X86_DARWIN, None, 0),
        (["garbage", "py2.py3-none-any"], X86, None, 1),
    ],
)
def test_the_best_wheel_is_the_one_pip_would_take(
    tags: list[str], system: System, glibc: str | None, best: int | None
) -> None:
    package = package_of(*tags)
    chosen = best_wheel(package, Platform(system=system, python="3.13", glibc=glibc))
    assert chosen == (None if best is None else package.wheels[best])


@settings(deadline=None)
@given(
    order=st.permutations(
        ["cp313-cp313-manylinux_2_17_x86_64", "cp313-abi3-manylinux_2_28_x86_64", "py3-none-any"]
    )
)
def test_the_best_wheel_does_not_depend_on_the_indexs_order(order: list[str]) -> None:
    chosen = best_wheel(package_of(*order), Platform(system=X86, python="3.13", glibc="2.41"))
    assert chosen is not None and "cp313-cp313" in chosen.file_name


def test_markers_are_told_by_the_system_and_its_python() -> None:
    platform = Platform(system=ARM, python="3.13", glibc="2.41")
    assert holds("sys_platform == 'linux' and platform_machine == 'aarch64'", platform)
    assert not holds("sys_platform == 'win32' or python_version < '3.12'", platform)
    assert holds(None, platform)
