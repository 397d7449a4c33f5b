"""Compares each bill of materials with what cargo itself says that the program is built of. Arguments: the folder, and the
target that it was made for."""

import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def of_cargo(program, target):
    """Names and versions of all crates in the program, without what only builds or tests it."""
    tree = subprocess.run(
        ["cargo", "tree", "--locked", "--package", program, "--target", target, "--edges", "normal", "--prefix", "none", "--format", "{p}"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    crates = {tuple(line.split()[:2]) for line in tree.splitlines() if line}
    return {(name, version.removeprefix("v")) for name, version in crates} - {None}


def problems(name, bom, crates):
    if bom.get("bomFormat") != "CycloneDX" or bom.get("specVersion") != "1.5":
        yield f"{name} is no CycloneDX 1.5"
    listed = {(part["name"], part["version"]) for part in bom.get("components", [])}
    for missing in sorted(crates - listed):
        yield f"{name} does not name {' '.join(missing)}"
    for part in bom.get("components", []):
        if part["purl"].startswith("pkg:cargo/") and "download_url=file" not in part["purl"]:
            if not part.get("licenses"):
                yield f"{name}: {part['name']} has no licence"
            if not part.get("hashes"):
                yield f"{name}: {part['name']} has no checksum"


def main():
    folder, target = pathlib.Path(sys.argv[1]), sys.argv[2]
    found, counts = [], {}
    for path in sorted(folder.glob("*.cdx.json")):
        program = path.name.removesuffix(".cdx.json")
        bom = json.loads(path.read_text())
        crates = of_cargo(program, target) - {(program, bom["metadata"]["component"]["version"])}
        found += problems(program, bom, crates)
        counts[program] = len(bom["components"])
        # The check sees what is missing, or it is none.
        bom["components"] = [part for part in bom["components"] if (part["name"], part["version"]) != min(crates)]
        if not list(problems(program, bom, crates)):
            found.append(f"{program}: a crate that is missing is not found out")
    if len(counts) != 4:
        found.append(f"not four programs: {sorted(counts)}")
    for problem in found:
        print(problem, file=sys.stderr)
    if found:
        sys.exit(1)
    print("ok      bills of materials: " + ", ".join(f"{program} {count} components" for program, count in counts.items()))


if __name__ == "__main__":
    main()
