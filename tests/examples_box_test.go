package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// examples is the box that all examples share: the Debian base and the
// toolchains are made once.
type examples struct {
	*box
	made map[string]bool // toolchains
}

// toolchains are the stages of base-build and the names that examples know.
var toolchains = map[string]string{
	"slim": "debian:bookworm-slim", "gcc": "gcc:bookworm", "golang": "golang:bookworm",
	"java": "java:bookworm", "node": "node:bookworm", "python": "python:bookworm",
}

func newExamples(t *testing.T) *examples {
	t.Helper()
	needs(t, "nsenter")
	x := &examples{box: newBox(t), made: map[string]bool{}}
	x.debian()
	return x
}

// debian makes debian:bookworm in a box: from the tar that
// DOCKSMITH_TEST_DEBIAN names, or with mmdebstrap, once for all tests.
func (b *box) debian() {
	b.t.Helper()
	if tar := os.Getenv("DOCKSMITH_TEST_DEBIAN"); tar != "" {
		b.sh("docksmith base --from-tar " + tar + " debian:bookworm")
		return
	}
	needs(b.t, "mmdebstrap")
	archive, err := debianArchive()
	if err != nil {
		b.t.Skipf("mmdebstrap makes no base here: %v", err)
	}
	b.sh("docksmith import " + archive + " debian:bookworm")
}

// debianArchive is an image that mmdebstrap made.
var debianArchive = sync.OnceValues(func() (string, error) {
	archive := filepath.Join(top, "debian.tar")
	cmd := exec.Command("sh", "-euc", repository()+"/scripts/base-debian debian:bookworm && docksmith export debian:bookworm "+archive)
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(top, "bin")+":"+os.Getenv("PATH"), "DOCKSMITH_ROOT="+filepath.Join(top, "debian"))
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return archive, nil
})

// of is x for a test of its own.
func (x *examples) of(t *testing.T) *examples {
	b := *x.box
	b.t = t
	return &examples{box: &b, made: x.made}
}

func (x *examples) dir(name string) string { return repository() + "/tests/examples/" + name }

// secrets are what a machine behind a proxy must tell npm and go, and no image
// may keep.
func (x *examples) secrets() string {
	x.write("npmrc", x.sh("registry=$(npm config get registry 2>/dev/null || true); echo ${registry:+registry=$registry}")+"\n")
	flags := "--secret id=npmrc,src=" + x.path("npmrc")
	for _, ca := range []string{os.Getenv("SSL_CERT_FILE"), "/etc/ssl/certs/ca-certificates.crt"} {
		if _, err := os.Stat(ca); err == nil {
			return flags + " --secret id=ca,src=" + ca
		}
	}
	return flags
}

// toolchain makes the images of base-build that an example's lines name.
func (x *examples) toolchain(name string) {
	x.t.Helper()
	text, err := os.ReadFile(filepath.Join(x.dir(name), "Dockerfile"))
	if err != nil {
		x.t.Fatal(err)
	}
	for _, stage := range []string{"slim", "gcc", "golang", "java", "node", "python"} {
		image := toolchains[stage]
		if x.made[stage] || !strings.Contains(string(text), "="+image+"\n") {
			continue
		}
		x.timed("make "+image, func() {
			x.sh("docksmith build -q --network=host --target " + stage + " -t " + image + " " + x.dir("base-build"))
		})
		x.made[stage] = true
	}
}

func (x *examples) timed(what string, do func()) {
	began := time.Now()
	do()
	x.t.Logf("%s: %.1f s", what, time.Since(began).Seconds())
}

// build builds an example as it comes, again, with a line changed, and elsewhere
// without a cache, that of apt, npm or pip among them.
func (x *examples) build(name, tag string, flags ...string) {
	x.t.Helper()
	x.toolchain(name)
	there := x.path("there")
	x.sh("rm -rf there && cp -R " + x.dir(name) + " there")
	first, _ := x.once("build", there, tag, flags)
	again, log := x.once("again", there, tag, flags)
	if strings.Contains(log, "[CACHE MISS]") || !strings.Contains(log, "[CACHE HIT]") || again != first {
		x.t.Errorf("built again: %s, first %s, and not everything was there:\n%s", again, first, stepLines(log))
	}
	x.change(name, tag, first, flags)
	x.proven(tag, first, there, flags)
}

