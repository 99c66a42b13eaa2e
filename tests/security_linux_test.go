package tests

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// securityRows are the rows on running containers of the security checklist: the
// attack, by number, and a test of each, for root and for an ordinary user.
var securityRows = []struct {
	row    int
	attack string
	test   func(s *hostile)
}{
	{36, "overwrite our program from run", overwriteFromRun},
	{36, "overwrite our program from enter", overwriteFromEnter},
	{36, "overwrite our program from RUN", overwriteFromStep},
	{37, "leave by a working directory that is a descriptor", leaveByDescriptor},
	{37, "leave by what enter brings in", leaveByEnter},
	{38, "swap the null device and consoles for files of proc", swapDevices},
	{38, "put files where proc is", fakeProc},
	{39, "exchange a mount's destination for a link", raceDestinations},
	{40, "trace who comes in", traceComers},
	{41, "have files made outside by mounts of files", raceFiles},
	{42, "write to cgroups", writeCgroups},
	{43, "call what the filter is for", callForbidden},
	{44, "configure the runtime from the image", configureFromImage},
	{45, "outlive the container", outliveContainer},
	{45, "outlive the step", outliveStep},
	{46, "lead the bundle's own files away", leadBundleAway},
}

func TestSecurity(t *testing.T) {
	if os.Geteuid() != 0 && !userNamespaces() {
		t.Skip("no user namespaces")
	}
	for _, r := range securityRows {
		t.Run(fmt.Sprintf("%d/%s", r.row, r.attack), func(t *testing.T) { r.test(newHostile(t)) })
	}
}

func TestSecurityAsUser(t *testing.T) {
	runAsOrdinary(t, "TestSecurity", func(*testing.T, string) string { return "no user namespaces, or for root" })
}

func TestEverySecurityRowHasATest(t *testing.T) {
	seen := map[int]bool{}
	for _, r := range securityRows {
		seen[r.row] = true
	}
	for row := 36; row <= 46; row++ {
		if !seen[row] {
			t.Errorf("row %d of the checklist has no test", row)
		}
	}
}

// hostile is a box with an image that attacks, and a canary outside. The bundle
// b is of that image, and so is whatever bundle makes.
type hostile struct {
	*testing.T
	*box
	canary string // a directory
	before string
	sums   map[string][sha256.Size]byte
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{T: t, box: newBox(t), canary: canaryTree(t), sums: programSums(t)}
	h.base()
	h.sh(`mkdir ctx; cp "$(command -v inside)" "$(command -v probe)" ctx/`)
	h.write("ctx/Dockerfile", "FROM base\nCOPY inside probe /bin/\n")
	for i, head := range []string{"/proc/self/exe", "/proc/self/exe run", "/proc/thread-self/exe --help", "/proc/1/exe"} {
		h.write(fmt.Sprintf("ctx/evil%d", i), "#!"+head+"\n")
	}
	h.write("ctx/Dockerfile", "FROM base\nCOPY inside probe evil* /bin/\nRUN chmod 755 /bin/evil* && ln -s /proc/self/exe /bin/evil && ln -s /proc/self/fd/3 /leak\n")
	h.sh("docksmith build -q -t hostile ctx >/dev/null; ds-store bundle hostile b")
	h.before = picture(t, h.canary)
	t.Cleanup(h.unharmed)
	return h
}

// unharmed looks whether the canary and our programs are what they were.
func (h *hostile) unharmed() {
	h.Helper()
	if after := picture(h.T, h.canary); after != h.before {
		h.Errorf("the canary was\n%snow it is\n%s", h.before, after)
	}
	for name, sum := range programSums(h.T) {
		if sum != h.sums[name] {
			h.Errorf("%s was overwritten", name)
		}
	}
}

func programSums(t *testing.T) map[string][sha256.Size]byte {
	t.Helper()
	sums := map[string][sha256.Size]byte{}
	list, _ := filepath.Glob(filepath.Join(top, "bin/*"))
	for _, name := range list {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		sums[name] = sha256.Sum256(data)
	}
	return sums
}

// output is what a command line prints on both streams, whether it fails or not.
// A directory of the host is open in it.
func (h *hostile) output(script string) string {
	h.Helper()
	open, err := os.Open(h.canary)
	if err != nil {
		h.Fatal(err)
	}
	defer open.Close()
	cmd := h.command(script)
	cmd.ExtraFiles = []*os.File{open, open, open}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	_ = cmd.Run() // attacks may fail in any way
	return out.String()
}

