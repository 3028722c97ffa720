package main

import (
	"encoding/json"
	"fmt"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	cmttypes "github.com/cometbft/cometbft/types"
	dbm "github.com/cosmos/cosmos-db"

	"cosmossdk.io/log"

	"github.com/cosmos/cosmos-sdk/baseapp"
	cryptocodec "github.com/cosmos/cosmos-sdk/crypto/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
)

// checkGenesis returns a sentence about a genesis file from which a chain can
// start and make blocks, or the first reason why none can.
func checkGenesis(enc encoding, path string) (string, error) {
	genesis, err := genutiltypes.AppGenesisFromFile(path)
	if err != nil {
		return "", err
	}
	doc, err := genesis.ToGenesisDoc()
	if err != nil {
		return "", err
	}
	if err := doc.ValidateAndComplete(); err != nil {
		return "", err
	}

	var state map[string]json.RawMessage
	if err := json.Unmarshal(doc.AppState, &state); err != nil {
		return "", fmt.Errorf("app_state: %w", err)
	}
	for name := range state {
		// The SDK skips names that it does not know, which hides a typing mistake.
		if _, ok := enc.modules[name]; !ok {
			return "", fmt.Errorf("app_state.%s: no such module", name)
		}
	}
	if err := enc.modules.ValidateGenesis(enc.codec, enc.txConfig, state); err != nil {
		return "", fmt.Errorf("app_state: %w", err)
	}

	a, validators, err := tryGenesis(doc)
	if err != nil {
		return "", fmt.Errorf("app_state: %w", err)
	}
	accounts, err := a.checkAccountNumbers(authtypes.GetGenesisStateFromAppState(enc.codec, state))
	if err != nil {
		return "", fmt.Errorf("app_state.auth: %w", err)
	}
	return fmt.Sprintf("valid, chain %s, %d validators, %d accounts", doc.ChainID, validators, accounts), nil
}

// tryGenesis runs a genesis document and two blocks on an application in memory.
// It finds what the checks of single modules cannot: pools that do not match the
// stake, a supply that does not match the balances, and, in the second block,
// which is the first with votes, validators without signing info.
func tryGenesis(doc *cmttypes.GenesisDoc) (a *app, validators int, err error) {
	a, err = newApp(log.NewNopLogger(), dbm.NewMemDB(), nil, defaultRateLimits(), baseapp.SetChainID(doc.ChainID))
	if err != nil {
		return nil, 0, err
	}
	defer func() {
		// Modules report a bad genesis by a panic.
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()

	params := doc.ConsensusParams.ToProto()
	init, err := a.InitChain(&abci.RequestInitChain{
		Time:            doc.GenesisTime,
		ChainId:         doc.ChainID,
		ConsensusParams: &params,
		Validators:      cmttypes.TM2PB.ValidatorUpdates(cmttypes.NewValidatorSet(listedValidators(doc))),
		AppStateBytes:   doc.AppState,
		InitialHeight:   doc.InitialHeight,
	})
	if err != nil {
		return nil, 0, err
	}

	votes := make([]abci.VoteInfo, len(init.Validators))
	for i, v := range init.Validators {
		key, err := cryptocodec.FromCmtProtoPublicKey(v.PubKey)
		if err != nil {
			return nil, 0, err
		}
		votes[i].Validator = abci.Validator{Address: key.Address(), Power: v.Power}
		votes[i].BlockIdFlag = 2 // a vote for the block
	}
	for i, commit := range []abci.CommitInfo{{}, {Votes: votes}} {
		_, err := a.FinalizeBlock(&abci.RequestFinalizeBlock{
			Height:            doc.InitialHeight + int64(i),
			Time:              doc.GenesisTime.Add(time.Duration(i) * time.Second),
			DecidedLastCommit: commit,
			ProposerAddress:   votes[0].Validator.Address,
		})
		if err != nil {
			return nil, 0, fmt.Errorf("block %d: %w", i+1, err)
		}
		if _, err := a.Commit(); err != nil {
			return nil, 0, err
		}
	}
	return a, len(votes), nil
}

// checkAccountNumbers returns how many accounts there are, or an error if one of
// the genesis file did not keep its number. The SDK renumbers duplicates silently,
// and a client that signs with the number it wrote would be refused.
func (a *app) checkAccountNumbers(written authtypes.GenesisState) (int, error) {
	ctx := a.NewContext(true)
	accounts, err := authtypes.UnpackAccounts(written.Accounts)
	if err != nil {
		return 0, err
	}
	for _, account := range accounts {
		number := a.accounts.GetAccount(ctx, account.GetAddress()).GetAccountNumber()
		if number != account.GetAccountNumber() {
			return 0, fmt.Errorf("%s has account_number %d, which another account has too; the chain would make it %d",
				account.GetAddress(), account.GetAccountNumber(), number)
		}
	}
	total := 0
	a.accounts.IterateAccounts(ctx, func(sdk.AccountI) bool { total++; return false })
	return total, nil
}

// listedValidators returns the validators that the document itself lists. Usually
// there are none, and the staking module's state decides.
func listedValidators(doc *cmttypes.GenesisDoc) []*cmttypes.Validator {
	var validators []*cmttypes.Validator
	for _, v := range doc.Validators {
		validators = append(validators, cmttypes.NewValidator(v.PubKey, v.Power))
	}
	return validators
}
