"""The units of systemd: that systemd can read them, and how exposed it takes the service to be."""

import os
import pathlib
import re
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy/systemd"
UNITS = [path for path in FOLDER.iterdir() if path.suffix in (".service", ".socket")]
# Of 10; lower is better.
EXPOSURE = 2.0


def analyze(*arguments):
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def problems_of(folder):
    """Of the units in a folder, in which the program is one that is there."""
    found = []
    paths = sorted(str(path) for path in pathlib.Path(folder).iterdir())
    code, said = analyze("verify", "--man=no", "--recursive-errors=no", *paths)
    # What it says of units that are not ours is not ours to mend.
    ours = [line for line in said.splitlines() if "obo-gateway" in line]
    if code or ours:
        found.append(f"systemd-analyze verify: {said.strip() or code}")
    service = next(path for path in paths if path.endswith(".service"))
    _, said = analyze("security", "--offline=yes", "--no-pager", service)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    if not exposure:
        found.append(f"systemd-analyze security: {said}")
    elif float(exposure[1]) > EXPOSURE:
        found.append(f"systemd-analyze security: {exposure[1]}, more than {EXPOSURE}")
    return found


def spoilt(spoil=lambda name, text: text):
    """A copy in which ExecStart is a program that is here: verify asks for it."""
    with tempfile.TemporaryDirectory() as folder:
        for unit in UNITS:
            text = unit.read_text().replace("/usr/local/bin/obo-gateway", os.environ["GATEWAY"])
            (pathlib.Path(folder) / unit.name).write_text(spoil(unit.name, text))
        return problems_of(folder)


def configuration(text):
    """The file beside the units, with the secret as the unit hands it over."""
    with tempfile.TemporaryDirectory() as folder:
        file, secret = pathlib.Path(folder) / "gateway.toml", pathlib.Path(folder) / "client-secret"
        file.write_text(text)
        secret.write_text("a secret")
        done = subprocess.run(
            [os.environ["GATEWAY"], "check", "--config", file],
            env={"OBO_CLIENT_SECRET_FILE": str(secret)}, capture_output=True, text=True,
        )  # fmt: skip
        return [] if done.returncode == 0 else [f"obo-gateway check: {done.stderr}"]


def problems():
    return spoilt() + configuration((FOLDER / "gateway.toml").read_text())


def not_found():
    cases = [
        (lambda name, text: text.replace("ProtectSystem=", "ProtectSytem="), "verify"),
        (lambda name, text: text.replace("ListenStream=127.0.0.1:9090", "ListenStream=nowhere:x"), "verify"),
        (lambda name, text: re.sub(r"(?m)^(Protect|Restrict|System|Private|Capability).*\n", "", text), "security"),
    ]
    missed = [] if configuration("[admn]") else ["a configuration that is broken on purpose passes"]
    return missed + [
        f"a unit that is broken on purpose (case {number}) passes"
        for number, (spoil, said) in enumerate(cases)
        if not any(said in problem for problem in spoilt(spoil))
    ]
