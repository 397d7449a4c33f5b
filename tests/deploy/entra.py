"""deploy/entra: the shell scripts by ShellCheck, the PowerShell by a parser (it is not run). Nothing here looks at the
Terraform files."""

import pathlib
import subprocess

import tree_sitter
import tree_sitter_powershell

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/entra"
POWERSHELL = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))


def of_shell(name, text, folder=FOLDER):
    """The text comes by standard input; what it sources is looked for in `folder`."""
    command = ["shellcheck", "--shell=bash", "--external-sources", f"--source-path={folder}", "--format=gcc", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=ROOT)
    return [f"{name}: {line}" for line in (done.stdout + done.stderr).splitlines()]


def of_powershell(name, text):
    def wrong(node):
        if node.is_error or node.is_missing:
            yield node
        elif node.has_error:
            for child in node.children:
                yield from wrong(child)

    root = POWERSHELL.parse(text.encode()).root_node
    return [f"{name}:{node.start_point[0] + 1}: it is not PowerShell from here on" for node in wrong(root)]


def problems():
    scripts = [*sorted(FOLDER.glob("*.sh")), ROOT / "scripts/entra-registration"]
    found = [problem for path in scripts for problem in of_shell(path.name, path.read_text())]
    for path in sorted(FOLDER.glob("*.ps1")):
        found += of_powershell(path.name, path.read_text())
    return found


def not_found():
    missed = []
    for text in ("rm -rf $1/*", "if true; then"):
        if not of_shell("broken", f"#!/bin/bash\n{text}\n"):
            missed.append(f"a shell script with {text!r}")
    for text in ("if ($a { 1 }", "function f( {", "$a = @{ b = "):
        if not of_powershell("broken", text):
            missed.append(f"a PowerShell script with {text!r}")
    return missed
