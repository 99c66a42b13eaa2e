package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// peer builds images in a way of its own.
type peer interface {
	// image builds a Dockerfile and names the image.
	image(ctx, file, name string) error
	// build builds a case; its error is the builder's refusal.
	build(c *buildCase, ctx string) (built, error)
}

// built is an image that a peer has made. It reads the image, and removes it.
type built func() (fileTree, []byte, error)

// builders are what runs the peers; start returns a peer for each of the names.
var builders = []struct {
	name  string
	peers []string
	start func(*testing.T, *caseStore) []peer
}{
	{"docker", []string{"buildkit-20.10", "classic"}, startDocker},
	{"buildah", []string{"buildah"}, startBuildah},
	{"buildkitd", []string{"buildkit-0.29"}, startBuildkit},
}

// TestCasesPeers builds every case with other builders, too. A result that is
// not ours must be listed in the case with its reason, and a listed one must show.
func TestCasesPeers(t *testing.T) {
	needsRoot(t, "the builders of others need it")
	s := newCaseStore(t)
	s.sh("docksmith export base base.tar")
	cases := readCases(t)
	ours := make([]func() (outcome, error), len(cases))
	for i, c := range cases {
		ours[i] = sync.OnceValues(func() (outcome, error) { return s.build(c) })
	}
	for _, b := range builders {
		found := make([]comparison, len(b.peers))
		t.Run(b.name, func(t *testing.T) {
			for i, p := range b.start(t, s) {
				r := &found[i]
				r.peer = b.peers[i]
				t.Run(r.peer, func(t *testing.T) {
					for i, c := range cases {
						t.Run(c.name, func(t *testing.T) {
							t.Parallel()
							s.compare(t, r, p, c, ours[i])
						})
					}
				})
			}
		})
		for i := range found {
			t.Logf("%s: %s", b.peers[i], found[i].report(len(cases)))
		}
	}
}

// comparison gathers what was found of one peer.
type comparison struct {
	peer     string
	mutex    sync.Mutex
	compared int
	differs  []string
}

func (r *comparison) report(cases int) string {
	slices.Sort(r.differs)
	return fmt.Sprintf("%d cases compared, %d alike, %d not, %d not compared\n%s",
		r.compared, r.compared-len(r.differs), len(r.differs), cases-r.compared, strings.Join(r.differs, "\n"))
}

func (s *caseStore) compare(t *testing.T, r *comparison, p peer, c *buildCase, ours func() (outcome, error)) {
	want, err := ours()
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.buildWith(p, r.peer, c)
	if err != nil {
		t.Fatal(err)
	}
	diff := differences(&want, &got)
	reason := c.differs[r.peer]
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.compared++
	if diff != "" {
		r.differs = append(r.differs, fmt.Sprintf("  %s: %s", c.name, reason))
	}
	switch {
	case diff != "" && reason == "":
		t.Errorf("%s differs from us (-ours +%s):\n%s", r.peer, r.peer, diff)
	case diff == "" && reason != "":
		t.Errorf("%s does not differ: the case lists %q", r.peer, reason)
	}
}

func differences(ours, theirs *outcome) string {
	switch {
	case ours.failed && theirs.failed:
		return ""
	case ours.failed:
		return "- " + ours.said + "\n+ built " + strings.Join(theirs.tree, "\n  ")
	case theirs.failed:
		return "+ " + theirs.said
	}
	return cmp.Diff(ours.tree, theirs.tree) + cmp.Diff(ours.config, theirs.config)
}

// buildWith builds a case in a context of its own.
func (s *caseStore) buildWith(p peer, name string, c *buildCase) (o outcome, err error) {
	dir, err := os.MkdirTemp(s.dir, name+"-"+c.name+"-")
	if err != nil {
		return o, err
	}
	defer os.RemoveAll(dir)
	ctx := filepath.Join(dir, "ctx")
	if err := c.writeContext(ctx); err != nil {
		return o, err
	}
	for _, image := range c.images {
		file := filepath.Join(dir, image.Name+".Dockerfile")
		if err := os.WriteFile(file, image.Data, 0o644); err != nil {
			return o, err
		}
		if err := p.image(ctx, file, image.Name); err != nil {
			return outcome{failed: true, said: err.Error()}, nil
		}
	}
	read, err := p.build(c, ctx)
	if err != nil {
		return outcome{failed: true, said: err.Error()}, nil
	}
	tree, config, err := read()
	if err != nil {
		return outcome{failed: true, said: err.Error()}, nil
	}
	return s.outcomeOf(tree, config)
}

