package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const reasonsFile = "cases/REASONS.md"

// oneChange is a thing that is changed between two builds, and what becomes of
// the cache for it.
type oneChange struct {
	what   string
	script string // in the context's parent; sets "flags" for ds-build
	step   string // the first instruction that misses; "": none does
	reason string
}

var oneChanges = []oneChange{
	{"a file's content", "echo 2 >ctx/dir/f", "COPY dir", "changed: dir/f (content)"},
	{"its content, with size and time as before", "cp -p ctx/dir/f f; echo 3 >ctx/dir/f; touch -r f ctx/dir/f", "COPY dir", "changed: dir/f (content)"},
	{"a file's mode", "chmod 755 ctx/dir/f", "COPY dir", "changed: dir/f (mode)"},
	{"a file is added", "echo 1 >ctx/dir/new", "COPY dir", "changed: dir/new (added)"},
	{"a file is removed", "rm ctx/dir/g", "COPY dir", "changed: dir/g (removed)"},
	{"a file has another name", "mv ctx/dir/g ctx/dir/h", "COPY dir", "changed: dir/h (added), dir/g (removed)"},
	{"a file became a link", "rm ctx/dir/g; ln -s f ctx/dir/g", "COPY dir", "changed: dir/g (type, content, link, mode)"},
	{"a link's target", "ln -sfn g ctx/dir/link", "COPY dir", "changed: dir/link (link)"},
	{"a directory's mode", "chmod 700 ctx/dir/sub", "COPY dir", "changed: dir/sub (mode)"},
	{"a directory is added", "mkdir ctx/dir/empty", "COPY dir", "changed: dir/empty (added)"},
	{"a file is now ignored", "echo dir/sub/f >>ctx/.dockerignore", "COPY dir", "changed: dir/sub/f (removed)"},
	{"a file is not ignored any more", "echo '!dir/ignored' >>ctx/.dockerignore", "COPY dir", "changed: dir/ignored (added)"},
	{"five files", "for i in 1 2 3 4 5; do echo $i >ctx/dir/n$i; done", "COPY dir", "changed: dir/n1 (added), dir/n2 (added), dir/n3 (added), 2 more files"},
	{"COPY's source", "edit 's,COPY dir,COPY dir/../dir,'", "COPY dir", "changed: instruction"},
	{"COPY's destination", "edit 's,COPY dir /dir,COPY dir /other,'", "COPY dir", "changed: instruction"},
	{"--chown", "edit 's,COPY dir,COPY --chown=1:1 dir,'", "COPY --chown", "changed: --chown"},
	{"--chmod", "edit 's,COPY dir,COPY --chmod=755 dir,'", "COPY --chmod", "changed: --chmod"},
	{"--exclude", "edit 's,COPY dir,COPY --exclude=g dir,'", "COPY --exclude", "changed: instruction"},
	{"COPY is ADD", "edit 's,COPY dir,ADD dir,'", "ADD dir", "nothing recorded for it"},
	{"COPY's here-document", "edit 's,^here,there,'", "COPY <<END", "changed: here-document END"},
	{"files of a named context", "echo 2 >named/f", "COPY --from=named", "changed: f (content)"},
	{"an archive of ADD", "(cd ctx && touch -d 2001-01-01 dir/f && tar -cf a.tar dir/f)", "ADD a.tar", "changed: a.tar (content)"},
	{"RUN's command", "edit 's,echo one,echo 1,'", "RUN --mount", "changed: instruction"},
	{"the script of RUN", "edit 's,echo script,echo Script,'", "RUN <<EOF", "changed: here-document"},
	{"the form of RUN", `edit 's,RUN true,RUN ["true"],'`, `RUN ["true"]`, "changed: shell (removed)"},
	{"SHELL", `edit '2i SHELL ["/bin/sh", "-uc"]'`, "RUN --mount", "changed: shell"},
	{"WORKDIR", "edit 's,WORKDIR /tmp,WORKDIR /usr,'", "RUN --mount", "an earlier step missed: line 4, changed: working directory"},
	{"WORKDIR, to one that is made", "edit 's,WORKDIR /tmp,WORKDIR /made,'", "RUN --mount", "an earlier step missed: line 4, changed: working directory"},
	{"ENV's value", "edit 's,V=1,V=2,'", "RUN --mount", "changed: ENV V"},
	{"one more ENV", "edit '3i ENV W=1'", "RUN --mount", "changed: ENV W (added)"},
	{"an instruction is inserted", "edit '6i RUN date'", "RUN date", "nothing recorded for it"},
	{"an instruction is removed", "edit '/COPY dir/d'", "COPY <<END", "changed: previous layer"},
	{"one ENV less", "edit /V=1/d", "RUN --mount", "changed: ENV V (removed)"},
	{"the default of ARG", "edit 's,G=1,G=2,'", "RUN --mount", "changed: ARG G"},
	{"--build-arg", "flags='--build-arg G=3'", "RUN --mount", "changed: ARG G"},
	{"one more ARG", "edit '3i ARG H=1'", "RUN --mount", "changed: ARG H (added)"},
	{"one more ARG, below the first RUN", "edit '6i ARG K=1'", "RUN true", "changed: ARG K (added)"},
	{"USER", "edit '5i USER 1000'", "RUN --mount", "changed: user"},
	{"a file in a bind mount", "echo 2 >ctx/bound/f", "RUN --mount", "changed: bound/f (content)"},
	{"the target of a mount", "edit 's,target=/mnt,target=/srv,'", "RUN --mount", "changed: mount /srv (added), mount /mnt (removed)"},
	{"an option of a mount", "edit 's,target=/mnt,target=/mnt\\,rw,'", "RUN --mount", "changed: mount /mnt"},
	{"the id of a cache mount", "edit 's,id=one,id=two,'", "RUN --mount", "changed: mount /cache"},
	{"the network", "flags=--network=host", "RUN --mount", "changed: network"},
	{"--security", "edit 's,RUN true,RUN --security=insecure true,'; flags=--allow=security.insecure", "RUN --security", "changed: security (added)"},
	{"--add-host", "flags=--add-host=db:10.0.0.1", "RUN --mount", "changed: host db (added)"},
	{"the host name", "flags='--build-arg BUILDKIT_SANDBOX_HOSTNAME=h'", "RUN --mount", "changed: hostname (added)"},
	{"the base image", "edit 's,FROM base,FROM other,'", "RUN --mount", "an earlier step missed: line 4, changed: previous layer"},
	{"SOURCE_DATE_EPOCH", "export SOURCE_DATE_EPOCH=77", "RUN --mount", "an earlier step missed: line 4, changed: SOURCE_DATE_EPOCH"},
	{"its record is removed", "ds-cache rm $(ds-cache ls | sed -n 's/ .*COPY dir.*//p')", "COPY dir", "its record is gone"},
	{"the cache is off", "flags=--no-cache", "RUN --mount", "an earlier step missed: line 4, the cache is off"},

	{"times of files", "touch -d 2003-03-03 ctx/dir/f ctx/dir ctx/Dockerfile ctx", "", ""},
	{"a file is written again, the same", "cp ctx/dir/f f; rm ctx/dir/f; cp f ctx/dir/f", "", ""},
	{"a file that nobody copies", "echo 2 >ctx/unrelated", "", ""},
	{"an ignored file", "echo 2 >ctx/dir/ignored", "", ""},
	{"a comment", "edit '3i # a comment'", "", ""},
	{"blanks and case", "edit 's,^COPY dir,copy   dir,'", "", ""},
	{"a line is broken", "edit 's,^COPY dir,COPY \\\\\\ndir,'", "", ""},
	{"--build-arg that nothing declares", "flags='--build-arg NOBODY=1'", "", ""},
	{"--build-arg of an ARG above FROM that no stage takes", "edit '1i ARG EARLY=1'; flags='--build-arg EARLY=2'", "", ""},
	{"--build-arg of an ARG below all that makes layers", "edit '$a ARG LATE=1'; flags='--build-arg LATE=2'", "", ""},
	{"a proxy", "flags='--build-arg HTTPS_PROXY=http://proxy'", "", ""},
	{"a secret's value", "echo 2 >secret", "", ""},
	{"metadata", "edit '$a LABEL a=b' '$a EXPOSE 80' '$a CMD [\"x\"]'; flags=--label=c=d", "", ""},
	{"the name of a stage", "edit 's,FROM base,FROM base AS app,'", "", ""},
	{"the context's place", "mv ctx away; mkdir deep; mv away deep/ctx; mv deep/ctx ctx; rmdir deep", "", ""},
	{"--compress", "flags=--compress=zstd", "", ""},
}

