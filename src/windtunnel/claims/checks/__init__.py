"""One function for each claim, by subject: what the catalogue, the rules and the models say of its parts."""

from windtunnel.claims.checks import (
    chips,
    dates,
    inference,
    money,
    policy,
    software,
    supply,
    systems,
    training,
)

__all__ = ["chips", "dates", "inference", "money", "policy", "software", "supply", "systems", "training"]
