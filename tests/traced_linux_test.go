package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// pathCall is a system call that names a file, in a trace.
var pathCall = regexp.MustCompile(`(?:^|\s)([a-z0-9_]+)\((?:[^"]*, )?"((?:[^"\\]|\\.)*)"`)

// TestUnchangedContextIsOnlyLookedAt traces a cached rebuild: each file of the
// context costs one call that looks at it and is not opened; each directory is
// opened once.
func TestUnchangedContextIsOnlyLookedAt(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed")
	}
	if exec.Command("strace", "-qq", "-o", "/dev/null", "true").Run() != nil {
		t.Skip("nothing can be traced here")
	}
	if os.Geteuid() != 0 && (!userNamespaces() || hasIDRange()) {
		t.Skip("an ordinary user cannot build here, or newuidmap has no privilege under strace")
	}
	files := 20000
	if testing.Short() {
		files = 2000
	}
	b := newBox(t)
	b.write("Dockerfile", "FROM scratch\nCOPY . /\n")
	for i := range files {
		name := b.path("ctx", fmt.Sprintf("d%03d", i/100), fmt.Sprintf("f%05d", i))
		if i%100 == 0 {
			if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(name, []byte(fmt.Sprint(i)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cold := b.sh("ds-build -q -f Dockerfile ctx")
	// Files have to be old enough for their hashes to be kept, by the clock of
	// their file system.
	for range 100 {
		if end := b.sh("ds-build --progress=json -f Dockerfile ctx 2>&1 >/dev/null | tail -n 1"); !strings.Contains(end, `"read":`) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if got := b.sh("strace -f -qq -e trace=%file -s 300 -o trace ds-build -q -f Dockerfile ctx"); got != cold {
		t.Fatalf("traced it gives %s, want %s", got, cold)
	}
	checkTrace(t, b, files)
}

func checkTrace(t *testing.T, b *box, files int) {
	t.Helper()
	trace, err := os.ReadFile(b.path("trace"))
	if err != nil {
		t.Fatal(err)
	}
	looks, opens, listed := map[string]int{}, map[string]int{}, map[string]int{}
	all := 0
	for line := range strings.Lines(string(trace)) {
		m := pathCall.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		all++
		name := m[2][strings.LastIndexByte(m[2], '/')+1:]
		switch {
		case len(name) == 4 && name[0] == 'd' && strings.HasPrefix(m[1], "open"):
			listed[name]++
		case len(name) != 6 || name[0] != 'f':
		case strings.HasPrefix(m[1], "open"):
			opens[name]++
		default: // newfstatat, statx, readlinkat, getxattr, ...
			looks[name]++
		}
	}
	if len(looks) != files || len(listed) != files/100 {
		t.Fatalf("%d files looked at, %d directories opened: want %d and %d", len(looks), len(listed), files, files/100)
	}
	sum := 0
	for name, n := range looks {
		sum += n
		if n != 1 {
			t.Errorf("%s is looked at %d times", name, n)
		}
	}
	for name, n := range listed {
		if n != 1 {
			t.Errorf("directory %s is opened %d times", name, n)
		}
	}
	if len(opens) > 0 {
		t.Errorf("%d files are opened", len(opens))
	}
	t.Logf("%d files: %d looks, %d opens, %d directories opened, %d calls with a path in all", files, sum, len(opens), len(listed), all)
}