const oneChangeContext = `mkdir -p ctx/dir/sub ctx/bound named
for f in dir/f dir/g dir/sub/f dir/ignored bound/f unrelated; do echo 1 >ctx/$f; done
ln -s f ctx/dir/link
echo dir/ignored >ctx/.dockerignore
echo 1 >named/f
echo 1 >secret
touch -d 2001-01-01 ctx/bound/f
(cd ctx && tar -cf a.tar bound/f)
cat >ctx/Dockerfile <<'DOCKERFILE'
FROM base
ARG G=1
ENV V=1
WORKDIR /tmp
RUN --mount=type=bind,source=bound,target=/mnt --mount=type=cache,id=one,target=/cache --mount=type=secret,id=s echo one
COPY dir /dir
COPY <<END /here
here
END
COPY --from=named f /named
ADD a.tar /add/
RUN true
RUN <<EOF
#!/bin/sh
echo script
EOF
DOCKERFILE
`

// oneChangeBuild makes the context anew, changes it and builds. It prints the
// events.
const oneChangeBuild = `umask 022
rm -rf ctx named secret
` + oneChangeContext + `edit() { for e; do sed -i "$e" ctx/Dockerfile; done; }
flags=
%s
eval "ds-build --progress=json -f ctx/Dockerfile --secret id=s,src=secret --build-context named=named -t app $flags ctx" 2>events >/dev/null || true
cat events`

