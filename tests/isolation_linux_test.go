package tests

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// isolationTable is what the programs of isolationColumns let a process do by
// default, as found by tests/inside/probe.
const isolationTable = "isolation/TABLE.md"

// verdicts are a column: "deny EPERM", "allow", by attempt.
type verdicts map[string]string

func allows(verdict string) bool { return strings.HasPrefix(verdict, "allow") }

// readIsolationTable gives the table of the file: its attempts in order, the
// columns, and the kernel that they were found on.
func readIsolationTable(t *testing.T) (attempts []string, columns map[string]verdicts, kernel string) {
	t.Helper()
	text, err := os.ReadFile(isolationTable)
	if err != nil {
		t.Fatal(err)
	}
	var heads []string
	columns = map[string]verdicts{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "## Rights") {
			break
		}
		if k, ok := strings.CutPrefix(line, "Kernel: "); ok {
			kernel = strings.TrimSpace(k)
		}
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(cells[i], " `*")
		}
		switch {
		case len(cells) < 3 || strings.HasPrefix(cells[0], "-"):
		case cells[0] == "attempt":
			heads = cells[2:]
			for _, h := range heads {
				columns[h] = verdicts{}
			}
		case len(cells) == len(heads)+2:
			attempts = append(attempts, cells[0])
			for i, h := range heads {
				columns[h][cells[0]] = strings.ReplaceAll(cells[i+2], "*", "")
			}
		}
	}
	if len(attempts) == 0 || kernel == "" {
		t.Fatal(isolationTable + " has no table")
	}
	return attempts, columns, kernel
}

// TestIsolationDiffersFromPeersForReasons: where we do not do what runc does, or
// allow what podman denies, there is a reason, and every reason is for that.
func TestIsolationDiffersFromPeersForReasons(t *testing.T) {
	attempts, columns, _ := readIsolationTable(t)
	reasons := isolationReasons()
	for _, a := range attempts {
		ours, runc, podman := allows(columns["ds-exec"][a]), allows(columns["runc"][a]), allows(columns["podman"][a])
		differs := ours != runc || ours && !podman
		if _, explained := reasons[a]; differs != explained {
			t.Errorf("%s: we allow it: %v, runc: %v, podman: %v; there is a reason: %v", a, ours, runc, podman, explained)
		}
		if ours && !allows(columns["runc, same rights"][a]) {
			t.Errorf("%s: runc denies it to a process with the same rights", a)
		}
		if user := allows(columns["ds-exec, user"][a]); user && !ours {
			t.Errorf("%s: allowed to an ordinary user and denied to root", a)
		}
		delete(reasons, a)
	}
	for a := range reasons {
		t.Errorf("%s: a reason for what is not tried", a)
	}
}

