package tests

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// hello is an image whose run shows that files, links, modes, environment and
// command have arrived.
const hello = `FROM base
ENV GREETING=hello
WORKDIR /app
COPY hello.sh /app/
RUN ln -s hello.sh link && chmod 700 hello.sh && rm -f /etc/motd
CMD ["/bin/sh", "link"]
`

func helloImage(t *testing.T) *box {
	t.Helper()
	b := newBox(t)
	b.base()
	b.write("ctx/Dockerfile", hello)
	b.write("ctx/hello.sh", "echo $GREETING from $(pwd)\n")
	b.sh("docksmith build -t app:v1 ctx")
	return b
}

const helloSays = "hello from /app"

func TestSkopeoReadsTheStoreAndTheArchive(t *testing.T) {
	needs(t, "skopeo")
	b := helloImage(t)
	b.sh("docksmith export app:v1 app.tar")
	want := b.digest("app:v1")
	for _, source := range []string{"oci:" + b.path("store/oci") + ":app:v1", "oci-archive:" + b.path("app.tar"), "docker-archive:" + b.path("app.tar")} {
		var image struct {
			Digest string
			Layers []string
			Env    []string
		}
		if err := json.Unmarshal([]byte(b.sh("skopeo inspect '"+source+"'")), &image); err != nil {
			t.Fatal(err)
		}
		if len(image.Layers) < 3 || !strings.Contains(strings.Join(image.Env, " "), "GREETING=hello") {
			t.Errorf("%s: %+v", source, image)
		}
		if !strings.HasPrefix(source, "docker-") && image.Digest != want {
			t.Errorf("%s: digest %s, ours %s", source, image.Digest, want)
		}
	}
}

func TestUmociUnpacksTheExport(t *testing.T) {
	needs(t, "umoci")
	needsRoot(t, "umoci would need its own rootless mode")
	b := helloImage(t)
	b.sh("docksmith export app:v1 app.tar; mkdir layout; tar xf app.tar -C layout")
	b.sh("umoci unpack --image layout:app:v1 bundle")
	if got := b.sh("readlink bundle/rootfs/app/link; stat -c %a bundle/rootfs/app/hello.sh"); got != "hello.sh\n700" {
		t.Errorf("unpacked: %s", got)
	}
}

// podman is a podman with a storage of its own and a runtime that works where
// the two cgroup hierarchies are mixed.
func podman(b *box) string {
	short, err := os.MkdirTemp("/tmp", "pod") // podman takes no long path
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		_, _ = b.try("umount p/overlay") // podman leaves its storage mounted
		removeAll(short)
	})
	return "podman --root " + b.path("p") + " --runroot " + short + " --cgroup-manager cgroupfs --runtime runc "
}

func TestPodmanLoadsRunsAndSaves(t *testing.T) {
	needs(t, "podman", "runc")
	needsRoot(t, "podman's rootless storage is not set up here")
	b := helloImage(t)
	p := podman(b)
	b.sh("docksmith export app:v1 app.tar")
	if _, err := b.try(p + "info"); err != nil {
		t.Skipf("podman does not work here: %v", err)
	}
	b.sh(p + "load -q -i app.tar")
	if got := b.sh(p + "run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 app:v1"); got != helloSays {
		t.Errorf("podman run: %q", got)
	}
	for _, format := range []string{"docker-archive", "oci-archive"} {
		out := "saved-" + format
		b.sh(p + "save -q --format " + format + " -o " + out + " app:v1")
		b.sh("docksmith import " + out + " again:" + format)
		if got := b.sh("docksmith run again:" + format); got != helloSays {
			t.Errorf("%s: %q", format, got)
		}
	}
}

func TestDockerLoadsRunsAndSaves(t *testing.T) {
	needs(t, "dockerd", "/usr/bin/docker")
	needsRoot(t, "a docker daemon of our own needs it")
	b := helloImage(t)
	docker := startDockerd(t, b)
	b.sh("docksmith export app:v1 app.tar")
	b.sh(docker + "load -q -i app.tar")
	if got := b.sh(docker + "run --rm --network none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 app:v1"); got != helloSays {
		t.Errorf("docker run: %q", got)
	}
	b.sh(docker + "save -o saved.tar app:v1 && docksmith import saved.tar again:docker")
	if got := b.sh("docksmith run again:docker"); got != helloSays {
		t.Errorf("run of docker's archive: %q", got)
	}
}

// startDockerd starts a daemon on a socket of the box and ends it with the test.
func startDockerd(t *testing.T, b *box) string {
	t.Helper()
	cmd := exec.Command("dockerd", "--host=unix://"+b.path("docker.sock"), "--data-root="+b.path("docker"), "--exec-root="+b.path("docker-exec"),
		"--pidfile="+b.path("docker.pid"), "--bridge=none", "--iptables=false")
	log, err := os.Create(b.path("dockerd.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // ended by our signal
	})
	docker := "/usr/bin/docker -H unix://" + b.path("docker.sock") + " "
	for range 150 {
		if _, err := b.try(docker + "version"); err == nil {
			return docker
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Skip("a docker daemon does not start here: no comparison with it")
	return ""
}

func TestSkopeoCopiesAreImported(t *testing.T) {
	needs(t, "skopeo")
	b := helloImage(t)
	source := "oci:" + b.path("store/oci") + ":app:v1"
	for _, target := range []string{"oci:layout:x:1", "oci-archive:a.tar:x:1", "docker-archive:d.tar:x:1"} {
		b.sh("skopeo copy -q --insecure-policy '" + source + "' '" + target + "'")
		file := strings.Split(target, ":")[1]
		b.sh("DOCKSMITH_ROOT=$PWD/fresh docksmith import " + file + " copied:1")
		if got := b.sh("DOCKSMITH_ROOT=$PWD/fresh docksmith run copied:1"); got != helloSays {
			t.Errorf("%s: %q", target, got)
		}
		b.sh("DOCKSMITH_ROOT=$PWD/fresh docksmith rmi copied:1")
	}
}

func TestRuncRunsTheUnpackedBundle(t *testing.T) {
	needs(t, "runc")
	needsRoot(t, "runc would need a rootless specification")
	b := helloImage(t)
	b.sh("ds-store unpack app:v1 bundle")
	if got := b.sh("cd bundle && runc --root " + b.path("runc") + " run docksmith-test-" + b.sh("basename $PWD")); got != helloSays {
		t.Errorf("runc run: %q", got)
	}
}