// quoted is a shell's command line of words.
func quoted(words ...string) string {
	var list []string
	for _, w := range words {
		list = append(list, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
	}
	return strings.Join(list, " ")
}

// exports is the case's environment as words before a command.
func (c *buildCase) exports() string {
	if len(c.env) == 0 {
		return ""
	}
	return "export " + quoted(c.env...) + "; "
}

// docker is one of the two builders of a daemon.
type docker struct {
	*box
	command string
	flags   string
}

func startDocker(t *testing.T, s *caseStore) []peer {
	needs(t, "dockerd", "/usr/bin/docker")
	b := newBox(t)
	client := startDockerd(t, b)
	if v := b.sh(client + "version -f '{{.Server.Version}}'"); !strings.HasPrefix(v, "20.10.") {
		t.Skipf("docker is %s: the cases say what 20.10 does", v)
	}
	b.sh(client + "load -q -i " + s.path("base.tar"))
	return []peer{
		&docker{b, "DOCKER_BUILDKIT=1 " + client, ""},
		// The container of a classic RUN may get no more than we have.
		&docker{b, "DOCKER_BUILDKIT=0 " + client, " --force-rm --ulimit nofile=1024:1024 --ulimit nproc=1024:1024"},
	}
}

func (d *docker) image(ctx, file, name string) error {
	_, err := d.try(d.command + "build -q --network none" + d.flags + " " + quoted("-t", name, "-f", file, ctx))
	return err
}

func (d *docker) build(c *buildCase, ctx string) (built, error) {
	tag := "case:" + c.name
	flags := append(c.settings(), "-t", tag, "-f", c.file, ".")
	if _, err := d.try("cd " + ctx + " && " + c.exports() + d.command + "build -q --network none" + d.flags + " " + quoted(flags...)); err != nil {
		return nil, err
	}
	return func() (fileTree, []byte, error) {
		dir := filepath.Join(filepath.Dir(ctx), "saved")
		if _, err := d.try("mkdir " + dir + " && " + d.command + "save -o " + dir + ".tar " + tag + " && tar xf " + dir + ".tar -C " + dir); err != nil {
			return nil, nil, err
		}
		return readSaved(dir)
	}, nil
}

// readSaved reads an unpacked archive of docker save.
func readSaved(dir string) (fileTree, []byte, error) {
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := readJSON(filepath.Join(dir, "manifest.json"), &manifest); err != nil {
		return nil, nil, err
	}
	if len(manifest) != 1 {
		return nil, nil, fmt.Errorf("%d images in the archive", len(manifest))
	}
	var files []string
	for _, name := range manifest[0].Layers {
		files = append(files, filepath.Join(dir, name))
	}
	config, err := os.ReadFile(filepath.Join(dir, manifest[0].Config))
	if err != nil {
		return nil, nil, err
	}
	if !json.Valid(config) {
		return nil, nil, errors.New("the config is no JSON")
	}
	tree, err := readLayers(files)
	return tree, config, err
}

// buildah keeps its images in the box.
type buildah struct {
	*box
	command string
}

func startBuildah(t *testing.T, s *caseStore) []peer {
	needs(t, "buildah")
	b := newBox(t)
	b.env = append(b.env, "TMPDIR="+b.dir)
	t.Cleanup(func() { // it leaves the roots of failed builds mounted
		_, _ = b.try("umount root/overlay/*/merged 2>/dev/null || :; umount root/overlay")
	})
	a := &buildah{box: b, command: "buildah --root " + b.path("root") + " --runroot " + b.path("run") + " --storage-driver overlay "}
	if v := b.sh("buildah --version"); !strings.HasPrefix(v, "buildah version 1.28.") {
		t.Skipf("%s: the cases say what 1.28 does", v)
	}
	if _, err := b.try(a.command + "pull -q docker-archive:" + s.path("base.tar")); err != nil {
		t.Skipf("buildah does not work here: %v", err)
	}
	return []peer{a}
}

const budFlags = "bud -q --layers=false --isolation chroot --network host --pull-never --identity-label=false "

func (a *buildah) image(ctx, file, name string) error {
	_, err := a.try(a.command + budFlags + quoted("-t", name, "-f", file, ctx))
	return err
}

func (a *buildah) build(c *buildCase, ctx string) (built, error) {
	layout := filepath.Join(filepath.Dir(ctx), "layout")
	flags := append(c.settings(), "-t", "oci:"+layout+":case", "-f", c.file, ".")
	if _, err := a.try("cd " + ctx + " && " + c.exports() + a.command + budFlags + quoted(flags...)); err != nil {
		return nil, err
	}
	return func() (fileTree, []byte, error) { return readLayout(layout, "") }, nil
}
