"""What the pages say is there is there."""

import doctest
import re
import subprocess

import pytest
import yaml

from signalkit import ROOT, cli, params
from signalkit.features import CATALOG
from signalkit.features.catalog import KINDS

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    missing = [x for x in links if "://" not in x and not (page.parent / x).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_folders_named_in_a_page_exist(page):
    folders = "docs|tests|benchmarks|signalkit|params|tools"
    names = re.findall(rf"`((?:{folders})/[\w./]+)`", page.read_text())
    made_up = {"params/yours.yaml", "params/coins.yaml"}
    assert [n for n in names if n not in made_up and not (ROOT / n).exists()] == []


def test_make_targets_and_commands_of_the_readme_exist():
    targets = set(re.findall(r"`make (\w+)", README))
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert targets <= set(re.findall(r"make (\w+)", told.stdout))
    verbs = set(
        re.findall(r"signalkit (run|verify|doctor|collect|train|models|backtest)\b", README)
    )
    assert verbs <= set(cli.main.commands)


def test_params_example_of_the_readme_is_what_the_schema_takes():
    (example,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    asked = params.parse(yaml.safe_load(example))
    assert asked.collection.source == "files"
    assert asked.study_name == "coins"


def test_python_example_of_the_readme_gives_what_it_says():
    (example,) = re.findall(r"```pycon\n(.*?)```", README, re.DOTALL)
    test = doctest.DocTestParser().get_doctest(example, {}, "README", "README.md", 0)
    said = []
    done = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert done.attempted == 10
    assert done.failed == 0, "".join(said)


def test_changelog_counts_the_catalogue_right():
    text = (ROOT / "CHANGELOG.md").read_text()
    counted = re.search(r"features: (\d+) features of (\w+) families", text)
    families = {feature.family for feature in CATALOG.values()}
    assert int(counted[1]) == len(CATALOG)
    assert {"seven": 7, "eight": 8}[counted[2]] == len(families)


def test_page_of_features_has_every_kind_as_it_is():
    text = (ROOT / "docs" / "features.md").read_text()
    told = re.findall(r"^\| (\w+) \| `(\w+)` \| ([\d_, ]*) \| ([^|]+) \|", text, re.MULTILINE)
    there = {
        (kind.family, name, ", ".join("_".join(map(str, w)) for w in kind.windows), kind.unit)
        for name, kind in KINDS.items()
    }
    assert {tuple(part.strip() for part in row) for row in told} == there
    assert f"catalogue of {len(CATALOG)} features" in README


@pytest.mark.parametrize("file", sorted((ROOT / "params").glob("*.yaml")), ids=lambda p: p.stem)
def test_params_file_is_one_study_with_a_question(file):
    assert params.read(file).study_name == file.stem
    assert params.question(file).split("?")[0]
