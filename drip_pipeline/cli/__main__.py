"""`python -m drip_pipeline.cli`, the same as `drip`."""

from __future__ import annotations

from drip_pipeline.cli import main

if __name__ == "__main__":
    main(prog_name="drip")
