"""On the real archive, cape chooses what apt chooses. `benchmarks/apt_agreement.py` does this at large."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parent.parent.parent / "benchmarks" / "apt_agreement.py"

PACKAGES = (
    "ripgrep git postgresql vim default-jdk-headless php-cli r-base-core texlive-latex-base build-essential "
    "nginx mailutils libreoffice-calc octave ffmpeg python3-opencv"
)


def _benchmark() -> ModuleType:
    specification = importlib.util.spec_from_file_location("apt_agreement", BENCHMARK)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    sys.modules["apt_agreement"] = module
    specification.loader.exec_module(module)
    return module


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not on this machine")
def test_well_known_packages_lock_to_what_apt_would_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["apt_agreement", *PACKAGES.split()])
    assert _benchmark().main() == 0
    assert "15 of 15 equal" in capsys.readouterr().out
