package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// racing exchanges two names of the host while do is done, over and over.
func (h *hostile) racing(a, b string, do func()) {
	h.Helper()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	rounds := 0
	for end := time.Now().Add(raceTime()); time.Now().Before(end); rounds++ {
		do()
		if after := picture(h.T, h.canary); after != h.before {
			h.Fatalf("after %d rounds the canary was\n%snow it is\n%s", rounds, h.before, after)
		}
	}
	h.Logf("%d rounds", rounds)
}

// masked says whether files that are hidden can be read.
const masked = `test -z "$(cat /proc/keys /proc/timer_list /proc/interrupts; ls -A /sys/firmware)" && echo hidden || echo leak`

// swapDevices has a volume in the place of /dev, with links where devices are
// looked for, and exchanges them meanwhile.
func swapDevices(h *hostile) {
	h.sh("mkdir vol")
	for _, name := range []string{"null", "zero", "full", "random", "urandom", "tty", "console", "ptmx", "pts", "shm", "mqueue", "fd", "stdin"} {
		if err := os.Symlink(h.canary+"/f", h.path("vol", name)); err != nil {
			h.Fatal(err)
		}
	}
	h.write("vol/other", "")
	h.racing(h.path("vol/null"), h.path("vol/other"), func() {
		out := h.output("ds-exec run --no-record -v ./vol:/dev b -- sh -c '" + masked + "'")
		if out != "hidden\n" && !strings.Contains(out, "ds-exec run: error:") {
			h.Fatalf("hidden files are read: %q", out)
		}
	})
	// The same in a root that the attacker wrote.
	h.sh("rm -rf b/upper/dev; ln -s " + h.canary + " b/upper/dev")
	h.output("ds-exec run --no-record b -- true")
}

// fakeProc has what is written to /proc on a container's behalf led elsewhere.
func fakeProc(h *hostile) {
	h.sh("mkdir -p vol/self/attr vol/thread-self/attr vol/sys/kernel vol/1; for f in self/attr/exec thread-self/attr/exec sys/kernel/hostname 1/oom_score_adj self/oom_score_adj; do ln -s " +
		h.canary + "/f vol/$f; done")
	h.output("ds-exec run --no-record -v ./vol:/proc b -- true")
	id := strings.TrimSpace(h.output("ds-exec run -d -v ./vol:/proc b -- sleep 1000"))
	h.output("ds-exec enter " + id + " true; ds-exec rm -f $(ds-exec ps -aq)")
	for _, to := range []string{"tmp", h.canary, "/proc/../" + strings.TrimPrefix(h.canary, "/")} {
		h.sh("rm -rf b/upper/proc; ln -s " + to + " b/upper/proc")
		if out := h.output("ds-exec run --no-record b -- echo ran"); strings.Contains(out, "ran\n") {
			h.Errorf("a container ran whose /proc is a link to %s: %s", to, out)
		}
	}
}

// raceDestinations mounts below a directory that becomes a link to the canary.
func raceDestinations(h *hostile) {
	h.sh("mkdir -p vol/x/y/z sub; ln -s " + h.canary + " vol/link")
	ran := 0
	h.racing(h.path("vol/x"), h.path("vol/link"), func() {
		out := h.output("ds-exec run --no-record -v ./vol:/v -v ./sub:/v/x/y -v ./sub:/v/x/made/here --tmpfs /v/x/y/z b -- echo ran")
		if strings.Contains(out, "ran\n") {
			ran++
		}
	})
	h.Logf("%d containers ran", ran)
}

// raceFiles mounts files where a runtime makes an empty file to mount them on.
func raceFiles(h *hostile) {
	h.sh("mkdir -p vol/x/y; echo text >file; ln -s " + h.canary + " vol/link")
	h.racing(h.path("vol/x"), h.path("vol/link"), func() {
		h.output("ds-exec run --no-record -v ./vol:/v -v ./file:/v/x/new -v ./file:/v/x/y/new -v ./file:/v/x/f b -- true")
	})
}

// leadBundleAway replaces each file of a bundle by a link, and by what is no
// file at all.
func leadBundleAway(h *hostile) {
	h.sh("cp b/config.json saved; mkdir -p away/bin; cp -R b/upper away/upper; cp b/config.json away/config.json")
	for _, name := range []string{"config.json", "upper", "work"} {
		for _, to := range []string{h.path("away", name), "../away/" + name, h.canary, "/"} {
			h.sh("ds-store bundle hostile c; rm -rf c/" + name)
			if err := os.Symlink(to, h.path("c", name)); err != nil {
				h.Fatal(err)
			}
			if out := h.output("ds-exec run --no-record c -- echo ran"); strings.Contains(out, "ran\n") {
				h.Errorf("a bundle ran whose %s is a link to %s", name, to)
			}
			if target, err := os.Readlink(h.path("c", name)); err != nil || target != to {
				h.Errorf("%s is now %q, %v", name, target, err)
			}
			h.sh("rm -rf c")
		}
	}
	for _, make := range []string{"mkfifo c/config.json", "mkdir c/config.json", "truncate -s 1G c/config.json", "cp saved c/config.json; sed -i s/overlay.upper/overlay.uppper/ c/config.json"} {
		h.sh("ds-store bundle hostile c; rm -f c/config.json; " + make)
		if out := h.output("timeout 20 ds-exec run --no-record c -- echo ran"); !strings.Contains(out, "ds-exec run: error:") {
			h.Errorf("%s: %s", make, out)
		}
		h.sh("rm -rf c")
	}
	h.recordsLeadAway()
}

// recordsLeadAway has links where records of containers are.
func (h *hostile) recordsLeadAway() {
	id := h.sh("ds-exec run -d --name web b -- true; ds-exec wait web >/dev/null")
	id = strings.Fields(id)[0]
	files, _ := filepath.Glob(h.path("store/run", id, "*"))
	if len(files) == 0 {
		h.Fatal("the container has no record")
	}
	for _, f := range files {
		h.sh(fmt.Sprintf("rm -rf %s; ln -s %s/f %[1]s", f, h.canary))
	}
	h.output("ds-exec ps -a; ds-exec inspect web; ds-exec logs web; ds-exec kill web; ds-exec enter web true; ds-exec wait web")
	h.output("ds-exec rm -f web; ds-exec gc; ds-exec prune")
}
