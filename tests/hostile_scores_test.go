package tests

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// podmanHere keeps all of podman in the attack's own directory.
const podmanHere = `p() { podman --root {state}/r --runroot {state}/s --storage-driver vfs "$@"; }; `

// hostileTargets are programs that ds-verify hostile attacks, as they are usually
// called; those that are not installed are left out. {} is the directory.
var hostileTargets = []struct{ needs, name, args string }{
	{"", "ours", ""},
	{"tar", "GNU tar", `--target 'tar -xf - -C {}'`},
	{"tar", "GNU tar, from a file", `--target 'cat >{state}/l && tar -xf {state}/l -C {}'`},
	{"tar", "GNU tar -P", `--target 'tar -xPf - -C {}'`},
	{"busybox", "busybox tar", `--target 'busybox tar -xf - -C {}'`},
	{"bsdtar", "bsdtar", `--target 'bsdtar -xf - -C {}'`},
	{"umoci", "umoci raw unpack", `--whole --target 'tar -xf - -C {state} && umoci raw unpack $ROOTLESS --image {state}:latest {}'`},
	{"umoci", "umoci unpack", `--bundle 'tar -xf - -C {state} && umoci unpack $ROOTLESS --image {state}:latest {}'`},
	{"skopeo", "skopeo copy", `--load 'cat >{state}/a; skopeo copy -q oci-archive:{state}/a oci:{}/i:x'`},
	{"podman", "podman load", `--load '` + strings.ReplaceAll(podmanHere, "{state}/r", "{}/r") + `p load -q'`},
	// Where podman unpacks, what leads to ../outside leads there as well.
	{"podman", "podman load and mount", `--whole --target '` + podmanHere + `mkdir -p {state}/r/vfs/dir && ln -s "$PWD/../outside" {state}/r/vfs/dir/outside && ` +
		`i=$(p load -q) && c=$(p create ${i##*: } /x) && d=$(p mount $c) && rmdir {} && mv $d {}'`},
	{"curl", "curl", `--fetch 'curl -fsSL -o {}/x {url}'`},
	{"wget", "wget", `--fetch 'wget -q -O {}/x {url}'`},
}

// scoresTable is what is kept of the scores.
const scoresTable = "hostile/SCORES.md"

// hostileScore is what ds-verify hostile tells of a program.
type hostileScore struct {
	held, all int
	missed    []string // T9 bomb/deep: why
	rows      map[int]int
}

func scoreOf(t *testing.T, b *box, args string) (s hostileScore, err error) {
	t.Helper()
	out, err := b.command("ds-verify hostile --json " + args).Output()
	s.rows = map[int]int{}
	for line := range strings.Lines(string(out)) {
		var r struct {
			Type, Name, Verdict, Why string
			Row, Held, All           int
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		switch {
		case r.Type == "score":
			s.held, s.all = r.Held, r.All
		case r.Type == "attack" && r.Verdict != "held":
			s.missed = append(s.missed, fmt.Sprintf("T%d %s %s %s", r.Row, r.Name, r.Verdict, r.Why))
			s.rows[r.Row]++
		}
	}
	return s, err
}

// line is a line of the table.
func (s hostileScore) line(name, version string) string {
	var rows []string
	for row, n := range s.rows {
		rows = append(rows, fmt.Sprintf("T%d %d", row, n))
	}
	slices.SortFunc(rows, func(a, b string) int {
		return cmp.Or(len(strings.Fields(a)[0])-len(strings.Fields(b)[0]), strings.Compare(a, b))
	})
	return fmt.Sprintf("| %s | %s | %d of %d | %s |", name, version, s.held, s.all, strings.Join(rows, ", "))
}

// TestHostileScores prints how our programs and others do; ours hold against all.
func TestHostileScores(t *testing.T) {
	b := newBox(t)
	if os.Geteuid() != 0 {
		b.env = append(b.env, "ROOTLESS=--rootless")
	}
	peers := os.Getenv("DOCKSMITH_PEERS") != "" && !testing.Short()
	var lines []string
	for _, target := range hostileTargets {
		version := "this version"
		if target.needs != "" {
			if _, err := exec.LookPath(target.needs); err != nil {
				t.Logf("%-22s not installed", target.name)
				continue
			}
			if !peers && target.name != "GNU tar" {
				continue // they take long
			}
			version = versionOf(target.needs)
		}
		s, err := scoreOf(t, b, target.args)
		t.Logf("%-22s %d of %d held", target.name, s.held, s.all)
		switch {
		case target.needs == "" && err != nil:
			t.Errorf("ours do not hold: %v\n%s", err, strings.Join(s.missed, "\n"))
		case s.all == 0:
			t.Errorf("%s: no score: %v", target.name, err)
		}
		for _, missed := range s.missed {
			if target.needs != "" && testing.Verbose() {
				t.Logf("%22s %s", "", missed)
			}
		}
		lines = append(lines, s.line(target.name, version))
	}
	compareScores(t, lines, peers)
}

func versionOf(program string) string {
	flag := "--version"
	if program == "busybox" {
		flag = "--help"
	}
	out, _ := exec.Command(program, flag).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	for _, more := range []string{" (Debian", " (x86", " built"} { // which package it is from, and for what
		line, _, _ = strings.Cut(line, more)
	}
	return strings.TrimSpace(line)
}

// compareScores wants the table to have our score, and writes it when asked to.
// That of another version of a program, or on another machine, may differ.
func compareScores(t *testing.T, lines []string, peers bool) {
	t.Helper()
	if os.Getenv("UPDATE") != "" && peers && os.Geteuid() == 0 {
		if err := os.WriteFile(scoresTable, []byte(scoresText(lines)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(filepath.FromSlash(scoresTable))
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range lines {
		switch {
		case strings.Contains(string(raw), line+"\n"):
		case i == 0:
			t.Errorf("%s is stale: it lacks\n%s", scoresTable, line)
		default:
			t.Logf("not so in %s: %s", scoresTable, line)
		}
	}
}

func scoresText(lines []string) string {
	text := `# What programs hold against

Made by ` + "`UPDATE=1 DOCKSMITH_PEERS=1 go test ./tests -run TestHostileScores`" + ` as root: the attacks of ` + "`ds-verify hostile`" + ` that apply to
what each program does, how many it holds against, and of which kinds those are that it does not (T2 32: thirty-two
of kind 2). The kinds are in ds-verify(1). Nothing is expected of a program but what its commands below do: an extractor that
is no layer store knows no quota, and one that reads its input to the end first is not met at a known moment, so that
its count of kind 14 varies.

| program | version | held | not held |
|---|---|---|---|
` + strings.Join(lines, "\n") + "\n\n## Commands\n\n"
	for _, target := range hostileTargets {
		if _, err := exec.LookPath(target.needs); target.needs == "" || err == nil {
			text += fmt.Sprintf("- %s: `%s`\n", target.name, strings.TrimSpace("ds-verify hostile "+target.args))
		}
	}
	return text
}
