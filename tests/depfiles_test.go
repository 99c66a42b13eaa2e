package tests

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const depfilesFile = "cases/DEPFILES.md"

// depTrial is an image that make builds by the rule that ds-build wrote, and the
// directory in which each path is edited.
type depTrial struct {
	name    string
	store   *caseStore
	dir     string
	env     []string
	prepare func() error // makes the files

	image, rule []byte // the two files as the first build left them
	count       map[string]*depCount
	vain        []string // edits for which make built the same image
}

// depCount is what became of the edits of one kind.
type depCount struct{ tried, differs, built int }

// The trials take place in the past, so that every edit is newer than what was
// built, however coarse the times of files are.
var (
	depSources = time.Now().Add(-2 * time.Hour)
	depBuilt   = time.Now().Add(-1 * time.Hour)
)

// depTrusted is how old files have to be for what lstat says of them to count.
const depTrusted = 80 * time.Millisecond

const depMakefile = `image.id:
	@echo >ran; exec ds-build -q -f $(FILE) --iidfile $@ -MD $(FLAGS) ctx >said 2>&1
-include image.d
`

// TestDepfiles edits each path of the cases' contexts and runs make: it builds
// what differs and leaves alone what was only touched. What it builds in vain is
// listed in a file. A part of the cases is for every day; DOCKSMITH_TEST_DEPFILES=all
// takes all of them, and each image from scratch.
func TestDepfiles(t *testing.T) {
	needs(t, "make")
	if os.Geteuid() != 0 && !userNamespaces() {
		t.Skip("this machine does not let an ordinary user make a user namespace")
	}
	s := newCaseStore(t)
	trials := depTrials(t, s)
	all := os.Getenv("DOCKSMITH_TEST_DEPFILES") == "all"
	if !all {
		trials = someTrials(trials)
	}
	t.Run("cases", func(t *testing.T) {
		for _, d := range trials {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				if err := d.run(t, all); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if !t.Failed() {
		leftOut := func(d *depTrial) bool { return d.rule == nil } // by -run
		all = all && !slices.ContainsFunc(trials, leftOut)
		checkDepTable(t, slices.DeleteFunc(trials, leftOut), all)
	}
}

// someTrials are 61 of them, from all places of the list, and the last.
func someTrials(trials []*depTrial) []*depTrial {
	const most = 61
	var some []*depTrial
	for i, d := range trials {
		if i*most/len(trials) != (i+1)*most/len(trials) {
			some = append(some, d)
		}
	}
	return some
}

// depTrials prepares the cases that give an image and have files for it.
func depTrials(t *testing.T, s *caseStore) []*depTrial {
	t.Helper()
	var trials []*depTrial
	for _, c := range readCases(t) {
		if len(c.errors) > 0 || c.needs != "" || len(c.context) < 2 && c.setup == "" {
			continue
		}
		d := &depTrial{name: c.name, store: s, dir: s.path(c.name), env: append(slices.Clone(s.env), c.env...), count: map[string]*depCount{}}
		d.prepare = func() error {
			ctx := filepath.Join(d.dir, "ctx")
			if err := c.writeContext(ctx); err != nil {
				return err
			}
			for _, image := range c.images {
				if err := s.buildImage(d.dir, ctx, image.Name, image.Data); err != nil {
					return err
				}
			}
			return nil
		}
		d.env = append(d.env, "FILE=ctx/"+c.file, "FLAGS="+quoted(c.settings()...))
		trials = append(trials, d)
	}
	return append(trials, moreTrial(s))
}

// moreTrial has what the cases lack: named contexts, secrets, wildcards on the
// way, a Dockerfile that is not in the context.
func moreTrial(s *caseStore) *depTrial {
	d := &depTrial{name: "more-contexts", store: s, dir: s.path("more-contexts"), count: map[string]*depCount{}}
	d.env = append(slices.Clone(s.env), "FILE=files/Dockerfile", "FLAGS=--build-context named=named --secret id=s,src=files/secret")
	d.prepare = func() error {
		_, err := s.try(moreFiles)
		return err
	}
	return d
}

const moreFiles = `umask 022; mkdir -p more-contexts; cd more-contexts
mkdir -p files ctx/a/deep ctx/b ctx/bound ctx/unused named/n
for f in ctx/a/f ctx/a/deep/f ctx/a/deep/g.log ctx/b/f ctx/bound/f ctx/unused/f ctx/top named/n/f named/m.log named/m; do echo 1 >$f; done
ln -s ../b/f ctx/a/link; ln -s b ctx/alias; ln -s deep/f ctx/a/inside
echo '*.log' >named/.dockerignore
printf '**/*.log\n!a/deep/g.log\n' >ctx/.dockerignore
echo 1 >files/secret
cat >files/Dockerfile <<'END'
FROM base AS unneeded
COPY unused /unused
FROM base AS first
COPY --from=named . /named
COPY a/* /a/
FROM base
COPY alias/f /alias
COPY --exclude=f a/d*p /deep/
RUN --mount=type=bind,source=bound,target=/mnt --mount=type=secret,id=s cat /mnt/f >/bound
COPY --from=first /named/n /n
END
`

func (d *depTrial) path(name string) string { return filepath.Join(d.dir, name) }

// run builds the image and then makes each edit by itself.
func (d *depTrial) run(t *testing.T, fresh bool) error {
	if err := d.prepare(); err != nil {
		return err
	}
	if err := os.WriteFile(d.path("Makefile"), []byte(depMakefile), 0o644); err != nil {
		return err
	}
	if ran, said, err := d.make(); err != nil || !ran {
		return fmt.Errorf("make: %v %w\n%s", ran, err, said)
	}
	var err error
	if d.image, err = os.ReadFile(d.path("image.id")); err != nil {
		return err
	}
	if d.rule, err = os.ReadFile(d.path("image.d")); err != nil {
		return err
	}
	edits, err := d.edits()
	if err != nil {
		return err
	}
	if err := d.settle(); err != nil {
		return err
	}
	if ran, said, err := d.make(); err != nil || ran {
		return fmt.Errorf("built again without an edit: %w\n%s", err, said)
	}
	for _, e := range edits {
		if err := d.try(t, e, fresh); err != nil {
			return fmt.Errorf("%s %s: %w", e.kind, e.path, err)
		}
	}
	return nil
}

// make runs make, and tells whether it built.
func (d *depTrial) make() (ran bool, said string, err error) {
	_ = os.Remove(d.path("ran"))
	cmd := exec.Command("make", "-s")
	cmd.Dir = d.dir
	cmd.Env = append(slices.Clone(d.env), "MAKEFLAGS=", "MAKELEVEL=")
	out, err := cmd.CombinedOutput()
	if _, rerr := os.Stat(d.path("ran")); rerr == nil {
		ran = true
		more, _ := os.ReadFile(d.path("said"))
		out = append(out, more...)
	}
	return ran, string(out), err
}

// truth is what a build gives now; "" if it fails.
func (d *depTrial) truth(fresh bool) string {
	script := "eval \"ds-build -q -f $FILE $FLAGS ctx\" 2>/dev/null"
	if fresh {
		script = strings.Replace(script, "-q", "-q --no-cache", 1)
	}
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir, cmd.Env = d.dir, d.env
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// settle gives all files their times: sources long ago, then the image.
func (d *depTrial) settle() error {
	err := filepath.WalkDir(d.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.Type()&os.ModeSymlink != 0 {
			return err
		}
		return os.Chtimes(path, depSources, depSources)
	})
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"image.id": d.image, "image.d": d.rule} {
		path := d.path(name)
		err := errors.Join(os.WriteFile(path, content, 0o644), os.Chtimes(path, depBuilt, depBuilt))
		if err != nil {
			return err
		}
	}
	return nil
}

// try makes one edit, runs make and takes the edit back. Fresh compares with a build
// without the cache, and so does what the cache gives then: once the files are old
// enough, before and after the edit, it knows steps by a look at their files.
func (d *depTrial) try(t *testing.T, e depEdit, fresh bool) error {
	if fresh {
		time.Sleep(depTrusted)
		d.truth(false)
	}
	undo, err := e.do()
	if err != nil {
		return err
	}
	ran, said, failure := d.make()
	image, err := os.ReadFile(d.path("image.id"))
	if err != nil {
		return err
	}
	info, err := os.Stat(d.path("image.id"))
	if err != nil {
		return err
	}
	now := string(image)
	switch {
	case failure != nil:
		now = ""
	case !ran || fresh:
		now = d.truth(fresh)
	}
	if fresh {
		time.Sleep(depTrusted)
		if cached := d.truth(false); cached != now {
			t.Errorf("%s %s: the image is %q, of the cache %q", e.kind, e.path, now, cached)
		}
	}
	n := d.count[e.kind]
	if n == nil {
		n = &depCount{}
		d.count[e.kind] = n
	}
	differs, built := now != string(d.image), ran
	n.tried++
	switch {
	case differs:
		n.differs++
	case !info.ModTime().Equal(depBuilt):
		t.Errorf("%s %s: the image is the same, but its file was written\n%s", e.kind, e.path, said)
	case built && e.kind != depTouch:
		d.vain = append(d.vain, e.kind+" "+e.path)
	}
	if built {
		n.built++
	}
	if differs && !built {
		t.Errorf("%s %s: the image differs, but make does not build it; the rule:\n%s", e.kind, e.path, d.rule)
	}
	if differs && e.kind == depTouch {
		t.Errorf("%s %s: the image differs: %s", e.kind, e.path, now)
	}
	if err := undo(); err != nil {
		return err
	}
	return d.settle()
}

// checkDepTable holds the list that is for readers to what was counted. UPDATE=1
// writes it again.
func checkDepTable(t *testing.T, trials []*depTrial, all bool) {
	t.Helper()
	lines := map[string]string{}
	for _, d := range trials {
		lines[d.name] = d.line()
	}
	if all && update {
		if err := os.WriteFile(depfilesFile, []byte(depTable(trials)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(depfilesFile)
	if err != nil {
		t.Fatal(err)
	}
	if all {
		if diff := cmp.Diff(depTable(trials), string(text)); diff != "" {
			t.Errorf("%s is stale, DOCKSMITH_TEST_DEPFILES=all UPDATE=1 go test ./tests -run TestDepfiles writes it (-want +got):\n%s", depfilesFile, diff)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		if !bytes.Contains(text, []byte(lines[name])) {
			t.Errorf("%s has not the line %s", depfilesFile, lines[name])
		}
	}
}

// line is the row of a trial.
func (d *depTrial) line() string {
	var sum depCount
	for _, n := range d.count {
		sum.tried += n.tried
		sum.differs += n.differs
	}
	return fmt.Sprintf("| %s | %d | %d | %s |\n", d.name, sum.tried, sum.differs, strings.Join(d.vain, ", "))
}

func depTable(trials []*depTrial) string {
	var b strings.Builder
	b.WriteString("# What make builds, and what in vain\n\n" +
		"Each path of a context is edited by itself; then `make` runs with the rule that `ds-build -MD` wrote. It must build\n" +
		"again if the image is another one, and that is so for each edit below: there is no false clean. What it builds\n" +
		"although the image stays the same is named; the image's file then keeps its time, so that nothing that depends\n" +
		"on it is made again. Made by `DOCKSMITH_TEST_DEPFILES=all UPDATE=1 go test ./tests -run TestDepfiles`.\n\n" +
		"| edit | tried | another image | built in vain |\n|---|---|---|---|\n")
	for _, kind := range depKinds {
		var sum depCount
		for _, d := range trials {
			if n := d.count[kind]; n != nil {
				sum.tried += n.tried
				sum.differs += n.differs
				sum.built += n.built
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", kind, sum.tried, sum.differs, sum.built-sum.differs)
	}
	b.WriteString("\nA file that is touched is newer, and that is all that make looks at. A directory that is copied, or searched for\n" +
		"names, counts as a whole: a name that comes or goes there is seen, also one that is ignored or not looked for. The\n" +
		"directory of a Dockerfile or ignore file counts where another ignore file may come, that would be read.\n\n" +
		"| case | edits | another image | built in vain, but for what was touched |\n|---|---|---|---|\n")
	for _, d := range trials {
		b.WriteString(d.line())
	}
	return b.String()
}
