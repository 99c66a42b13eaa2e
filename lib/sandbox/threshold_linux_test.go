package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestOurBinaryIsNotRunInside has scripts and programs of the image name
// /proc/self/exe as what runs them.
func TestOurBinaryIsNotRunInside(t *testing.T) {
	for name, text := range map[string]string{"script": "#!/proc/self/exe\n", "thread": "#!/proc/thread-self/exe\n", "argument": "#!/proc/self/exe *\n"} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			b.write("evil", text)
			b.check(os.Chmod(filepath.Join(b.lower, "evil"), 0o755))
			// Our binary is the probe, which would exit as it is told.
			b.opts.Env = []string{probeVariable + "=exit"}
			out, res, err := b.run("/evil", "*")
			if err != nil || res.Status != 127 || out != "" {
				t.Errorf("status %d, %v\n%s", res.Status, err, out)
			}
		})
	}
}

// TestThresholdReports has commands that the threshold cannot execute, with and
// without a filter that is in force by then.
func TestThresholdReports(t *testing.T) {
	for _, noNew := range []bool{true, false} {
		b := newBox(t)
		b.spec.Process.NoNewPrivileges = noNew
		b.write("interpreted", "#!/not/there\n")
		b.write("nonsense", "nonsense")
		for _, name := range []string{"interpreted", "nonsense"} {
			b.check(os.Chmod(filepath.Join(b.lower, name), 0o755))
		}
		if _, _, err := b.run("/interpreted"); !errors.Is(err, ErrCommandNotFound) || !strings.Contains(err.Error(), "interpreter") {
			t.Errorf("no interpreter: %v", err)
		}
		if _, _, err := b.run("/nonsense"); !errors.Is(err, ErrCommandNotInvocable) {
			t.Errorf("no program: %v", err)
		}
	}
}

// TestThresholdPassesAllOn counts what arrives.
func TestThresholdPassesAllOn(t *testing.T) {
	b := newBox(t)
	b.spec.Process.Env = []string{"PATH=/bin", "A=1", "EMPTY="}
	b.sh("true") // skips without a shell
	out, res, err := b.run("sh", "-c", `echo "$0,$1,$2,$#"; echo "$A,$EMPTY,${EMPTY-no}"; ls /proc/self/fd | wc -l`, "zero", "", "two words")
	if want := "zero,,two words,2\n1,,\n4\n"; err != nil || res.Status != 0 || out != want {
		t.Errorf("%v %d %q, want %q", err, res.Status, out, want)
	}
}

// TestFilterWithoutThreshold has filters that deny what the threshold takes.
func TestFilterWithoutThreshold(t *testing.T) {
	for call, args := range map[string][]specs.LinuxSeccompArg{"execveat": nil, "fcntl": {{Index: 1, Value: unix.F_SETFD, Op: specs.OpEqualTo}}} {
		b := newBox(t)
		b.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{call}, Action: specs.ActErrno, Args: args}}}
		b.opts.Env = []string{probeVariable + "=exit"}
		if out, res, err := b.run("/bin/probe", "*"); err != nil || res.Status != '*' {
			t.Errorf("%s: %d, %v\n%s", call, res.Status, err, out)
		}
	}
}
