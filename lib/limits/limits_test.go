package limits

import (
	"encoding/json"
	"strings"
	"testing"

	"docksmith/lib/cli"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/pflag"
)

// TestFlags says for each flag what it makes of a specification, or what the
// refusal mentions. What is not said stays as the specification has it.
func TestFlags(t *testing.T) {
	for _, c := range []struct{ flags, want string }{
		{"", `{"resources":{"pids":{"limit":9}}}`},
		{"-m 512m", `{"resources":{"memory":{"limit":536870912,"swap":536870912},"pids":{"limit":9}}}`},
		{"--memory 1.5g --memory-swap 2G", `{"resources":{"memory":{"limit":1610612736,"swap":2147483648},"pids":{"limit":9}}}`},
		{"--memory 1m --memory-swap -1", `{"resources":{"memory":{"limit":1048576,"swap":-1},"pids":{"limit":9}}}`},
		{"--memory-reservation 64KiB", `{"resources":{"memory":{"reservation":65536},"pids":{"limit":9}}}`},
		{"--cpus 1.5", `{"resources":{"cpu":{"quota":150000,"period":100000},"pids":{"limit":9}}}`},
		{"--cpus 0.001", `{"resources":{"cpu":{"quota":1000,"period":100000},"pids":{"limit":9}}}`},
		{"--cpu-quota 7000 --cpu-period 9000", `{"resources":{"cpu":{"quota":7000,"period":9000},"pids":{"limit":9}}}`},
		{"--cpu-shares 512", `{"resources":{"cpu":{"shares":512},"pids":{"limit":9}}}`},
		{"--cpuset-cpus 0-3,5 --cpuset-mems 0", `{"resources":{"cpu":{"cpus":"0-3,5","mems":"0"},"pids":{"limit":9}}}`},
		{"--pids-limit 5", `{"resources":{"pids":{"limit":5}}}`},
		{"--pids-limit -1", `{"resources":{"pids":{"limit":-1}}}`},
		{"--ulimit nofile=1024", `{"resources":{"pids":{"limit":9}},"rlimits":["NOFILE 1024 1024"]}`},
		{"--ulimit nofile=5:9 --ulimit core=-1 --ulimit nofile=6:unlimited", `{"resources":{"pids":{"limit":9}},"rlimits":["NOFILE 6 18446744073709551615","CORE 18446744073709551615 18446744073709551615"]}`},
		{"--shm-size 128m", `{"resources":{"pids":{"limit":9}},"shm":["nosuid","size=134217728"]}`},
		{"--best-effort", `{"resources":{"pids":{"limit":9}}}`},
		{"--memory lots", `!--memory: size "lots"`},
		{"--memory .", `!size "."`},
		{"--memory 1e9", `!size "1e9"`},
		{"--memory 9999999t", `!size`},
		{"--memory 1mm", `!size`},
		{"--memory-swap 1g", "!needs --memory"},
		{"--memory 2m --memory-swap 1m", "!less than --memory"},
		{"--memory 2m --memory-reservation 3m", "!more than --memory"},
		{"--memory -1", "!size"},
		{"--cpus 0", "!--cpus: a number"},
		{"--cpus -3", "!--cpus: a number"},
		{"--cpus NaN", "!--cpus: a number"},
		{"--cpus 1 --cpu-quota 5", "!not both"},
		{"--cpu-shares 1", "!at least 2"},
		{"--cpu-quota -5", "!or -1"},
		{"--cpuset-cpus 3-1", `!--cpuset-cpus: "3-1"`},
		{"--cpuset-mems a", `!--cpuset-mems: "a"`},
		{"--pids-limit -2", "!or -1"},
		{"--ulimit files=3", `!no limit "files"`},
		{"--ulimit nofile", "!want NAME=SOFT"},
		{"--ulimit nofile=9:3", "!above the hard one"},
		{"--shm-size 0", "!--shm-size: size"},
	} {
		got := applied(t, strings.Fields(c.flags))
		if refusal, refused := strings.CutPrefix(c.want, "!"); refused && strings.Contains(got, refusal) {
			continue
		}
		if got != c.want {
			t.Errorf("%s:\n%s, want\n%s", c.flags, got, c.want)
		}
	}
}

// applied is what the flags make of a small specification, or the refusal.
func applied(t *testing.T, words []string) string {
	t.Helper()
	var l Flags
	set := &cli.Flags{FlagSet: pflag.NewFlagSet("test", pflag.ContinueOnError)}
	l.Declare(set)
	if err := set.Parse(words); err != nil {
		t.Fatal(err)
	}
	v, err := l.Limits()
	if err != nil {
		return err.Error()
	}
	was := int64(9)
	base := &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: &was}}
	spec := &specs.Spec{
		Process: &specs.Process{}, Linux: &specs.Linux{Resources: base},
		Mounts: []specs.Mount{{Destination: "/dev/shm", Type: "tmpfs", Options: []string{"size=64m", "nosuid"}}},
	}
	mounts := spec.Mounts
	if err := v.Apply(spec); err != nil {
		return err.Error()
	}
	if *base.Pids.Limit != 9 || base.Memory != nil || mounts[0].Options[0] != "size=64m" {
		t.Errorf("%q changed what it was given", words)
	}
	out := struct {
		Resources *specs.LinuxResources `json:"resources"`
		Rlimits   []string              `json:"rlimits,omitempty"`
		Shm       []string              `json:"shm,omitempty"`
	}{Resources: spec.Linux.Resources}
	for _, r := range spec.Process.Rlimits {
		text, _ := json.Marshal([]uint64{r.Soft, r.Hard})
		out.Rlimits = append(out.Rlimits, strings.TrimPrefix(r.Type, "RLIMIT_")+" "+strings.NewReplacer("[", "", "]", "", ",", " ").Replace(string(text)))
	}
	if v.ShmSize > 0 {
		out.Shm = spec.Mounts[0].Options
	}
	raw, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestApplyElsewhere has a specification without a /dev/shm, with one that is no
// file system in memory, and with a limit of its own.
func TestApplyElsewhere(t *testing.T) {
	var l Flags
	set := &cli.Flags{FlagSet: pflag.NewFlagSet("test", pflag.ContinueOnError)}
	l.Declare(set)
	if err := set.Parse([]string{"--shm-size", "1m", "--ulimit", "nofile=3"}); err != nil {
		t.Fatal(err)
	}
	v, err := l.Limits()
	if err != nil {
		t.Fatal(err)
	}
	spec := &specs.Spec{Process: &specs.Process{Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 8, Hard: 8}, {Type: "RLIMIT_CORE"}}}, Linux: &specs.Linux{}}
	if err := v.Apply(spec); err != nil {
		t.Fatal(err)
	}
	if m := spec.Mounts; len(m) != 1 || m[0].Destination != "/dev/shm" || m[0].Options[len(m[0].Options)-1] != "size=1048576" {
		t.Errorf("%+v", spec.Mounts)
	}
	if r := spec.Process.Rlimits; len(r) != 2 || r[0].Type != "RLIMIT_CORE" || r[1].Soft != 3 {
		t.Errorf("%+v", r)
	}
	spec.Mounts = []specs.Mount{{Destination: "/dev/shm", Type: "bind"}}
	if err := v.Apply(spec); err == nil || !strings.Contains(err.Error(), "no file system in memory") {
		t.Errorf("%v", err)
	}
	if err := v.Apply(&specs.Spec{}); err == nil {
		t.Error("no error without a process")
	}
}
