package tests

import (
	"os"
	"strings"
	"testing"
)

// everything uses all instructions that make files or config.
const everything = `ARG WORD=text
FROM base AS build
ARG WORD
ENV A=1 B="two words"
WORKDIR /src
COPY . /src
RUN echo $WORD >made && mkdir d && ln made hard && ln -s made soft && chmod 640 made && chmod 1777 d
RUN rm -rf data/1 && mv data/2 data/two && mkdir -p data/3 && : >data/3/again
FROM base
LABEL z=1 a=2
COPY --from=build --chown=7:8 /src /app
ADD tree.tar /unpacked/
COPY <<EOF /here
text of $B
EOF
USER 7
EXPOSE 80
VOLUME /data
STOPSIGNAL SIGTERM
ENTRYPOINT ["/bin/sh"]
CMD ["-c", "true"]
`

// TestOneDigest builds one Dockerfile in every way that must not matter.
func TestOneDigest(t *testing.T) {
	b := newBox(t)
	b.base()
	b.sh("docksmith export base base.tar")
	b.write("ctx/Dockerfile", everything)
	for _, name := range []string{"data/1/a", "data/2/b", "data/3/c", "script", "z", "A", "ä"} {
		b.write("ctx/"+name, "content of "+name+"\n")
	}
	b.sh("chmod 755 ctx/script; chmod 600 ctx/z; ln -s script ctx/link")
	b.sh("mkdir tree && echo x >tree/x && tar cf ctx/tree.tar --owner=5 --group=6 --mtime=@0 -C tree . && rm -r tree")

	build := "docksmith build -q -t app ctx"
	want := b.sh(build)
	fresh := "export DOCKSMITH_ROOT=$(mktemp -d -p $PWD); docksmith import base.tar base >/dev/null 2>&1; "
	for name, script := range map[string]string{
		"warm":                 build,
		"without cache":        build + " --no-cache",
		"fresh store":          fresh + build,
		"umask 000":            fresh + "umask 000; " + build,
		"umask 077":            fresh + "umask 077; " + build,
		"other zone and words": fresh + "TZ=Asia/Tokyo LANG=de_DE.UTF-8 LC_ALL=C.UTF-8 " + build,
		"touched":              fresh + "cp -R ctx touched; find touched -exec touch -d @99999 {} +; docksmith build -q -t app touched",
		"other order":          fresh + "mkdir other; (cd ctx; find . -type f | sort -r | tar cf - -T - $(find . -type l)) | tar xf - -C other; chmod 755 other/data other/data/*; docksmith build -q -t app other",
		"other path":           fresh + "mkdir -p a/b; cp -R ctx a/b/elsewhere; cd a/b/elsewhere; docksmith build -q -t app .",
		"one processor":        fresh + "GOMAXPROCS=1 " + build,
		"sixteen processors":   fresh + "GOMAXPROCS=16 " + build,
		"no pigz in sight":     fresh + "PATH=$(dirname $(command -v docksmith)):/bin:/usr/bin " + build,
		"other file system":    fresh + "TMPDIR=/dev/shm " + build,
		"context from a tar":   fresh + "tar cf - -C ctx . | ds-build -q -f ctx/Dockerfile -t app -",
		"by a pipe":            fresh + "ds-parse ctx/Dockerfile | ds-build -q -t app ctx",
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			inner := *b
			inner.t = t
			if got := inner.sh(script); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
	t.Run("another-user", func(t *testing.T) {
		needsRoot(t, "it would take another user")
		if got := buildAsOrdinary(t, b); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// TestEpochIsTheOnlyClock shows that SOURCE_DATE_EPOCH changes the digest, and
// the same one gives the same digest.
func TestEpochIsTheOnlyClock(t *testing.T) {
	b := newBox(t)
	b.base()
	b.write("ctx/f", "x")
	b.write("ctx/Dockerfile", "FROM base\nCOPY f /f\nRUN echo $SOURCE_DATE_EPOCH >/now\n")
	none := b.sh("docksmith build -q -t app ctx")
	first := b.sh("SOURCE_DATE_EPOCH=1000000000 docksmith build -q -t app:a ctx")
	second := b.sh("SOURCE_DATE_EPOCH=1000000000 docksmith build -q --no-cache -t app:b ctx")
	if first != second || first == none {
		t.Errorf("none %s, first %s, second %s", none, first, second)
	}
	if got := b.sh("docksmith run app:a cat /now; docksmith inspect app:a | grep -c 2001-09-09T01:46:40Z"); got != "1000000000\n1" {
		t.Errorf("the image says %q", got)
	}
}

// TestMemoryStaysFlat copies and imports a file far larger than the promise.
func TestMemoryStaysFlat(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc: the peak memory of a child is not known")
	}
	b := newBox(t)
	b.base()
	b.write("ctx/Dockerfile", "FROM base\nCOPY large /\n")
	b.sh("truncate -s 400M ctx/large; head -c 20000000 /dev/urandom >>ctx/large")
	const limit = 64 << 20
	if rss := b.peak("docksmith build -q -t app ctx"); rss > limit {
		t.Errorf("COPY of 420 MB: %d MiB at the most", rss>>20)
	}
	b.sh("docksmith export app app.tar")
	if rss := b.peak("DOCKSMITH_ROOT=$PWD/other docksmith import app.tar app"); rss > limit {
		t.Errorf("import of a layer of 420 MB: %d MiB at the most", rss>>20)
	}
}
