import json
import time
import urllib.error
import urllib.request

LATER = {408, 429, 500, 502, 503, 504}


def tell(address, name, properties, identifier, tries=5, pause=1.0):
    """Report to a journey. Return False if it has ended, or the address has expired."""
    event = {"name": name, "properties": properties, "id": identifier}
    request = urllib.request.Request(
        address, json.dumps(event).encode(), {"content-type": "application/json"}, method="POST"
    )
    for attempt in range(1, tries + 1):
        try:
            with urllib.request.urlopen(request, timeout=15):
                return True
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 410:
                return False
            if error.code not in LATER or attempt == tries:
                raise RuntimeError(f"the journey was not told: {error.code}") from None  # not the address: it is secret
            wait = float(error.headers.get("retry-after", 0))
        except OSError:
            if attempt == tries:
                raise RuntimeError("the journey was not told: no answer") from None
            wait = 0.0
        time.sleep(max(wait, pause * 2**attempt))
    return False
