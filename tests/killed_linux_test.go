package tests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// killedAfter starts a command line and kills all processes with word in their
// arguments after a random part of most.
func (b *box) killedAfter(script, word string, most time.Duration) {
	b.t.Helper()
	cmd := b.command("exec " + script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	time.Sleep(time.Duration(rand.Int64N(int64(most))))
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	for _, pid := range processes(word) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = cmd.Wait()
}

// TestKilledEntersLeaveNothing kills who brings commands into a container: the
// commands end, and the container does not notice.
func TestKilledEntersLeaveNothing(t *testing.T) {
	n := rounds(t, 24)
	b := newBox(t)
	b.bundles(1)
	id := b.sh("ds-exec run -d --name web b0 -- sleep 1000")
	before := b.sh("ds-exec enter web ps | wc -l")
	for i := range n {
		word := fmt.Sprintf("%d.%06d", 200000+i, os.Getpid()%1000000)
		b.killedAfter("ds-exec enter web sleep "+word, "enter\x00web\x00sleep\x00"+word, 60*time.Millisecond)
		eventually(t, "the command has ended", func() bool { return len(processes(word)) == 0 })
		if list := b.listAll(); len(list) != 1 || list[0].ID != id || list[0].Status != "running" {
			t.Fatalf("round %d: ps says %+v", i, list)
		}
	}
	eventually(t, "the container has the processes that it had", func() bool { return b.sh("ds-exec enter web ps | wc -l") == before })
	b.sh("ds-exec rm -f web")
	b.nothingLeft(n)
	b.noCgroups(id)
}

// TestKilledRuntimesLeaveNothing kills the runtime in each of its verbs.
func TestKilledRuntimesLeaveNothing(t *testing.T) {
	n := rounds(t, 10)
	b := newBox(t)
	b.bundles(1)
	limits := ""
	if os.Geteuid() == 0 {
		limits = `| .linux.resources.memory.limit = 67108864 | .linux.resources.pids.limit = 50`
	}
	states := map[string]int{}
	for i := range n {
		id := fmt.Sprintf("k%d.%d", os.Getpid(), i)
		word := fmt.Sprintf("%d.%06d", 300000+i, os.Getpid()%1000000)
		b.sh("jq '.process.args = [\"sleep\", \"" + word + "\"] " + limits + "' b0/config.json >new && cp new b0/config.json")
		runtime := "ds-runtime --root " + b.path("state") + " "
		verbs := []string{"create --bundle b0 " + id + " >/dev/null 2>&1 </dev/null", "start " + id, "exec --detach " + id + " sleep " + word + " >/dev/null 2>&1 </dev/null", "kill " + id + " KILL", "delete " + id}
		dies := i % len(verbs)
		for _, v := range verbs[:dies] {
			b.sh(runtime + v)
			if strings.HasPrefix(v, "kill") {
				eventually(t, "it has ended", func() bool { return len(processes(word)) == 0 })
			}
		}
		b.killedAfter(runtime+verbs[dies], strings.Fields(verbs[dies])[0]+"\x00"+strings.Join(strings.Fields(verbs[dies])[1:2], ""), 30*time.Millisecond)
		out, err := b.try(runtime + "state " + id)
		var s specs.State
		if err == nil {
			if err := json.Unmarshal([]byte(out), &s); err != nil {
				t.Fatal(err)
			}
		}
		states[verbs[dies][:4]+" "+string(s.Status)]++
		// Who makes it may be on his way out still.
		eventually(t, "it can be deleted, after a killed "+verbs[dies], func() bool { return b.status(runtime+"delete --force "+id) == 0 })
		eventually(t, "nothing runs, after a killed "+verbs[dies], func() bool { return len(processes(word))+len(processes("\x00"+id+"\x00")) == 0 })
		if left, _ := filepath.Glob(b.path("state/[^.]*")); len(left) > 0 {
			t.Fatalf("round %d, %s: left: %v", i, verbs[dies], left)
		}
		if _, err := b.try(runtime + "state " + id); err == nil {
			t.Fatalf("round %d: there still is a state", i)
		}
	}
	b.sh("ds-exec gc; rm -rf state")
	b.nothingLeft(n)
	b.noAbandonedCgroups()
	t.Logf("what was found after the kills: %v", states)
}

// TestKilledAsUsers does it where containers are in user namespaces, with one id
// and with a range of them.
func TestKilledAsUsers(t *testing.T) {
	for name, uid := range map[string]uint32{"one id": ordinary, "range of ids": userWithRange(t)} {
		t.Run(name, func(t *testing.T) {
			if uid == 0 {
				t.Skip("no ordinary user of this machine has a range of ids")
			}
			for _, test := range []string{"TestKilledContainersLeaveNothing", "TestKilledEntersLeaveNothing", "TestKilledRuntimesLeaveNothing"} {
				runAs(t, uid, test, skipReasons)
			}
		})
	}
}

// noCgroups looks for directories of a container.
func (b *box) noCgroups(id string) {
	b.t.Helper()
	all, _ := filepath.Glob("/sys/fs/cgroup/*/docksmith/" + id)
	more, _ := filepath.Glob("/sys/fs/cgroup/docksmith/" + id)
	if all = append(all, more...); len(all) > 0 {
		b.t.Errorf("cgroups left: %v", all)
	}
}

// noAbandonedCgroups looks for directories of any container that no maker holds
// any more: those that live have a lock.
func (b *box) noAbandonedCgroups() {
	b.t.Helper()
	var left []string
	for range 200 {
		left = left[:0]
		held := lockedInodes(b.t)
		all, _ := filepath.Glob("/sys/fs/cgroup/*/docksmith/*")
		more, _ := filepath.Glob("/sys/fs/cgroup/docksmith/*")
		for _, dir := range append(all, more...) {
			var st syscall.Stat_t
			procs, err := os.ReadFile(dir + "/cgroup.procs")
			if err == nil && len(procs) == 0 && syscall.Stat(dir, &st) == nil && !held[st.Ino] {
				left = append(left, dir)
			}
		}
		if len(left) == 0 {
			return
		}
		b.sh("ds-exec gc >/dev/null") // others that run at the same time die, too
		time.Sleep(10 * time.Millisecond)
	}
	b.t.Errorf("cgroups left: %v", left)
}

// lockedInodes are those of /proc/locks.
func lockedInodes(t *testing.T) map[uint64]bool {
	t.Helper()
	f, err := os.Open("/proc/locks")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	held := map[uint64]bool{}
	for s := bufio.NewScanner(f); s.Scan(); {
		for _, w := range strings.Fields(s.Text()) {
			var major, minor int
			var inode uint64
			if n, _ := fmt.Sscanf(w, "%x:%x:%d", &major, &minor, &inode); n == 3 {
				held[inode] = true
			}
		}
	}
	return held
}
