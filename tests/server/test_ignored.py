"""`midfill.server.ignored`: files of a real repository, links, and files that change while the server runs."""

import os
import subprocess
from pathlib import Path

import pytest

from midfill.server.ignored import FRESH_S, Ignored

ENVIRONMENT = {
    **os.environ,
    **dict.fromkeys(("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"), os.devnull),
    **dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "a@b"),
}


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A repository with links resolved, so that a test's paths are the only names of its files."""
    repository = tmp_path.resolve() / "repository"
    git(tmp_path, "init", "-q", str(repository))
    return repository


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_an_ordinary_file_is_not_ignored(top: Path) -> None:
    assert Ignored([top], []).reason(write(top / "src" / "main.py")) is None


def test_the_reason_names_the_file_and_the_line(top: Path) -> None:
    rules = write(top / ".gitignore", "*.log\nbuild/\n")
    assert Ignored([top], []).reason(write(top / "build" / "x.py")) == f"ignored by {rules}: build/"


def test_nested_files_decide_for_their_folder(top: Path) -> None:
    write(top / ".gitignore", "*.gen.py")
    write(top / "keep" / ".gitignore", "!*.gen.py")
    ignored = Ignored([top], [])
    assert ignored.reason(top / "a.gen.py")
    assert ignored.reason(top / "keep" / "a.gen.py") is None


def test_a_root_below_the_repositorys_top_heeds_the_rules_above_it(top: Path) -> None:
    write(top / ".gitignore", "*.gen.py")
    assert Ignored([top / "package"], []).reason(top / "package" / "a.gen.py")


def test_the_innermost_repository_decides(top: Path) -> None:
    write(top / ".gitignore", "inner/")
    git(top, "init", "-q", "inner")
    assert Ignored([top], []).reason(top / "inner" / "a.py") is None


def test_a_workspace_without_git_heeds_its_gitignore(tmp_path: Path) -> None:
    write(tmp_path / ".gitignore", "*.log")
    write(tmp_path / "a" / ".gitignore", "b.py")
    ignored = Ignored([tmp_path], [])
    assert [bool(ignored.reason(tmp_path / name)) for name in ("x.log", "a/b.py", "b.py")] == [True, True, False]


@pytest.mark.parametrize("kind", ["repository", "worktree", "submodule"])
def test_info_exclude_is_heeded(top: Path, kind: str) -> None:
    git(top, "commit", "-q", "--allow-empty", "-m", "x")
    place = top
    if kind == "worktree":
        git(top, "worktree", "add", "-q", "../other")
        place = top.parent / "other"
    elif kind == "submodule":
        git(top, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", f"file://{top}", "part")
        place = top / "part"
    shared = Path(git(place, "rev-parse", "--path-format=absolute", "--git-path", "info/exclude").strip())
    write(shared, "private.py\n")
    assert git(place, "check-ignore", "--no-index", "private.py")
    assert Ignored([place], []).reason(place / "private.py")


def test_secrets_are_ignored_anywhere(top: Path, tmp_path: Path) -> None:
    write(top / ".gitignore", "!.env")
    ignored = Ignored([top], ["!*"])
    assert ignored.reason(top / ".env") == "its name is a secret's: .env"
    assert ignored.reason(tmp_path / "elsewhere" / "server.key") == "its name is a secret's: *.key"


def test_a_link_to_a_secret_is_one(top: Path) -> None:
    secret = write(top.parent / "home" / ".env")
    link = top / "notes.txt"
    link.symlink_to(secret)
    (top / "linked").symlink_to(secret.parent)
    assert Ignored([top], []).reason(link)
    assert Ignored([top], []).reason(top / "linked" / ".env")


def test_a_link_to_an_ignored_file_is_ignored(top: Path) -> None:
    write(top / ".gitignore", "build/")
    link = top / "a.py"
    link.symlink_to(write(top / "build" / "a.py"))
    assert Ignored([top], []).reason(link)


def test_a_root_that_is_a_link_is_the_same_root(top: Path) -> None:
    write(top / ".gitignore", "build/")
    link = top.parent / "link"
    link.symlink_to(top)
    ignored = Ignored([link], ["/private/"])
    for root in (link, top):
        assert ignored.reason(root / "private" / "a.py")
        assert ignored.reason(root / "build" / "a.py")
        assert ignored.reason(root / "a.py") is None


def test_the_users_patterns_are_excluded_with_gits_meaning(top: Path, tmp_path: Path) -> None:
    ignored = Ignored([top], ["*.md", "!README.md", "/vendor/"])
    assert ignored.reason(top / "notes.md") == "ignored by your settings: *.md"
    assert ignored.reason(top / "README.md") is None
    assert ignored.reason(top / "vendor" / "x.py")
    assert ignored.reason(top / "src" / "vendor" / "x.py") is None
    assert ignored.reason(tmp_path / "elsewhere" / "notes.md")


def test_a_bad_pattern_does_not_undo_the_others(top: Path) -> None:
    assert Ignored([top], ["!", "[z-a]", "foo\\", "*.md"]).reason(top / "notes.md")


def test_a_changed_gitignore_is_seen_once_the_answer_is_old(top: Path, clock: Clock) -> None:
    ignored = Ignored([top], [], clock)
    assert ignored.reason(top / "a.py") is None
    rules = write(top / ".gitignore", "a.py")
    assert ignored.reason(top / "a.py") is None
    clock.now_s += FRESH_S
    assert ignored.reason(top / "a.py")
    rules.unlink()
    clock.now_s += FRESH_S
    assert ignored.reason(top / "a.py") is None


def test_an_unchanged_gitignore_is_parsed_once(top: Path, clock: Clock) -> None:
    rules = write(top / ".gitignore", "a.py")
    ignored = Ignored([top], [], clock)
    assert ignored.reason(top / "a.py")
    stat = rules.stat()
    rules.write_text("b.py")  # as long, in the same file
    os.utime(rules, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    clock.now_s += FRESH_S
    assert ignored.reason(top / "a.py")


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa.py\n", b"a.py\r\nb.py\r\n", b"\xff\xfe\na.py", b"\x00\na.py"])
def test_a_gitignore_of_strange_bytes_is_read(top: Path, content: bytes) -> None:
    (top / ".gitignore").write_bytes(content)
    assert Ignored([top], []).reason(top / "a.py")


def test_what_cannot_be_read_ignores_nothing(top: Path) -> None:
    (top / ".gitignore").mkdir()
    loop = top / "loop"
    loop.symlink_to(loop)
    ignored = Ignored([top], [])
    assert ignored.reason(top / "a.py") is None
    assert ignored.reason(loop / "a.py") is None
    for strange in ("null\0byte", "long" * 5000):
        assert ignored.reason(top / strange / "a.py") is None
    assert ignored.reason(Path("/")) is None
