"""Packages import downward only: what stands lower knows nothing of what stands higher."""

import ast
from pathlib import Path

import spillover

ROOT = Path(spillover.__file__).parent
LAYERS = (
    {"cli"},
    {"experiments"},
    {"scan", "audit"},
    {"runs", "reports", "analysis"},
    {"training", "evals"},
    {"judges"},
    {"environments", "defences"},
    {"models", "worlds"},
    {"data"},
    {"core"},
)


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("spillover."):
            names.add(node.module.split(".")[1])
    return names & {package for layer in LAYERS for package in layer}


def test_imports_run_downward():
    height = {package: len(LAYERS) - number for number, layer in enumerate(LAYERS) for package in layer}
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for package in height
        for path in sorted((ROOT / package).rglob("*.py"))
        for other in imported(path)
        if other != package and height[other] >= height[package]
    ]
    assert wrong == []
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()} == set(height)
