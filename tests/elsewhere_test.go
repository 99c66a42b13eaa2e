package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// elsewhere is what is another when an image is built again. The cache is always
// deleted: `ds-verify rebuild` would not look at it, but what is not there
// cannot help.
type elsewhere struct {
	place bool          // the context lies in another directory, and nothing where it was
	user  uint32        // another user, who has a copy of images and logs, and no more; 0: the same
	later time.Duration // by the clock of the build and of all of its commands
}

func (e elsewhere) String() string {
	words := "without the cache"
	if e.place {
		words += ", from another directory"
	}
	if e.user != 0 {
		words += fmt.Sprintf(", as user %d", e.user)
	}
	if e.later != 0 {
		words += fmt.Sprintf(", %v later", e.later)
	}
	return words
}

// rebuild proves an image again, or says what differs: what `ds-verify rebuild`
// prints and its exit status. It takes the context away.
func (b *box) rebuild(image, context string, e elsewhere, flags ...string) (string, error) {
	b.t.Helper()
	b.sh(`rm -rf "$DOCKSMITH_ROOT/cache"`)
	line := "umask 077; cd empty; exec ds-verify rebuild -v " + strings.Join(flags, " ")
	home := b.path("elsewhere")
	if e.place {
		b.sh("rm -rf elsewhere/far; mkdir -p elsewhere/far/away && mv " + context + " elsewhere/far/away/from-there")
		line += " --context ../far/away/from-there"
	}
	b.sh("mkdir -p elsewhere/empty elsewhere/store")
	if e.user != 0 {
		// Blobs never change: those that are there from before are the same.
		b.sh(fmt.Sprintf(`chmod 711 .; cd elsewhere/store; rm -rf builds; cp -R "$DOCKSMITH_ROOT/builds" . && cp -Rn "$DOCKSMITH_ROOT/oci" . &&
			cp "$DOCKSMITH_ROOT/oci/index.json" oci; chown -R %d:%[1]d ..`, e.user))
	}
	cmd := b.command(line + " " + image)
	if e.later != 0 {
		cmd = b.later(e.later, e.user, line+" "+image)
	} else if e.user != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: e.user, Gid: e.user}}
	}
	cmd.Dir = home
	cmd.Env = append(cmd.Env, "HOME="+home, "TZ=Pacific/Kiritimati", "LC_ALL=C.UTF-8")
	if e.user != 0 {
		cmd.Env = append(cmd.Env, "DOCKSMITH_ROOT="+filepath.Join(home, "store"))
	}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%w\n%s", err, tail(stderr.String(), 4000))
	}
	return stdout.String(), nil
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// TestRebuildElsewhere changes one thing at a time, and all of them.
func TestRebuildElsewhere(t *testing.T) {
	b := newBox(t)
	b.base()
	b.write("steps/Dockerfile", strings.ReplaceAll(everything, "ADD tree.tar /unpacked/\n", "")+"USER 0\nRUN date -u -d @$SOURCE_DATE_EPOCH >/date\n")
	for _, name := range []string{"data/1/a", "data/2/b", "script", "z"} {
		b.write("steps/"+name, "content of "+name+"\n")
	}
	all := elsewhere{place: true}
	ways := []elsewhere{{}, {place: true}}
	if why := b.noLater(); why == "" {
		all.later = aDay
		ways = append(ways, elsewhere{later: aDay})
	} else {
		t.Log(why)
	}
	if os.Geteuid() == 0 {
		all.user = ordinary
		ways = append(ways, elsewhere{user: ordinary})
	} else {
		t.Log("no root: not tried as another user")
	}
	for _, e := range append(ways, all) {
		t.Run(e.String(), func(t *testing.T) {
			inner := *b
			inner.t = t
			inner.sh("rm -rf there && cp -R steps there && chmod -R a+rX there")
			want := "rebuild app: proven " + inner.sh("docksmith build -q -t app there") + "\n"
			if got, err := inner.rebuild("app", "there", e); got != want || err != nil {
				t.Errorf("%s%v, want %s", got, err, want)
			}
		})
	}
	for _, uid := range slices.Compact([]uint32{all.user, rangeOrOne(t, all.user)}) {
		t.Run(fmt.Sprintf("only the clock differs, user %d", uid), func(t *testing.T) {
			if all.later == 0 {
				t.Skip("no program can be told here that it is later")
			}
			inner := *b
			inner.t, all.user = t, uid
			inner.write("there/Dockerfile", "FROM base\nRUN echo same >/same\nRUN date -u +%F >/day\n")
			inner.sh("docksmith build -q -t dated there")
			got, err := inner.rebuild("dated", "there", all)
			want := "file /day of layer 3 (\"RUN /bin/sh -c date -u +%F >/day # buildkit\"): differs in content\nrebuild dated: refuted " + inner.digest("dated:latest") + "\n"
			if got != want {
				t.Errorf("%s%v, want %s", got, err, want)
			}
		})
	}
}

// rangeOrOne is a user with a range of ids, or the one given where there is none
// or this one cannot become another.
func rangeOrOne(t *testing.T, one uint32) uint32 {
	if uid := userWithRange(t); uid != 0 && os.Geteuid() == 0 {
		return uid
	}
	return one
}
