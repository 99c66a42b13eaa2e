package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// manyStages finds the cases whose steps have most to do with each other.
var manyStages = regexp.MustCompile(`(?is)\nFROM.*\nFROM|--from=|<<|\nONBUILD|\nSHELL|^ARG`)

// TestMakefiles makes the images of cases by makefiles that ds-parse wrote: two
// steps at a time, and without a cache of what ds-build did. They have the digests
// that ds-build gives, and where that fails make does. DOCKSMITH_TEST_MAKEFILES=all
// takes all cases.
func TestMakefiles(t *testing.T) {
	needs(t, "make")
	if os.Geteuid() != 0 && !userNamespaces() {
		t.Skip("this machine does not let an ordinary user make a user namespace")
	}
	s := newCaseStore(t)
	for _, c := range readCases(t) {
		if c.needs != "" || os.Getenv("DOCKSMITH_TEST_MAKEFILES") != "all" && (len(c.errors) > 0 || !manyStages.MatchString(c.dockerfile())) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := s.path(c.name)
			if err := c.writeContext(ctx); err != nil {
				t.Fatal(err)
			}
			for _, image := range c.images {
				if err := s.buildImage(s.dir, ctx, image.Name, image.Data); err != nil {
					t.Fatal(err)
				}
			}
			c.makeAndBuild(t, s, ctx)
		})
	}
}

// dockerfile is the text of the case's Dockerfile.
func (c *buildCase) dockerfile() string {
	for _, f := range c.context {
		if f.Name == c.file {
			return string(f.Data)
		}
	}
	return ""
}

func (c *buildCase) makeAndBuild(t *testing.T, s *caseStore, ctx string) {
	t.Helper()
	run := func(script string) (string, error) {
		cmd := exec.Command("sh", "-euc", script)
		cmd.Dir = ctx
		cmd.Env = append(slices.Clone(s.env), c.env...)
		cmd.Env = append(cmd.Env, "MAKEFLAGS=", "FILE="+c.file, "STEPS_DIR="+s.path(c.name+"-make"), "TARGET="+c.target, "BUILD_FLAGS="+quoted(argFlags(c.args)...))
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	want, wantErr := run(`mkdir "$STEPS_DIR"; ds-parse ${TARGET:+--target="$TARGET"} "$FILE" 2>"$STEPS_DIR/said" >"$STEPS_DIR/plan" || exit; eval "ds-build -q $BUILD_FLAGS . <$STEPS_DIR/plan" 2>"$STEPS_DIR/said"`)
	got, err := run(`ds-parse --emit=make ${TARGET:+--target="$TARGET"} "$FILE" >"$STEPS_DIR/build.mk"
make -s -j2 -f "$STEPS_DIR/build.mk" BUILD_FLAGS="--no-cache $BUILD_FLAGS" 2>&1
cat "$STEPS_DIR/image.id"`)
	switch {
	case (err != nil) != (wantErr != nil):
		t.Fatalf("make: %v, ds-build: %v\n%s", err, wantErr, got)
	case err != nil:
		return
	case !strings.HasSuffix(got, want):
		t.Fatalf("make: %s\nds-build: %s", got, want)
	}
	if said, err := run(`make -f "$STEPS_DIR/build.mk" BUILD_FLAGS="--no-cache $BUILD_FLAGS"`); err != nil || !strings.Contains(said, "Nothing to be done") {
		// A directory may have got a name since: then it is so the second time.
		if said, err = run(`make -q -f "$STEPS_DIR/build.mk" BUILD_FLAGS="--no-cache $BUILD_FLAGS"`); err != nil {
			t.Errorf("made again: %v\n%s", err, said)
		}
	}
	if _, err := os.Stat(filepath.Join(ctx, ".docksmith")); err == nil {
		t.Error("STEPS_DIR is elsewhere, but .docksmith was made")
	}
}

func argFlags(args []string) []string {
	var flags []string
	for _, a := range args {
		flags = append(flags, "--build-arg", a)
	}
	return flags
}
