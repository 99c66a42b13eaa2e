package tests

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// What a package of ours may allocate before main begins. A cached build takes a
// few milliseconds, so every start counts: expressions, tables and maps that not
// every run needs are made at their first use.
const (
	maxInitBytes  = 8 << 10
	maxInitAllocs = 64
)

// TestProgramsStartWithLittle reads what Go's runtime tells of each package:
// "init NAME @T ms, D ms clock, N bytes, M allocs".
func TestProgramsStartWithLittle(t *testing.T) {
	t.Parallel()
	programs, err := filepath.Glob(filepath.Join(top, "bin", "ds-*"))
	if err != nil || len(programs) == 0 {
		t.Fatal(programs, err)
	}
	for _, program := range programs {
		var trace bytes.Buffer
		cmd := exec.Command(program, "--version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		cmd.Stderr = &trace
		if err := cmd.Run(); err != nil {
			t.Fatal(program, err, trace.String())
		}
		seen := 0
		for line := range strings.Lines(trace.String()) {
			f := strings.Fields(line)
			if len(f) != 11 || f[0] != "init" || f[1] != "main" && !strings.HasPrefix(f[1], "docksmith/") {
				continue
			}
			seen++
			if size, allocs := number(t, f[7]), number(t, f[9]); size > maxInitBytes || allocs > maxInitAllocs {
				t.Errorf("%s: %s allocates %d bytes, %d times, before main begins; at most %d and %d are allowed", filepath.Base(program), f[1], size, allocs, maxInitBytes, maxInitAllocs)
			}
		}
		if seen == 0 {
			t.Errorf("%s: no package of ours in the trace:\n%s", program, trace.String())
		}
	}
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
