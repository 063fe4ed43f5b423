"""How long the fuzz targets run: FUZZ_EXAMPLES cases each, a few by default (`make fuzz`: many)."""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "100"))
IS_SHORT: Final = "FUZZ_EXAMPLES" not in os.environ

# A short run is the same each time, so that it fails for a change and not by chance.
settings.register_profile(
    "fuzz",
    max_examples=EXAMPLES,
    derandomize=IS_SHORT,
    database=None,
    deadline=None,
    # A case is built from a seed, so that shrinking finds nothing simpler.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