// TestIsolationTable tries everything in a container, and beside it in those of
// the peers that are installed. What the table says is denied is denied on any
// machine; all else it says must be so on the kernel that it names.
func TestIsolationTable(t *testing.T) {
	needsRoot(t, "the table has a column for root")
	m := newIsolationMachine(t)
	names, sentences := m.list()
	found := map[string]verdicts{}
	sets := map[string][]string{}
	for _, c := range isolationColumns {
		if !c.installed() {
			t.Logf("%s is not installed: its column is not compared", c.name)
			continue
		}
		found[c.name], sets[c.name] = m.try(c, names)
	}
	if update {
		if len(found) != len(isolationColumns) {
			t.Fatal("not all peers are installed")
		}
		if err := os.WriteFile(isolationTable, []byte(writeIsolationTable(names, sentences, found, sets, release(t))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	attempts, columns, kernel := readIsolationTable(t)
	if strings.Join(attempts, " ") != strings.Join(names, " ") {
		t.Fatalf("%s has other attempts than the probe: set UPDATE=1\n%v\n%v", isolationTable, attempts, names)
	}
	for name, column := range found {
		for _, a := range attempts {
			is, want := column[a], columns[name][a]
			promise := strings.HasPrefix(name, "ds-exec") && allows(is) && !allows(want)
			if promise || allows(is) != allows(want) && kernel == release(t) {
				t.Errorf("%s: %s: %s, and the table says %s", name, a, is, want)
			}
		}
	}
}

func release(t *testing.T) string {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	version, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	return version
}

// writeIsolationTable makes the file.
func writeIsolationTable(names []string, sentences map[string]string, found map[string]verdicts, sets map[string][]string, kernel string) string {
	var b bytes.Buffer
	b.WriteString(isolationPreface)
	fmt.Fprintf(&b, "\nKernel: %s\n\n", kernel)
	for _, c := range isolationColumns {
		fmt.Fprintf(&b, "- %s (%s): `%s`%s\n", c.name, c.version(), c.how, c.remark)
	}
	fmt.Fprintf(&b, "\n## Attempts\n\n")
	head, rule := "| attempt | what it lets a program do |", "|---|---|"
	for _, c := range isolationColumns {
		head, rule = head+" "+c.name+" |", rule+"---|"
	}
	fmt.Fprintf(&b, "%s\n%s\n", head, rule)
	for _, a := range names {
		fmt.Fprintf(&b, "| `%s` | %s |", a, sentences[a])
		for _, c := range isolationColumns {
			v := found[c.name][a]
			if word, note, _ := strings.Cut(v, " "); word == "allow" {
				v = strings.TrimSpace("**allow** " + note)
			}
			fmt.Fprintf(&b, " %s |", v)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nDenied, of %d:%s.\n", len(names), isolationSums(names, found))
	writeSets(&b, sets)
	writeReasons(&b, names, found)
	return b.String()
}

// isolationSums are how many attempts each program denies.
func isolationSums(names []string, found map[string]verdicts) (sums string) {
	for i, c := range isolationColumns {
		n := 0
		for _, a := range names {
			if !allows(found[c.name][a]) {
				n++
			}
		}
		if i > 0 {
			sums += ";"
		}
		sums += fmt.Sprintf(" %s %d", c.name, n)
	}
	return sums
}

func writeSets(b *bytes.Buffer, sets map[string][]string) {
	b.WriteString("\n## Rights of the process\n\n| |")
	for _, c := range isolationColumns {
		fmt.Fprintf(b, " %s |", c.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(isolationColumns)) + "\n")
	for i, line := range sets["ds-exec"] {
		key, _, _ := strings.Cut(line, "\t")
		fmt.Fprintf(b, "| %s |", key)
		for _, c := range isolationColumns {
			_, value, _ := strings.Cut(sets[c.name][i], "\t")
			fmt.Fprintf(b, " %s |", value)
		}
		b.WriteString("\n")
	}
}

func writeReasons(b *bytes.Buffer, names []string, found map[string]verdicts) {
	reasons := isolationReasons()
	stricter, looser := map[string][]string{}, map[string][]string{}
	var order []string
	for _, a := range names {
		why, ok := reasons[a]
		if !ok {
			continue
		}
		list := stricter
		if allows(found["ds-exec"][a]) {
			list = looser
		}
		if len(stricter[why])+len(looser[why]) == 0 {
			order = append(order, why)
		}
		list[why] = append(list[why], "`"+a+"`")
	}
	for _, part := range []struct {
		title string
		list  map[string][]string
	}{{"Denied here, allowed by runc", stricter}, {"Allowed here, denied by runc or podman", looser}} {
		fmt.Fprintf(b, "\n## %s\n\n", part.title)
		for _, why := range order {
			if list := part.list[why]; len(list) > 0 {
				fmt.Fprintf(b, "- %s: %s\n", strings.Join(list, ", "), why)
			}
		}
	}
}

const isolationPreface = `# What containers may do by default

Made by ` + "`UPDATE=1 go test ./tests -run TestIsolationTable`" + ` from what tests/inside/probe found in a container of each
program: every attempt is a real one. **allow** is what a program inside can do, or at least has passed the check
of permissions for; behind each verdict is the error. Nothing is given to the programs but what their names below show.
`
