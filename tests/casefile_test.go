package tests

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// buildCase is one file of tests/cases: a context, a Dockerfile and what
// BuildKit makes of them. tests/cases/README.md describes the format.
type buildCase struct {
	name    string // of the file, without .txtar
	row     int    // of the sixty behaviours
	context []txtar.File
	setup   string
	images  []txtar.File // Dockerfiles of base images, in order; Name is the image's
	file    string       // the Dockerfile's path in the context
	args    []string     // of --build-arg
	target  string
	env     []string
	needs   string   // why only root can build it
	errors  []string // the build fails, and says each of these
	warns   []string // the build says each of these
	absent  []string // in neither config nor history
	tree    []string // canonical lines, sorted
	config  []string
	differs map[string]string // peer -> why its result is another
}

func readCases(t *testing.T) []*buildCase {
	t.Helper()
	names, err := filepath.Glob("cases/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	sort.Strings(names)
	var cases []*buildCase
	for _, name := range names {
		c, err := readCase(name)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		cases = append(cases, c)
	}
	return cases
}

var caseName = regexp.MustCompile(`^([0-9]{2})-[a-z0-9]+(-[a-z0-9]+)*$`)

func readCase(path string) (*buildCase, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c := &buildCase{name: strings.TrimSuffix(filepath.Base(path), ".txtar"), file: "Dockerfile", differs: map[string]string{}}
	m := caseName.FindStringSubmatch(c.name)
	if m == nil {
		return nil, errors.New("want a name like 07-symlink-source.txtar")
	}
	c.row, _ = strconv.Atoi(m[1]) // two digits, as the pattern says
	a := txtar.Parse(text)
	if err := c.readHead(string(a.Comment)); err != nil {
		return nil, err
	}
	for _, f := range a.Files {
		if err := c.readSection(f); err != nil {
			return nil, err
		}
	}
	if len(c.errors) > 0 && len(c.tree)+len(c.config) > 0 {
		return nil, errors.New("a case that fails has neither tree nor config")
	}
	return c, nil
}

// readHead reads the prose, which must be there, and the lines that begin with "@".
func (c *buildCase) readHead(head string) error {
	prose := false
	for _, line := range strings.Split(head, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(word, "@") {
			prose = prose || strings.TrimSpace(line) != ""
			continue
		}
		if err := c.setting(word, strings.TrimSpace(rest)); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
	}
	if !prose {
		return errors.New("no sentence says what BuildKit does")
	}
	return nil
}

func (c *buildCase) setting(word, value string) error {
	if value == "" {
		return errors.New("no value")
	}
	switch word {
	case "@file":
		c.file = value
	case "@arg":
		c.args = append(c.args, value)
	case "@target":
		c.target = value
	case "@env":
		c.env = append(c.env, value)
	case "@root":
		c.needs = value
	case "@error":
		c.errors = append(c.errors, value)
	case "@warning":
		c.warns = append(c.warns, value)
	case "@absent":
		c.absent = append(c.absent, value)
	case "@uses":
		lacking, ok := features[value]
		if !ok {
			return errors.New("no such feature in the table of casefeatures_test.go")
		}
		for peer, why := range lacking {
			c.differs[peer] = why
		}
	case "@differs":
		peer, why, ok := strings.Cut(value, ": ")
		if !ok || !slices.Contains(peerNames(), peer) {
			return errors.New("want PEER: REASON")
		}
		c.differs[peer] = why
	default:
		return errors.New("unknown setting")
	}
	return nil
}

func (c *buildCase) readSection(f txtar.File) error {
	name, isOurs := strings.CutPrefix(f.Name, "@")
	if !isOurs {
		c.context = append(c.context, f)
		return nil
	}
	image, isImage := strings.CutPrefix(name, "image ")
	switch {
	case isImage:
		c.images = append(c.images, txtar.File{Name: image, Data: f.Data})
	case name == "setup":
		c.setup = string(f.Data)
	case name == "tree":
		c.tree = lines(string(f.Data))
		if !sort.StringsAreSorted(treePaths(c.tree)) {
			return errors.New("@tree is not sorted by path")
		}
	case name == "config":
		c.config = lines(string(f.Data))
	default:
		return fmt.Errorf("unknown section @%s", name)
	}
	return nil
}

// lines are the lines of text that are neither empty nor comments.
func lines(text string) []string {
	var out []string
	for _, line := range strings.Split(text, "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			out = append(out, line)
		}
	}
	return out
}

// writeContext makes the context in dir: files 0644 and directories 0755,
// whatever the umask, then what the setup makes of them.
func (c *buildCase) writeContext(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, f := range c.context {
		path := filepath.Join(dir, f.Name)
		err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, f.Data, 0o644))
		if err != nil {
			return err
		}
	}
	setup := exec.Command("sh", "-euc", "umask 022; chmod -R u=rwX,go=rX .\n"+c.setup)
	setup.Dir = dir
	setup.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	if out, err := setup.CombinedOutput(); err != nil {
		return fmt.Errorf("setup: %w\n%s", err, out)
	}
	return nil
}

// settings are the flags that every builder understands alike.
func (c *buildCase) settings() []string {
	var flags []string
	for _, a := range c.args {
		flags = append(flags, "--build-arg", a)
	}
	if c.target != "" {
		flags = append(flags, "--target", c.target)
	}
	return flags
}
