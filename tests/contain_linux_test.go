package tests

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// contained is a program that takes all it can of something, with the limit that
// it meets.
type contained struct {
	name, flags, command string
	root                 bool // the limit is one that an ordinary user may not set here
	status               string
	says                 []string // in its output, as expressions
}

var containedPrograms = []contained{
	{"fork bomb", "--pids-limit 40", `f() { f | f & }; f; sleep 1; f; sleep 1`, true, "[02]", // as the shell takes it
		[]string{`(?m)ds-exec run: refused: limit of 40 processes: process 2 \(sh\) and its descendants could not start [0-9]+ more$`}},
	{"memory hog", "--memory 32m", `x=aaaaaaaa; while :; do x=$x$x; done`, true, "137",
		[]string{`(?m)^ds-exec run: killed: memory limit of 32 MiB: process [0-9]+ \(sh\)$`}},
	{"memory hog of many processes", "--memory 48m --pids-limit 64", `i=0; while [ $i -lt 8 ]; do i=$((i+1)); sh -c 'x=aaaaaaaa; while :; do x=$x$x; done' & done; wait; echo over`, true, "0",
		[]string{"over", `(?m)^ds-exec run: killed: memory limit of 48 MiB: process [0-9]+ \(sh\), process [0-9]+ \(sh\)`}},
	{"filler of shared memory", "--shm-size 4m", `dd if=/dev/zero of=/dev/shm/f bs=1M`, false, "1", []string{"No space left on device", `(?m)^4\+0 records out$`}},
	{"filler of a file system in memory", "--tmpfs /scratch:size=4m", `dd if=/dev/zero of=/scratch/f bs=1M`, false, "1", []string{"No space left on device", `(?m)^4\+0 records out$`}},
	{"filler of /dev", "", `dd if=/dev/zero of=/dev/f bs=1M`, false, "1", []string{"No space left on device", `(?m)^6[34]\+0 records out$`}},
	{"filler of the disk by one file", "--ulimit fsize=4194304", `exec dd if=/dev/zero of=/f bs=1M`, false, "153",
		[]string{`(?m)^ds-exec run: killed: file size limit of 4 MiB: process 2 \(dd\)$`}},
	{"filler of the disk", "--storage-size 4m", `dd if=/dev/zero of=/f bs=64k`, false, "1",
		[]string{"No space left on device", `(?m)^ds-exec run: refused: storage of 4 MiB is full: process [23] \(dd\) (was writing /f, which had 4 MiB|had written [0-9]+ bytes)$`}},
	{"filler of the disk that cleans up", "--storage-size 4m", `exec 3>/f; cat /dev/zero >&3; rm /f; exec 3>&-; echo tidy`, false, "0",
		[]string{"tidy", `(?m)^ds-exec run: refused: storage of 4 MiB was full: process [23] \((sh|cat)\) was writing /f, which had 4 MiB$`}},
	{"filler of the disk by a pipe", "--storage-size 4m", `yes | head -c 8000000 >/f; exit 3`, false, "3",
		[]string{`(?m)^ds-exec run: refused: storage of 4 MiB is full: process [34] \(head\) `}},
	{"leaker of descriptors", "--ulimit nofile=40:40", `i=3; while :; do eval "exec $i<&0"; i=$((i+1)); done`, false, "1",
		[]string{"Too many open files", `(?m)^ds-exec run: reached: limit of 40 descriptors: process 2 \(sh\)$`}},
	{"leaker of descriptors in the background", "--ulimit nofile=40:40", leakInBackground, false, "0",
		[]string{`(?m)^ds-exec run: reached: limit of 40 descriptors: process [0-9]+ \(sh\)$`}},
	{"user of some descriptors", "--ulimit nofile=40:40", `i=3; while [ $i -lt 30 ]; do eval "exec $i<&0"; i=$((i+1)); done; sh -c 'ulimit -n 4; exec 3<&0; exit 0'; echo fine`, false, "0", []string{`^fine\nstatus 0$`}},
}

// leakInBackground ends, and with that its container, when a child of it has all the
// descriptors that it may have.
const leakInBackground = `mkfifo /full
sh -c 'exec 0<>/full; i=3; while [ $i -lt 40 ]; do eval "exec $i</"; i=$((i+1)); done; read x' &
until [ "$(ls /proc/$!/fd | wc -l)" = 40 ]; do sleep 0.01; done`

// TestGreedyProgramsAreContained runs each while a second container works, which
// must not notice.
func TestGreedyProgramsAreContained(t *testing.T) {
	if os.Geteuid() != 0 && !userNamespaces() {
		t.Skip("no user namespaces")
	}
	b := newBox(t)
	b.bundles(2)
	for _, c := range containedPrograms {
		t.Run(c.name, func(t *testing.T) {
			if c.root {
				needsRoot(t, "an ordinary user may make no cgroup for the limit")
			}
			inner := *b
			inner.t = t
			begun := time.Now()
			out, worked := inner.greedy(c)
			if took := time.Since(begun); took > time.Minute {
				t.Errorf("it took %v", took)
			}
			if !worked {
				t.Error("the other container did not get to work")
			}
			for _, s := range append([]string{`(?m)^status ` + c.status + `$`}, c.says...) {
				if !regexp.MustCompile(s).MatchString(out) {
					t.Errorf("%s is not in\n%s", s, out)
				}
			}
			t.Logf("%s: %s", c.flags, strings.TrimSpace(out[max(0, len(out)-200):]))
		})
	}
	b.nothingLeft(0)
}

func TestGreedyProgramsAreContainedAsUser(t *testing.T) {
	runAsOrdinary(t, "TestGreedyProgramsAreContained", func(*testing.T, string) string { return "not root: an ordinary user may make no cgroup for the limit" })
}

// greedy runs the program and gives what it says, with whether another container
// could start, work and end meanwhile.
func (b *box) greedy(c contained) (out string, worked bool) {
	b.t.Helper()
	b.write("greedy", c.command+"\n")
	done := make(chan string, 1)
	go func() {
		text, _ := b.try(fmt.Sprintf(`ds-exec run --no-record %s -v ./greedy:/greedy:ro b0 -- sh /greedy </dev/null 2>&1 && echo status 0 || echo status $?`, c.flags))
		done <- text
	}()
	other, err := b.try(`ds-exec run --no-record b1 -- sh -c 'i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done; sh -c "echo worked"'`)
	if err != nil {
		b.t.Error(err)
	}
	return <-done, other == "worked"
}
