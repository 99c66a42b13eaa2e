package tests

import (
	"bytes"
	"debug/buildinfo"
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

// TestContainersStartWithoutCountingProcessors: the Go runtime reads the limits of
// its cgroup, four files of which one grows with the machine's mounts, unless the
// program says that it has no use for them.
func TestContainersStartWithoutCountingProcessors(t *testing.T) {
	t.Parallel()
	info, err := buildinfo.ReadFile(filepath.Join(top, "bin", "ds-exec"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range info.Settings {
		if s.Key == "DefaultGODEBUG" && strings.Contains(s.Value, "containermaxprocs=0") && strings.Contains(s.Value, "updatemaxprocs=0") {
			return
		}
	}
	t.Error("ds-exec has the runtime look for its processors")
}
