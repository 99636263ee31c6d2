"""A model repository on disk, as Triton sees it: models, their versions, what is wrong.

The rules are core's (model_repository_manager.cc, model_lifecycle.cc, model_config_utils.cc;
r24.10), held against a real server in tests:

- Every directory directly in a repository is a model, hidden ones too; files are nothing.
- A link that leads nowhere breaks what holds it: in a model's directory the model, in a
  repository the whole repository.
- Version directories are those whose name *starts* with a number without leading zeros.
- A model's first subdirectory by name, whatever it is, is where core looks for a model file that
  names the backend.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_triton.arguments.checked import checked
from pytest_triton.arguments.kinds import PATH, SWITCH, TEXT, either, several
from pytest_triton.diagnostics.diagnostic import Diagnostic, Effect
from pytest_triton.errors import PytestTritonError
from pytest_triton.placement.backend_names import OFFICIAL_BACKENDS
from pytest_triton.placement.backends import MODEL_FILES
from pytest_triton.placement.core_completion import Completion, complete
from pytest_triton.placement.declared import Declared, OnDisk
from pytest_triton.placement.fields import names_newer_field, written_fields
from pytest_triton.placement.libraries import BATCH_LIBRARY, library_name
from pytest_triton.placement.polling import poll_flaws, version_flaw, versions_to_load
from pytest_triton.repository.assumed import (
    DVC,
    assumed_files,
    assumed_versions,
    pulled,
    stand_in,
    with_assumed,
)
from pytest_triton.repository.config_file import ConfigFile, located, read_config
from pytest_triton.repository.lookups import libraries_in, may_complete, named_files
from pytest_triton.repository.near_misses import (
    CONFIG_NAME,
    misnamed_config,
    misnamed_problem,
    misplaced_file,
    misplaced_model_file,
    not_a_model_fix,
    repositories_below,
    version_by_name,
)
from pytest_triton.repository.not_fetched import annexed, not_fetched
from pytest_triton.repository.pbtxt import walk
from pytest_triton.repository.reading import AS_IT_IS, Added, Reading
from pytest_triton.repository.schema import model_config_type
from pytest_triton.repository.template_values import check_values
from pytest_triton.repository.templates import templates_beside
from pytest_triton.text.paths import (
    is_circle,
    move,
    place_of,
    shown_path,
    url_of_copy,
    without_dots,
)
from pytest_triton.text.shown_text import printable

if TYPE_CHECKING:
    from pytest_triton.repository.schema import ModelConfig

__all__ = [
    "Model",
    "Repository",
    "RepositoryEmpty",
    "RepositoryError",
    "RepositoryNotFound",
    "RepositoryUnreadable",
    "read_repository",
]

VARIANTS_NAME = "configs"
LABELS_MISSING = "labels-missing"
NOT_A_MODEL = "not-a-model"

_NOT_VERSIONS = frozenset(("warmup", "initial_state", VARIANTS_NAME))
# C++ std::stoll: leading spaces, a sign, digits; the rest of the name doesn't count.
_LEADING_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
_INT64 = range(-(2**63), 2**63)


class RepositoryError(PytestTritonError):
    """A repository that can't be used at all."""

    exit_code = 2


class RepositoryNotFound(RepositoryError):
    """No such directory."""


class RepositoryUnreadable(RepositoryError):
    """The directory is there and can't be listed."""


class RepositoryEmpty(RepositoryError):
    """The directory holds no model."""


