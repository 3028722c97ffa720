package main

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	errorsmod "cosmossdk.io/errors"
	"cosmossdk.io/log"

	cryptotypes "github.com/cosmos/cosmos-sdk/crypto/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	protov2 "google.golang.org/protobuf/proto"
)

// signedBy is a transaction of which only the signers matter.
type signedBy struct {
	signers []string
	err     error
}

func (s signedBy) GetMsgs() []sdk.Msg                              { return nil }
func (s signedBy) GetMsgsV2() ([]protov2.Message, error)           { return nil, nil }
func (s signedBy) GetPubKeys() ([]cryptotypes.PubKey, error)       { return nil, nil }
func (s signedBy) GetSignaturesV2() ([]signing.SignatureV2, error) { return nil, nil }
func (s signedBy) GetSigners() (signers [][]byte, err error) {
	for _, name := range s.signers {
		signers = append(signers, []byte(name))
	}
	return signers, s.err
}

// offer passes transactions to a decorator and counts what reaches the next one.
type offer struct {
	t       *testing.T
	d       *rateLimitDecorator
	ctx     sdk.Context
	reached int
}

func newOffer(t *testing.T, limits rateLimits) *offer {
	return &offer{t: t, d: newRateLimitDecorator(limits, log.NewNopLogger()), ctx: sdk.Context{}.WithEventManager(sdk.NewEventManager())}
}

func (o *offer) at(height int64) *offer {
	o.ctx = o.ctx.WithBlockHeight(height)
	return o
}

func (o *offer) handle(tx sdk.Tx, simulate bool) error {
	_, err := o.d.AnteHandle(o.ctx, tx, simulate, func(ctx sdk.Context, _ sdk.Tx, _ bool) (sdk.Context, error) {
		o.reached++
		return ctx, nil
	})
	return err
}

func (o *offer) accept(count int, signers ...string) {
	o.t.Helper()
	for i := range count {
		if err := o.handle(signedBy{signers: signers}, false); err != nil {
			o.t.Fatalf("transaction %d of %v at height %d: %v", i+1, signers, o.ctx.BlockHeight(), err)
		}
	}
}

func (o *offer) refuse(code uint32, signers ...string) {
	o.t.Helper()
	reached := o.reached
	err := o.handle(signedBy{signers: signers}, false)
	codespace, got, _ := errorsmod.ABCIInfo(err, false)
	if codespace != rateLimitCodespace || got != code || o.reached != reached {
		o.t.Fatalf("%v: got %s/%d (%v), want %s/%d", signers, codespace, got, err, rateLimitCodespace, code)
	}
}

func TestAccountLimit(t *testing.T) {
	o := newOffer(t, defaultRateLimits()).at(7)
	o.accept(10, "alice")
	o.refuse(1, "alice")
	o.accept(10, "bob")
	if o.reached != 20 {
		t.Fatalf("%d transactions reached the next check, want 20", o.reached)
	}
}

func TestEverySignerIsCounted(t *testing.T) {
	o := newOffer(t, defaultRateLimits()).at(7)
	o.accept(10, "alice", "bob")
	o.refuse(1, "bob")
	o.refuse(1, "carol", "alice")
}

func TestRefusedTransactionCountsForNobody(t *testing.T) {
	o := newOffer(t, rateLimits{enabled: true, perAccount: 2, perBlock: 4}).at(7)
	o.accept(2, "alice")
	for range 5 {
		o.refuse(1, "bob", "alice")
	}
	o.accept(2, "bob")
	o.refuse(3, "carol")
}

func TestBlockLimitComesBeforeTheAccountLimit(t *testing.T) {
	o := newOffer(t, defaultRateLimits()).at(7)
	for i := range 500 {
		o.accept(10, fmt.Sprint("account-", i))
	}
	o.refuse(3, "fresh")
	o.refuse(3, "account-0")
}

func TestCountersStartAnewWhenTheHeightDiffers(t *testing.T) {
	o := newOffer(t, defaultRateLimits())
	for _, height := range []int64{7, 8, 7, 100} {
		o.at(height).accept(10, "alice")
		o.refuse(1, "alice")
	}
}

// CheckTx after block H runs at height H, so it meets what the block left behind.
func TestOneCounterForCheckTxAndBlockExecution(t *testing.T) {
	o := newOffer(t, defaultRateLimits()).at(7)
	o.ctx = o.ctx.WithIsCheckTx(false)
	o.accept(6, "alice")
	o.ctx = o.ctx.WithIsCheckTx(true)
	o.accept(3, "alice")
	o.ctx = o.ctx.WithIsReCheckTx(true)
	o.accept(1, "alice")
	o.refuse(1, "alice")
}

func TestSimulationIsExempt(t *testing.T) {
	o := newOffer(t, defaultRateLimits()).at(7)
	for range 50 {
		if err := o.handle(signedBy{signers: []string{"alice"}}, true); err != nil {
			t.Fatal(err)
		}
	}
	o.accept(10, "alice")
}

func TestSwitchedOff(t *testing.T) {
	newOffer(t, rateLimits{enabled: false, perAccount: 1, perBlock: 1}).at(7).accept(50, "alice")
}

func TestUnreadableSignersAreNotCounted(t *testing.T) {
	o := newOffer(t, rateLimits{enabled: true, perAccount: 1, perBlock: 1}).at(7)
	for range 3 {
		if err := o.handle(signedBy{err: errors.New("no signer")}, false); err != nil {
			t.Fatal(err)
		}
	}
	o.accept(1, "alice")
}

func TestRefusalEmitsAnEvent(t *testing.T) {
	o := newOffer(t, rateLimits{enabled: true, perAccount: 1, perBlock: 10}).at(7)
	o.accept(1, "alice")
	o.refuse(1, "alice")
	events := o.ctx.EventManager().Events()
	if len(events) != 1 || events[0].Type != "rate_limit_exceeded" {
		t.Fatalf("events are %v", events)
	}
	want := map[string]string{
		"account": sdk.AccAddress("alice").String(), "reason": "account_limit",
		"current_count": "1", "limit": "1", "block_height": "7",
	}
	for key, value := range want {
		if attribute, ok := events[0].GetAttribute(key); !ok || attribute.Value != value {
			t.Errorf("%s is %q, want %q", key, attribute.Value, value)
		}
	}
}

func TestConcurrentTransactionsNeverPassTheLimit(t *testing.T) {
	o := newOffer(t, defaultRateLimits()).at(7)
	var mu sync.Mutex
	var group sync.WaitGroup
	passed := 0
	for range 100 {
		group.Add(1)
		go func() {
			defer group.Done()
			if o.d.count(o.ctx, signedBy{signers: []string{"alice"}}) == nil {
				mu.Lock()
				passed++
				mu.Unlock()
			}
		}()
	}
	group.Wait()
	if passed != 10 {
		t.Fatalf("%d passed, want 10", passed)
	}
}
