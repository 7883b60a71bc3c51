"""What tools of other ecosystems are called here, where it is not the same name.

A name that is in neither table is taken over as it is and must be confirmed by a source.
"""

from __future__ import annotations

import re

NPM_OF_TOOL = {
    "bun": "bun",
    "node": "node",
    "nodejs": "node",
    "pnpm": "pnpm",
    "yarn": "yarn",
}
"""Tools whose every release is on npm."""

PYPI_OF_TOOL = {
    "black": "black",
    "poetry": "poetry",
    "pre-commit": "pre-commit",
    "ruff": "ruff",
    "uv": "uv",
}

DEBIAN_OF_TOOL = {
    "awscli": "awscli",
    "awscli2": "awscli",
    "boost": "libboost-dev",
    "cargo": "cargo",
    "clang": "clang",
    "cxx-compiler": "g++",
    "c-compiler": "gcc",
    "docker-client": "docker-cli",
    "elixir": "elixir",
    "erlang": "erlang",
    "fd": "fd-find",
    "ffmpeg": "ffmpeg",
    "gcc": "gcc",
    "gh": "gh",
    "ghc": "ghc",
    "git": "git",
    "go": "golang-go",
    "golang": "golang-go",
    "graphviz": "graphviz",
    "gnumake": "make",
    "imagemagick": "imagemagick",
    "java": "default-jdk",
    "jdk": "default-jdk",
    "openjdk": "default-jdk",
    "jq": "jq",
    "julia": "julia",
    "libpq": "libpq-dev",
    "libxml2": "libxml2",
    "lua": "lua5.4",
    "make": "make",
    "mariadb": "mariadb-server",
    "maven": "maven",
    "mysql": "default-mysql-server",
    "ninja": "ninja-build",
    "openssl": "openssl",
    "pandoc": "pandoc",
    "perl": "perl",
    "php": "php-cli",
    "pkg-config": "pkgconf",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "protobuf": "protobuf-compiler",
    "python": "python",
    "python3": "python",
    "r-base": "r-base",
    "redis": "redis-server",
    "ripgrep": "ripgrep",
    "ruby": "ruby",
    "rust": "rustc",
    "rustc": "rustc",
    "shellcheck": "shellcheck",
    "sqlite": "sqlite3",
    "tesseract": "tesseract-ocr",
    "tmux": "tmux",
    "wget": "wget",
    "yq-go": "yq",
    "zlib": "zlib1g-dev",
}

_NUMBERED = re.compile(r"(python|nodejs|postgresql|php|ruby|lua|go|gcc|clang|jdk|openjdk)[-_]?\d[\d_.]*\Z")


def known_as(tool: str) -> tuple[str, str, bool]:
    """Source, package, and whether that is certain, of a tool's name in asdf, mise, or Nix.

    >>> known_as("nodejs_22"), known_as("hello")
    (('npm', 'node', True), ('debian', 'hello', False))
    """
    match = _NUMBERED.match(tool)
    tool = match[1] if match else tool
    if tool in NPM_OF_TOOL:
        return "npm", NPM_OF_TOOL[tool], True
    if tool in PYPI_OF_TOOL:
        return "pypi", PYPI_OF_TOOL[tool], True
    if tool in DEBIAN_OF_TOOL:
        return "debian", DEBIAN_OF_TOOL[tool], True
    return "debian", tool, False
