package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// laterVariable makes the test binary run a command as UID, for which it is
// SECONDS later: "SECONDS UID".
const laterVariable = "DOCKSMITH_TEST_LATER"

// laterFailed is the exit status if that cannot be done here.
const laterFailed = 125

// aDay is how much later most tests have it: another date, hour, minute and second.
const aDay = 25*time.Hour + 61*time.Second

// later is a shell command line in the box, for which it is ahead later, as a
// user: of this machine's, or 0 for the same.
func (b *box) later(ahead time.Duration, uid uint32, script string) *exec.Cmd {
	b.t.Helper()
	self, err := os.Executable()
	if err != nil {
		b.t.Fatal(err)
	}
	if uid == 0 {
		uid = uint32(os.Geteuid())
	}
	cmd := exec.Command(self, "sh", "-euc", script)
	words := strconv.Itoa(int(ahead.Seconds())) + " " + strconv.Itoa(int(uid))
	cmd.Dir, cmd.Env = b.dir, append(b.env[:len(b.env):len(b.env)], laterVariable+"="+words)
	return cmd
}

// needsLater skips the test where no command can be given another time.
func (b *box) needsLater() {
	b.t.Helper()
	if why := b.noLater(); why != "" {
		b.t.Skip(why)
	}
}

// noLater says why no command can be given another time, or "".
func (b *box) noLater() string {
	b.t.Helper()
	if out, err := b.later(0, 0, "true").CombinedOutput(); err != nil {
		return fmt.Sprintf("no program can be told here that it is later: %v: %s", err, out)
	}
	if os.Geteuid() != 0 && hasIDRange() {
		return "no program can be told here that it is later: newuidmap has no privilege when it is traced"
	}
	return ""
}

// TestLaterClock asks for the time in the ways that programs do: by way of the C
// library or not, from a child, in a container.
func TestLaterClock(t *testing.T) {
	b := newBox(t)
	b.needsLater()
	b.base()
	b.write("ctx/Dockerfile", "FROM base\nRUN date +%s >/now\n")
	for name, row := range map[string]struct{ needs, script string }{
		"C":             {"date", "date +%s"},
		"itself":        {"date", "date +%s"},
		"a child":       {"date", "(sleep 0; date +%s) & wait"},
		"many words":    {"date", "date $(seq 5000 | sed s/.*/-u/) +%s"},
		"no C library":  {"sh", "inside now"},
		"static":        {"busybox", "busybox date +%s"},
		"time":          {"perl", "perl -e 'print time'"},
		"gettimeofday":  {"perl", "perl -MTime::HiRes -e 'print int Time::HiRes::time'"},
		"in a box":      {"sh", "docksmith run base date +%s"},
		"in a build":    {"sh", "docksmith build -q -t app ctx >/dev/null && docksmith run app cat /now"},
		"log of builds": {"date", `docksmith build -q -t log ctx >/dev/null; date +%s -d "$(sed -n 's/.*"type":"build".*"time":"\([^"]*\).*/\1/p' store/builds/*/record.ndjson | sort | tail -n 1)"`},
	} {
		t.Run(name, func(t *testing.T) {
			needs(t, row.needs)
			before := time.Now().Unix()
			cmd := b.later(aDay, 0, row.script)
			if name == "itself" { // not by way of sh
				cmd.Args = append(cmd.Args[:1], strings.Fields(row.script)...)
			}
			out, err := cmd.CombinedOutput()
			after := time.Now().Unix()
			got, notNumber := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
			if err != nil || notNumber != nil {
				t.Fatalf("%s: %v\n%s", row.script, err, out)
			}
			if got -= int64(aDay.Seconds()); got < before || got > after {
				t.Errorf("a day later than %d to %d it is a day later than %d", before, after, got)
			}
		})
	}
	for script, want := range map[string]int{"exit 7": 7, "kill -TERM $$": 128 + 15, "true": 0} {
		var exit *exec.ExitError
		if err := b.later(aDay, 0, script).Run(); errors.As(err, &exit) && exit.ExitCode() != want || (err == nil) != (want == 0) {
			t.Errorf("%s: %v, want status %d", script, err, want)
		}
	}
}
