"""Posts one click, again after a failure, and shows the answer. Python's standard library is enough.

    INGEST_KEY=… python3 examples/post_click.py [URL]

`cargo xtask status` prints the demo's INGEST_KEY.
"""

import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid

ATTEMPTS = 6


def post(url: str, key: str, click: dict) -> dict:
    """Returns the answer; tries again while the server asks for it or can't be reached."""
    request = urllib.request.Request(
        f"{url}/api/v1/clicks",
        json.dumps(click).encode(),
        {"X-Api-Key": key, "Content-Type": "application/json"},
    )
    for attempt in range(1, ATTEMPTS + 1):
        wait = random.uniform(0, 0.2 * 2**attempt)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            # 429 and 503 say when to come again; every other refusal is final.
            if error.code not in (429, 503) or attempt == ATTEMPTS:
                sys.exit(f"{error.code}: {error.read().decode()}")
            wait += float(error.headers.get("Retry-After", 0))
        except OSError as error:
            if attempt == ATTEMPTS:
                sys.exit(f"{url}: {error}")
        time.sleep(wait)
    raise AssertionError("the last attempt returns or exits")


if __name__ == "__main__":
    # The id makes the post repeatable: sent again with the same id, it is the same click and counted once.
    click = {
        "click_id": str(uuid.uuid4()),
        "advertiser_id": "adv_001",
        "campaign_id": "camp_001",
        "ad_id": "ad_001",
        # Your server posts for a person, so it says whose browser it was: without these the click would seem to be
        # made by this program, which is a robot and not billed.
        "user_id": f"user-{uuid.uuid4().hex[:8]}",
        "ip_address": "203.0.113.7",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0",
    }
    server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8080"
    print(json.dumps(post(server, os.environ["INGEST_KEY"], click)))
