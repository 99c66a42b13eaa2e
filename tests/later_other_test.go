//go:build !linux || !amd64

package tests

import (
	"fmt"
	"os"
	"runtime"
)

func laterMain(string, []string) int {
	fmt.Fprintln(os.Stderr, "later: not on", runtime.GOOS, runtime.GOARCH)
	return laterFailed
}
