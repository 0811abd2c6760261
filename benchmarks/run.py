"""Every benchmark in turn: `make bench`. Compare ratios within one run; absolute times belong to one machine."""

from __future__ import annotations

import features_speed

if __name__ == "__main__":
    features_speed.main()
