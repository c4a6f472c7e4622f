"""The browser's example of docs/protocol.md: a ticket from a real relay, opened in a real browser."""

import json
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import relays

from nbstream.demo import DemoModel

PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"


def test_the_page_behind_a_ticket(browser, tmp_path):
    """It shows the whole text, asks nobody but the relay, and its address has no ticket in it for long."""
    blocks = re.findall(r"^```bash\n(.*?)^```$", PROTOCOL.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    with relays.serving(tmp_path) as environment:
        command = ["bash", "-euc", "".join(blocks)]
        printed = subprocess.check_output(command, env=environment, cwd=tmp_path, text=True, timeout=60)
        url = json.loads(printed[printed.rindex('{"url"') :])["url"]
        context = browser.new_context()
        page, asked, errors = context.new_page(), [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(environment["RELAY"] + url)
        page.wait_for_function("() => document.querySelector('[role=status]').textContent === 'complete'")
        assert page.locator("main pre").text_content() == DemoModel(0).text("rivers", max_tokens=40)
        assert urlsplit(page.url).query == ""
        assert {urlsplit(one).netloc for one in asked} == {urlsplit(environment["RELAY"]).netloc}
        paths = [urlsplit(one).path.rpartition("/")[2] for one in asked]
        assert paths[:3] == ["watch", "watch", "records"]
        assert environment["TOKEN"] not in page.content() + str(asked)
        assert errors == []
        context.close()