// proven takes the cache and the context of an image away, and wants it built
// again from elsewhere, as another user, a day later.
func (x *examples) proven(image, digest, context string, flags []string) {
	x.t.Helper()
	e := elsewhere{place: true, later: aDay}
	if why := x.noLater(); why != "" {
		e.later = 0
		x.t.Log(why)
	}
	if os.Geteuid() == 0 {
		e.user = userWithRange(x.t)
	}
	if e.user == 0 {
		x.t.Log("not as another user: it takes root, and a user with a range of ids")
	}
	given := slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return !strings.HasPrefix(f, "--secret") })
	x.timed("proven "+e.String(), func() {
		want := "rebuild " + image + ": proven " + digest[strings.LastIndexByte(digest, '\n')+1:] + "\n" // behind what build printed
		if got, err := x.rebuild(image, context, e, given...); got != want || err != nil {
			x.t.Errorf("%s: %s%v, want %s", e, got, err, want)
		}
	})
}

// once builds a context one time; log is the progress.
func (x *examples) once(what, context, tag string, flags []string) (digest, log string) {
	x.t.Helper()
	line := "docksmith build --progress=plain --iidfile id -t " + tag + " " + strings.Join(flags, " ") + " " + context + " 2>log && cat id"
	x.timed(what, func() { digest = x.logged(line) })
	text, err := os.ReadFile(x.path("log"))
	if err != nil {
		x.t.Fatal(err)
	}
	return strings.TrimSpace(digest), string(text)
}

// logged is sh for a build whose messages went to the file log.
func (x *examples) logged(line string) string {
	x.t.Helper()
	out, err := x.try(line)
	if err != nil {
		log, _ := os.ReadFile(x.path("log")) // what there is of it
		x.t.Fatalf("%s: %v\n%s", line, err, log)
	}
	return out
}

// imageConfig is what an image says of the containers made from it.
type imageConfig struct {
	User, WorkingDir, StopSignal string
	Env, Entrypoint, Cmd         []string
	OnBuild                      []string
	Labels                       map[string]string
	Volumes, ExposedPorts        map[string]struct{}
	Healthcheck                  *struct {
		Test     []string
		Interval time.Duration
		Retries  int
	}
}

func (x *examples) config(image string) imageConfig {
	x.t.Helper()
	var document struct{ Config imageConfig }
	if err := json.Unmarshal([]byte(x.sh("docksmith inspect "+image)), &document); err != nil {
		x.t.Fatal(err)
	}
	return document.Config
}

// service is a container that runs until it is stopped.
type service struct {
	x    *examples
	cmd  *exec.Cmd
	log  *lockedBuffer
	done chan error
}

// serve starts `docksmith run`; the end of the test ends it.
func (x *examples) serve(words string) *service {
	x.t.Helper()
	s := &service{x: x, log: &lockedBuffer{}, done: make(chan error, 1)}
	s.cmd = x.command("exec docksmith run " + words)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	x.t.Cleanup(func() {
		if s.cmd != nil {
			_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
			<-s.done
		}
	})
	return s
}

// want runs a client inside the container until it succeeds and says text. A
// container's network is its own, so nobody else could.
func (s *service) want(text string, client ...string) {
	s.x.t.Helper()
	var out []byte
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		pid := childOf(s.cmd.Process.Pid)
		if pid == "" {
			err = fmt.Errorf("there is no container yet")
			continue
		}
		// Its own image's variables would be another test's matter.
		args := append([]string{"--target", pid, "--all", "--"}, client...)
		cmd := exec.Command("nsenter", args...)
		cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "CLOCKD_PORT=7000"}
		if out, err = cmd.CombinedOutput(); err == nil {
			break
		}
	}
	if err != nil || !strings.Contains(string(out), text) {
		s.x.t.Fatalf("%s: %v, says %q; the service:\n%s", strings.Join(client, " "), err, out, s.output())
	}
}

// stop signals the container and waits for it.
func (s *service) stop(signal string) {
	s.x.t.Helper()
	if out, err := s.x.try(fmt.Sprintf("kill -%s %d", signal, s.cmd.Process.Pid)); err != nil {
		s.x.t.Fatal(out, err)
	}
	select {
	case err := <-s.done:
		s.cmd = nil
		if err != nil && signal != "TERM" {
			s.x.t.Errorf("after %s: %v", signal, err)
		}
	case <-time.After(20 * time.Second):
		s.x.t.Fatalf("after %s it runs on:\n%s", signal, s.output())
	}
}

func (s *service) output() string { return s.log.String() }

// childOf is the container's first process, the runtime's child, or "".
func childOf(parent int) string {
	files, _ := filepath.Glob("/proc/[0-9]*/status") // the pattern is right
	for _, file := range files {
		status, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", parent)) {
			return filepath.Base(filepath.Dir(file))
		}
	}
	return ""
}

// lockedBuffer is written by a process and read by a test.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
