"""A model of sessions at four kinds of merchant: when the page is opened, and when the session ends."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Final

import attrs
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

DAYS_2: Final = 172_800.0

_ROOT_2: Final = 2.0**0.5


@attrs.frozen
class LogNormal:
    """Seconds with this *median*; *sigma* is the standard deviation of their logarithm."""

    median: float
    sigma: float

    def quantile(self, share: Floats) -> Floats:
        """Return the value that *share* (above 0, below 1) of the draws do not exceed."""
        z = np.asarray(_inverse_normal(share), dtype=np.float64)
        return np.asarray(self.median * np.exp(self.sigma * z))

    def below(self, x: Floats) -> Floats:
        """Return the share that is at most *x*."""
        with np.errstate(divide="ignore"):
            return _normal_below((np.log(x) - np.log(self.median)) / self.sigma)

    def density(self, x: Floats) -> Floats:
        x = np.maximum(x, 1e-12)
        z = (np.log(x) - np.log(self.median)) / self.sigma
        return np.asarray(np.exp(-z * z / 2) / (x * self.sigma * (2 * np.pi) ** 0.5))

    def mean_below(self, x: Floats) -> Floats:
        """Return the mean of the draws up to *x*, times their share."""
        with np.errstate(divide="ignore"):
            z = (np.log(x) - np.log(self.median)) / self.sigma
        return np.asarray(self.median * np.exp(self.sigma**2 / 2) * _normal_below(z - self.sigma))


@attrs.frozen
class Mixture:
    """Parts with their shares; the share that is missing from 1 never happens."""

    parts: tuple[tuple[float, LogNormal], ...]

    def draw(self, count: int, rng: np.random.Generator) -> Floats:
        """
        Return *count* draws in random order, infinite where it never happens.

        There is one draw from each *count*-th of the distribution (stratified sampling). A rare long wait weighs so
        much in a mean that independent draws would need twenty times as many lives for the same precision.
        """
        shares, drawn = (rng.permutation(count) + rng.random(count)) / count, np.full(count, np.inf)
        start = 0.0
        for share, part in self.parts:
            mine = (start < shares) & (shares < start + share)
            drawn[mine] = part.quantile((shares[mine] - start) / share)
            start += share
        return drawn

    def below(self, x: Floats) -> Floats:
        return np.asarray(np.sum([share * part.below(x) for share, part in self.parts], axis=0))

    def density(self, x: Floats) -> Floats:
        return np.asarray(np.sum([share * part.density(x) for share, part in self.parts], axis=0))

    def late_by(self, x: Floats) -> Floats:
        """Return the integral of `below` up to *x*: the mean time since it happened, 0 where it did not."""
        means = [share * part.mean_below(x) for share, part in self.parts]
        return np.asarray(x * self.below(x) - np.sum(means, axis=0))

    def scaled(self, factor: float) -> Mixture:
        """Return the same mixture, *factor* times as slow."""
        parts = ((share, LogNormal(part.median * factor, part.sigma)) for share, part in self.parts)
        return Mixture(tuple(parts))


ENDS: Final = Mixture(((0.75, LogNormal(95.0, 0.70)), (0.05, LogNormal(3600.0, 1.5))))
"""From the opening to the end; the other consumers leave, and their sessions expire."""


@attrs.frozen
class Mix:
    """A merchant's sessions: when their page is opened, how long after that they end, and when they expire."""

    name: str
    opens: Mixture
    ends: Mixture = ENDS
    lifetime: float = DAYS_2

    @classmethod
    def of(cls, name: str, *channels: tuple[float, float, float, float], lifetime: float = DAYS_2) -> Mix:
        """Return the mix of *channels*: share, median and sigma of the opening, and the share that never opens."""
        parts = ((share * (1 - never), LogNormal(median, sigma)) for share, median, sigma, never in channels)
        return cls(name, Mixture(tuple(parts)), lifetime=lifetime)

    def slower(self, factor: float) -> Mix:
        """Return a mix of people who take *factor* times as long for everything."""
        return Mix(
            f"{self.name}, {factor:.2g} × as slow", self.opens.scaled(factor), self.ends.scaled(factor), self.lifetime
        )


_WEB: Final = (5.0, 1.0, 0.05)
_TEXT: Final = (1200.0, 2.0, 0.25)
_MAIL: Final = (10_800.0, 2.0, 0.40)

MIXES: Final = (
    Mix.of("web", (1.0, *_WEB)),
    Mix.of("mixed", (0.80, *_WEB), (0.12, *_TEXT), (0.08, *_MAIL)),
    Mix.of("link", (0.6, *_TEXT), (0.4, *_MAIL)),
    Mix.of("web@900", (1.0, *_WEB), lifetime=900.0),
)


@attrs.frozen
class Lives:
    """When each session is opened and when it ends, in seconds from its creation; infinite means never."""

    opened: Floats
    ended: Floats
    lifetime: float

    @classmethod
    def of(cls, mix: Mix, count: int, *, seed: int) -> Lives:
        rng = np.random.default_rng(seed)
        opened = mix.opens.draw(count, rng)
        ended = opened + mix.ends.draw(count, rng)
        # The provider's dates have milliseconds.
        opened, ended = np.ceil(opened * 1e3) / 1e3, np.ceil(ended * 1e3) / 1e3
        return cls(
            np.where(opened < mix.lifetime, opened, np.inf), np.where(ended < mix.lifetime, ended, np.inf), mix.lifetime
        )

    def __len__(self) -> int:
        return len(self.opened)


_inverse_normal: Final = np.frompyfunc(NormalDist().inv_cdf, 1, 1)
_erfc: Final = np.frompyfunc(math.erfc, 1, 1)


def _normal_below(z: Floats) -> Floats:
    """Return the share of a standard normal variable that is at most *z*."""
    return np.asarray(_erfc(-z / _ROOT_2), dtype=np.float64) / 2
