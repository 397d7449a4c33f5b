"""Checks of deploy/. First that each check finds what it is for (broken.py), then what is in deploy/."""

import sys

import broken
import configuration
import container
import copies
import entra
import examples
import guides
import monitoring
import policy
import render
import schemas
import units


def of_manifests(documents):
    """All that can be wrong with what one overlay or one shape of the chart renders."""
    found = schemas.problems(documents)
    found += policy.problems(documents)
    found += configuration.problems(documents)
    found += monitoring.names_in_manifests(documents)
    return found


def main():
    copies.update_if_asked()
    guides.update_if_asked()
    rendered = render.everything()
    failed = 0

    def report(name, found):
        nonlocal failed
        failed += bool(found)
        print(("failed  " if found else "ok      ") + name, flush=True)
        for problem in found:
            print("            " + problem)

    report("what is broken on purpose is found", broken.not_found(rendered, of_manifests))
    for name, documents in rendered.items():
        report(f"{name}: {len(documents)} objects", of_manifests(documents))
    report("the chart by helm lint --strict", render.chart_lint())
    report("copies are equal", copies.problems())
    report("alerts by promtool", monitoring.alerts())
    report("the dashboard by promtool", monitoring.dashboard(monitoring.DASHBOARD.read_text()))
    report("the Dockerfile by hadolint, and compose", container.problems())
    report("the units by systemd-analyze", units.problems())
    report("the examples, behind the gateway", examples.problems())
    report("the guides", guides.problems())
    report("the registration's scripts", entra.problems())
    if failed:
        sys.exit(f"{failed} of the checks failed.")


if __name__ == "__main__":
    main()