@dataclass(frozen=True)
class Model:
    """One model of a repository.

    `name` is its directory's name, `repository` the root as the user gave it, made absolute.
    `config` is what Triton's core would start from: parsed, with name, backend, platform and
    default_model_filename filled in as core does; if the file can't be read it holds no more than
    the name. `config_file` is None if there is no config.pbtxt. `versions` are the numbers that
    core takes for versions, ascending. `problems` come in Triton's order. `variants` are the
    names in `configs/` that `--model-config-name` can choose. `beside` are the names of the files
    in the model's directory. `assumed` are those that aren't there, if weights are elsewhere.
    """

    name: str
    directory: Path
    repository: Path
    config: ModelConfig
    config_file: ConfigFile | None
    versions: tuple[int, ...]
    problems: tuple[Diagnostic, ...] = ()
    variants: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    assumed: tuple[Added, ...] = ()
    _anchor: Path = field(default=Path(), repr=False, compare=False)
    _older_flaw: Diagnostic | None = field(default=None, repr=False, compare=False)

    def __repr__(self) -> str:
        what = self.backend or str(self.config.platform) or "no backend"
        problems = f", {len(self.problems)} problems" if self.problems else ""
        return f"<Model {self.name}: {what}{problems}, {self.directory}>"

    @property
    def backend(self) -> str:
        """The backend's name; "" for an ensemble, or where nothing names one."""
        return str(self.config.backend)

    @property
    def anchor(self) -> Path:
        """The file this model's tests belong to: config.pbtxt, else its model file, else it."""
        return self._anchor

    @property
    def readable(self) -> bool:
        """Whether `config` is known: there is no config.pbtxt, or it could be read."""
        return self.config_file is None or self.config_file.config is not None

    @property
    def refusal(self) -> Diagnostic | None:
        """The first problem for which Triton doesn't load the model, or None."""
        return next((one for one in self.problems if one.refuses), None)

    @property
    def has_invalid_config(self) -> bool:
        """Whether what config.pbtxt says is what it is refused for first."""
        file, refusal = self.config_file, self.refusal
        if file is None or file.config is None or refusal is None:
            return not self.readable
        return refusal.path == file.path and refusal.reason not in ("no-backend", "duplicate")

    @property
    def breaks_server(self) -> bool:
        """Whether Triton, given this model, can't serve the others either."""
        return any(one.effect is Effect.BREAKS_SERVER for one in self.problems)

    @cached_property
    def on_disk(self) -> OnDisk:
        """What placement has to know of the directory."""
        config, text = self.config, self.config_file.text if self.config_file is not None else ""
        newer: tuple[str, ...] = ()
        if names_newer_field(text):
            newer = written_fields(walk(text, model_config_type().DESCRIPTOR).positions)
        return OnDisk(
            self.name,
            self.versions,
            has_config=self.config_file is not None,
            named_files=with_assumed(
                named_files(self.directory, config), self.assumed, self.directory
            ),
            newer_fields=newer,
            older_flaw=self._older_flaw,
            libraries=self.libraries,
            may_complete=_is_complete(config)
            or may_complete(
                self.directory, self.versions, config.backend, config.default_model_filename
            ),
        )

    @property
    def assumed_names(self) -> tuple[str, ...]:
        """What is assumed, relative to the model's directory; versions end in "/"."""
        return tuple(
            sorted(
                os.path.relpath(one.path, self.directory) + "/" * one.is_directory
                for one in self.assumed
            )
        )

    @property
    def added(self) -> tuple[Added, ...]:
        """What a server is to see of the model besides what is on disk."""
        file = self.config_file
        if file is None or file.rendered is None:
            return self.assumed
        is_config = file.path.suffix == ".pbtxt"  # also of a variant, in configs/
        path = file.path if is_config else self.directory / CONFIG_NAME
        config = Added(path, file.text.encode("utf-8", "replace"))
        return (*self.assumed, config)

    @cached_property
    def libraries(self) -> frozenset[str]:
        """The shared libraries that the model brings for its backend."""
        beside = frozenset(name for name in self.beside if name.endswith(".so"))
        if self.backend in OFFICIAL_BACKENDS and not getattr(self.config, "runtime", ""):
            return beside  # a version's own library for one of Triton's backends would be odd
        return beside | libraries_in(self.directory, self.versions)

    @property
    def own_libraries(self) -> tuple[Path, ...]:
        """The files that Triton would load as the model's backend, or its batching strategy."""
        runtime = getattr(self.config, "runtime", "") or library_name(self.backend)
        wanted = {runtime, BATCH_LIBRARY} & self.libraries
        if not wanted:
            return ()
        places = (self.directory, *(self.directory / str(version) for version in self.versions))
        paths = (place / name for place in places for name in sorted(wanted))
        return tuple(path for path in paths if os.path.lexists(path))

    @cached_property
    def declared(self) -> Declared:
        """What `config` declares, for what is on disk."""
        return Declared.of(self.config, on_disk=self.on_disk)

    @cached_property
    def versions_to_load(self) -> tuple[int, ...]:
        """The versions that the version policy chooses, ascending."""
        return versions_to_load(self.config, self.versions)


