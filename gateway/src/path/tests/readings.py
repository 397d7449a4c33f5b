"""How Python reads paths: a JSON list of paths in, for each a list of readings out."""

import http.server
import json
import posixpath
import re
import sys
from urllib.parse import unquote, urljoin, urlsplit


def slash_kept(path, read):
    """normpath drops a slash at the end, which makes another path of it."""
    return read + "/" if path.endswith("/") and not read.endswith("/") else read


class FileServer(http.server.SimpleHTTPRequestHandler):
    """The standard library's own server, without a connection."""

    def __init__(self):
        self.directory = "/"


def readings(path):
    decoded = unquote(path)
    return {
        "decoded": decoded,
        "decoded, then resolved": slash_kept(decoded, "/" + posixpath.normpath(decoded).lstrip("/")),
        "resolved by urljoin": urlsplit(urljoin("http://h/", "http://h" + path)).path,
        "slashes merged": re.sub("/+", "/", urlsplit("http://h" + path).path),
        "a file's": slash_kept(decoded, FileServer().translate_path(path)),
        "decoded twice": unquote(decoded),
    }


json.dump([readings(path) for path in json.load(sys.stdin)], sys.stdout)
