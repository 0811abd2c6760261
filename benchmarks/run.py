"""The quick benchmarks: `make bench`. Compare ratios within one run; absolute times belong to one machine."""

from __future__ import annotations

import features_speed

QUICK_SIZES = tuple(size for size in features_speed.SIZES if size <= 100_000)
OTHERS = """
the others, which take longer:
  python benchmarks/forecasts.py POSTS.csv.gz...                     accuracy against CatBoost, LightGBM and FLAML
  python benchmarks/features_speed.py                                growth up to 1,000,000 posts
  python benchmarks/prediction_log.py                                what logging a prediction costs a service
  python benchmarks/false_alarms.py                                  how often monitoring's tests alarm, and how soon
  python benchmarks/monitoring_replay.py                             half a year with planted events, or of real posts
  python benchmarks/monitoring_day.py                                what monitoring 100,000 predictions takes
  python benchmarks/waiting.py                                       clipcast predict, status and --help
  python benchmarks/weekly_run.py POSTS.csv.gz --platform PLATFORM   where the time of a weekly run goes"""

if __name__ == "__main__":
    features_speed.grown(QUICK_SIZES)
    print(OTHERS)
