// Command ved is a small Cosmos SDK chain with VirtEngine's identity, ante
// handler and rate limit, for reliability tests to run against.
//
// It does not implement VirtEngine's marketplace, identity or governance modules.
package main

import (
	"fmt"
	"os"

	svrcmd "github.com/cosmos/cosmos-sdk/server/cmd"
)

func main() {
	if err := svrcmd.Execute(newRootCmd(), envPrefix, defaultHome()); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", binaryName, err)
		os.Exit(1)
	}
}
