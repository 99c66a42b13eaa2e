package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// secondsVariable says how long the races take; the checklist's is a minute.
const secondsVariable = "DOCKSMITH_TEST_SECONDS"

func raceTime() time.Duration {
	n, err := strconv.Atoi(os.Getenv(secondsVariable))
	if err != nil {
		n = 2
	}
	return time.Duration(n) * time.Second
}

// canaryTree is a directory of the host that steps know the path of. Empty files
// and directories are what somebody who cleans up would dare to remove.
func canaryTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} { // also for the ordinary user
		if err := os.Chmod(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"y/z", "d"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"f", "secret", "y/f"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// picture is what can be known of a tree.
func picture(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.Walk(dir, func(p string, info os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		data := []byte{}
		if info.Mode().IsRegular() {
			data, err = os.ReadFile(p)
		}
		fmt.Fprintf(&b, "%s %v %d %v %q\n", p, info.Mode(), info.Size(), info.ModTime(), data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestRaces attacks the mounts of steps; as root it is run a second time as an
// ordinary user.
func TestRaces(t *testing.T) {
	if os.Geteuid() != 0 && !userNamespaces() {
		t.Skip("no user namespaces")
	}
	t.Run("cache", cacheMountRace)
	t.Run("stubs", mountPointsAreRemovedInside)
}

func TestRacesAsUser(t *testing.T) {
	runAsOrdinary(t, "TestRaces", func(*testing.T, string) string { return "no user namespaces" })
}

// cacheMountRace has a step exchange a directory of a cache and a link to
// the host's canary while other steps that share it have mounts put below that
// directory. They may fail; they must not touch the canary.
func cacheMountRace(t *testing.T) {
	b := newBox(t)
	b.base()
	b.sh(`mkdir ctx; cp "$(command -v inside)" ctx/; echo bound >ctx/f; echo s3cret >key`)
	canary := canaryTree(t)
	before := picture(t, canary)
	seconds := int(raceTime() / time.Second)
	b.write("attack", fmt.Sprintf(`FROM base
COPY inside /bin/
RUN --mount=type=cache,target=/c,id=race mkdir -p /c/x /c/other/y && ln -sfn %s /c/link && touch /c/ready && inside flip /c/x /c/link %d; rm /c/ready
`, canary, seconds))
	b.write("victim", `FROM base
ARG N
RUN --mount=type=cache,target=/c,id=race --mount=type=tmpfs,target=/c/x/y/z --mount=type=secret,id=key,target=/c/x/secret --mount=source=f,target=/c/x/f \
	--mount=type=cache,target=/c/x/d,id=inner true
`)
	for _, overlay := range []string{"", " --no-overlay"} {
		rounds, good := raceOnce(t, b, overlay)
		if after := picture(t, canary); after != before {
			t.Fatalf("after %d rounds the canary was\n%snow it is\n%s", rounds, before, after)
		}
		if rounds == 0 {
			t.Fatal("no round was run")
		}
		t.Logf("%d rounds%s, %d of them built", rounds, overlay, good)
	}
}

// raceOnce builds victims while the attack goes on.
func raceOnce(t *testing.T, b *box, flags string) (rounds, good int) {
	t.Helper()
	ended := make(chan error, 1)
	go func() {
		_, err := b.try("ds-build -q --no-cache" + flags + " -f attack ctx")
		ended <- err
	}()
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("the attack: %v", err)
			}
			return rounds, good
		default:
		}
		if ready, _ := filepath.Glob(b.path("store/cache/mounts/*/0/ready")); len(ready) == 0 {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		rounds++
		if b.status(fmt.Sprintf("ds-build -q --build-arg N=%d --secret id=key,src=key%s -f victim ctx", rounds, flags)) == 0 {
			good++
		}
	}
}

// mountPointsAreRemovedInside has steps replace the parents of their mount
// points by links to places with things of the same names: in the canary, in the
// image, in a cache.
func mountPointsAreRemovedInside(t *testing.T) {
	b := newBox(t)
	b.base()
	b.sh("mkdir ctx; echo bound >ctx/f; echo s3cret >key")
	canary := canaryTree(t)
	before := picture(t, canary)
	b.write("f", fmt.Sprintf(`FROM base
RUN mkdir -p /image/y /image/y/z && : >/image/f && : >/image/y/f
RUN --mount=type=cache,target=/c mkdir -p /c/y/z && : >/c/f && : >/c/y/f
ARG TO
RUN --mount=type=cache,target=/c --mount=source=f,target=/p/f --mount=source=f,target=/p/y/f --mount=type=tmpfs,target=/p/y/z --mount=type=secret,id=key,target=/p/secret \
	mv /p /moved 2>/dev/null && ln -s $TO /p && mv /moved/y /moved/away && ln -s $TO /moved/y; true
RUN --mount=type=cache,target=/c test -d /c/y/z && test -f /c/f && test -f /c/y/f && test -d /image/y/z && test -f /image/f && test -f /image/y/f
# %s
`, canary))
	for _, to := range []string{canary, "/image", "/c", "../../../../../.." + canary} {
		for _, overlay := range []string{"", " --no-overlay"} {
			b.sh("ds-build -q --no-cache --secret id=key,src=key --build-arg TO=" + to + overlay + " -f f ctx")
			if after := picture(t, canary); after != before {
				t.Fatalf("with %s%s the canary was\n%snow it is\n%s", to, overlay, before, after)
			}
		}
	}
}
