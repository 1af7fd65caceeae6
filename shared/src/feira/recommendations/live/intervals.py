"""95 % intervals of ratios over users: the users are in groups by a stable hash, and each group is left out once.

Impressions of one user are alike, so that they are no independent trials; groups of users are. What is added up
by group suffices, and no user leaves the cluster. The jackknife that deletes a group: Shao and Tu, The Jackknife
and Bootstrap (1995), 2.3. Of a share the interval is Wilson's with the sample size at which independent trials
would vary as much, which keeps it inside 0 to 1 and is right for rare clicks, where the symmetric one is not:
Korn and Graubard, Survey Methodology 24 (1998); Dean and Pagano, JSSAM 3 (2015).
"""

from __future__ import annotations

import numpy as np
from scipy.special import stdtrit

from feira.recommendations.bootstrap import NOTHING, Figure
from feira.recommendations.metrics import Floats

GROUPS = 200
_UPPER = 0.975


def mean(total: Floats, count: Floats, most: float = np.inf, least_error: float = 0.0) -> Figure:
    """The ratio of the sums of two columns of groups, which is truly between 0 and ``most``; so are it and its ends,
    also where a correction takes the sum below 0. Its standard error is the jackknife's or the ``least_error``."""
    value, error, groups = jackknife(total, count)
    if not groups:
        return NOTHING
    if groups < 2:
        return Figure(float(np.clip(value, 0.0, most)))
    half = _quantile(groups) * max(error, least_error)
    ends = np.clip([value, value - half, value + half], 0.0, most)
    return Figure(*map(float, ends))


def share(total: Floats, count: Floats, trials: float, most_trials: float = np.inf) -> Figure:
    """The same where it is a share. Where none or all count nothing varies; then it is of so many ``trials``,
    as many as there are users for example. It is never of more than ``most_trials``."""
    value, error, groups = jackknife(total, count)
    if groups < 2:
        return mean(total, count)
    spread = value * (1 - value)
    trials = spread / error**2 if error > 0 and spread > 0 else trials
    trials = min(float(count.sum()), most_trials, trials)
    squared = _quantile(groups) ** 2 / trials
    middle = (value + squared / 2) / (1 + squared)
    half = np.sqrt(squared * (spread + squared / 4)) / (1 + squared)
    return Figure(value, max(0.0, float(middle - half)), min(1.0, float(middle + half)))


def jackknife(total: Floats, count: Floats) -> tuple[float, float, int]:
    """The ratio, its standard error, and from how many groups that have something to count."""
    there = count > 0
    groups = int(there.sum())
    if not groups:
        return float("nan"), float("nan"), 0
    above, below = float(total.sum()), float(count.sum())
    value = above / below
    if groups < 2:
        return value, float("nan"), 1
    without = (above - total[there]) / (below - count[there])
    error = np.sqrt((groups - 1) / groups * ((without - value) ** 2).sum())
    return value, float(error), groups


def _quantile(groups: int) -> float:
    return float(stdtrit(groups - 1, _UPPER))
