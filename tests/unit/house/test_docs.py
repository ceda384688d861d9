# SPDX-License-Identifier: Apache-2.0
"""The documents are correct: links and paths exist, examples run, words are those of the glossary."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from slabtrace.analysis.rules import checks, suppressions
from tests.places import ROOT

FINDINGS = (ROOT / "docs" / "findings.md").read_text()

NOT_OURS = {"build", "dist", "node_modules"}  # folders that tools make; hidden folders are skipped as well
FILES = [
    path.relative_to(ROOT)
    for path in sorted(ROOT.rglob("*"))
    if path.is_file() and not any(p.startswith(".") or p in NOT_OURS for p in path.relative_to(ROOT).parts)
]
PAGES = [path for path in FILES if path.suffix == ".md"]

# A file name, with or without folders, such as `pairing/pairer.py` or `ring.h`; not a pattern such as *.md.
NAMED = re.compile(r"(?<![\w./*<{:-])[A-Za-z_][\w./-]*\.(?:py|md|sh|c|h)\b(?![\w/(])")
ELSEWHERE = ("mm/", "fs/", "ipc/", "include/", "kernel/", "libbpf-tools/")  # the kernel, other projects

BANNED = ("by lot", "drawn by", "told", "tells? of", "goes by", "says nothing of", "in good order")
THE_LIST = Path("tests/unit/house/test_docs.py")
MAY_NAME_THEM = {Path("CHANGELOG.md"), Path("docs/glossary.md"), THE_LIST}  # past entries; the lists

# Folders of code without banned words, whose docstrings name no file that does not exist.
CLEAN = (
    "benchmarks",
    "bpf",
    "fixtures",
    "reports",
    "slabtrace",
    "tests",
    "tools",
    "hatch_build.py",
    "Makefile",
)
CODE = (".py", ".c", ".h", ".bt", ".sh", ".js", ".css", ".html", ".toml", "")  # no suffix: tools/, Makefile

MOST_LINES_OF_THE_MAP = 250


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", FINDINGS, re.M | re.S)


def prose(markdown: str) -> str:
    """A page without its code blocks."""
    return re.sub(r"^```.*?^```$", "", markdown, flags=re.M | re.S)


def anchors(markdown: str) -> set[str]:
    """The anchors of a page's headings, as GitHub names them."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    for heading in re.findall(r"^#+ (.+)$", prose(markdown), re.M):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken_links(page: Path, markdown: str) -> list[str]:
    """The relative links of a page whose file, or whose heading in that file, does not exist."""
    text, broken = re.sub(r"`[^`\n]*`", "", prose(markdown)), []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (ROOT / page.parent / file).resolve() if file else ROOT / page
        if not target.exists():
            broken.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target.read_text()):
            broken.append(f"{link}: no such heading")
    return broken


@cache
def endings() -> frozenset[str]:
    """All ends of paths in the repository: a file may be named by any of them."""
    paths = (path.parts for path in FILES)
    return frozenset("/".join(parts[at:]) for parts in paths for at in range(len(parts)))


def missing_files(text: str) -> list[str]:
    """The files named in `text` that the repository does not have; NAME.c stands for any name."""
    found = (name.removeprefix("./").removeprefix("../") for name in NAMED.findall(text))
    ours = (name for name in found if not name.startswith(ELSEWHERE) and "NAME" not in name)
    return [name for name in ours if name not in endings()]


def docstrings(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


def banned(text: str) -> list[str]:
    """The banned words in `text`, also if a line break or a comment sign is between them."""
    flat = re.sub(r"\s*\n[ \t]*(?:[#*/]+[ \t]*)?", " ", text).lower()
    return [found[0] for words in BANNED if (found := re.search(rf"\b{words}\b", flat))]


def sources(*suffixes: str) -> list[Path]:
    """Files in the CLEAN folders with one of these suffixes; not the pages that were made by slabtrace."""
    ours = [path for path in FILES if path.suffix in suffixes and path.parent != Path("reports/gallery")]
    return [path for path in ours if any(path.is_relative_to(place) for place in CLEAN)]


def test_the_python_example_prints_the_output_that_the_page_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    (program,), (shown,) = blocks("python"), blocks("text")
    exec(compile(program, "docs/findings.md", "exec"), {})
    assert capsys.readouterr().out == shown


def test_the_rules_in_the_page_are_valid() -> None:
    (rules,) = (tomllib.loads(block) for block in blocks("toml"))
    assert checks.parse(rules["check"], "docs").max_growth == (1 << 20) / 60
    assert len(suppressions.parse(rules["suppress"], "docs").rules) == 1


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_link_is_valid(page: Path) -> None:
    assert broken_links(page, (ROOT / page).read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    if page != Path("CHANGELOG.md"):  # past entries name files that no longer exist
        assert missing_files((ROOT / page).read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_pages_use_the_words_of_the_glossary(page: Path) -> None:
    assert page in MAY_NAME_THEM or banned((ROOT / page).read_text()) == []


@pytest.mark.parametrize("source", sources(".py"), ids=str)
def test_every_file_that_a_docstring_names_exists(source: Path) -> None:
    assert [name for text in docstrings((ROOT / source).read_text()) for name in missing_files(text)] == []


@pytest.mark.parametrize("source", sources(*CODE), ids=str)
def test_code_uses_the_words_of_the_glossary(source: Path) -> None:
    assert source in MAY_NAME_THEM or banned((ROOT / source).read_text()) == []


def test_every_clean_folder_exists() -> None:
    assert [place for place in CLEAN if not (ROOT / place).exists()] == []


def test_the_architecture_page_is_short_and_has_every_package() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert len(text.splitlines()) <= MOST_LINES_OF_THE_MAP
    modules = [path for path in FILES if path.name == "__init__.py" and path.parts[0] == "slabtrace"]
    packages = [path.parts[-2] for path in modules if len(path.parts) > 2]
    assert [name for name in packages if not re.search(rf"^ +{name}/ ", text, re.M)] == []


def test_broken_links_missing_files_and_banned_words_are_found() -> None:
    page = Path("docs/findings.md")
    assert broken_links(page, "[a](nowhere.md) [b](../README.md#no-such) [c](https://x.y/z.md)") == [
        "nowhere.md: no such file",
        "../README.md#no-such: no such heading",
    ]
    assert missing_files("see pairing/pairer.py, ring.h, mm/slub.c, *.py and pairing/gone.py") == [
        "pairing/gone.py"
    ]
    assert banned("# chosen by\n# lot, and unfold offers") == ["by lot"]
