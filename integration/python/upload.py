"""Puts files by httpx, over HTTP/2 and HTTP/1.1; prints the version and status of each answer.

upload.py URL COOKIE FILE...
"""

import os
import sys

import httpx

url, cookie, *files = sys.argv[1:]
for http2 in (True, False):
    for name in files:
        headers = {"Content-Length": str(os.path.getsize(name))}
        if cookie:
            headers["Cookie"] = cookie
        with httpx.Client(http2=http2, http1=not http2, verify=False, timeout=120) as client:
            with open(name, "rb") as body:
                answer = client.put(url, content=body, headers=headers)
        print(answer.http_version.removeprefix("HTTP/"), answer.status_code, flush=True)
