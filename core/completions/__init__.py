"""Chat completions and moderations over any OpenAI-compatible endpoint.

`client` is the entrance; `wire`, `sse`, `reading`, `faults`, `thinking` and `joining` are pure.
"""

from __future__ import annotations

import sys
from typing import Any, cast

# `import httpx` also imports its command line tool, and with it rich, pygments and click where
# these happen to be installed: 60 ms and 6 MB that a server never uses. A module marked absent
# takes httpx's own ImportError branch.
cast("dict[str, Any]", sys.modules).setdefault("httpx._main", None)
