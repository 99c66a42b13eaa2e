package tests

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// application is a build of some length: copies, runs, two stages.
const application = `FROM base AS build
WORKDIR /src
COPY . /src
RUN i=0; while [ $i -lt 200 ]; do echo $i >file$i; i=$((i+1)); done
RUN cat file1* >result && rm file2*
FROM base
ENV A=1
COPY --from=build /src/result /app/result
RUN echo done >/app/done
CMD ["/bin/cat", "/app/done"]
`

func writeApplication(b *box) {
	b.write("ctx/Dockerfile", application)
	for i := range 300 {
		b.write(fmt.Sprintf("ctx/data/%d/file", i), fmt.Sprintf("content %d\n", i))
	}
}

// rounds is how often a test of chance tries: n, or what the variable says.
func rounds(t *testing.T, n int) int {
	t.Helper()
	v := os.Getenv("DOCKSMITH_TEST_ROUNDS")
	if v == "" {
		return n
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestKilledBuildsLeaveTheStoreValid kills whole builds at random moments:
// the store stays valid, what was published runs, and the next build succeeds.
func TestKilledBuildsLeaveTheStoreValid(t *testing.T) {
	b := newBox(t)
	b.base()
	writeApplication(b)
	start := time.Now()
	b.sh("docksmith build -q -t app:good ctx")
	whole := time.Since(start)
	killed := 0
	for range rounds(t, 15) {
		b.sh("ds-store gc --all")
		cmd := b.command("exec docksmith build -q --no-cache -t app:new ctx")
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(rand.Int64N(int64(whole))))
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // it may have ended
		if cmd.Wait() != nil {
			killed++
		}
		b.sh("ds-store fsck")
		if got := b.sh("docksmith run app:good"); got != "done" {
			t.Fatalf("the published image says %q", got)
		}
	}
	if killed == 0 {
		t.Error("no build was killed: nothing was shown")
	}
	good := b.digest("app:good")
	b.sh("docksmith build -q -t app:new ctx")
	if got := b.digest("app:new"); got != good {
		t.Errorf("after the kills the build gives %s, before them %s", got, good)
	}
	b.sh("ds-store gc && ds-store fsck")
	if left := b.sh("ls store/tmp"); left != "" {
		t.Errorf("left in tmp: %s", left)
	}
}

// TestFullDisk builds on file systems of several small sizes.
func TestFullDisk(t *testing.T) {
	needsRoot(t, "a small file system is mounted for this")
	b := newBox(t)
	b.base()
	b.sh("docksmith export base base.tar")
	writeApplication(b)
	b.sh("mkdir small; head -c 3000000 /dev/urandom >ctx/large")
	failed := 0
	for _, kilobytes := range []int{6000, 8000, 10000, 12000, 14000, 17000, 20000, 24000} {
		mount := fmt.Sprintf("tmpfs %s -t tmpfs -o size=%dk", b.path("small"), kilobytes)
		if _, err := b.try("mount " + mount); err != nil {
			t.Skipf("no tmpfs can be mounted: %v", err)
		}
		func() {
			defer b.sh("umount small")
			small := "export DOCKSMITH_ROOT=$PWD/small/store; "
			if b.status(small+"docksmith import base.tar base") != 0 {
				b.sh(small + "ds-store fsck")
				failed++
				return
			}
			if b.status(small+"docksmith build -q -t app:v1 ctx 2>err") != 0 {
				failed++
				b.sh("grep -q 'no space left on device' err")
			} else if got := b.sh(small + "docksmith run app:v1"); got != "done" {
				t.Errorf("%d KiB: the image says %q", kilobytes, got)
			}
			b.sh(small + "ds-store fsck")
			b.sh("mount -o remount,size=200m small")
			b.sh(small + "docksmith build -q -t app:v1 ctx")
			if got := b.sh(small + "docksmith run app:v1"); got != "done" {
				t.Errorf("%d KiB, then space: the image says %q", kilobytes, got)
			}
		}()
	}
	if failed < 2 {
		t.Errorf("only %d of the sizes were too small: the sizes show little", failed)
	}
}

// TestTwentyAtOnce builds and runs on one store at the same time.
func TestTwentyAtOnce(t *testing.T) {
	b := newBox(t)
	b.base()
	writeApplication(b)
	b.sh("docksmith build -q -t app:first ctx")
	for i := range 5 { // some of the builds share no step with the others
		b.sh(fmt.Sprintf("mkdir ctx%d; cp -R ctx/. ctx%d; echo %d >ctx%d/data/other", i, i, i, i))
	}
	var wg sync.WaitGroup
	problems := make(chan error, 40)
	for i := range 20 {
		wg.Go(func() {
			script := fmt.Sprintf("docksmith build -q -t app:%d ctx%d && docksmith run app:%d", i, i%5, i)
			if i%2 == 1 {
				script = "docksmith run app:first"
			}
			if got, err := b.try(script); err != nil || got[max(0, len(got)-4):] != "done" {
				problems <- fmt.Errorf("%s: %q, %w", script, got, errors.Join(err))
			}
		})
	}
	wg.Wait()
	close(problems)
	for err := range problems {
		t.Error(err)
	}
	b.sh("ds-store fsck && ds-store gc && ds-store fsck")
	if n := b.sh("docksmith images | grep -c '^app '"); n != "11" {
		t.Errorf("%s images, want 11", n)
	}
}

// TestInterruptedBuildCleansUp sends what Ctrl-C sends.
func TestInterruptedBuildCleansUp(t *testing.T) {
	b := newBox(t)
	b.base()
	b.write("ctx/Dockerfile", "FROM base\nRUN sleep 4321\n")
	cmd := b.command("exec docksmith build -t app ctx")
	var stderr strings.Builder
	cmd.Stderr, cmd.SysProcAttr = &stderr, &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exitStatus(exit) != 128+int(syscall.SIGINT) {
			t.Errorf("ended with %v, want the signal\n%s", err, stderr.String())
		}
	case <-time.After(20 * time.Second):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		t.Fatal("the build goes on after SIGINT")
	}
	if left := b.sh("ls store/tmp; pgrep -f 'sleep 4321$' || true"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}