// never expects words not to be in an output.
func (h *hostile) never(out, what string, words ...string) {
	h.Helper()
	for _, w := range words {
		if strings.Contains(out, w) {
			h.Errorf("%s: %q is in the output:\n%s", what, w, out)
		}
	}
}

// ourWords are in what our programs print, whatever they are called with.
var ourWords = []string{"usage:", "unknown command", "see ds-", "Commands:"}

var evils = []string{"/bin/evil", "/bin/evil0", "/bin/evil1", "/bin/evil2", "/bin/evil3", "/proc/self/exe", "/proc/1/exe"}

func overwriteFromRun(h *hostile) {
	for _, command := range evils {
		for _, flags := range []string{"", "--no-init ", "--no-seccomp "} {
			out := h.output("ds-exec run --no-record " + flags + "b -- " + command + " x")
			h.never(out, flags+command, ourWords...)
		}
	}
	if out := h.output("ds-exec run --no-record b -- probe"); !strings.Contains(out, "proc-1-exe-write\tdeny") {
		h.Errorf("process 1:\n%s", out)
	}
}

// attack runs a container that seizes what comes in while do is done.
func (h *hostile) attack(do func(id string)) string {
	h.Helper()
	seconds := max(2, int(raceTime()/time.Second))
	id := h.sh(fmt.Sprintf("ds-exec run -d b -- inside seize %s/secret %d", h.canary, seconds))
	for end := time.Now().Add(time.Duration(seconds)*time.Second - time.Second/2); time.Now().Before(end); {
		do(id)
	}
	h.sh("ds-exec wait " + id + " >/dev/null")
	out := h.sh("ds-exec logs " + id)
	h.sh("ds-exec rm " + id + " >/dev/null")
	h.never(out, "the attack", "took ")
	return out
}

func overwriteFromEnter(h *hostile) {
	rounds := 0
	h.attack(func(id string) {
		command := evils[rounds%len(evils)]
		h.never(h.output("ds-exec enter "+id+" "+command), command, ourWords...)
		rounds++
	})
	if rounds == 0 {
		h.Error("nothing was entered")
	}
}

func overwriteFromStep(h *hostile) {
	for _, command := range evils {
		h.write("ctx/step", fmt.Sprintf("FROM hostile\nRUN [%q, \"x\"]\n", command))
		h.never(h.output("ds-build -q --no-cache -f ctx/step ctx"), command, ourWords...)
	}
}

func leaveByDescriptor(h *hostile) {
	ran := 0
	dirs := []string{"/leak", "/leak/..", "/proc/self/cwd", "/proc/1/cwd", "/proc/self/root/proc/self/fd/3"}
	for n := range 16 {
		dirs = append(dirs, "/proc/self/fd/"+strconv.Itoa(n), "/dev/fd/"+strconv.Itoa(n)+"/..")
	}
	id := h.sh("ds-exec run -d b -- sleep 1000")
	for _, dir := range dirs {
		for _, verb := range []string{"run --no-record -w " + dir + " b -- ", "enter -w " + dir + " " + id + " "} {
			out := h.output("ds-exec " + verb + "inside where " + h.canary + "/secret")
			h.never(out, verb, "canary")
			if strings.HasSuffix(out, "inside\n") {
				ran++
			}
		}
	}
	h.write("ctx/step", "FROM hostile\nWORKDIR /proc/self/fd/3\nRUN inside where "+h.canary+"/secret\n")
	h.never(h.output("ds-build --no-cache -f ctx/step ctx"), "WORKDIR", "canary is")
	h.sh("ds-exec rm -f " + id)
	h.Logf("%d of %d commands ran, inside", ran, 2*len(dirs))
}

// leaveByEnter brings commands in from a caller with descriptors of the host.
func leaveByEnter(h *hostile) {
	h.attack(func(id string) {
		if out := h.output("ds-exec enter " + id + " ls /proc/self/fd"); len(strings.Fields(out)) > 4 {
			h.Errorf("descriptors of an entered command: %q", out)
		}
	})
	if out := h.output("ds-exec run --no-record b -- ls /proc/self/fd"); len(strings.Fields(out)) > 4 {
		h.Errorf("descriptors of a command: %q", out)
	}
}

func traceComers(h *hostile) {
	closed := 0
	for range 3 {
		out := h.attack(func(id string) { h.output("ds-exec enter " + id + " true") })
		n, _, _ := strings.Cut(out, " processes were closed")
		if closed, _ = strconv.Atoi(strings.TrimSpace(n)); closed > 0 {
			break
		}
	}
	if closed == 0 {
		h.Error("no process was met on its way in: nothing was shown")
	}
}
