"""Spans and ratios as counts in buckets of growing width: they add up, and give quantiles to within 4.5 %."""

from __future__ import annotations

import math
from collections.abc import Mapping

PER_DOUBLING = 8
"""Buckets between a value and its double: the middle of a bucket is at most 4.4 % off."""
RATIO_UNIT = 1000
"""Ratios are counted in thousandths, so that those below one have buckets too."""


def bucket_of(value: float) -> int:
    """The bucket of a value; all up to 1 share bucket 0."""
    return int(math.log2(value) * PER_DOUBLING) if value > 1 else 0


def middle(bucket: int) -> float:
    """What the values of a bucket are taken for."""
    return float(2.0 ** ((bucket + 0.5) / PER_DOUBLING))


def quantile(counts: Mapping[int, float], share: float) -> float | None:
    """The value that `share` (0 to 1) of the counted ones do not exceed; None when nothing was counted."""
    total = sum(counts.values())
    if total <= 0:
        return None
    wanted = share * total
    for bucket in sorted(counts):
        wanted -= counts[bucket]
        if wanted <= 1e-9:
            return middle(bucket)
    return middle(max(counts))
