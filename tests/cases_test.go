package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// caseBase is the image that cases begin with: the box's, with users of its
// own, and with the files that runtimes mount something on: buildah leaves such
// mount points behind. Peers get the same bytes.
const caseBase = `FROM box
CMD []
COPY <<PASSWD /etc/passwd
root:x:0:0:root:/root:/bin/sh
app:x:1000:1001:app:/home/app:/bin/sh
lone:x:1002:1234:lone:/:/bin/sh
PASSWD
COPY <<GROUP /etc/group
root:x:0:
app:x:1001:
staff:x:50:app
GROUP
COPY <<MOTD /etc/motd
welcome
MOTD
COPY <<HOSTS /etc/hosts
HOSTS
COPY <<HOSTNAME /etc/hostname
HOSTNAME
COPY <<RESOLV /etc/resolv.conf
RESOLV
`

// outcome is what a builder made of a case.
type outcome struct {
	failed bool
	said   string // on stderr
	tree   []string
	config []string
	names  string // config and history as they are
}

// caseStore is a store with the base image of the cases.
type caseStore struct {
	*box
	base   fileTree
	diffID string // of the base's lowest layer
}

func newCaseStore(t *testing.T) *caseStore {
	t.Helper()
	s := &caseStore{box: newBox(t)}
	s.sh("umask 022; docksmith base box >/dev/null; mkdir ctx")
	s.write("ctx/Dockerfile", caseBase)
	digest := s.sh("ds-build -q -f ctx/Dockerfile -t base ctx")
	tree, config, err := readLayout(s.path("store/oci"), digest)
	if err != nil {
		t.Fatal(err)
	}
	s.base, s.diffID = tree, lowestLayer(config)
	return s
}

// lowestLayer is the diff ID of an image's first layer.
func lowestLayer(config []byte) string {
	var image struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if json.Unmarshal(config, &image) != nil || len(image.RootFS.DiffIDs) == 0 {
		return ""
	}
	return image.RootFS.DiffIDs[0]
}

// outcomeOf compares an image with the base, if it is built on that.
func (s *caseStore) outcomeOf(tree fileTree, config []byte) (outcome, error) {
	var base fileTree
	if lowestLayer(config) == s.diffID {
		base = s.base
	}
	o := outcome{tree: tree.lines(base), names: string(config)}
	var err error
	o.config, err = configLines(config)
	return o, err
}

func TestCases(t *testing.T) {
	s := newCaseStore(t)
	images := map[string]string{}
	for _, c := range readCases(t) {
		for _, f := range c.images {
			if images[f.Name] != "" {
				t.Errorf("%s and %s both have an @image %s", images[f.Name], c.name, f.Name)
			}
			images[f.Name] = c.name
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.needs != "" && os.Geteuid() != 0 {
				t.Skipf("not root: %s", c.needs)
			}
			o, err := s.build(c)
			if err != nil {
				t.Fatal(err)
			}
			c.check(t, &o)
		})
	}
}

// check compares our result with what the case says of BuildKit's.
func (c *buildCase) check(t *testing.T, o *outcome) {
	t.Helper()
	if o.failed != (len(c.errors) > 0) {
		t.Fatalf("failed: %v, want %v\n%s", o.failed, len(c.errors) > 0, o.said)
	}
	for _, want := range append(c.errors, c.warns...) {
		if !strings.Contains(o.said, want) {
			t.Errorf("does not say %q:\n%s", want, o.said)
		}
	}
	for _, text := range c.absent {
		if strings.Contains(o.names, text) {
			t.Errorf("%q is in the image's documents:\n%s", text, o.names)
		}
	}
	if d := cmp.Diff(c.tree, o.tree); !o.failed && d != "" {
		t.Errorf("tree (-want +got):\n%s\n%s", d, strings.Join(o.tree, "\n"))
	}
	if d := cmp.Diff(c.config, o.config); !o.failed && d != "" {
		t.Errorf("config (-want +got):\n%s\n%s", d, strings.Join(o.config, "\n"))
	}
}

// build builds a case as a user does, with ds-parse and ds-build. The error is
// one of the test, not of the case.
func (s *caseStore) build(c *buildCase) (o outcome, err error) {
	dir, err := os.MkdirTemp(s.dir, c.name+"-")
	if err != nil {
		return o, err
	}
	ctx := filepath.Join(dir, "ctx")
	if err := c.writeContext(ctx); err != nil {
		return o, err
	}
	for _, image := range c.images {
		if err := s.buildImage(dir, ctx, image.Name, image.Data); err != nil {
			return o, err
		}
	}
	flags := append(c.settings(), ".")
	cmd := exec.Command("sh", append([]string{"-uc", `file=$1; shift; ds-parse "$file" | ds-build --progress=plain "$@"`, "sh", c.file}, flags...)...)
	cmd.Dir, cmd.Env = ctx, append(s.env, c.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	failure := cmd.Run()
	o.said = stderr.String()
	if exit := (*exec.ExitError)(nil); failure != nil {
		o.failed = true
		if !errors.As(failure, &exit) || exit.ExitCode() >= 125 {
			return o, fmt.Errorf("%w\n%s", failure, o.said)
		}
		return o, nil
	}
	var made struct{ Digest string }
	if err := json.Unmarshal(stdout.Bytes(), &made); err != nil {
		return o, err
	}
	tree, config, err := readLayout(s.path("store/oci"), made.Digest)
	if err != nil {
		return o, err
	}
	o, err = s.outcomeOf(tree, config)
	o.said = stderr.String()
	return o, err
}

// buildImage builds what a case begins with, from the same context.
func (s *caseStore) buildImage(dir, ctx, name string, text []byte) error {
	file := filepath.Join(dir, name+".Dockerfile")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(top, "bin", "ds-build"), "-q", "-f", file, "-t", name, ctx)
	cmd.Env = s.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build @image %s: %w\n%s", name, err, out)
	}
	return nil
}

// readLayout reads an image of an OCI layout: by the digest of its manifest, or
// the only one.
func readLayout(dir, digest string) (fileTree, []byte, error) {
	var index, manifest struct {
		Config    struct{ Digest string }
		Manifests []struct{ Digest string }
		Layers    []struct{ Digest string }
	}
	if digest == "" {
		if err := readJSON(filepath.Join(dir, "index.json"), &index); err != nil {
			return nil, nil, err
		}
		if len(index.Manifests) != 1 {
			return nil, nil, fmt.Errorf("%s has %d images", dir, len(index.Manifests))
		}
		digest = index.Manifests[0].Digest
	}
	blob := func(digest string) string {
		return filepath.Join(dir, "blobs", strings.Replace(digest, ":", "/", 1))
	}
	if err := readJSON(blob(digest), &manifest); err != nil {
		return nil, nil, err
	}
	config, err := os.ReadFile(blob(manifest.Config.Digest))
	if err != nil {
		return nil, nil, err
	}
	var files []string
	for _, l := range manifest.Layers {
		files = append(files, blob(l.Digest))
	}
	tree, err := readLayers(files)
	return tree, config, err
}

func readLayers(files []string) (fileTree, error) {
	tree := fileTree{}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		err = tree.apply(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("read layer %s: %w", name, err)
		}
	}
	return tree, nil
}

func readJSON(name string, into any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
