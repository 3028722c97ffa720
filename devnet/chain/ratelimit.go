package main

import (
	"fmt"
	"strconv"
	"sync"

	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/log"

	"github.com/cosmos/cosmos-sdk/telemetry"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/x/auth/signing"
)

const rateLimitCodespace = "ratelimit"

// Code 2 is VirtEngine's limit on identity transactions, which do not exist here.
var (
	errAccountLimit = errorsmod.Register(rateLimitCodespace, 1, "account rate limited: too many transactions in this block")
	errBlockLimit   = errorsmod.Register(rateLimitCodespace, 3, "block rate limited: too many transactions in this block")
)

// rateLimits says how many transactions one node lets through per block height.
type rateLimits struct {
	enabled    bool
	perAccount uint64
	perBlock   uint64
}

// defaultRateLimits returns the limits that are constants in VirtEngine's code.
func defaultRateLimits() rateLimits {
	return rateLimits{enabled: true, perAccount: 10, perBlock: 5000}
}

// rateLimitDecorator counts transactions in memory, for all signers and in total,
// and refuses those over the limit.
//
// It keeps VirtEngine's semantics, oddities included, since a client has to live
// with them:
//   - One counter serves CheckTx, recheck and block execution. CheckTx after block
//     H runs at height H, so it starts from what block H executed, and rechecks of
//     pending transactions count again.
//   - Counters start anew whenever the height of the context differs from the last
//     one seen, also when it goes back.
//   - A refused transaction counts for nobody; simulation is exempt.
//   - Counters are not part of the state. Block execution always starts from zero,
//     since its height is new, so nodes agree as long as their limits do: nodes
//     with different limits fork at the first block that only some of them cut.
type rateLimitDecorator struct {
	limits rateLimits
	logger log.Logger

	mu       sync.Mutex
	height   int64
	total    uint64
	accounts map[string]uint64
}

func newRateLimitDecorator(limits rateLimits, logger log.Logger) *rateLimitDecorator {
	return &rateLimitDecorator{
		limits:   limits,
		logger:   logger.With(log.ModuleKey, "ante-ratelimit"),
		accounts: map[string]uint64{},
	}
}

func (d *rateLimitDecorator) AnteHandle(ctx sdk.Context, tx sdk.Tx, simulate bool, next sdk.AnteHandler) (sdk.Context, error) {
	if d.limits.enabled && !simulate {
		if err := d.count(ctx, tx); err != nil {
			return ctx, err
		}
	}
	return next(ctx, tx, simulate)
}

// count adds the transaction to the counters, or returns why it is refused.
func (d *rateLimitDecorator) count(ctx sdk.Context, tx sdk.Tx) error {
	d.mu.Lock()
	defer d.mu.Unlock()

	if ctx.BlockHeight() != d.height {
		d.height = ctx.BlockHeight()
		d.total = 0
		clear(d.accounts)
	}

	if d.total >= d.limits.perBlock {
		d.report(ctx, "", "block", d.total, d.limits.perBlock)
		return errBlockLimit.Wrapf("block has %d transactions, limit is %d", d.total, d.limits.perBlock)
	}

	var signers [][]byte
	if signed, ok := tx.(signing.SigVerifiableTx); ok {
		var err error
		if signers, err = signed.GetSigners(); err != nil {
			// A transaction without readable signers is for later checks to refuse.
			d.logger.Debug("no signers to count", "error", err)
			return nil
		}
	}
	for _, signer := range signers {
		if seen := d.accounts[string(signer)]; seen >= d.limits.perAccount {
			address := sdk.AccAddress(signer).String()
			d.report(ctx, address, "account", seen, d.limits.perAccount)
			return errAccountLimit.Wrapf("account %s has %d transactions in this block, limit is %d", address, seen, d.limits.perAccount)
		}
	}

	for _, signer := range signers {
		d.accounts[string(signer)]++
	}
	d.total++
	return nil
}

// report emits the refusal as an event and a telemetry counter. The SDK drops the
// events of a transaction that its ante handler refuses, so only code that holds
// the context sees the event; clients see the codespace.
func (d *rateLimitDecorator) report(ctx sdk.Context, account, reason string, seen, limit uint64) {
	telemetry.IncrCounter(1, "ante", "ratelimit", "blocked", reason)
	telemetry.IncrCounter(1, "ante", "ratelimit", "blocked", "total")
	ctx.EventManager().EmitEvent(sdk.NewEvent(
		"rate_limit_exceeded",
		sdk.NewAttribute("account", account),
		sdk.NewAttribute("reason", fmt.Sprintf("%s_limit", reason)),
		sdk.NewAttribute("current_count", strconv.FormatUint(seen, 10)),
		sdk.NewAttribute("limit", strconv.FormatUint(limit, 10)),
		sdk.NewAttribute("block_height", strconv.FormatInt(ctx.BlockHeight(), 10)),
	))
	d.logger.Debug("transaction refused", "reason", reason, "account", account, "current", seen, "limit", limit, "height", ctx.BlockHeight())
}
