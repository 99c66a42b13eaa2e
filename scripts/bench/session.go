package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// session holds what one invocation of the bench made.
type session struct {
	bin, work, only, debian string
	runs                    int
	missing                 []string
	daemon                  *exec.Cmd
	docker, buildah         bool
}

const (
	smallContext = "small"
	manyContext  = "many"
	largeContext = "large"
)

func (b *session) env() []string {
	return append(os.Environ(),
		"PATH="+b.bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"DOCKSMITH_ROOT="+b.path("store"),
		"DOCKER_HOST=unix://"+b.path("docker.sock"),
		"TMPDIR="+b.path("tmp"))
}

func (b *session) path(elem ...string) string {
	return filepath.Join(append([]string{b.work}, elem...)...)
}

func (b *session) sh(script string) error {
	cmd := exec.Command("sh", "-ec", script)
	cmd.Env = b.env()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", script, err, out)
	}
	return nil
}

func (b *session) has(program string) bool {
	if _, err := exec.LookPath(program); err == nil {
		return true
	}
	b.missing = append(b.missing, program)
	return false
}

// prepare makes the base image, the contexts and the peers' copies of the base.
func (b *session) prepare() error {
	if err := os.Mkdir(b.path("tmp"), 0o700); err != nil {
		return err
	}
	if err := b.contexts(); err != nil {
		return err
	}
	if err := b.sh("docksmith base base && docksmith export base " + b.path("base.tar")); err != nil {
		return err
	}
	if b.has("buildah") {
		b.buildah = b.try("buildah", b.buildahCommand("pull", "-q", "docker-archive:"+b.path("base.tar")))
	}
	if b.has("dockerd") {
		if err := b.startDaemon(); err != nil {
			b.missing = append(b.missing, "dockerd ("+err.Error()+")")
		} else {
			b.docker = b.try("docker", []string{"/usr/bin/docker", "load", "-q", "-i", b.path("base.tar")})
		}
	}
	return nil
}

func (b *session) try(name string, argv []string) bool {
	if _, err := b.once(command{}, argv); err != nil {
		b.missing = append(b.missing, fmt.Sprintf("%s (%.300v)", name, err))
		return false
	}
	return true
}

// contexts makes the three build contexts: a few files, 20,000 files of 4 KiB,
// and one file of 1 GiB.
func (b *session) contexts() error {
	random := rand.NewChaCha8([32]byte{})
	steps := "FROM base\nENV A=1\nWORKDIR /app\nCOPY one .\nRUN true\nENV B=2\nCOPY two .\nRUN true\nLABEL a=b\nCMD [\"/bin/true\"]\n"
	write := func(name string, size int) error {
		content := make([]byte, size)
		_, _ = random.Read(content) // never fails
		return errors.Join(os.MkdirAll(filepath.Dir(b.path(name)), 0o755), os.WriteFile(b.path(name), content, 0o644))
	}
	var errs []error
	for _, name := range []string{"small/one", "small/two"} {
		errs = append(errs, write(name, 4096))
	}
	for i := range 20000 {
		errs = append(errs, write(fmt.Sprintf("many/dir%03d/file%05d", i/100, i), 4096))
	}
	errs = append(errs, write("large/empty", 0), b.largeFile(random))
	runs := func(n int) string { return "FROM base\n" + strings.Repeat("RUN true\n", n) }
	for name, text := range map[string]string{
		"small/Dockerfile": steps,
		"many/Dockerfile":  strings.Replace(steps, "COPY one .", "COPY . .", 1),
		"many/one":         "1", "many/two": "2",
		"many/Copyfile":  "FROM base\nCOPY . /app/\n",
		"large/Copyfile": "FROM base\nCOPY . /app/\n",
		"runs/Run1":      runs(1),
		"runs/Run11":     runs(11),
	} {
		errs = append(errs, os.MkdirAll(filepath.Dir(b.path(name)), 0o755), os.WriteFile(b.path(name), []byte(text), 0o644))
	}
	return errors.Join(errs...)
}

// largeFile is half noise and half text, as programs and data are.
func (b *session) largeFile(random *rand.ChaCha8) (err error) {
	f, err := os.Create(b.path("large/file"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	noise := make([]byte, 512<<10)
	text := bytes.Repeat([]byte("the quick brown fox jumps over the lazy dog 0123456789\n"), (512<<10)/55)
	for range 1024 {
		_, _ = random.Read(noise)
		if _, err := f.Write(noise); err != nil {
			return err
		}
		if _, err := f.Write(text); err != nil {
			return err
		}
	}
	return nil
}

func (b *session) buildahCommand(args ...string) []string {
	return append([]string{"buildah", "--root", b.path("buildah"), "--runroot", b.path("buildah-run"), "--storage-driver", "overlay"}, args...)
}

// startDaemon runs a docker daemon of our own on a private socket, without a
// network.
func (b *session) startDaemon() error {
	log, err := os.Create(b.path("dockerd.log"))
	if err != nil {
		return err
	}
	b.daemon = exec.Command("dockerd", "--host=unix://"+b.path("docker.sock"), "--data-root="+b.path("docker"),
		"--exec-root="+b.path("docker-exec"), "--pidfile="+b.path("docker.pid"), "--bridge=none", "--iptables=false")
	b.daemon.Stdout, b.daemon.Stderr = log, log
	if err := b.daemon.Start(); err != nil {
		b.daemon = nil
		return err
	}
	for range 100 {
		time.Sleep(100 * time.Millisecond)
		if _, err := b.once(command{}, []string{"/usr/bin/docker", "version"}); err == nil {
			return nil
		}
	}
	b.stopDaemon()
	return errors.New("the daemon does not answer")
}

func (b *session) stopDaemon() {
	if b.daemon == nil {
		return
	}
	_ = b.daemon.Process.Signal(os.Interrupt)
	_ = b.daemon.Wait() // its verdict does not matter any more
	b.daemon = nil
}