// TestReasons changes one thing at a time: what depends on it misses and says
// so, in progress and afterwards, and nothing else does; what was built before
// hits again.
func TestReasons(t *testing.T) {
	if os.Geteuid() != 0 && !userNamespaces() {
		t.Skip("this machine does not let an ordinary user make a user namespace")
	}
	b := newBox(t)
	b.base()
	b.sh("docksmith base --host other")
	build := func(t *testing.T, script string) (step, reason string) {
		t.Helper()
		b.t = t
		return firstMiss(t, b.sh(fmt.Sprintf(oneChangeBuild, script)))
	}
	build(t, "")
	for _, c := range oneChanges {
		t.Run(c.what, func(t *testing.T) {
			step, reason := build(t, c.script)
			if !strings.HasPrefix(step, c.step) || c.step == "" && step != "" || reason != c.reason {
				t.Errorf("%q: %q, want %q: %q", step, reason, c.step, c.reason)
			}
			if told := b.sh("docksmith why app"); c.reason != "" && !strings.Contains(told, c.reason) {
				t.Errorf("afterwards:\n%s", told)
			}
			if step, reason := build(t, ""); step != "" {
				t.Errorf("as it was before: %q: %q", step, reason)
			}
			if c.step == "" || strings.HasPrefix(c.reason, "its ") || strings.HasSuffix(c.reason, "cache is off") {
				return
			}
			if step, reason := build(t, c.script); step != "" {
				t.Errorf("changed again: %q: %q", step, reason)
			}
			build(t, "")
		})
	}
}

// firstMiss is the first instruction that missed, and why; "": none did.
func firstMiss(t *testing.T, events string) (step, reason string) {
	t.Helper()
	ended := false
	for line := range strings.Lines(events) {
		var e struct {
			Type, Text, Cache, Reason string
			Failed                    bool
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.Type == "done" && e.Cache == "miss" && step == "" {
			step, reason = e.Text, e.Reason
		}
		ended = e.Type == "end" && !e.Failed
	}
	if !ended {
		t.Fatalf("no image:\n%s", events)
	}
	return step, reason
}

// TestReasonsAreListed holds the table that is for readers to the one above.
// UPDATE=1 writes it again.
func TestReasonsAreListed(t *testing.T) {
	var b strings.Builder
	b.WriteString("# What the cache says\n\n" +
		"One thing is changed between two builds of one image; the table says which step then misses first and what\n" +
		"`docksmith build` and `docksmith why` tell of it. Made from tests/reasons_test.go, which tries each row, by\n" +
		"`UPDATE=1 go test ./tests -run TestReasonsAreListed`.\n\n" +
		"| what is changed | misses first | why |\n|---|---|---|\n")
	for _, c := range oneChanges {
		step, reason := "`"+c.step+"`", c.reason
		if c.step == "" {
			step, reason = "nothing", ""
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", c.what, step, reason)
	}
	if update {
		if err := os.WriteFile(reasonsFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(reasonsFile)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.String(), string(got)); d != "" {
		t.Errorf("%s is stale, UPDATE=1 go test ./tests -run TestReasonsAreListed writes it (-want +got):\n%s", reasonsFile, d)
	}
}
