"""The demo, by the settings that register.sh wrote, and who signs in to it."""

import subprocess

from browser import Browser
from rig import (
    ADMIN, BACKEND, BINARIES, CA, FOLDER, GATEWAY, ROOT, UI, UI_URL, answers, settings, start, stop, until,
)  # fmt: skip

GATEWAYS = []


def the_demo_starts():
    """With the addresses of this machine."""
    values = settings()
    start("demo-backend", f"--listen=127.0.0.1:{BACKEND}", **values)
    the_gateway_starts()
    start(
        "demo-ui", **values, DEMO_UI_LISTEN=f"127.0.0.1:{UI}", DEMO_UI_API_URL=f"http://127.0.0.1:{GATEWAY}/subscriptions",
    )  # fmt: skip
    until("the web app answers", lambda: answers(f"{UI_URL}/"))


def the_gateway_starts():
    """By what is written now, in place of the one of before: it has no token yet, and has to prove itself for each."""
    stop(*GATEWAYS)
    GATEWAYS[:] = [
        start(
            "obo-gateway", f"--config={ROOT}/deploy/demo.toml", f"--listen=127.0.0.1:{GATEWAY}", f"--upstream=http://127.0.0.1:{BACKEND}",
            f"--admin-listen=127.0.0.1:{ADMIN}", **settings(), OBO_ENTRA_CA_FILE=str(CA),
        )
    ]  # fmt: skip
    until("the gateway is ready", lambda: answers(f"http://127.0.0.1:{ADMIN}/readyz"))


def the_gateways_own_check(expected=0):
    """What `obo-gateway check --online` says."""
    done = subprocess.run(
        [BINARIES / "obo-gateway", "check", "--online"], cwd=FOLDER, capture_output=True, text=True,
        env=settings() | {"OBO_ENTRA_CA_FILE": str(CA), "OBO_UPSTREAM": f"http://127.0.0.1:{BACKEND}"}, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == expected, f"{done.returncode}, not {expected}: {said}"
    return said


def sign_in(user, consents=False):
    browser = Browser(CA)
    page = browser.press(browser.get(f"{UI_URL}/account/login"), "as", user)
    if consents:
        # One page for the web app's use of the API and the API's use of Azure.
        for scope in ("openid", "access_as_user", "user_impersonation"):
            assert f'data-scope="{scope}"' in page[1], page[1]
        page = browser.press(page, "decision", "accept")
    assert page[0].startswith(f"{UI_URL}/account/callback?code="), page
    return browser.get(f"{UI_URL}/")


def alice_sees_hers(user, consents=False):
    _, text = sign_in(user, consents)
    assert "Alice Production" in text and "Alice Sandbox" in text, text
