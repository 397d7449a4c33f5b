"""The version to be released is the one that everything names. Argument: the version."""

import pathlib
import re
import sys

import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Files, and what in them is the version.
PLACES = [
    ("deploy/helm/obo-gateway/Chart.yaml", r"^version: (\S+)"),
    ("deploy/helm/obo-gateway/Chart.yaml", r"^appVersion: (\S+)"),
    ("Dockerfile", r'image.version="([^"]+)"'),
    ("deploy/kubernetes/base/kustomization.yaml", r"newTag: (\S+)"),
    ("deploy/kubernetes/overlays/standalone/kustomization.yaml", r"newTag: (\S+)"),
    ("deploy/kubernetes/overlays/sidecar-patch/sidecar.yaml", r"obo-gateway:(\d\S+)"),
]


def problems(version, read):
    for path, pattern in PLACES:
        found = set(re.findall(pattern, read(path), re.M))
        if found != {version}:
            yield f"{path} names {sorted(found)}, not {version}"
    workspace = tomllib.loads(read("Cargo.toml"))["workspace"]
    for crate in ("tower-obo", "entra-emulator"):
        if workspace["dependencies"][crate].get("version") != version:
            yield f"Cargo.toml: {crate} is wanted in another version than {version}"
    rust = workspace["package"]["rust-version"]
    if f"rust:{rust}-" not in read("Dockerfile"):
        yield f"the Dockerfile builds with another Rust than {rust}"
    if f"Rust ({rust} or newer)" not in read("README.md"):
        yield f"README.md names another Rust than {rust}"
    if not re.search(rf"^## (Unreleased|\[?{re.escape(version)}\]?)", read("CHANGELOG.md"), re.M):
        yield f"CHANGELOG.md has no section for {version}"


def main():
    def read(path):
        return (ROOT / path).read_text()

    found = list(problems(sys.argv[1], read))
    # Another version would be found out everywhere.
    missed = len(PLACES) + 2 - len(list(problems("99.9.9", read)))
    if missed > 0:
        found.append(f"{missed} of the places do not find out that the version is another")
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        sys.exit(1)
    print(f"ok      {sys.argv[1]} is named by everything that names a version")


if __name__ == "__main__":
    main()
