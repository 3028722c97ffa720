"""Every indicator, by name. A new one is a function in one of these modules and a row in its `INDICATORS`."""

from analysis.indicator import Indicator
from analysis.indicators import availability, chain, latency, recovery, resources, transactions

INDICATORS: dict[str, Indicator] = {
    indicator.name: indicator
    for module in (latency, transactions, chain, availability, recovery, resources)
    for indicator in module.INDICATORS
}
