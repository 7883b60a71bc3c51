"""When something counts as missing, and when its absence is an error: over facts alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from cape.analysis.missing import Examined, Findings, Provided, best_provider, examine
from cape.analysis.needs import ElfNeeds, Load, LoadKind, PackageNeeds, Reach
from cape.names import System

SITE = "lib/python3.13/site-packages"


def extension(name: str = "a", **more: object) -> ElfNeeds:
    return ElfNeeds(path=f"{SITE}/{name}.abi3.so", role="extension", **more)  # type: ignore[arg-type]


def found(
    *needs: PackageNeeds,
    files: Iterable[str] = (),
    glibc: str = "2.41",
    versions: frozenset[str] = frozenset(),
    owners: Mapping[str, str] | None = None,
    name: str = "",
    is_asked_for: bool = True,
) -> Findings:
    """What is found of packages where the system packages have these files, and the archive has `owners`."""
    there = frozenset(files)
    provided = Provided(
        system=System.X86_64_LINUX,
        has=there.__contains__,
        beginning=lambda prefix: [name for name in there if name.startswith(prefix)],
        glibc=glibc,
        versions=lambda library: versions,
        owner=(owners or {}).get,
    )
    packages = [
        Examined(name=name or f"p{at}", version="1", source="pypi", needs=one, is_asked_for=is_asked_for)
        for at, one in enumerate(needs)
    ]
    return examine(packages, provided)


def load(*names: str, reach: Reach = Reach.IMPORT, kind: LoadKind = LoadKind.FILE) -> PackageNeeds:
    return PackageNeeds(loads=(Load(path="p.py", line=1, kind=kind, names=names, reach=reach),), modules=1)


def test_a_linked_library_that_nobody_has_is_an_error() -> None:
    (row,) = found(PackageNeeds(elf=(extension(needed=("libGL.so.1", "libc.so.6")),))).missing
    assert (row.names, row.is_error, row.kind) == (("libGL.so.1",), True, "needed")


def test_a_wheel_its_neighbours_and_the_driver_provide() -> None:
    one = PackageNeeds(elf=(extension(needed=("libcublas.so.12", "libown.so.1", "libcuda.so.1")),))
    other = PackageNeeds(libraries=("libcublas.so.12", "libown.so.1"))
    assert found(one, other).missing == ()


def test_what_only_a_plug_in_links_with_is_no_error() -> None:
    plug_in = ElfNeeds(path=f"{SITE}/q/plugins/libq.so", role="library", needed=("libodbc.so.2",))
    (row,) = found(PackageNeeds(elf=(extension(), plug_in))).missing
    assert not row.is_error


def test_a_library_that_an_extension_of_another_package_links_with_counts() -> None:
    user = PackageNeeds(elf=(extension(needed=("libQt.so.6",)),))
    library = ElfNeeds(
        path=f"{SITE}/q/libQt.so.6", role="library", soname="libQt.so.6", needed=("libX.so.6",)
    )
    (row,) = found(user, PackageNeeds(elf=(library,), libraries=("libQt.so.6",))).missing
    assert (row.package, row.is_error) == ("p1", True)


def test_any_of_the_alternatives_will_do() -> None:
    assert found(load("*magic", "libmagic.so.1"), files=["libmagic.so.1"]).missing == ()
    assert found(load("*magic"), files=["libmagic.so.1"]).missing == ()
    assert found(load("*c", "libc.so.6")).missing == ()


def test_a_library_of_a_longer_name_is_another_one() -> None:
    assert found(load("*magic"), files=["libmagicwand.so.1"]).missing != ()


def test_a_library_in_a_wheel_is_found_by_its_stem() -> None:
    with_own = PackageNeeds(loads=load("*sndfile").loads, libraries=("libsndfile_x86_64.so",))
    assert found(with_own).missing == ()


def test_what_only_a_call_needs_is_an_error_where_the_description_speaks_of_it() -> None:
    quiet = load("tesseract", reach=Reach.USE, kind=LoadKind.PROGRAM)
    told = PackageNeeds(loads=quiet.loads, described=("tesseract",), modules=3)
    large = PackageNeeds(loads=quiet.loads, described=("tesseract",), modules=300)
    assert [row.is_error for row in found(quiet, told, large).missing] == [False, True, False]


def test_optional_back_ends_of_a_small_package_are_one_choice() -> None:
    loads = tuple(
        Load(path="p.py", line=at, kind=LoadKind.FILE, names=(name,), reach=Reach.OPTIONAL)
        for at, name in enumerate(("*usb-1.0", "*openusb"))
    )
    package = PackageNeeds(loads=loads, described=("libusb", "usb", "openusb"), modules=9)
    (row,) = found(package).missing
    assert (row.names, row.is_error) == (("*usb-1.0", "*openusb"), True)
    assert all(not row.is_error for row in found(package, files=["libusb-1.0.so.0"]).missing)


def test_a_newer_libc_than_the_environments_is_named() -> None:
    elf = extension(versions=(("libc.so.6", "GLIBC_2.42"), ("libc.so.6", "GLIBC_2.2.5")))
    (row,) = found(PackageNeeds(elf=(elf,))).too_new
    assert (row.library, row.wanted, row.has) == ("libc.so.6", "GLIBC_2.42", "2.41")


def test_versions_of_the_c_plus_plus_library_are_compared_one_by_one() -> None:
    elf = extension(versions=(("libstdc++.so.6", "GLIBCXX_3.4.40"), ("libstdc++.so.6", "GLIBCXX_3.4.9")))
    known = frozenset({"GLIBCXX_3.4.9", "GLIBCXX_3.4.33"})
    (row,) = found(PackageNeeds(elf=(elf,)), versions=known).too_new
    assert (row.wanted, row.has) == ("GLIBCXX_3.4.40", "GLIBCXX_3.4.33")
    assert found(PackageNeeds(elf=(elf,))).too_new == (), "what is not known is not told"


def test_a_tag_that_promises_an_older_libc_than_needed_is_told() -> None:
    elf = extension(versions=(("libc.so.6", "GLIBC_2.34"),))
    (note,) = found(PackageNeeds(elf=(elf,), glibc_promised="2.17")).notes
    assert note == "the tag of `p0` 1 says that glibc 2.17 is enough, and it needs 2.34"


def test_extensions_for_another_machine_alone_are_refused() -> None:
    other = extension("b", is_foreign=True)
    assert found(PackageNeeds(elf=(other,))).foreign == (("p0", other.path),)
    assert found(PackageNeeds(elf=(extension(), other))).foreign == ()


def test_the_package_of_a_soname_is_chosen_by_debians_convention() -> None:
    assert best_provider("libGL.so.1", ["libgl1", "libgl4es0", "primus-libs"], {}) == "libgl1"
    assert best_provider("libusb-1.0.so.0", ["libusb-1.0-0", "libusb-1.0-0-dev"], {}) == "libusb-1.0-0"
    assert best_provider("libfoo.so", ["libfoo-dev"], {}) == "libfoo-dev"
    assert best_provider("ffprobe", ["ffmpeg", "jellyfin"], {"jellyfin": 1, "ffmpeg": 40}) == "ffmpeg"
    assert best_provider("libnone.so.1", [], {}) is None


def programs(*names: str, words: tuple[str, ...] = (), reach: Reach = Reach.USE) -> PackageNeeds:
    """A package that starts each of these programs."""
    loads = tuple(
        Load(path="p.py", line=at, kind=LoadKind.PROGRAM, names=(name,), reach=reach)
        for at, name in enumerate(names)
    )
    return PackageNeeds(loads=loads, modules=1, described=words, stressed=words)


def errors(result: Findings) -> list[tuple[str, ...]]:
    return [row.names for row in result.missing if row.is_error]


def test_a_program_counts_as_described_by_the_name_of_its_package() -> None:
    one = programs("gs", words=("ghostscript",))
    assert errors(found(one, owners={"gs": "ghostscript"})) == [("gs",)]
    assert errors(found(one, owners={"gs": "other"})) == []


def test_a_program_of_a_package_that_another_brings_is_no_error() -> None:
    one = programs("hdfs", words=("hdfs",))
    assert errors(found(one)) == [("hdfs",)]
    assert errors(found(one, is_asked_for=False)) == []


def test_a_large_package_must_speak_of_a_program_more_than_twice() -> None:
    one = replace(programs("tesseract", words=("tesseract",)), modules=90)
    assert errors(found(one)) == [("tesseract",)]
    assert errors(found(replace(one, stressed=()))) == []


def test_several_programs_of_one_package_are_what_a_small_package_is_for() -> None:
    owners = {"ffplay": "ffmpeg", "ffprobe": "ffmpeg", "convert": "imagemagick"}
    assert errors(found(programs("ffplay", "ffprobe", "avconv"), owners=owners)) == [
        ("ffplay",),
        ("ffprobe",),
    ]
    assert errors(found(programs("ffplay", "ffprobe", "convert"), owners=owners)) == []
    assert errors(found(programs("ffplay"), owners=owners)) == []


def test_who_carries_a_program_needs_none_of_its_package() -> None:
    one = replace(programs("ffmpeg", "ffplay"), programs=("ffmpeg-linux-x86_64-v7.0.2",))
    assert errors(found(one, owners={"ffmpeg": "ffmpeg", "ffplay": "ffmpeg"}, name="py-ffmpeg")) == []
    one = replace(programs("ffmpeg", "ffplay", words=("ffplay",)), programs=("ffmpeg",))
    assert errors(found(one, owners={"ffmpeg": "ffmpeg", "ffplay": "ffmpeg"})) == []


def test_a_package_named_after_a_program_is_for_that_one() -> None:
    one = programs("ffmpeg", "flvmeta", words=("ffmpeg", "flvmeta"))
    owners = {"ffmpeg": "ffmpeg", "flvmeta": "flvmeta"}
    assert errors(found(one, owners=owners, name="fluent-ffmpeg")) == [("ffmpeg",)]
    assert errors(found(one, files=["ffmpeg"], owners=owners, name="fluent-ffmpeg")) == []
    silent = programs("pandoc", words=("pandoc",), reach=Reach.OPTIONAL)
    assert errors(found(silent, name="pypandoc")) == [("pandoc",)]
    assert errors(found(silent, name="expandoc")) == []


def test_of_alternative_programs_those_are_told_that_the_description_speaks_of() -> None:
    one = PackageNeeds(
        loads=(
            Load(
                path="p.py", line=1, kind=LoadKind.PROGRAM, names=("qdbus", "xclip", "xsel"), reach=Reach.USE
            ),
        ),
        described=("xclip", "xsel"),
        modules=1,
    )
    assert errors(found(one)) == [("xclip", "xsel")]


def test_a_wheels_own_build_of_a_library_counts_under_its_name_with_a_digest() -> None:
    one = replace(load("*spatialindex_c"), libraries=("libspatialindex-e5350069.so",))
    assert found(one).missing == ()
    other = replace(load("*geos_c"), libraries=("libgeos_c-4d1f9c2b.so.1",))
    assert found(other).missing == ()


def test_a_package_with_extensions_is_not_for_the_program_that_it_is_named_after() -> None:
    one = replace(programs("proj", words=("proj",), reach=Reach.OPTIONAL), elf=(extension(),))
    assert errors(found(one, name="pyproj")) == []


def test_packages_that_were_looked_into_in_parts_are_told_of_in_one_sentence() -> None:
    notes = found(PackageNeeds(unread=2), PackageNeeds(), PackageNeeds(unread=1)).notes
    assert notes == ("what 3 files of `p0`, `p2` need was not looked at: they are too large",)
    assert found(PackageNeeds()).notes == ()


def program(name: str, *, places: int, **more: object) -> Load:
    return Load(
        path="p.py", line=1, kind=LoadKind.PROGRAM, names=(name,), reach=Reach.USE, places=places, **more
    )


def test_a_program_that_is_started_all_over_is_needed_without_a_description() -> None:
    often = PackageNeeds(loads=(program("git", places=20), program("cargo", places=3)), modules=60)
    rows = found(often, owners={"git": "git", "cargo": "cargo"}).missing
    assert [row.name for row in rows if row.is_error] == ["git"]
    seldom = PackageNeeds(loads=(program("git", places=5), program("cargo", places=3)), modules=60)
    assert not any(row.is_error for row in found(seldom).missing)


def test_a_library_that_only_plug_ins_are_linked_with_is_asked_for_on_their_behalf() -> None:
    plug_in = ElfNeeds(path=f"{SITE}/pool.so", role="library", needed=("libtbb.so.12",))
    asked = Load(path="p.py", line=1, kind=LoadKind.FILE, names=("libtbb.so.12",), reach=Reach.IMPORT)
    rows = found(PackageNeeds(elf=(extension(), plug_in), loads=(asked,))).missing
    assert rows and not any(row.is_error for row in rows)
    assert any(row.is_error for row in found(PackageNeeds(elf=(extension(),), loads=(asked,))).missing)


def test_a_name_says_what_a_package_is_about() -> None:
    needs = load("libGL.so.1", reach=Reach.USE)
    assert [row.is_error for row in found(needs, name="PyOpenGL").missing] == [True]
    assert [row.is_error for row in found(needs, name="painting").missing] == [False]


def test_a_large_packages_description_must_speak_of_a_library_often() -> None:
    one = replace(load("*openal", reach=Reach.USE), modules=200, described=("openal",))
    assert [row.is_error for row in found(one).missing] == [False]
    assert [row.is_error for row in found(replace(one, stressed=("openal",))).missing] == [True]
