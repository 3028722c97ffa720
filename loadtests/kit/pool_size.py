"""How many load accounts a rate needs, and whether the Target file names so many."""

from __future__ import annotations

import math

from loadtests.kit.accounts import TxOrder

SAFE_PER_BLOCK = 4
"""Transactions of one account in a block that VirtEngine's limit of 10 surely lets through.

The limit counts checks, rechecks and executions at one height together: an account that sent 10 after each block had
10, 0, 10, 0 accepted. Up to 5 a block were never refused.
"""
BLOCKS_ON_THE_WAY = 2
"""Blocks from a submission to the one that has it, while the chain is not overloaded: until then it holds its place."""


def accounts_needed(rate_per_s: float, block_time_s: float, order: TxOrder, *, depth: int = 1) -> int:
    """Return how many accounts `rate_per_s` transfers a second need.

    Unordered, rate x block time / 4. In sequence an account has at most `depth` on their way, so it sends depth / 2 a
    block, and never more than 4.
    """
    per_block = float(SAFE_PER_BLOCK)
    if order is not TxOrder.UNORDERED:
        per_block = min(per_block, depth / BLOCKS_ON_THE_WAY)
    return math.ceil(rate_per_s * block_time_s / per_block)
