package tests

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"docksmith/lib/flock"
	"docksmith/lib/store"
)

const (
	capBytes = 14 << 20
	// capSlack is what a build writes after it looked at the cap: its log, its
	// counters, directories.
	capSlack = 512 << 10
	layer    = 1 << 20
)

// TestCapHoldsBesideBuilds fills a store with several times its cap: builds run
// at the same time, a container is up, collections come and are killed. What is
// not in use is never above the cap, nothing that is in use is lost, and what
// the builds give is what they give alone.
func TestCapHoldsBesideBuilds(t *testing.T) {
	const workers, turns = 3, 10
	b := newBox(t)
	b.base()
	contexts := func(n, turn int) string {
		dir := fmt.Sprintf("ctx-%d-%d", n, turn)
		content := make([]byte, layer/2)
		chaCha := rand.NewChaCha8([32]byte{byte(n), byte(turn)})
		_, _ = chaCha.Read(content) // never fails
		b.write(dir+"/big", string(content))
		b.write(dir+"/Dockerfile", fmt.Sprintf("FROM base\nCOPY big /big\n"+
			"RUN --mount=type=cache,id=%d,target=/c cat /big >/c/last; cp /big /copy; sleep 0.05; cmp /big /c/last && echo same >/same\n", n))
		return dir
	}
	b.sh("docksmith build -q -t up " + contexts(9, 9) + " && docksmith run -d --name up up sleep 600 >up.id")
	defer func() { _, _ = b.try("docksmith rm -f up") }() // or it has gone with the box
	b.env = append(b.env, fmt.Sprint("DOCKSMITH_MAX_BYTES=", capBytes))
	b.sh("ds-store gc")

	work := func(from, to int, others ...func(*testing.T, *box, <-chan struct{})) {
		stop := make(chan struct{})
		var beside, builds sync.WaitGroup
		for _, other := range append(others, sampleCap) {
			beside.Go(func() { other(t, b, stop) })
		}
		for n := range workers {
			builds.Go(func() {
				for turn := from; turn < to; turn++ {
					if _, err := b.try(fmt.Sprintf("docksmith build -q -t w:%d %s >w%d", n, contexts(n, turn), n)); err != nil {
						t.Errorf("build %d of worker %d: %v", turn, n, err)
					}
				}
			})
		}
		builds.Wait()
		close(stop)
		beside.Wait()
	}
	work(0, turns/2+1)                      // the builds alone keep the cap
	work(turns/2+1, turns, killCollections) // and collections do not harm them

	b.sh("ds-store fsck && docksmith exec up cmp /big /copy")
	if used := usedBytes(t, b); used > capBytes+capSlack {
		t.Errorf("%d bytes are left, the cap is %d", used, capBytes)
	}
	for n := range workers {
		if got := b.sh(fmt.Sprintf("docksmith run w:%d cat /same", n)); got != "same" {
			t.Errorf("w:%d says %q", n, got)
		}
		alone := fmt.Sprintf("export DOCKSMITH_MAX_BYTES= DOCKSMITH_ROOT=$PWD/alone; ds-store ls -q base 2>/dev/null | grep -q . || docksmith base base >base.id; docksmith build -q -t w:%d ctx-%d-%d", n, n, turns-1)
		if want, got := b.sh(alone), b.sh(fmt.Sprint("cat w", n)); got != want {
			t.Errorf("w:%d is %s, built alone %s", n, got, want)
		}
	}
	b.sh("docksmith rm -f up; ds-store gc --grace 0s; ds-store fsck")
	if left := b.sh("ls store/tmp store/state/leases | grep -v -e : -e '^$' || true"); left != "" {
		t.Errorf("left: %s", left)
	}
}

// killCollections starts collections, and kills each at some moment.
func killCollections(t *testing.T, b *box, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		cmd := b.command("exec ds-store gc --max-bytes 0 --grace 0s")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return
		}
		time.Sleep(time.Duration(rand.Int64N(int64(60 * time.Millisecond))))
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		_ = cmd.Wait()
		time.Sleep(100 * time.Millisecond)
	}
}

// sampleCap looks again and again at what takes space and is nobody's.
func sampleCap(t *testing.T, b *box, stop <-chan struct{}) {
	looks, most := 0, int64(0)
	for {
		select {
		case <-stop:
			if looks < 3 {
				t.Errorf("looked %d times: that shows little", looks)
			}
			t.Logf("looked %d times: at most %d bytes not in use, the cap is %d", looks, most, capBytes)
			return
		case <-time.After(20 * time.Millisecond):
		}
		n := usedBytes(t, b)
		looks, most = looks+1, max(most, n)
		if n > capBytes+capSlack {
			t.Errorf("%d bytes that nobody has in use, the cap is %d", n, capBytes)
		}
	}
}

// usedBytes is what counts for the cap and is not in use: with the lock that
// all need who put something in its place or lease it.
func usedBytes(t *testing.T, b *box) (sum int64) {
	lock, err := flock.Open(t.Context(), b.path("store/state/gc.lock"), flock.Exclusive)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer lock.Close()
	inUse, err := heldNames(b)
	for _, dir := range []string{"oci/blobs/sha256", "snapshots"} {
		names, rerr := os.ReadDir(b.path("store", dir))
		err = errors.Join(err, rerr)
		for _, n := range names {
			if !inUse[n.Name()] {
				size, derr := store.DiskUsage(b.path("store", dir, n.Name()))
				err, sum = errors.Join(err, derr), sum+size
			}
		}
	}
	for _, dir := range []string{"cache", "builds"} {
		size, derr := store.DiskUsage(b.path("store", dir))
		err, sum = errors.Join(err, derr), sum+size
	}
	// A directory of a mapped user's that others may not read is passed over.
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
	return sum
}

// heldNames are the digits of what living processes have leased and of the
// snapshots below containers.
func heldNames(b *box) (map[string]bool, error) {
	held := map[string]bool{}
	leases, err := filepath.Glob(b.path("store/state/leases/*"))
	if err != nil {
		return nil, err
	}
	for _, path := range leases {
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if dead, _ := flock.Try(f, flock.Shared); !dead {
			for lines := bufio.NewScanner(f); lines.Scan(); {
				held[strings.TrimPrefix(lines.Text(), "sha256:")] = true
			}
		}
		f.Close()
	}
	configs, err := filepath.Glob(b.path("store/containers/*/config.json"))
	for _, path := range configs {
		raw, rerr := os.ReadFile(path)
		err = errors.Join(err, rerr)
		for _, part := range strings.Split(string(raw), "/snapshots/")[1:] {
			held[part[:min(64, len(part))]] = true
		}
	}
	return held, err
}
