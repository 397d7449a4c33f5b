"""The Dockerfile, by hadolint."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


def problems():
    done = subprocess.run(["hadolint", "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines() if done.returncode else []
