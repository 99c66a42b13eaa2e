package sandbox

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWatchLooksAtDescendants has a child of a child hold nine descriptors. It does
// not announce its end.
func TestWatchLooksAtDescendants(t *testing.T) {
	for _, c := range []struct {
		limit string // of the process
		files uint64 // that was asked for
		want  string
	}{
		{"9", 9, "reached: limit of 9 descriptors: process "},
		{"9", 5, "reached: limit of 9 descriptors: process "}, // the hard limit may be higher
		{"9", 20, ""}, // it has set itself a limit
		{"20", 5, ""},
	} {
		pid, end := holdNine(t, c.limit)
		if list := children(pid); len(list) != 1 {
			t.Skipf("this kernel lists no children: %v", list)
		}
		w := watch{storage: -1, files: c.files, command: pid, listener: -1}
		w.lookAround()
		w.lookAround()
		var res Result
		w.verdict(&res, 0)
		got := strings.Join(res.Verdicts, "; ")
		if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" || strings.Count(got, "process") > 1 {
			t.Errorf("%+v: %q", c, got)
		}
		end()
	}
}

// holdNine starts a process whose child has nine descriptors.
func holdNine(t *testing.T, limit string) (pid int, end func()) {
	const hold = `i=3; while [ $i -lt 9 ]; do eval "exec $i</dev/null"; i=$((i+1)); done; ulimit -n "$0"; echo ready; read x; exit 0`
	cmd := exec.Command("sh", "-c", `sh -c "$0" "$1"; exit 0`, hold, limit)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatal(line, err)
	}
	return cmd.Process.Pid, func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// TestFarewellFilterDeniesNothing: it has the ends announced, of the native
// architecture alone.
func TestFarewellFilterDeniesNothing(t *testing.T) {
	for i, a := range seccompArches {
		for _, s := range a.table {
			want := uint32(retAllow)
			if i == 0 && s.name == "exit_group" {
				want = unix.SECCOMP_RET_USER_NOTIF
			}
			got, err := decide(farewellFilter(), seccompCall{nr: s.nr | a.bit, arch: a.audit})
			if err != nil || got != want {
				t.Errorf("%s of %s: %#x, %v, want %#x", s.name, a.name, got, err, want)
			}
		}
	}
}

// TestFillerIsChosen: an open file tells more than what was written to whatever.
func TestFillerIsChosen(t *testing.T) {
	open, wrote := filler{file: "/f", bytes: 4096}, func(n int64) filler { return filler{bytes: n} }
	for _, c := range []struct {
		a, b filler
		want bool
	}{
		{open, wrote(1 << 30), true},
		{wrote(1 << 30), open, false},
		{filler{file: "/g", bytes: 8192}, open, true},
		{open, open, false},
		{wrote(1), filler{}, true},
		{wrote(150), wrote(100), false},
		{wrote(300), wrote(100), true},
	} {
		if got := better(c.a, c.b); got != c.want {
			t.Errorf("%+v rather than %+v: %v", c.a, c.b, got)
		}
	}
}
