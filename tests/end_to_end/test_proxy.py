"""The page behind a real nginx with TLS and a path of its own, as docs/page.md sets it up."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from segcode.data.sources import open_source
from segcode.export.picture import write_picture
from serving import Served

NGINX = shutil.which("nginx")
OPENSSL = shutil.which("openssl")

pytestmark = pytest.mark.skipif(
    NGINX is None or OPENSSL is None, reason="no proxy is tested: nginx or openssl is missing (apt-get install nginx)"
)

AROUND = """
daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
    {location}
  }}
}}
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def proxied(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proxy")
    street = open_source("streets", None, "test", 240, 320)[2].image
    write_picture(folder / "images" / "a/street 1.png", street, result=False)
    served = Served(folder / "images" / "a", folder / "work", options=("--token", "s3cret"))
    text = (Path(__file__).parents[2] / "docs/page.md").read_text(encoding="utf-8")
    location = re.search(r"```nginx\n(.*?)```", text, re.DOTALL)[1].replace("8765", str(served.port))
    port = free_port()
    (folder / "nginx.conf").write_text(AROUND.format(folder=folder, port=port, location=location))
    certificate = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    subprocess.run([OPENSSL, "req", *certificate, *files], check=True, capture_output=True)
    nginx = subprocess.Popen([NGINX, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"])
    for _ in range(100):
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"https://localhost:{port}/labels/"
    nginx.terminate()
    nginx.wait()
    served.kill()


def test_the_page_works_behind_a_proxy_with_tls_below_a_path(browser, proxied):
    context = browser.new_context(ignore_https_errors=True)
    page = context.new_page()
    refused: list[str] = []
    page.on("response", lambda answer: answer.status >= 400 and refused.append(f"{answer.status} {answer.url}"))
    page.goto(proxied + "?token=s3cret")
    page.wait_for_selector("body[data-marks='0']")
    assert page.url.partition("#")[0] == proxied
    page.keyboard.press("1")
    box = page.locator("#board").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.8 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.8 * box["height"], steps=4)
    page.mouse.up()
    page.wait_for_selector("body[data-marks='1']")
    page.wait_for_function("document.getElementById('photo').naturalWidth === 320")
    page.wait_for_function("document.querySelector('#images img').naturalWidth > 0")
    page.locator("#export summary").click()
    with page.expect_download() as download:
        page.locator("#export a[data-kind='labels.png']").click()
    assert download.value.suggested_filename == "street 1_labels.png"
    (cookie,) = context.cookies()
    assert (cookie["path"], cookie["secure"], cookie["httpOnly"]) == ("/labels", True, True)
    assert refused == []
    context.close()


def test_a_stranger_gets_nothing_through_the_proxy(browser, proxied):
    context = browser.new_context(ignore_https_errors=True)
    assert context.request.get(proxied).status == 403
    assert context.request.get(proxied + "api/images").status == 403
    context.close()
