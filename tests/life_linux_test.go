package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// listed is what these tests read of a record.
type listed struct {
	ID, Name, Status string
	PID              int
	Exit             *struct {
		Status  int
		Unknown bool
	}
}

// listAll is ps --all.
func (b *box) listAll() []listed {
	b.t.Helper()
	var list []listed
	for d := json.NewDecoder(strings.NewReader(b.sh("ds-exec ps --all --json"))); ; {
		var l listed
		if err := d.Decode(&l); err != nil {
			b.t.Fatalf("ps was cut: %v", err)
		}
		if l.ID == "" {
			return list
		}
		list = append(list, l)
	}
}

// processes are the ids of those that have word in their arguments.
func processes(word string) (pids []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		raw, err := os.ReadFile(f)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err == nil && pid != os.Getpid() && bytes.Contains(raw, []byte(word)) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually waits for what is about to be so.
func eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for range 1000 {
		if so() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("not so after a while: %s", what)
}

// bundles makes n bundles of an image in b0, b1, ...
func (b *box) bundles(n int) {
	b.t.Helper()
	b.base()
	b.sh(fmt.Sprintf("for i in $(seq 0 %d); do ds-store bundle base b$i; done", n-1))
}

// TestKilledContainersLeaveNothing kills those who run containers, at random
// moments: what ps says is true, and what gc leaves is nothing.
func TestKilledContainersLeaveNothing(t *testing.T) {
	n := rounds(t, 24)
	b := newBox(t)
	b.bundles(n)
	limit := ""
	if os.Geteuid() == 0 {
		limit = "--memory 64m"
	}
	dead := 0
	for i := range n {
		// The word is what the processes of this round are found by.
		word := fmt.Sprintf("%d.%06d", 100000+i, os.Getpid()%1000000)
		flags := []string{"", "--detach", "--detach --rm", "--name n" + strconv.Itoa(i)}[i%4]
		script := fmt.Sprintf("exec ds-exec run %s %s --own-bundle b%d -- sleep %s >id%d 2>err%d", flags, limit, i, word, i, i)
		cmd := b.command(script)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i%4 == 1 || i%4 == 2 { // the monitor, wherever it is in its life
			_ = cmd.Wait()
			time.Sleep(time.Duration(rand.Int64N(int64(5 * time.Millisecond))))
			raw, _ := os.ReadFile(b.path("id" + strconv.Itoa(i)))
			for _, pid := range processes(strings.TrimSpace(string(raw))) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
		} else {
			time.Sleep(time.Duration(rand.Int64N(int64(60 * time.Millisecond))))
			for _, pid := range processes("b" + strconv.Itoa(i) + "\x00--\x00sleep\x00" + word) {
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
			_ = cmd.Wait()
		}
		// A process that is killed takes a moment, and is not to be seen while it
		// executes the command.
		eventually(t, "nothing runs", func() bool {
			return !slices.ContainsFunc(b.listAll(), func(l listed) bool { return l.Status != "stopped" })
		})
		eventually(t, "nothing runs that ps does not know of", func() bool { return len(processes(word)) == 0 })
		for _, l := range b.listAll() {
			if l.Exit == nil || !l.Exit.Unknown {
				t.Fatalf("round %d: ps says %+v of a container that was killed", i, l)
			}
			dead++
		}
		b.sh("ds-exec gc")
		b.nothingLeft(i)
	}
	b.noAbandonedCgroups()
	if dead < n/4 {
		t.Errorf("%d containers died in %d rounds: little was shown", dead, n)
	}
}

// nothingLeft looks for what a container could leave.
func (b *box) nothingLeft(round int) {
	b.t.Helper()
	if list := b.listAll(); len(list) > 0 {
		b.t.Fatalf("round %d: left: %+v", round, list)
	}
	entries, err := os.ReadDir(b.path("store/run"))
	if err != nil && !os.IsNotExist(err) {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); n != ".lock" && n != ".names" && n != ".ended" && n != ".ended.1" {
			b.t.Fatalf("round %d: left in run: %s", round, e.Name())
		}
	}
	if names, _ := os.ReadDir(b.path("store/run/.names")); len(names) > 0 {
		b.t.Fatalf("round %d: left names: %v", round, names)
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		b.t.Fatal(err)
	}
	if bytes.Contains(mounts, []byte(b.dir)) {
		b.t.Fatalf("round %d: left mounted:\n%s", round, mounts)
	}
}

// TestKilledContainersLeaveNoCgroups kills and looks for directories.
func TestKilledContainersLeaveNoCgroups(t *testing.T) {
	needsRoot(t, "an ordinary user may not make cgroups")
	b := newBox(t)
	b.bundles(1)
	id := b.sh("ds-exec run -d --memory 64m --pids-limit 20 b0 -- sleep 1000")
	cgroups := func() []string {
		a, _ := filepath.Glob("/sys/fs/cgroup/*/docksmith/" + id)
		c, _ := filepath.Glob("/sys/fs/cgroup/docksmith/" + id)
		return append(a, c...)
	}
	if len(cgroups()) == 0 {
		t.Fatal("the container has no cgroup of its id")
	}
	for _, pid := range processes(id) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(t, "ps knows that it is dead", func() bool { l := b.listAll(); return len(l) == 1 && l[0].Status == "stopped" })
	if got := b.sh("ds-exec gc"); got != id {
		t.Errorf("gc removed %q", got)
	}
	if left := cgroups(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestManyAtOnce starts many containers at the same time.
func TestManyAtOnce(t *testing.T) {
	n := rounds(t, 40)
	b := newBox(t)
	b.bundles(n)
	var all sync.WaitGroup
	ids := make([]string, n)
	for i := range n {
		all.Go(func() {
			id, err := b.try(fmt.Sprintf("ds-exec run -d --own-bundle --name c%d b%d -- sh -c 'echo %d; sleep 1000'", i, i, i))
			if err != nil {
				t.Error(err)
			}
			ids[i] = id
		})
	}
	all.Wait()
	if t.Failed() {
		b.sh("ds-exec rm -f $(ds-exec ps -aq)")
		return
	}
	list := b.listAll()
	if len(list) != n || slices.ContainsFunc(list, func(l listed) bool { return l.Status != "running" }) {
		t.Errorf("%d of %d: %+v", len(list), n, list)
	}
	eventually(t, "the last log is written", func() bool { return b.sh(fmt.Sprintf("ds-exec logs c%d", n-1)) == strconv.Itoa(n-1) })
	b.checkMemory(ids)
	b.sh("ds-exec stop -t 0 $(ds-exec ps -q) >/dev/null")
	if list := b.listAll(); slices.ContainsFunc(list, func(l listed) bool { return l.Status != "stopped" || l.Exit.Status != 137 && l.Exit.Status != 143 }) {
		t.Errorf("after stop: %+v", list)
	}
	b.sh("ds-exec prune >/dev/null")
	b.nothingLeft(n)
	if left := b.sh("ls -d b* || true"); left != "" {
		t.Errorf("bundles left: %s", left)
	}
}

// TestMonitorAloneIsSmall has nobody to share the pages of the program with.
func TestMonitorAloneIsSmall(t *testing.T) {
	b := newBox(t)
	b.bundles(1)
	id := b.sh("ds-exec run -d b0 -- sleep 1000")
	defer b.sh("ds-exec rm -f " + id)
	eventually(t, "the monitor gives back what the start took", func() bool {
		total, _ := b.memory([]string{id})
		return total > 0 && total <= 5<<10
	})
}

// checkMemory holds the monitors to what a container may cost while it runs.
func (b *box) checkMemory(ids []string) {
	total, most := b.memory(ids)
	b.t.Logf("memory of %d monitors: %d KiB on average, %d KiB at most", len(ids), total/len(ids), most)
	if total == 0 || total/len(ids) > 5<<10 {
		b.t.Errorf("%d KiB on average", total/len(ids))
	}
}

// memory is what the monitors of containers have, each its part of what several
// share, in KiB.
func (b *box) memory(ids []string) (total, most int) {
	for _, id := range ids {
		for _, pid := range processes("monitor\x00--status-fd\x003\x00" + id) {
			raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
			if err != nil {
				b.t.Skip(err)
			}
			for line := range strings.Lines(string(raw)) {
				if f := strings.Fields(line); len(f) > 1 && f[0] == "Pss:" {
					kib, _ := strconv.Atoi(f[1])
					total, most = total+kib, max(most, kib)
				}
			}
		}
	}
	return total, most
}

// TestOneOfManyGetsTheName starts containers with one name.
func TestOneOfManyGetsTheName(t *testing.T) {
	b := newBox(t)
	const n = 8
	b.bundles(n)
	var all sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for i := range n {
		all.Go(func() {
			_, err := b.try(fmt.Sprintf("ds-exec run -d --name one b%d -- sleep 1000", i))
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !strings.Contains(err.Error(), "the name is taken") {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if list := b.listAll(); won != 1 || len(list) != 1 || list[0].Name != "one" {
		t.Errorf("%d got the name: %+v", won, list)
	}
	b.sh("ds-exec rm -f one")
	b.nothingLeft(0)
}

// TestAnotherProcessIsNotTheContainer gives the container's process id to
// another process, in the record.
func TestAnotherProcessIsNotTheContainer(t *testing.T) {
	b := newBox(t)
	b.bundles(1)
	other := b.command("exec sleep 1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	// The kernel tells to the tick when a process began, and within one gives no id twice.
	time.Sleep(20 * time.Millisecond)
	id := b.sh("ds-exec run -d --name web b0 -- sleep 1000")
	for _, pid := range processes(id) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	eventually(t, "the monitor has ended", func() bool { return len(processes(id)) == 0 })
	// Ids come round: both are somebody else's now.
	b.sh(fmt.Sprintf("jq -c '.pid=%d | .process.pid=%[1]d | .monitor.pid=%[1]d' store/run/%s/state.json >new && cp new store/run/%[2]s/state.json", other.Process.Pid, id))
	if _, err := b.try("ds-exec kill web"); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("kill: %v", err)
	}
	for _, verb := range []string{"enter web true", "stop -t 0 web", "rm -f web"} {
		_, _ = b.try("ds-exec " + verb)
	}
	if err := other.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the other process was killed: %v", err)
	}
	b.nothingLeft(0)
}
