#!/bin/sh
# Run the chain's tests with the Go that builds it, and with the same flags, so that nothing is compiled twice.
set -eu
cd "$(dirname "$0")/.."
go=$(.venv/bin/python -c 'import sys; from devnet.build import find_go; print(find_go(lambda line: print(line, file=sys.stderr)))')
cd devnet/chain
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
echo "go test: the chain, and its build with a planted defect"
"$go" vet ./...
"$go" test -trimpath -ldflags '-s -w' ./...
"$go" test -trimpath -ldflags '-s -w' -tags plant_fork ./...