@dataclass(frozen=True)
class Repository:
    """The models of one deployment: one directory, or several that one server gets.

    `models` are sorted by name; a name that stands in several directories is there several times,
    each with the problem that Triton makes of it. `problems` belong to no model. `reading` says how
    it was read.
    """

    paths: tuple[Path, ...]
    models: tuple[Model, ...]
    problems: tuple[Diagnostic, ...] = ()
    reading: Reading = AS_IT_IS

    @property
    def versions_to_load(self) -> Mapping[str, tuple[int, ...]]:
        """The versions of each model that would be loaded, by the model's name."""
        return {model.name: model.versions_to_load for model in self.models}

    def __repr__(self) -> str:
        return f"<Repository {':'.join(map(str, self.paths))}, {len(self.models)} models>"


@checked(paths=either(PATH, several(PATH, "a list of paths")), config_name=TEXT, completes=SWITCH)
def read_repository(
    paths: Path | str | Sequence[Path | str], *, config_name: str = "", completes: bool = True
) -> Repository:
    """Read the models of one deployment: a directory, or several.

    Broken models are problems, never exceptions. `config_name` is the variant of configs that the
    server prefers (--model-config-name); without `completes` it demands a config of each model
    (--disable-auto-complete-config).

    Raises RepositoryNotFound, RepositoryUnreadable or RepositoryEmpty if one of `paths` isn't a
    repository, and SchemaUnavailable if tritonclient can't be used.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else paths
    return read_as(paths, Reading(config_name=config_name, completes=completes))


def read_as(paths: Sequence[Path | str], reading: Reading = AS_IT_IS) -> Repository:
    """As `read_repository`, with all that a reading can say.

    Raises RepositoryNotFound, RepositoryUnreadable or RepositoryEmpty if one of `paths` isn't a
    repository, ValuesMissing if placeholders of templates have no value, and SchemaUnavailable if
    tritonclient can't be used.
    """
    roots = tuple(dict.fromkeys(without_dots(path) for path in paths))
    models: list[Model] = []
    problems: list[Diagnostic] = []
    for root in roots:
        names, found = _directories(root)
        problems += found
        here = [_read_model(root, name, reading) for name in names]
        if not any(_looks_like_model(model) for model in here):
            raise _no_model(root, here)
        models += here
    if reading.values is not None:
        check_values(models)
    models = _without_duplicates(models, roots)
    models.sort(key=lambda model: (model.name, str(model.repository)))
    return Repository(roots, tuple(models), tuple(problems), reading)


def check_directories(paths: Sequence[Path | str]) -> None:
    """Raise RepositoryNotFound or RepositoryUnreadable for one that no server could list."""
    for path in paths:
        _directories(without_dots(path))


# Repositories


def _directories(root: Path) -> tuple[list[str], list[Diagnostic]]:
    """The names of a repository's directories, and links that keep Triton from listing it."""
    names: list[str] = []
    problems: list[Diagnostic] = []
    try:
        with os.scandir(root) as entries:
            for entry in entries:
                kind = _is_directory(entry)
                if kind is None:
                    problems.append(_dangling(Path(entry.path), in_repository=True))
                elif kind:
                    names.append(entry.name)
    except FileNotFoundError as error:
        raise _not_found(root) from error
    except NotADirectoryError as error:
        raise _not_a_directory(root) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RepositoryNotFound(
                f"The model repository {shown_path(root)} is a link that leads in a circle",
                fix="Correct the link, or name another directory.",
            ) from error
        raise RepositoryUnreadable(
            f"The model repository {shown_path(root)} can't be listed: {error.strerror}",
            fix=f"Let the user who runs pytest read it: chmod -R a+rX {shown_path(root)}",
        ) from error
    return names, problems


def _is_directory(entry: os.DirEntry[str]) -> bool | None:
    """Whether an entry is a directory, or leads to one; None if it can't be looked at."""
    try:
        if not entry.is_symlink():
            return entry.is_dir()
        return os.path.isdir(entry.path) if entry.stat() else None
    except OSError:
        return None


def _dangling(path: Path, *, in_repository: bool = False) -> Diagnostic:
    fix = "Correct or remove the link. In a checkout: was its target fetched too?"
    try:
        target = f"is a link to {printable(os.readlink(path))}, which leads nowhere"
        if is_circle(path):
            target, fix = "is a link that leads in a circle", "Correct or remove the link."
    except OSError:
        target = "can't be looked at"
    loss = "the whole repository" if in_repository else "the model"
    if annexed(target):
        fix = f"git-annex keeps it: git annex get {shown_path(path)}"
    return Diagnostic(
        "model-file",  # as the server's log is read
        path=path,
        message=f"{target}; Triton refuses {loss} for it",
        fix=fix,
        effect=Effect.BREAKS_SERVER if in_repository else Effect.POLL_FAILED,
        triton=f"failed to stat file {place_of(path)}",
    )


