"""What is written of a tree's own files: links, lists and settings of single programs."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path

import pytest

from cape.environment.finishing import ControlFiles, finish
from cape.environment.finishing.apache import enable_apache
from cape.environment.finishing.place import put_file
from cape.environment.finishing.x_fonts import list_x_fonts, pcf_name
from cape.names import System

SYSTEM = System.X86_64_LINUX
NAME = "-Misc-Fixed-Medium-R-Normal--8-80-75-75-C-50-ISO8859-1"


def root_with(tmp_path: Path, files: dict[str, str | bytes]) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    for file, content in files.items():
        put_file(root, file, content if isinstance(content, bytes) else content.encode())
    return root


def finished(root: Path, **scripts: str) -> Path:
    control = {package: ControlFiles(postinst=script) for package, script in scripts.items()}
    finish(root, control, order=(), system=SYSTEM, final=Path("/final/root"))
    return root


def apache(tmp_path: Path) -> Path:
    home = "etc/apache2"
    return root_with(
        tmp_path,
        {
            f"{home}/mods-available/mpm_event.load": "",
            f"{home}/mods-available/mpm_event.conf": "",
            f"{home}/mods-available/mpm_prefork.load": "",
            f"{home}/mods-available/authn_core.load": "",
            f"{home}/mods-available/authn_file.load": "# Depends: authn_core\nLoadModule x y\n",
            f"{home}/mods-available/php8.4.load": "",
            f"{home}/conf-available/charset.conf": "",
            f"{home}/sites-available/000-default.conf": "",
            "usr/share/apache2/default-site/index.html": "it works",
        },
    )


SCRIPT = """enable() {
\ta2enmod -m -q mpm_event
\tfor module in authn_file \\
\t\tgone ; do a2enmod -m -q $module; done
}
enable
a2enconf -m -q charset
a2ensite -q 000-default
"""


def enabled(root: Path) -> list[str]:
    home = root / "etc/apache2"
    return sorted(str(link.relative_to(home)) for link in home.glob("*-enabled/*") if link.exists())


def test_apache_has_the_modules_that_its_scripts_enable_and_what_those_need(tmp_path: Path) -> None:
    root = finished(apache(tmp_path), apache2=SCRIPT)
    assert enabled(root) == [
        "conf-enabled/charset.conf",
        "mods-enabled/authn_core.load",
        "mods-enabled/authn_file.load",
        "mods-enabled/mpm_event.conf",
        "mods-enabled/mpm_event.load",
        "sites-enabled/000-default.conf",
    ]
    assert os.readlink(root / "etc/apache2/mods-enabled/mpm_event.load") == "../mods-available/mpm_event.load"
    assert (root / "var/www/html/index.html").read_text() == "it works"


def test_a_module_that_needs_another_way_to_process_requests_gets_it(tmp_path: Path) -> None:
    php = "php_enable() { if apache2_switch_mpm prefork; then return 0; fi; }\napache2_invoke enmod php8.4"
    root = finished(apache(tmp_path), apache2=SCRIPT, php=php)
    modules = [name for name in enabled(root) if name.startswith("mods-enabled/")]
    assert "mods-enabled/mpm_event.load" not in modules
    assert {"mods-enabled/mpm_prefork.load", "mods-enabled/php8.4.load"} <= set(modules)


def test_apaches_rules_do_nothing_elsewhere(tmp_path: Path) -> None:
    enable_apache(tmp_path, [("a2enmod", "x")], [])
    assert list(tmp_path.iterdir()) == []


def pcf(*, order: str) -> bytes:
    """A PCF file of nothing but properties: one number and the name, in either order of bytes."""
    strings = b"POINT_SIZE\0FONT\0" + NAME.encode() + b"\0"
    rows = struct.pack(f"{order}IBI", 0, 0, 80) + struct.pack(f"{order}IBI", 11, 1, 16)
    table = struct.pack("<I", 4 if order == ">" else 0) + struct.pack(f"{order}I", 2) + rows
    table += b"\0" * (-len(rows) % 4) + struct.pack(f"{order}I", len(strings)) + strings
    return b"\x01fcp" + struct.pack("<I", 1) + struct.pack("<4I", 1, 0, len(table), 24) + table


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_bitmap_font_says_its_name(order: str) -> None:
    assert pcf_name(pcf(order=order)) == NAME


def test_directories_of_x_fonts_are_listed_with_their_aliases(tmp_path: Path) -> None:
    fonts = "usr/share/fonts/X11/misc"
    files: dict[str, str | bytes] = {
        f"{fonts}/5x8.pcf.gz": gzip.compress(pcf(order=">")),
        f"{fonts}/6x9.bdf": f"STARTFONT 2.1\nFONT {NAME}\n",
        f"{fonts}/broken.pcf.gz": b"\x1f\x8bno",
        f"{fonts}/README": "",
        "etc/X11/fonts/misc/base.alias": "fixed   misc-fixed",
        "etc/X11/fonts/X11R7/misc/more.alias": "more misc-fixed\n",
    }
    root = root_with(tmp_path, files)
    list_x_fonts(root)
    assert (root / fonts / "fonts.dir").read_text() == (
        f"2\n5x8.pcf.gz {NAME.lower()}\n6x9.bdf {NAME.lower()}\n"
    )
    assert (root / fonts / "fonts.alias").read_text() == "fixed   misc-fixed\nmore misc-fixed\n"


def test_manuals_are_listed_by_section(tmp_path: Path) -> None:
    def manual(section: str, entry: str) -> str:
        return f"INFO-DIR-SECTION {section}\nSTART-INFO-DIR-ENTRY\n{entry}\nEND-INFO-DIR-ENTRY\n"

    home = "usr/share/info"
    files: dict[str, str | bytes] = {
        f"{home}/wget.info.gz": gzip.compress(manual("Network", "* Wget: (wget).  Fetch.").encode()),
        f"{home}/ed.info": manual("Editors", "* Ed: (ed).  Edit."),
        f"{home}/ed.info-1": manual("Editors", "* Ed: (ed).  Edit."),
        f"{home}/odd.info.gz": b"\x1f\x8b",
    }
    root = finished(root_with(tmp_path, files))
    menu = (root / home / "dir").read_text().partition("* Menu:\n")[2]
    assert menu == "\nEditors\n* Ed: (ed).  Edit.\n\nNetwork\n* Wget: (wget).  Fetch.\n"


def test_pascal_is_told_real_paths_beside_its_compiler(tmp_path: Path) -> None:
    units = "usr/lib/x86_64-linux-gnu/fpc"
    root = root_with(tmp_path, {f"{units}/3.2.2/units/x86_64-linux/rtl/system.ppu": "", "usr/bin/ld": ""})
    script = "update-alternatives --install /etc/fpc.cfg fpc.cfg /etc/fpc-3.2.2.cfg 3020200"
    lines = (finished(root, fpc=script) / units / "etc/fpc.cfg").read_text().splitlines()
    assert f"-Fu/final/root/{units}/$fpcversion/units/$fpctarget/*" in lines
    assert "-FD/final/root/usr/lib/cape/linkers" in lines
    assert "exec '/final/root/usr/bin/ld'" in (root / "usr/lib/cape/linkers/ld").read_text()
    assert (root / "etc/fpc.cfg").read_text().splitlines() == lines


def test_programs_that_look_beside_themselves_find_links(tmp_path: Path) -> None:
    packages = "usr/share/emacs/site-lisp"
    files: dict[str, str | bytes] = {
        "etc/mono/config": "map",
        f"{packages}/elpa-src/x-1/x.el": "(provide 'x)",
    }
    root = finished(root_with(tmp_path, files))
    assert (root / "usr/etc/mono/config").read_text() == "map"
    assert (root / packages / "elpa/x-1/x.el").exists()


def test_tex_lists_the_files_that_were_made_for_it(tmp_path: Path) -> None:
    pieces = "var/lib/tex-common/fmtutil-cnf/texlive/base.cnf"
    root = finished(root_with(tmp_path, {"etc/texmf/texmf.d/00a.cnf": "", pieces: "tex tex - tex.ini\n"}))
    assert "fmtutil.cnf-TEXLIVEDIST" in (root / "var/lib/texmf/ls-R").read_text().splitlines()


def test_ispell_gets_a_hash_of_each_list_of_words_and_a_usual_one(tmp_path: Path) -> None:
    words = gzip.compress(b"hello\n")
    root = root_with(
        tmp_path, {"usr/share/ispell/american.mwl.gz": words, "usr/lib/ispell/american.aff": "affixes"}
    )
    put_file(
        root,
        "usr/bin/buildhash",
        b'#!/bin/sh\nread word < "$2"; echo "$word" > "$4"; echo "$3" >> "$4"\n',
        mode=0o755,
    )
    finished(root)
    assert (root / "usr/lib/ispell/default.hash").read_text() == "hello\n/usr/lib/ispell/american.aff\n"
    assert (root / "usr/lib/ispell/default.aff").read_text() == "affixes"


def test_templates_are_copied_into_etc_and_links_made_in_usr(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "usr/share/readline/inputrc": "set",
        "usr/share/other": "other",
        "usr/share/taskwarrior/rc": "rc",
        "usr/bin/dash": "sh",
        "etc/there": "mine",
    }
    script = (
        "[ -e /etc/inputrc ] || cp -p /usr/share/readline/inputrc /etc/inputrc\n"
        "cp /usr/share/other /etc/there; cp /usr/share/other /etc/inputrc; cp /usr/share/other /etc/passwd\n"
        "cp -dp /usr/bin/dash /usr/share/man/sh.gz; cp -a /usr/share/taskwarrior /etc/task\n"
        "ln -sf taskwarrior /usr/share/task; ln -s /usr/share/gone /usr/share/no; ln -s dash /etc/link\n"
    )
    root = finished(root_with(tmp_path, files), p=script)
    assert (root / "etc/inputrc").read_text() == "set"
    assert (root / "etc/there").read_text() == "mine"
    assert os.readlink(root / "usr/share/task") == "taskwarrior"
    absent = ("etc/passwd", "usr/share/man/sh.gz", "etc/task", "usr/share/no", "etc/link")
    assert not [place for place in absent if os.path.lexists(root / place)]


def test_questions_are_answered_as_by_default(tmp_path: Path) -> None:
    available = "usr/share/fontconfig/conf.avail"
    names = ("10-hinting-slight.conf", "10-hinting-full.conf")
    files: dict[str, str | bytes] = {f"{available}/{name}": "" for name in names}
    root = finished(root_with(tmp_path, files))
    assert [link.name for link in (root / "etc/fonts/conf.d").iterdir()] == ["10-hinting-slight.conf"]


def test_ghostscripts_maps_are_joined(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "var/lib/ghostscript/fonts/.keep": "",
        "etc/ghostscript/fontmap.d/10a.conf": "/A (a.t1) ;",
        "etc/ghostscript/fontmap.d/20b.conf": "/B (b.t1) ;\n",
    }
    root = finished(root_with(tmp_path, files))
    fonts = root / "var/lib/ghostscript/fonts"
    assert (fonts / "Fontmap").read_text() == "/A (a.t1) ;\n/B (b.t1) ;\n"
    assert not (fonts / "cidfmap").exists()


def test_nginx_loads_the_modules_that_packages_bring(tmp_path: Path) -> None:
    modules = "usr/share/nginx/modules-available"
    script = "for confpair in mod-lua.conf:50-mod-lua.conf gone.conf:60-gone.conf ; do\n ln -sf $a $b\ndone\n"
    root = finished(root_with(tmp_path, {f"{modules}/mod-lua.conf": "load_module x;"}), lua=script)
    assert [link.name for link in (root / "etc/nginx/modules-enabled").iterdir()] == ["50-mod-lua.conf"]


def test_perls_parsers_of_xml_are_listed_by_priority(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "usr/share/perl5/XML/SAX/PurePerl.pm": "",
        "usr/lib/x86_64-linux-gnu/perl5/5.40/XML/LibXML/SAX.pm": "",
    }
    script = (
        "update-perl-sax-parsers --add XML::LibXML::SAX\nupdate-perl-sax-parsers --add XML::Gone\n"
        "update-perl-sax-parsers --add XML::SAX::PurePerl --priority 10\nupdate-perl-sax-parsers --update\n"
    )
    root = finished(root_with(tmp_path, files), p=script)
    rows = (root / "etc/perl/XML/SAX/ParserDetails.ini").read_text().splitlines()
    assert [row for row in rows if row.startswith("[")] == ["[XML::SAX::PurePerl]", "[XML::LibXML::SAX]"]


def test_applications_are_listed_by_what_they_open(tmp_path: Path) -> None:
    home = "usr/share/applications"
    files: dict[str, str | bytes] = {
        f"{home}/b.desktop": "[Desktop Entry]\nMimeType=image/png;\n",
        f"{home}/kde/a.desktop": "[Desktop Entry]\nMimeType=image/png;text/plain;\n",
        f"{home}/hidden.desktop": "[Desktop Entry]\nMimeType=image/png;\nHidden=true\n",
    }
    root = finished(root_with(tmp_path, files))
    assert (root / home / "mimeinfo.cache").read_text().splitlines() == [
        "[MIME Cache]",
        "image/png=b.desktop;kde-a.desktop;",
        "text/plain=kde-a.desktop;",
    ]
