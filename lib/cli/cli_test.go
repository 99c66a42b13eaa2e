package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

func sample() *Command {
	var stage string
	return &Command{
		Name: "ds-sample", Args: "[FILE]", Short: "Show what a command looks like.",
		Long: "FILE may be \"-\".",
		Flags: func(f *Flags) {
			f.StringVarP(&stage, "target", "t", "", "plan only what `STAGE` needs")
			f.Complete("target", "stage")
		},
		Run: func(context.Context, *IO, []string) error { return nil },
	}
}

func TestHelpIsAPage(t *testing.T) {
	inv, err := find("ds-sample", sample(), []string{"--help"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := inv.help(&b); err != nil {
		t.Fatal(err)
	}
	want := `usage: ds-sample [OPTION]... [FILE]

Show what a command looks like.

  -t, --target STAGE   plan only what STAGE needs
  -h, --help           show this help
      --version        show the version

FILE may be "-".
`
	if b.String() != want {
		t.Errorf("help:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestFindWalksSubcommands(t *testing.T) {
	var got []string
	tree := &Command{Name: "ds-x", Commands: []*Command{
		{Name: "one", Run: func(context.Context, *IO, []string) error { return nil }},
		{Name: "run", StopAtOperand: true, Run: func(_ context.Context, _ *IO, args []string) error { got = args; return nil }},
	}}
	inv, err := find("ds-x", tree, []string{"run", "bundle", "-e", "--", "x"})
	if err != nil {
		t.Fatal(err)
	}
	if err := inv.command.Run(t.Context(), nil, inv.flags.Args()); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(got) != "[bundle -e -- x]" || inv.path != "ds-x run" {
		t.Errorf("path %q, operands %q", inv.path, got)
	}
	for _, args := range [][]string{{}, {"two"}, {"one", "--bogus"}, {"--bogus"}} {
		_, err := find("ds-x", tree, args)
		var usage *usageError
		if !errors.As(err, &usage) {
			t.Errorf("%q: error %v is not one of usage", args, err)
		}
	}
}

func TestRepeatedFlags(t *testing.T) {
	var tags, others []string
	c := &Command{Name: "ds-x", Run: sample().Run, Flags: func(f *Flags) {
		f.StringArrayVarP(&tags, "tag", "t", nil, "a `NAME`")
		f.StringArrayVar(&others, "other", []string{"a", "b"}, "a `WORD`")
	}}
	if _, err := find("ds-x", c, nil); err != nil || tags != nil || fmt.Sprint(others) != "[a b]" {
		t.Errorf("without any: %q, %q, %v", tags, others, err)
	}
	if _, err := find("ds-x", c, []string{"-t", "x", "--tag=y,z", "--other", "c", "--other="}); err != nil || fmt.Sprintf("%q", tags) != `["x" "y,z"]` || fmt.Sprintf("%q", others) != `["c" ""]` {
		t.Errorf("got %q, %q, %v", tags, others, err)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 999: "999B", 1000: "1kB", 999_499: "999kB", 999_500: "1MB", 12_345_678: "12.3MB", 5e15: "5PB", math.MaxInt64: "9.22EB"} {
		if got := Size(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
}

func TestReportMapsErrorsToStatuses(t *testing.T) {
	plain := &invocation{command: &Command{}, path: "ds-x"}
	runner := &invocation{command: &Command{FailStatus: 125}, path: "ds-exec"}
	fault := errors.New("blob is missing")
	for _, c := range []struct {
		inv    *invocation
		err    error
		status int
		text   string
	}{
		{plain, nil, 0, ""},
		{plain, fault, 1, "ds-x: error: blob is missing\n"},
		{runner, fault, 125, "ds-exec: error: blob is missing\n"},
		{plain, Usagef("no %s", "name"), 2, "ds-x: error: no name\nsee ds-x --help\n"},
		{runner, Usagef("no name"), 125, "ds-exec: error: no name\nsee ds-exec --help\n"},
		{plain, ExitStatus(7), 7, ""},
		{runner, &StatusError{127, fault}, 127, "ds-exec: error: blob is missing\n"},
		{plain, &Located{"Dockerfile", 12, fault}, 1, "Dockerfile:12: error: blob is missing\n"},
		{plain, &StatusError{3, &Located{"Dockerfile", 5, fault}}, 3, "Dockerfile:5: error: blob is missing\n"},
		{plain, WithHint(fmt.Errorf("read: %w", WithHint(fault, "fetch it")), "or not"), 1,
			"ds-x: error: read: blob is missing\nds-x: hint: or not\nds-x: hint: fetch it\n"},
	} {
		var b strings.Builder
		if got := report(&b, c.inv, c.err); got != c.status || b.String() != c.text {
			t.Errorf("%v: status %d, text %q; want %d, %q", c.err, got, b.String(), c.status, c.text)
		}
	}
	if WithHint(nil, "x") != nil {
		t.Error("a hint on no error is an error")
	}
}

func TestDescriptionNamesFlags(t *testing.T) {
	b, err := json.Marshal(describe("ds-sample", sample()))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"letter":"t","arg":"STAGE"`, `"complete":"stage"`, `"name":"help"`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("%s lacks %s", b, want)
		}
	}
	if strings.Contains(string(b), "dump-cli") {
		t.Error("the hidden flag is described")
	}
}

func TestWantColor(t *testing.T) {
	for _, c := range []struct {
		flag, env string
		tty, want bool
	}{
		{"", "", true, true},
		{"", "", false, false},
		{"always", "NO_COLOR=1", false, true},
		{"never", "FORCE_COLOR=1", true, false},
		{"auto", "NO_COLOR=1", true, false},
		{"", "NO_COLOR=", true, true},
		{"", "CLICOLOR_FORCE=1", false, true},
		{"", "CLICOLOR_FORCE=1 NO_COLOR=1", true, false},
		{"", "CLICOLOR=0", true, false},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		if got := wantColor(c.flag, func(k string) string { return env[k] }, c.tty); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestSettingsFromEnvironment(t *testing.T) {
	t.Setenv("DOCKSMITH_ROOT", "some/where")
	set, err := RootSetting()
	if err != nil || !strings.HasSuffix(set.Value, "/some/where") || set.Origin != "environment" {
		t.Errorf("root %+v, %v", set, err)
	}
	t.Setenv("DOCKSMITH_ROOT", "")
	t.Setenv("XDG_DATA_HOME", "relative")
	t.Setenv("HOME", "/home/x")
	want := "/home/x/.local/share/docksmith"
	if os.Geteuid() == 0 {
		want = "/var/lib/docksmith"
	}
	if set, err := RootSetting(); err != nil || set.Value != want || set.Origin != "default" {
		t.Errorf("root %+v, %v; want %s", set, err, want)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	if e, err := SourceDateEpoch(); err != nil || e.Format("2006-01-02") != "1970-01-02" {
		t.Errorf("epoch %v, %v", e, err)
	}
	for _, bad := range []string{"yesterday", "-1", "1.5"} {
		t.Setenv("SOURCE_DATE_EPOCH", bad)
		if _, err := SourceDateEpoch(); err == nil {
			t.Errorf("epoch %q accepted", bad)
		}
	}
}
