package main

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	dbm "github.com/cosmos/cosmos-db"

	"cosmossdk.io/log"
	sdkmath "cosmossdk.io/math"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/client/tx"
	codectypes "github.com/cosmos/cosmos-sdk/codec/types"
	"github.com/cosmos/cosmos-sdk/crypto/keys/ed25519"
	"github.com/cosmos/cosmos-sdk/crypto/keys/secp256k1"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	authsigning "github.com/cosmos/cosmos-sdk/x/auth/signing"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	genutiltypes "github.com/cosmos/cosmos-sdk/x/genutil/types"
	slashingtypes "github.com/cosmos/cosmos-sdk/x/slashing/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"
)

const (
	testChainID    = "virtengine-localnet-1"
	testFunds      = 1_000_000_000
	testStake      = 100_000_000
	testMinPrice   = "0.025uve"
	testGas        = 200_000
	testEnoughFees = 5_000 // the minimum price times the gas
)

func testKey(i int) *secp256k1.PrivKey {
	return secp256k1.GenPrivKeyFromSecret(fmt.Appendf(nil, "account-%d", i))
}

func testAddress(i int) sdk.AccAddress { return sdk.AccAddress(testKey(i).PubKey().Address()) }

func testConsensusAddress(i int) sdk.ConsAddress {
	return sdk.ConsAddress(testConsensusKey(i).PubKey().Address())
}

func testConsensusKey(i int) *ed25519.PrivKey {
	return ed25519.GenPrivKeyFromSecret(fmt.Appendf(nil, "validator-%d", i))
}

// testState returns an app state of the shape that a genesis writer produces:
// account i has number i, and the first accounts are the validators' operators,
// whose stake is written directly, without genesis transactions.
func testState(t *testing.T, enc encoding, validators, accounts int) map[string]json.RawMessage {
	t.Helper()
	state := enc.modules.DefaultGenesis(enc.codec)
	coins := func(amount int64) sdk.Coins { return sdk.NewCoins(sdk.NewInt64Coin(baseDenom, amount)) }

	genesisAccounts := make(authtypes.GenesisAccounts, accounts)
	balances := make([]banktypes.Balance, accounts, accounts+1)
	for i := range accounts {
		genesisAccounts[i] = authtypes.NewBaseAccount(testAddress(i), nil, uint64(i), 0)
		balances[i] = banktypes.Balance{Address: testAddress(i).String(), Coins: coins(testFunds)}
	}
	balances = append(balances, banktypes.Balance{
		Address: authtypes.NewModuleAddress(stakingtypes.BondedPoolName).String(),
		Coins:   coins(int64(validators) * testStake),
	})

	staking := stakingtypes.DefaultGenesisState()
	slashing := slashingtypes.DefaultGenesisState()
	for i := range validators {
		key, err := codectypes.NewAnyWithValue(testConsensusKey(i).PubKey())
		if err != nil {
			t.Fatal(err)
		}
		operator := sdk.ValAddress(testAddress(i)).String()
		staking.Validators = append(staking.Validators, stakingtypes.Validator{
			OperatorAddress:   operator,
			ConsensusPubkey:   key,
			Status:            stakingtypes.Bonded,
			Tokens:            sdkmath.NewInt(testStake),
			DelegatorShares:   sdkmath.LegacyNewDec(testStake),
			Description:       stakingtypes.Description{Moniker: fmt.Sprintf("validator-%d", i)},
			UnbondingTime:     time.Unix(0, 0).UTC(),
			Commission:        stakingtypes.NewCommission(sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec(), sdkmath.LegacyZeroDec()),
			MinSelfDelegation: sdkmath.OneInt(),
		})
		staking.Delegations = append(staking.Delegations,
			stakingtypes.NewDelegation(testAddress(i).String(), operator, sdkmath.LegacyNewDec(testStake)))
		info := slashingtypes.NewValidatorSigningInfo(testConsensusAddress(i), 0, 0, time.Unix(0, 0).UTC(), false, 0)
		slashing.SigningInfos = append(slashing.SigningInfos,
			slashingtypes.SigningInfo{Address: info.Address, ValidatorSigningInfo: info})
	}

	state["auth"] = enc.codec.MustMarshalJSON(authtypes.NewGenesisState(authtypes.DefaultParams(), genesisAccounts))
	state["bank"] = enc.codec.MustMarshalJSON(banktypes.NewGenesisState(banktypes.DefaultParams(), balances, nil, nil, nil))
	state["staking"] = enc.codec.MustMarshalJSON(staking)
	state["slashing"] = enc.codec.MustMarshalJSON(slashing)
	return state
}

func testEncoding(t *testing.T) encoding {
	t.Helper()
	enc, err := newEncoding()
	if err != nil {
		t.Fatal(err)
	}
	return enc
}

