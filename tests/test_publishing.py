"""What is published about the package: its metadata, and the files that say which tools check a commit."""

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[1]
PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
INSTALLED: Final = metadata("hpp-async")
AGAIN: Final = "install the checkout again: pyproject.toml has changed since"
LINK: Final = re.compile(r"\]\(([^)]+)\)")


def test_every_link_of_the_long_description_is_absolute() -> None:
    links = LINK.findall(INSTALLED["Description"])

    assert any(link.endswith("/docs/index.md") for link in links), AGAIN
    assert [link for link in links if not link.startswith("https://")] == []


def test_every_link_to_the_project_begins_with_its_home() -> None:
    home = PROJECT["project"]["urls"]["Homepage"]
    urls = [text.partition(", ")[2] for text in INSTALLED.get_all("Project-URL", [])]
    readme = LINK.findall((ROOT / "README.md").read_text("utf-8"))
    links = [link for link in LINK.findall(INSTALLED["Description"]) if link not in readme]

    assert urls == list(PROJECT["project"]["urls"].values()), AGAIN
    assert [url for url in [*urls, *links] if not url.startswith(home)] == []


def test_a_commit_is_checked_by_the_tools_of_the_session_lint() -> None:
    [hooks] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    required = {requirement for hook in hooks["hooks"] for requirement in hook["additional_dependencies"]}

    assert sorted(required) == PROJECT["dependency-groups"]["lint"]