def _not_found(root: Path) -> RepositoryNotFound:
    if os.path.islink(root):
        return RepositoryNotFound(
            f"The model repository {shown_path(root)} is a link to "
            f"{printable(os.readlink(root))}, which leads nowhere",
            fix="Correct the link, or name another directory.",
        )
    missing_from = not_fetched(root)
    if missing_from is not None:
        return RepositoryNotFound(
            f"There is no model repository {shown_path(root)}: it {missing_from.what}",
            fix=missing_from.fix,
        )
    parent = root.parent
    while not os.path.isdir(parent):
        parent = parent.parent
    beside = sorted(one.name for one in _entries(parent) if os.path.isdir(one))
    missing = root.relative_to(parent).parts[0]
    tried = [f"{shown_path(parent)} is there, and has no `{printable(missing)}`"]
    if beside:
        tried.append(f"its directories: {', '.join(printable(name) for name in beside[:10])}")
    return RepositoryNotFound(
        f"There is no model repository {shown_path(root)}",
        tried=tried,
        fix="Name the directory that holds your models' directories; relative paths count from "
        "where pytest was started.",
    )


def _entries(directory: Path) -> list[Path]:
    """What is in a directory, but for hidden entries; nothing if it can't be listed."""
    try:
        return [one for one in directory.iterdir() if not one.name.startswith(".")]
    except OSError:
        return []


def _names(directory: Path) -> list[str]:
    return [one.name for one in _entries(directory)]


def _not_a_directory(root: Path) -> RepositoryNotFound:
    fix = "Name the directory that holds your models' directories."
    if root.name == CONFIG_NAME:
        fix = f"Name the repository: {shown_path(root.parent.parent)}"
    return RepositoryNotFound(f"{shown_path(root)} is not a directory", fix=fix)


def _looks_like_model(model: Model) -> bool:
    if model.config_file is not None:
        return True
    # Numbers alone may be a model's versions, seen from one level too low.
    return bool(model.versions) and not _is_version_name(model.name)


