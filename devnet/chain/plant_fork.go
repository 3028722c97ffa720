//go:build plant_fork

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"

	"cosmossdk.io/log"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/version"
)

// A planted copy of a real defect of VirtEngine: at an epoch, rewards are paid to
// the validators' consensus addresses while ranging over a Go map. The payment
// creates accounts that do not exist yet, each takes the next account number, and
// so every node numbers them in an order of its own. Balances agree; only the
// "acc" store differs, and with it the app hash.
//
// It exists so that a test can prove that the harness sees a fork. As on
// VirtEngine, accounts that are already in the genesis file are left alone, so a
// genesis that has them all does not fork.
const (
	// plantHeightVar names the height of the defect; unset or 0 turns it off.
	plantHeightVar = "VE_PLANT_FORK_HEIGHT"
	// plantOrderVar names the order in which accounts are created: sorted by address
	// (nodes agree), reversed (this node is wrong) or random (the real defect, which
	// is not certain: Go walks a small map in order from a random start, so four
	// nodes with four validators agree about once in seven times).
	plantOrderVar = "VE_PLANT_FORK_ORDER"
)

func init() {
	if version.BuildTags == "" {
		version.BuildTags = "plant_fork"
	}
}

// plantFork arms the defect as the environment says.
func plantFork(a *app, logger log.Logger) error {
	height, order, err := plantSettings()
	if err != nil || height == 0 {
		return err
	}
	logger.Info("planted fork armed", "height", height, "order", order)

	a.SetEndBlocker(func(ctx sdk.Context) (sdk.EndBlock, error) {
		result, err := a.EndBlocker(ctx)
		if err == nil && ctx.BlockHeight() == height {
			err = a.createRewardAccounts(ctx, order)
		}
		return result, err
	})
	return nil
}

// createRewardAccounts creates the missing accounts of the bonded validators'
// consensus addresses in the given order.
func (a *app) createRewardAccounts(ctx sdk.Context, order string) error {
	validators, err := a.staking.GetBondedValidatorsByPower(ctx)
	if err != nil {
		return err
	}
	rewards := map[string]sdk.AccAddress{}
	for _, validator := range validators {
		address, err := validator.GetConsAddr()
		if err != nil {
			return err
		}
		rewards[string(address)] = address
	}

	// This loop is the defect: Go chooses another order on each run.
	var addresses []sdk.AccAddress
	for _, address := range rewards {
		addresses = append(addresses, address)
	}
	if order != "random" {
		slices.SortFunc(addresses, func(x, y sdk.AccAddress) int { return slices.Compare(x, y) })
	}
	if order == "reversed" {
		slices.Reverse(addresses)
	}

	for _, address := range addresses {
		if !a.accounts.HasAccount(ctx, address) {
			a.accounts.SetAccount(ctx, a.accounts.NewAccountWithAddress(ctx, address))
		}
	}
	return nil
}

// plantSettings reads the two environment variables.
func plantSettings() (height int64, order string, err error) {
	if text := os.Getenv(plantHeightVar); text != "" {
		height, err = strconv.ParseInt(text, 10, 64)
		if err != nil || height < 0 {
			return 0, "", fmt.Errorf("%s is %q; expected a height, or 0 for off", plantHeightVar, text)
		}
	}
	order = os.Getenv(plantOrderVar)
	if order == "" {
		order = "sorted"
	}
	if !slices.Contains([]string{"sorted", "reversed", "random"}, order) {
		return 0, "", fmt.Errorf("%s is %q; expected sorted, reversed or random", plantOrderVar, order)
	}
	return height, order, nil
}