// testGenesis returns a genesis document around an app state.
func testGenesis(t *testing.T, state map[string]json.RawMessage) *genutiltypes.AppGenesis {
	t.Helper()
	bytes, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	genesis := genutiltypes.NewAppGenesisWithVersion(testChainID, bytes)
	genesis.GenesisTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return genesis
}

// testChain is an application that the test drives block by block.
type testChain struct {
	*app
	t    *testing.T
	time time.Time
}

func startTestChain(t *testing.T, limits rateLimits, validators, accounts int) *testChain {
	t.Helper()
	a, err := newApp(log.NewNopLogger(), dbm.NewMemDB(), nil, limits,
		baseapp.SetChainID(testChainID), baseapp.SetMinGasPrices(testMinPrice))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := testGenesis(t, testState(t, a.encoding, validators, accounts)).ToGenesisDoc()
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.ValidateAndComplete(); err != nil {
		t.Fatal(err)
	}
	params := doc.ConsensusParams.ToProto()
	_, err = a.InitChain(&abci.RequestInitChain{
		Time: doc.GenesisTime, ChainId: doc.ChainID, ConsensusParams: &params, AppStateBytes: doc.AppState, InitialHeight: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := &testChain{app: a, t: t, time: doc.GenesisTime}
	c.block()
	return c
}

// block commits a block and returns the result of each transaction.
func (c *testChain) block(txs ...[]byte) []*abci.ExecTxResult {
	c.t.Helper()
	c.time = c.time.Add(time.Second)
	response, err := c.FinalizeBlock(&abci.RequestFinalizeBlock{
		Height: c.LastBlockHeight() + 1, Time: c.time, Txs: txs, ProposerAddress: testConsensusAddress(0),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.Commit(); err != nil {
		c.t.Fatal(err)
	}
	return response.TxResults
}

// check offers a transaction to CheckTx.
func (c *testChain) check(bytes []byte) *abci.ResponseCheckTx {
	c.t.Helper()
	response, err := c.CheckTx(&abci.RequestCheckTx{Tx: bytes, Type: abci.CheckTxType_New})
	if err != nil {
		c.t.Fatal(err)
	}
	return response
}

// payment describes a bank send of account `from`, whose number is its index.
type payment struct {
	from, to  int
	amount    int64
	fee       int64
	sequence  uint64
	unordered time.Time // the timeout that serves as nonce; zero for an ordered transaction
	forged    bool      // signed by another account's key
}

func (c *testChain) encode(p payment) []byte {
	c.t.Helper()
	builder := c.txConfig.NewTxBuilder()
	err := builder.SetMsgs(banktypes.NewMsgSend(testAddress(p.from), testAddress(p.to), sdk.NewCoins(sdk.NewInt64Coin(baseDenom, p.amount))))
	if err != nil {
		c.t.Fatal(err)
	}
	builder.SetGasLimit(testGas)
	builder.SetFeeAmount(sdk.NewCoins(sdk.NewInt64Coin(baseDenom, p.fee)))
	if !p.unordered.IsZero() {
		builder.SetUnordered(true)
		builder.SetTimeoutTimestamp(p.unordered)
	}

	// The signed bytes name the signer's key, so it has to be there before signing.
	mode := signing.SignMode_SIGN_MODE_DIRECT
	key := testKey(p.from)
	empty := signing.SignatureV2{PubKey: key.PubKey(), Data: &signing.SingleSignatureData{SignMode: mode}, Sequence: p.sequence}
	if err := builder.SetSignatures(empty); err != nil {
		c.t.Fatal(err)
	}
	signingKey := key
	if p.forged {
		signingKey = testKey(p.to)
	}
	signature, err := tx.SignWithPrivKey(context.Background(), mode, authsigning.SignerData{
		Address: testAddress(p.from).String(), ChainID: testChainID, AccountNumber: uint64(p.from), Sequence: p.sequence, PubKey: key.PubKey(),
	}, builder, signingKey, c.txConfig, p.sequence)
	if err != nil {
		c.t.Fatal(err)
	}
	signature.PubKey = key.PubKey()
	if err := builder.SetSignatures(signature); err != nil {
		c.t.Fatal(err)
	}
	bytes, err := c.txConfig.TxEncoder()(builder.GetTx())
	if err != nil {
		c.t.Fatal(err)
	}
	return bytes
}

// wantCode fails the test unless a result has the codespace and code.
func wantCode(t *testing.T, result interface {
	GetCodespace() string
	GetCode() uint32
	GetLog() string
}, codespace string, code uint32) {
	t.Helper()
	if result.GetCodespace() != codespace || result.GetCode() != code {
		t.Fatalf("got %q/%d (%s), want %q/%d", result.GetCodespace(), result.GetCode(), result.GetLog(), codespace, code)
	}
}