def _is_version_name(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _no_model(root: Path, here: Sequence[Model]) -> RepositoryEmpty:
    shown = shown_path(root)
    if os.path.lexists(root / CONFIG_NAME) or (
        here and all(_is_version_name(model.name) for model in here)
    ):
        return RepositoryEmpty(
            f"{shown} is a model, not a model repository",
            tried=[f"its directories: {', '.join(printable(one.name) for one in here) or 'none'}"],
            fix=_parent_of(root),
        )
    if not here:
        missing = not_fetched(root)
        if missing is not None:
            return RepositoryEmpty(
                f"The model repository {shown} is empty: it {missing.what}", fix=missing.fix
            )
        pointers = [root / f"{name}{DVC}" for name in sorted(pulled(_names(root)))]
        if pointers:
            return RepositoryEmpty(
                f"The model repository {shown} holds pointers of DVC, and no model",
                fix=f"Fetch them: dvc pull {' '.join(map(shown_path, pointers))}"
                if not url_of_copy(str(root))
                else "Fetch what they stand for (dvc pull), and upload it",
            )
        return RepositoryEmpty(
            f"The model repository {shown} is empty",
            tried=["look for directories in it: there is none"],
            fix="A repository holds a directory for each model: <model>/config.pbtxt, <model>/1/",
        )
    names = ", ".join(printable(model.name) for model in here[:10])
    below = list(islice(repositories_below(root), 3))
    return RepositoryEmpty(
        f"{shown} holds no model",
        tried=[
            f"look for {CONFIG_NAME} or version directories (1, 2, ...) in: {names}"
            + (", ..." if len(here) > 10 else "")
        ],
        fix=f"Did you mean {' or '.join(shown_path(one) for one in below[:3])}?"
        if below
        else "Name the directory that holds <model>/config.pbtxt and <model>/1/.",
    )


def _parent_of(root: Path) -> str:
    """What to do about a model that was named as a repository."""
    url = url_of_copy(str(root))
    parent = url.rpartition("/")[0] if url else shown_path(root.parent)
    if parent.endswith("/"):  # the model is a whole bucket
        return "A repository holds a directory for each model: <model>/config.pbtxt, <model>/1/"
    return f"Did you mean its parent? {parent}"


def _without_duplicates(models: list[Model], roots: Sequence[Path]) -> list[Model]:
    """Models whose name stands in several of the directories get Triton's verdict on that."""
    if len(roots) == 1:
        return models
    homes: dict[str, list[Path]] = {}
    for model in models:
        homes.setdefault(model.name, []).append(model.repository)
    return [
        replace(model, problems=(_duplicate(model, homes[model.name]), *model.problems))
        if len(homes[model.name]) > 1
        else model
        for model in models
    ]


def _duplicate(model: Model, homes: Sequence[Path]) -> Diagnostic:
    others = ", ".join(shown_path(one) for one in homes if one != model.repository)
    return Diagnostic(
        "duplicate",
        path=model.anchor,
        message=f"a model `{printable(model.name)}` stands in {others} too; Triton loads neither",
        fix="Rename one, or name the repositories one by one, not joined by ':'.",
        effect=Effect.POLL_FAILED,
        triton=f"failed to poll model '{model.name}': not unique across all model repositories",
    )


# Models


@dataclass
class _Listing:
    """What stands in a model's directory."""

    directories: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    dangling: list[str] = field(default_factory=list)
    has_config: bool = False
    problems: list[Diagnostic] = field(default_factory=list)


def _read_model(root: Path, name: str, reading: Reading = AS_IT_IS) -> Model:
    path = os.path.join(root, name)
    directory = Path(path)
    listing = _list_model(path)
    assumed = _take_elsewhere(listing, directory) if reading.assumes_files else []
    config_file = _read_config(path, listing, reading)
    first = min(listing.directories, key=os.fsencode, default=None)
    content: frozenset[str] = frozenset()
    if first is not None and all(one.path != directory / first for one in assumed):
        content = _content(path, first, listing.problems)
    on_disk = content
    if reading.assumes_files and first is not None:
        names = frozenset(pulled(content)) - content
        assumed += [Added(directory / first / name) for name in sorted(names)]
        content |= names
    config = model_config_type()()
    problems: list[Diagnostic] = []
    older_flaw: Diagnostic | None = None
    core_name = _core_name(name)
    if config_file is not None and config_file.config is None:
        config.name = core_name
        problems += [config_file.problem] if config_file.problem else []
    else:
        if config_file is not None:
            config.CopyFrom(config_file.config)
        problems += listing.problems
        if config_file is None and not reading.completes:
            problems.append(_demanded(directory))
        if not any(one.effect is Effect.POLL_FAILED for one in problems):
            completion = complete(config, core_name, content)
            if completion.flaw is not None and not completion.flaw.lasting:
                older_flaw = completion.flaw
            problems += _polled(
                config, config_file, directory, core_name, completion, first, listing, content
            )
    versions, odd = _versions(listing.directories, directory)
    problems += odd
    if reading.assumes_files and config_file is not None:
        if versions or not _misplaced_version(directory, listing, config.default_model_filename):
            numbers = assumed_versions(config, versions)
            assumed += [Added(directory / str(each), is_directory=True) for each in numbers]
            versions = tuple(sorted({*versions, *numbers}))
        there = {one.path for one in assumed}
        if config_file.config is not None:
            assumed += [one for one in assumed_files(config, directory) if one.path not in there]
    known = config_file is None and problems  # what is no model needs no second reason
    no_version = None if known else version_flaw(config, core_name, versions)
    if no_version is not None:
        file = config.default_model_filename
        problems.append(_no_version(no_version, config_file, directory, listing, versions, file))
    problems = _with_misnamed(problems, config_file, directory, listing)
    problems += _odd_name(name, core_name, directory)
    if config_file is not None:
        problems += _missing_labels(config, config_file, directory, versions, assumed)
    problems += _circles(root, directory, listing.links)
    anchor = (
        config_file.path if config_file else _model_file(directory, first, on_disk) or directory
    )
    return Model(
        name=name,
        directory=directory,
        repository=root,
        config=config,
        config_file=config_file,
        versions=versions,
        problems=tuple(problems),
        variants=_variants(path) if VARIANTS_NAME in listing.directories else (),
        beside=tuple(sorted(listing.files)),
        assumed=tuple(assumed),
        _anchor=anchor,
        _older_flaw=older_flaw,
    )


def _demanded(directory: Path) -> Diagnostic:
    return Diagnostic(
        "config",
        path=directory,
        message="there is no config.pbtxt, and the server's arguments forbid to complete one "
        "(--disable-auto-complete-config)",
        fix="Write one, or leave that argument out.",
        triton=f"failed to open text file for read {place_of(directory / CONFIG_NAME)}: "
        "No such file or directory",
    )


def _read_config(path: str, listing: _Listing, reading: Reading) -> ConfigFile | None:
    """The variant that the server prefers, else config.pbtxt, or the template beside it where
    there are values; None if there is nothing."""
    variant = os.path.join(path, VARIANTS_NAME, f"{reading.config_name}.pbtxt")
    if reading.config_name and VARIANTS_NAME in listing.directories and os.path.lexists(variant):
        return read_config(variant, reading.values)
    if reading.values is not None:
        for name in templates_beside(listing.files, CONFIG_NAME):
            return read_config(os.path.join(path, name), reading.values)
    if not listing.has_config:
        return None
    return read_config(os.path.join(path, CONFIG_NAME), reading.values)


def _is_complete(config: ModelConfig) -> bool:
    """Whether a config leaves nothing about its inputs and outputs to the backend."""
    tensors = (*config.input, *config.output)
    return bool(
        len(config.input)
        and len(config.output)
        and all(one.data_type and len(one.dims) for one in tensors)
    )


def _with_misnamed(
    problems: list[Diagnostic], config_file: ConfigFile | None, directory: Path, listing: _Listing
) -> list[Diagnostic]:
    """A config by another name explains what is missing else."""
    if config_file is not None:
        return problems
    meant = misnamed_config(directory, listing.files, listing.directories)
    if not meant:
        return problems
    follows = [one for one in problems if one.refuses and one.triton]
    effect = follows[0].effect if follows else Effect.ACCEPTED
    problem = misnamed_problem(directory, meant, effect)
    if follows:
        problem = replace(problem, reason=follows[0].reason, triton=follows[0].triton)
    return [problem, *(one for one in problems if one not in follows)]


def _missing_labels(
    config: ModelConfig,
    config_file: ConfigFile,
    directory: Path,
    versions: Sequence[int],
    assumed: Sequence[Added],
) -> Iterator[Diagnostic]:
    there = {one.path for one in assumed}
    for number, output in enumerate(config.output):
        labels = directory / output.label_filename
        if output.label_filename and labels not in there and not os.path.isfile(labels):
            missing = Diagnostic(
                "model-file",
                f"Internal: failed to open text file for read {place_of(labels)}: "
                "No such file or directory",
                f"output[{number}].label_filename",
                f"there is no label file `{printable(output.label_filename)}` in the model's "
                "directory",
                misplaced_file(directory, versions, output.label_filename)
                or "Add the file, or leave label_filename out.",
                name=LABELS_MISSING,
                effect=Effect.LOAD_FAILED,
            )
            yield located(missing, config_file)


def _list_model(path: str) -> _Listing:
    listing = _Listing()
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                kind = _is_directory(entry)
                if entry.name == CONFIG_NAME:
                    listing.has_config = True
                if kind is None:
                    listing.dangling.append(entry.name)
                    listing.problems.append(_dangling(Path(entry.path)))
                elif kind:
                    listing.directories.append(entry.name)
                    if entry.is_symlink():
                        listing.links.append(entry.name)
                else:
                    listing.files.append(entry.name)
    except OSError as error:
        listing.problems.append(_closed(path, error))
    return listing


def _take_elsewhere(listing: _Listing, directory: Path) -> list[Added]:
    """Take what pointers and links to nowhere stand for as there."""
    there = {*listing.directories, *listing.files}
    names = [*listing.dangling, *(name for name in pulled(listing.files) if name not in there)]
    taken = [stand_in(directory, name) for name in names if not _is_needed(name)]
    for one in taken:
        (listing.directories if one.is_directory else listing.files).append(one.path.name)
    places = {one.path for one in taken}
    listing.problems = [one for one in listing.problems if one.path not in places]
    return taken


def _is_needed(name: str) -> bool:
    """Whether nothing can be said of a model without this file itself: its config, a library."""
    return name == CONFIG_NAME or name.endswith(".so")


def _closed(path: str, error: OSError) -> Diagnostic:
    return Diagnostic(
        "other",
        path=Path(path),
        message=f"can't be listed: {error.strerror}",
        fix=f"Let the user who runs the tests read it: chmod a+rx {shown_path(Path(path))}",
        triton=f"failed to open directory {place_of(path)}",
    )


def _content(path: str, first: str | None, problems: list[Diagnostic]) -> frozenset[str]:
    """What stands in the first subdirectory; directories end in "/", links to nowhere don't."""
    if first is None:
        return frozenset()
    first_path = os.path.join(path, first)
    try:
        with os.scandir(first_path) as entries:
            return frozenset(
                [entry.name + "/" if _is_directory(entry) else entry.name for entry in entries]
            )
    except OSError as error:
        problems.append(_closed(first_path, error))
        return frozenset()


def _core_name(name: str) -> str:
    """A directory's name as a message can hold it: bytes that aren't UTF-8 become U+FFFD."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return os.fsencode(name).decode("utf-8", "replace")
    return name


def _polled(
    config: ModelConfig,
    config_file: ConfigFile | None,
    directory: Path,
    name: str,
    completion: Completion,
    first: str | None,
    listing: _Listing,
    content: Collection[str],
) -> Iterator[Diagnostic]:
    """Complete `config` in place, and say what polling refuses about it in newer releases too."""
    config.name = completion.name
    config.backend = completion.backend
    config.platform = completion.platform
    config.default_model_filename = completion.default_model_filename
    if completion.flaw is not None and completion.flaw.lasting:
        yield _no_backend(completion.flaw, config_file, directory, first, listing)
        return
    backend, platform = config.backend, config.platform
    for flaw in poll_flaws(config, config.name, backend, platform, name, content):
        if flaw.lasting:
            yield _placed(flaw, config_file, directory, Effect.POLL_FAILED)


def _placed(
    flaw: Diagnostic, config_file: ConfigFile | None, directory: Path, effect: Effect
) -> Diagnostic:
    flaw = replace(flaw, effect=effect)
    if config_file is None:
        return replace(flaw, path=directory)
    return located(flaw, config_file)


def _not_a_model(
    directory: Path, listing: _Listing, effect: Effect, flaw: Diagnostic
) -> Diagnostic:
    message, fix = not_a_model_fix(directory, [*listing.directories, *listing.files])
    return replace(flaw, path=directory, message=message, fix=fix, effect=effect, name=NOT_A_MODEL)


def _no_backend(
    flaw: Diagnostic,
    config_file: ConfigFile | None,
    directory: Path,
    first: str | None,
    listing: _Listing,
) -> Diagnostic:
    if config_file is None and not any(name[:1].isdigit() for name in listing.directories):
        return _not_a_model(directory, listing, Effect.POLL_FAILED, flaw)
    if flaw.field and config_file is not None:  # what it is in spite of that
        return located(flaw, config_file)
    where = f"`{printable(first)}`" if first else "a version directory, and there is none"
    hint = "" if first is None or first[:1].isdigit() else " (the first subdirectory by name)"
    looked = f"Triton looked into {where}{hint} for: {', '.join(MODEL_FILES)}."
    path = config_file.path if config_file else directory
    return replace(flaw, path=path, fix=f"{flaw.fix} {looked}")


def _versions(names: Sequence[str], directory: Path) -> tuple[tuple[int, ...], list[Diagnostic]]:
    versions: set[int] = set()
    problems: list[Diagnostic] = []
    for name in names:
        if name in _NOT_VERSIONS or (len(name) > 1 and name[0] == "0"):
            continue
        number = _LEADING_NUMBER.match(name)
        if number is None:
            continue
        value = int(number[1])
        if value not in _INT64:
            problems.append(
                Diagnostic(
                    "other",
                    path=directory / name,
                    message="is a version number beyond 64 bits; Triton crashes on it",
                    fix="Rename or remove the directory.",
                    effect=Effect.BREAKS_SERVER,
                )
            )
            continue
        versions.add(value)
        if str(value) != name and str(value) not in names:
            problems.append(
                Diagnostic(
                    path=directory / name,
                    message=f"counts as version {value}, whose files Triton then looks for in "
                    f"`{value}`, which isn't there",
                    fix=f"Rename the directory to {value}, or to a name without a number first.",
                    effect=Effect.ACCEPTED,
                )
            )
    return tuple(sorted(versions)), problems


def _no_version(
    flaw: Diagnostic,
    config_file: ConfigFile | None,
    directory: Path,
    listing: _Listing,
    versions: Sequence[int],
    wanted: str,
) -> Diagnostic:
    if config_file is None:  # a hidden directory, `.git`, names backend `git` and gets this far
        return _not_a_model(directory, listing, Effect.LOAD_FAILED, flaw)
    if versions:
        return _placed(flaw, config_file, directory, Effect.LOAD_FAILED)
    taken = min((name for name in listing.dangling if name.isdigit()), default="")
    if taken:
        link = _dangling(directory / taken)
        message = f"has no version directory: `{taken}` {link.message.partition(';')[0]}"
        return replace(
            flaw, path=directory, message=message, fix=link.fix, effect=Effect.LOAD_FAILED
        )
    fix = _misplaced_version(directory, listing, wanted)
    missing = None
    if not fix:
        pointers = sorted(name for name in pulled(listing.files) if name.isdigit())
        missing = not_fetched(directory / next(iter(pointers), "1"))
    if missing is not None:
        message = f"has no version directory: it {missing.what}"
        return replace(
            flaw, path=directory, message=message, fix=missing.fix, effect=Effect.LOAD_FAILED
        )
    taken = min((name for name in listing.files if name.isdigit()), default="")
    if taken:
        place = f"{shown_path(directory)}/{taken}"
        message = f"has no version directory: `{taken}` is a file"
        fix = "Move the file away, and "
        fix += "upload a version" if "://" in place else f"make a directory: mkdir {place}"
        return replace(flaw, path=directory, message=message, fix=fix, effect=Effect.LOAD_FAILED)
    if not fix:
        here = shown_path(directory)
        fix = f"Make one: mkdir {here}/1 (git keeps no empty directories: put a "
        fix += ".gitkeep into it)."
        if "://" in here:
            fix = f"Upload the model's files to {here}/1/"
    message = "has no version directory"
    return replace(flaw, path=directory, message=message, fix=fix, effect=Effect.LOAD_FAILED)


def _misplaced_version(directory: Path, listing: _Listing, wanted: str) -> str:
    """What to do about a version directory or a model's file that has the wrong place; or ""."""
    zeros = sorted(name for name in listing.directories if re.fullmatch("0[0-9]+", name))
    named = sorted(name for name in listing.directories if re.fullmatch("[vV][0-9]+", name))
    if zeros:
        number = zeros[0].lstrip("0") or "0"
        return f"`{zeros[0]}` is ignored for its leading zero: rename it to {number}."
    if named:
        return f"`{named[0]}` is not a number: rename it to {named[0][1:].lstrip('0') or '0'}."
    file = misplaced_model_file([*listing.files, *listing.directories], wanted)
    here = shown_path(directory)
    if not file:
        version = version_by_name(directory, listing.directories, wanted)
        command = move(f"{here}/{version}", f"{here}/1")
        return version and f"`{version}` is not a number: {command}"
    command = move(f"{here}/{file}", f"{here}/1/")
    if "://" not in here:
        command = f"mkdir {here}/1 && {command}"
    return f"`{file}` stands beside config.pbtxt: {command}"


def _odd_name(name: str, core_name: str, directory: Path) -> list[Diagnostic]:
    if name == core_name:
        return []
    return [
        Diagnostic(
            "other",
            path=directory,
            message="the directory's name is not UTF-8; Triton's index, with this name in it, "
            "can't be read by any client",
            fix="Rename the directory.",
            effect=Effect.BREAKS_SERVER,
        )
    ]


def _circles(root: Path, directory: Path, links: Sequence[str]) -> Iterator[Diagnostic]:
    """Links back to the model or above it. Triton follows every link to find the newest file:
    one circle costs it 40 rounds, two cost it 2 to the 40th.
    """
    if not links:
        return
    real_directory, real_root = os.path.realpath(directory), os.path.realpath(root)
    back = [name for name in links if _is_within(real_directory, directory / name)]
    for name in back:
        endless = len(back) > 1 or _is_within(real_root, directory / name)
        yield Diagnostic(
            "other" if endless else "",
            path=directory / name,
            message="is a link back to the directory it stands in, or above",
            fix="Remove the link: Triton follows it in circles"
            + (", and with several of them it never ends." if endless else ", 40 times."),
            effect=Effect.BREAKS_SERVER if endless else Effect.ACCEPTED,
        )


def _is_within(path: str, link: Path) -> bool:
    target = os.path.realpath(link)
    return path == target or path.startswith(target.rstrip(os.sep) + os.sep)


def _model_file(directory: Path, first: str | None, content: frozenset[str]) -> Path | None:
    """The model's file in the first version directory, if it has a name that core knows."""
    if first is None or not content:
        return None
    names = (name for name in MODEL_FILES if name in content or name + "/" in content)
    return next((directory / first / name for name in names), None)


def _variants(path: str) -> tuple[str, ...]:
    try:
        names = os.listdir(os.path.join(path, VARIANTS_NAME))
    except OSError:
        return ()
    return tuple(
        sorted(name[:-6] for name in names if name.endswith(".pbtxt") and name != ".pbtxt")
    )
