package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// buildkit is a buildkitd of today that gets its base images from a registry
// of our own.
type buildkit struct {
	*caseStore
	work    *box
	command string
}

func startBuildkit(t *testing.T, s *caseStore) []peer {
	needs(t, "buildkitd", "buildctl", "runc")
	b := newBox(t)
	if v := b.sh("buildkitd --version"); !strings.Contains(v, " v0.29.") {
		t.Skipf("%s: the cases say what 0.29 does", v)
	}
	registry := httptest.NewServer(http.HandlerFunc(s.serveImage))
	t.Cleanup(registry.Close)
	host := strings.TrimPrefix(registry.URL, "http://")
	b.write("buildkitd.toml", fmt.Sprintf(`root = %q
[grpc]
address = ["unix://%s"]
[worker.oci]
binary = "runc"
[worker.containerd]
enabled = false
[registry."docker.io"]
mirrors = [%q]
[registry.%q]
http = true
`, b.path("buildkit"), b.path("buildkit.sock"), host, host))
	log, err := os.Create(b.path("buildkitd.log"))
	if err != nil {
		t.Fatal(err)
	}
	daemon := exec.Command("buildkitd", "--config", b.path("buildkitd.toml"))
	daemon.Stdout, daemon.Stderr = log, log
	if err := daemon.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = daemon.Process.Signal(os.Interrupt)
		_ = daemon.Wait() // ended by our signal
	})
	k := &buildkit{caseStore: s, work: b, command: "buildctl --addr unix://" + b.path("buildkit.sock") + " "}
	for range 150 {
		if _, err := b.try(k.command + "debug workers"); err == nil {
			return []peer{k}
		}
		time.Sleep(100 * time.Millisecond)
	}
	text, _ := os.ReadFile(b.path("buildkitd.log"))
	t.Skipf("buildkitd does not start here: no comparison with it\n%s", text)
	return nil
}

// serveImage answers for library/NAME with the store's image NAME.
func (s *caseStore) serveImage(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v2/"), "/")
	if len(path) != 4 {
		return // "/v2/" asks whether this is a registry
	}
	digest := path[3]
	if path[2] == "manifests" && !strings.HasPrefix(digest, "sha256:") {
		digest = s.digestOf(path[1] + ":" + digest)
	}
	if path[2] == "manifests" {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Header().Set("Docker-Content-Digest", digest)
	}
	http.ServeFile(w, r, filepath.Join(s.path("store/oci/blobs"), strings.Replace(digest, ":", "/", 1)))
}

// digestOf is a name's digest, or what no blob is called.
func (s *caseStore) digestOf(name string) string {
	var index struct {
		Manifests []struct {
			Digest      string
			Annotations map[string]string
		}
	}
	if err := readJSON(s.path("store/oci/index.json"), &index); err != nil {
		return err.Error()
	}
	for _, m := range index.Manifests {
		if m.Annotations["org.opencontainers.image.ref.name"] == name {
			return m.Digest
		}
	}
	return "none"
}

// image has nothing to do: our own build of the case has made the image.
func (k *buildkit) image(_, _, _ string) error { return nil }

func (k *buildkit) build(c *buildCase, ctx string) (built, error) {
	layout := filepath.Join(filepath.Dir(ctx), "layout")
	flags := []string{"build", "--progress=plain", "--frontend=dockerfile.v0", "--local=context=.", "--local=dockerfile=" + filepath.Dir(c.file),
		"--opt=filename=" + filepath.Base(c.file), "--opt=force-network-mode=none", "--output=type=oci,tar=false,compression=uncompressed,dest=" + layout}
	for _, arg := range c.args {
		name, _, given := strings.Cut(arg, "=")
		if i := slices.IndexFunc(c.env, func(v string) bool { return strings.HasPrefix(v, name+"=") }); !given && i >= 0 {
			arg, given = c.env[i], true
		}
		if given {
			flags = append(flags, "--opt=build-arg:"+arg)
		}
	}
	if c.target != "" {
		flags = append(flags, "--opt=target="+c.target)
	}
	if _, err := k.work.try("cd " + ctx + " && " + k.command + quoted(flags...)); err != nil {
		return nil, err
	}
	return func() (fileTree, []byte, error) { return readLayout(layout, "") }, nil
}
