"""What DEPLOYMENT.md shows can be used as it stands."""

import re
from pathlib import Path

import pytest
import yaml

from deploy.cli import COMMANDS
from tests.deploy.helm.engine import CHART, Refused, helm, one, render

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "DEPLOYMENT.md", CHART / "README.md"]
PAGE = PAGES[0].read_text()


def test_the_commands_it_names_exist() -> None:
    """Nobody is sent to a command of the program that is not there."""
    named = set(re.findall(r"(?:-- |`|\./)broadcast ([a-z-]+)", PAGE))
    assert named
    assert named <= set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Files are there, and so are the headings within them."""
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([a-z-]+))?\)", page.read_text()):
        if "://" in target:
            continue
        file = page.parent / target if target else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {heading.lower().replace(" ", "-") for heading in headings}, anchor


def test_the_values_it_shows_are_values() -> None:
    """The example renders, and so does every `--set`."""
    (values,) = (
        each for each in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if each.startswith("config:")
    )
    objects = render(yaml.safe_load(values), name="broadcast-cluster")
    assert (
        one(objects, "Deployment", "broadcast-cluster")["spec"]["template"]["spec"][
            "terminationGracePeriodSeconds"
        ]
        == 130
    )
    for path, value in re.findall(r"--set ([a-zA-Z.]+)=(\S+)", PAGE):
        nested: object = yaml.safe_load(value)
        for key in reversed(path.split(".")):
            nested = {key: nested}
        assert isinstance(nested, dict)
        render(nested)


@pytest.mark.parametrize(
    "path",
    sorted(set(re.findall(r"`((?:nodes|nats|config|secret|monitoring|ingress|gateway)\.[\w.]+)", PAGE))),
)
def test_the_values_it_names_exist(path: str) -> None:
    """A value that is named is one that the schema knows: another type is refused, not the name."""
    nested: object = ["of", "no", "type"]
    for key in reversed(path.split(".")):
        nested = {key: nested}
    assert isinstance(nested, dict)
    with pytest.raises(Refused) as refused:
        render(nested)
    assert "additional properties" not in str(refused.value)


def test_the_deployments_it_names_are_made() -> None:
    """`kubectl exec deploy/NAME` finds what an installation as shown makes."""
    made = {o["metadata"]["name"] for o in render(name="broadcast-cluster") if o["kind"] == "Deployment"}
    assert set(re.findall(r"deploy(?:ment)?/(broadcast-[a-z-]+)(?= |$)", PAGE, re.MULTILINE)) == made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_helm_knows_the_options_it_is_given(page: Path) -> None:
    """Those of the commands; and no upgrade keeps the defaults of an older chart."""
    for command, rest in re.findall(r"^helm ([a-z]+) (.*)$", page.read_text(), re.MULTILINE):
        known = helm(command, "--help")
        assert all(f"{option} " in known for option in re.findall(r"--[a-z-]+", rest)), rest
        assert command != "upgrade" or "--reset-then-reuse-values" in rest
