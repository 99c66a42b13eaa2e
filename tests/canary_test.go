package tests

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"docksmith/lib/verify"
)

// canarySteps ask for secrets by every way there is, print them, and fail.
const canarySteps = `FROM base AS other
RUN --mount=type=secret,id=file --mount=type=secret,id=variable,env=V cat /run/secrets/file && echo $V && echo done >/done
FROM base
COPY --from=other /done /
RUN --mount=type=secret,id=file,target=/s,mode=0444 --mount=type=cache,target=/c wc -c </s >/count; head -c 5 /s; tail -c +6 /s; cat /s >&2; \
	while read line; do echo "the line is $line."; done </s
RUN --mount=type=secret,id=variable --mount=type=ssh,id=agent env; cat /run/secrets/variable; mount
`

// TestSecretsLeaveNoTrace passes secrets through every channel and looks for
// their bytes in whatever is left, compressed or not.
func TestSecretsLeaveNoTrace(t *testing.T) {
	if os.Geteuid() != 0 && !userNamespaces() {
		t.Skip("no user namespaces")
	}
	b := newBox(t)
	b.base()
	b.write("ctx/a", "a")
	b.write("f", canarySteps)
	b.write("fails", "FROM base\nRUN --mount=type=secret,id=file --mount=type=secret,id=variable,env=V cat /run/secrets/file; echo $V; exit 9\n")
	b.write("dies", "FROM base\nRUN --mount=type=secret,id=file --mount=type=secret,id=variable,env=V cat /run/secrets/file; echo $V; : >/written; sleep 60\n")
	// The file is outside of what is searched.
	outside := t.TempDir()
	canaries := []string{"canary-in-a-file-1", "canary-of-line-two", "canary-in-a-variable", "canary-socket-path"}
	file := filepath.Join(outside, "secret")
	if err := os.WriteFile(file, []byte(canaries[0]+"\n"+canaries[1]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(outside, canaries[3])
	agent, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	temp := b.path("temp")
	if err := os.Mkdir(temp, 0o755); err != nil {
		t.Fatal(err)
	}
	b.env = append(b.env, "CANARY="+canaries[2], "TMPDIR="+temp)
	build := "ds-build --secret id=file,src=" + file + " --secret id=variable,env=CANARY --ssh agent=" + socket + " "
	for i, args := range []string{
		"--progress=plain -f f -t app ctx", "--progress=json --no-cache -f f -t app ctx", "--no-cache --no-overlay -f f ctx",
		"--progress=json --no-cache --compress=none -f f ctx", "--no-cache --compress=zstd -f f -t app-zstd ctx", "--progress=json -f f ctx", "--progress=plain -f f ctx",
		"-q -f fails ctx", "--progress=json -f fails ctx", "--no-overlay -f fails ctx",
	} {
		log := "log" + string(rune('0'+i))
		if status := b.status(build + args + " >" + log + ".out 2>" + log); status != 0 && !strings.Contains(args, "fails") || status != 9 && strings.Contains(args, "fails") {
			text, _ := os.ReadFile(b.path(log))
			t.Fatalf("%s: status %d\n%s", args, status, text)
		}
	}
	if log, _ := os.ReadFile(b.path("log0")); bytes.Count(log, []byte("***")) < 6 {
		t.Errorf("the secrets were not shown as stars:\n%s", log)
	}
	b.sh("ds-store export app -o archive.tar; ds-store history app >history; ds-store inspect --config app >config; ds-cache ls >records 2>&1 || true")
	search(t, b.dir, canaries)
	hidesMemory(t, b, build+"-j 1 --no-cache -f f ctx", file)
	killInStep(t, b, build+"-f dies ctx >log-dies.out 2>log-dies")
	search(t, b.dir, canaries)
}

// hidesMemory looks, where strace is there, whether the programs that a build
// consists of hide their memory before they read a secret.
func hidesMemory(t *testing.T, b *box, build, secret string) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Log("strace is not installed: not seen when memory is hidden")
		return
	}
	if os.Geteuid() != 0 && hasIDRange() {
		t.Log("newuidmap has no privilege under strace: not seen when memory is hidden")
		return
	}
	trace := filepath.Join(t.TempDir(), "trace")
	b.sh("strace -f -e trace=execve,prctl,openat,read -s 200 -o " + trace + " " + build + " >/dev/null 2>&1")
	data, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	hidden, opened, told := false, 0, 0
	for line := range strings.Lines(string(data)) {
		what := ""
		switch {
		case strings.Contains(line, "execve(") && strings.Contains(line, "ds-exec"):
			hidden = false // another program, and one at a time
		case strings.Contains(line, "prctl(PR_SET_DUMPABLE, SUID_DUMP_DISABLE"):
			hidden = true
		case strings.Contains(line, `openat(AT_FDCWD, "`+secret):
			opened++
			what = "ds-build opens it"
		case strings.Contains(line, "read") && strings.Contains(line, `"{\"type\":\"secret\"`):
			told++
			what = "ds-exec is told it"
		}
		if what != "" && !hidden {
			t.Errorf("%s without having hidden its memory: %s", what, line)
		}
	}
	if opened == 0 || told == 0 {
		t.Errorf("the secret was opened %d times and told %d times", opened, told)
	}
}

// killInStep starts a build, kills it with all that it started while its step
// runs, and leaves what it left.
func killInStep(t *testing.T, b *box, script string) {
	t.Helper()
	cmd := b.command("exec " + script)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 400 {
		if found, _ := filepath.Glob(b.path("store/tmp/build-*/upper/written")); len(found) > 0 {
			break
		}
		time.Sleep(25 * time.Millisecond)
	}
	found, _ := filepath.Glob(b.path("store/tmp/build-*/upper/written"))
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	_ = cmd.Wait()
	if len(found) == 0 {
		log, _ := os.ReadFile(b.path("log-dies"))
		t.Fatalf("the step did not begin:\n%s", log)
	}
	time.Sleep(100 * time.Millisecond) // the step dies with its parent
}

// search looks for the canaries, in every form, in all files below dir and in their names.
func search(t *testing.T, dir string, canaries []string) {
	t.Helper()
	var list []verify.Canary
	for _, c := range canaries {
		list = append(list, verify.Canary{Name: c, Value: []byte(c)})
	}
	sum, err := verify.NewSearch(list, func(f verify.Finding) { t.Errorf("%s", f) }).Tree(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Files < 20 || sum.Compressed < 8 || sum.Entries < 20 {
		t.Fatalf("only %d files were looked at, %d compressed streams and %d entries of tars in them", sum.Files, sum.Compressed, sum.Entries)
	}
}
