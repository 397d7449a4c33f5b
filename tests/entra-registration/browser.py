"""As much of a browser as a sign-in needs: cookies, redirects, forms."""

import html
import http.cookiejar
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request


class Browser:
    def __init__(self, ca=None):
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()),
            urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
        )

    def get(self, url):
        """Where it led to, and the text there."""
        return self.ask(urllib.request.Request(url))

    def ask(self, request):
        try:
            with self.opener.open(request, timeout=30) as answer:
                return answer.url, answer.read().decode()
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{request.full_url} answers {error.code}: {error.read().decode()[:2000]}") from None

    def press(self, page, name, value):
        """The button of this name and value, in the form that it is in."""
        url, text = page
        for form in re.findall(r"<form.*?</form>", text, re.S):
            if f'name="{name}" value="{value}"' in form:
                break
        else:
            raise SystemExit(f"{url} has no button {name}={value}: {text[:2000]}")
        action = html.unescape(re.search(r'action="([^"]*)"', form)[1])
        fields = [tuple(map(html.unescape, found)) for found in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', form)]
        body = urllib.parse.urlencode([*fields, (name, value)]).encode()
        # A browser says where a form comes from.
        parts = urllib.parse.urlsplit(url)
        headers = {"Origin": f"{parts.scheme}://{parts.netloc}", "Sec-Fetch-Site": "same-origin"}
        return self.ask(urllib.request.Request(urllib.parse.urljoin(url, action), body, headers))
