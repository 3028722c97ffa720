package main

import (
	"errors"
	"fmt"

	"cosmossdk.io/log"
	sdkmath "cosmossdk.io/math"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/x/auth/ante"
)

// newAnteHandler returns VirtEngine's chain of transaction checks, in its order,
// without the identity and multi-factor gates that stand between signature
// verification and the sequence there.
//
// The order is part of what a client can observe. The rate limit comes before
// the signatures, so an invalidly signed transaction uses up the budget of the
// account it names.
func newAnteHandler(a *app, limits rateLimits, logger log.Logger) sdk.AnteHandler {
	return sdk.ChainAnteDecorators(
		ante.NewSetUpContextDecorator(),
		newRateLimitDecorator(limits, logger),
		ante.NewValidateBasicDecorator(),
		feeFloorDecorator{},
		ante.NewTxTimeoutHeightDecorator(),
		ante.NewValidateMemoDecorator(a.accounts),
		ante.NewConsumeGasForTxSizeDecorator(a.accounts),
		ante.NewDeductFeeDecorator(a.accounts, a.bank, nil, nil),
		ante.NewSetPubKeyDecorator(a.accounts),
		ante.NewValidateSigCountDecorator(a.accounts),
		ante.NewSigGasConsumeDecorator(a.accounts, ante.DefaultSigVerificationGasConsumer),
		ante.NewSigVerificationDecorator(a.accounts, a.txConfig.SignModeHandler()),
		ante.NewIncrementSequenceDecorator(a.accounts),
	)
}

// feeFloorDecorator refuses a transaction whose gas price is below the node's
// minimum. It stands where VirtEngine checks its adaptive gas price and, like
// that check, runs in CheckTx only and returns plain errors: a client sees
// codespace "undefined", code 1, not the SDK's code 13.
//
// The price here is fixed, as VirtEngine's is while a block has no gas limit.
type feeFloorDecorator struct{}

func (feeFloorDecorator) AnteHandle(ctx sdk.Context, tx sdk.Tx, simulate bool, next sdk.AnteHandler) (sdk.Context, error) {
	if simulate || !ctx.IsCheckTx() || ctx.MinGasPrices().IsZero() {
		return next(ctx, tx, simulate)
	}
	feeTx, ok := tx.(sdk.FeeTx)
	if !ok {
		return ctx, errors.New("tx does not implement FeeTx")
	}
	gas := sdkmath.LegacyNewDecFromInt(sdkmath.NewIntFromUint64(feeTx.GetGas()))
	if gas.IsZero() {
		return ctx, errors.New("gas limit must be positive")
	}

	fee := sdk.NewDecCoinsFromCoins(feeTx.GetFee()...)
	for _, price := range ctx.MinGasPrices() {
		// Compared as fee ≥ price × gas: a division would round the paid price.
		if fee.AmountOf(price.Denom).LT(price.Amount.Mul(gas)) {
			return ctx, fmt.Errorf("insufficient fee: min gas prices %s, got %s", ctx.MinGasPrices(), fee.QuoDec(gas))
		}
	}
	return next(ctx, tx, simulate)
}
