"""The packages the corpus is cut from: what `corpus.toml` lists, fetched into a cache and read as data.

Archives are never unpacked to disk and nothing in them is run: wheels, not sdists, because `pip download` of
an sdist executes its `setup.py`.
"""

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

LICENCES = frozenset(
    {
        "MIT", "MIT-0", "0BSD", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0",
        "Apache-2.0 OR MIT", "MIT OR Apache-2.0", "Apache-2.0 OR BSD-3-Clause", "Apache-2.0 OR BSD-2-Clause",
        "MIT AND PSF-2.0", "MIT AND BSD-3-Clause", "BSD-3-Clause AND Apache-2.0", "Apache-2.0 AND MIT",
    }
)  # fmt: skip
SPLITS = ("val", "exercises", "train")
"""Packages held out whole; those that teach algorithms, whose definitions that stand alone are used; and all others."""
DEFAULT_CAP_BYTES = 3_000_000
MAX_MEMBER_BYTES = 3_000_000


class UnsafeArchive(ValueError):
    """An archive holds a member whose name leads out of the archive."""


@dataclass(frozen=True)
class Source:
    """One package of `corpus.toml`: `registry` is pypi, npm or stdlib; `split` is one of `SPLITS`.

    `cap_bytes` bounds each language of the source by itself.
    """

    registry: str
    name: str
    version: str
    licence: str
    split: str = "train"
    cap_bytes: int = DEFAULT_CAP_BYTES

    @property
    def slug(self) -> str:
        """A folder name of its own for this source in the cache."""
        return f"{self.registry}/{self.name.replace('/', '__')}-{self.version}"


def read_sources(path: Path) -> list[Source]:
    """The sources listed in `path`. Raises ValueError for an unknown licence, registry or split."""
    sources = [Source(**entry) for entry in tomllib.loads(path.read_text(encoding="utf-8"))["source"]]
    for source in sources:
        if source.licence not in LICENCES:
            raise ValueError(f"{source.name}: licence {source.licence!r} is not one of {sorted(LICENCES)}")
        if source.registry not in ("pypi", "npm", "stdlib") or source.split not in SPLITS:
            raise ValueError(f"{source.name}: unknown registry {source.registry!r} or split {source.split!r}")
    return sources


def fetch(source: Source, cache: Path) -> Path:
    """The wheel, npm tarball or library folder of `source`; downloads it when `cache` does not have it."""
    if source.registry == "stdlib":
        return stdlib_folder(source.version)
    folder = cache / source.slug
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        download = download_wheel if source.registry == "pypi" else download_npm
        download(source, folder)
    return next(folder.iterdir())


def download_wheel(source: Source, folder: Path) -> None:
    """Put the wheel of `source` into `folder`. Raises CalledProcessError when the registry has none."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--python-version", "3.12", "--dest", str(folder), f"{source.name}=={source.version}"]
    subprocess.run(command, check=True)


def download_npm(source: Source, folder: Path) -> None:
    """Put the tarball of `source` into `folder`; `npm pack` runs none of a registry package's scripts."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder)]
    command += [f"{source.name}@{source.version}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def stdlib_folder(version: str) -> Path:
    """The standard library of the `version` interpreter ("3.12.1") on this machine."""
    minor = version.rsplit(".", 1)[0]
    script = "import platform, sysconfig; print(platform.python_version(), sysconfig.get_path('stdlib'))"
    # Where pyenv manages the interpreters, `python3.12` is a shim that answers only when told which one.
    environment = {**os.environ, "PYENV_VERSION": version}
    command = [f"python{minor}", "-c", script]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found, folder = answer.stdout.strip().split(" ", 1)
    if found != version:
        raise ValueError(f"the standard library of Python {version} is wanted, python{minor} is {found}")
    return Path(folder)


def read_members(archive: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """(name, content) of each regular file in `archive` with one of `suffixes`; no links, nothing huge.

    Raises UnsafeArchive for a name that is absolute or climbs out with "..".
    """
    if archive.is_dir():
        yield from read_folder(archive, suffixes)
    elif zipfile.is_zipfile(archive):
        yield from read_zip(archive, suffixes)
    else:
        yield from read_tar(archive, suffixes)


def read_folder(folder: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The files of an installed library, by name; what pip put beside the library is not part of it."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.endswith(suffixes) and not name.startswith("site-packages/") and path.is_file():
            yield name, path.read_bytes()


def read_zip(archive: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The wanted members of a zip file; `archive` stays closed to everything outside itself."""
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            refuse_unsafe(info.filename)
            if info.filename.endswith(suffixes) and info.file_size <= MAX_MEMBER_BYTES:
                yield info.filename, opened.read(info)


def read_tar(archive: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    """The wanted regular members of a tar file, compressed or not."""
    with tarfile.open(archive) as opened:
        for member in opened:
            refuse_unsafe(member.name)
            if member.isfile() and member.name.endswith(suffixes) and member.size <= MAX_MEMBER_BYTES:
                content = opened.extractfile(member)
                assert content is not None, "a regular member has content"
                yield member.name, content.read()


def refuse_unsafe(name: str) -> None:
    """Raise UnsafeArchive unless `name` stays inside the archive it stands in."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise UnsafeArchive(f"archive member {name!r} leads out of the archive")
