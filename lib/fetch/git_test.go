package fetch

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"docksmith/lib/dockerfile"
)

// origin is a directory of repositories that are served by http.
type origin struct {
	t    *testing.T
	dir  string
	url  string
	uses atomic.Int32 // requests
	user string       // NAME:PASSWORD that is asked for
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	path, err := exec.LookPath("git")
	if err != nil {
		t.Skip("git is not installed")
	}
	o := &origin{t: t, dir: t.TempDir()}
	backend := &cgi.Handler{Path: path, Args: []string{"http-backend"}, Dir: o.dir, Env: []string{
		"GIT_PROJECT_ROOT=" + o.dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}}
	o.url = serve(t, func(w http.ResponseWriter, r *http.Request) {
		o.uses.Add(1)
		if u, p, _ := r.BasicAuth(); o.user != "" && u+":"+p != o.user {
			w.Header().Set("WWW-Authenticate", "Basic")
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if rest, ok := strings.CutPrefix(r.URL.Path, "/moved/"); ok {
			http.Redirect(w, r, "/"+rest+"?"+r.URL.RawQuery, http.StatusMovedPermanently)
			return
		}
		if strings.HasPrefix(r.URL.Path, "/metadata.git/") {
			http.Redirect(w, r, "http://169.254.169.254/info/refs", http.StatusFound)
			return
		}
		if p := r.Header.Get("Git-Protocol"); p != "" {
			r.Header.Set("Git-Protocol", p)
		}
		h := *backend
		h.Env = append(slices.Clone(h.Env), "GIT_PROTOCOL="+r.Header.Get("Git-Protocol"))
		h.ServeHTTP(w, r)
	})
	return o
}

// git runs a command in a repository of the origin.
func (o *origin) git(repo string, args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", append([]string{"-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"}, args...)...)
	cmd.Dir = filepath.Join(o.dir, repo)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@h", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@h",
		"GIT_AUTHOR_DATE=2001-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2001-01-01T00:00:00Z")
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// repo makes a repository; files are PATH: CONTENT, "-> T" for a link, "#!" for
// a program. It returns the commit.
func (o *origin) repo(name string, files map[string]string) string {
	o.t.Helper()
	if err := os.MkdirAll(filepath.Join(o.dir, name), 0o755); err != nil {
		o.t.Fatal(err)
	}
	o.git(name, "init", "--quiet")
	return o.commit(name, files)
}

func (o *origin) commit(name string, files map[string]string) string {
	o.t.Helper()
	for p, text := range files {
		at := filepath.Join(o.dir, name, p)
		os.MkdirAll(filepath.Dir(at), 0o755)
		os.RemoveAll(at)
		var err error
		if target, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(target, at)
		} else {
			mode := fs.FileMode(0o600)
			if strings.HasPrefix(text, "#!") {
				mode = 0o700
			}
			err = os.WriteFile(at, []byte(text), mode)
		}
		if err != nil {
			o.t.Fatal(err)
		}
	}
	o.git(name, "add", "-A")
	o.git(name, "commit", "--quiet", "-m", "x")
	return o.git(name, "rev-parse", "HEAD")
}

// remote parses an address below the origin.
func (o *origin) remote(rest string) *dockerfile.Remote {
	o.t.Helper()
	r, err := dockerfile.ParseRemote(o.url + "/" + rest)
	if err != nil || r == nil || !r.Git {
		o.t.Fatalf("%s: %+v, %v", rest, r, err)
	}
	return r
}

// treeOf describes what is below dir.
func treeOf(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(p, dir+"/")
		switch {
		case e.IsDir():
			fmt.Fprintf(&b, "%v %s/\n", info.Mode().Perm(), rel)
		case e.Type()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(p)
			fmt.Fprintf(&b, "%s -> %s\n", rel, target)
		default:
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%v %s: %s", info.Mode().Perm(), rel, bytes.TrimRight(text, "\n"))
			b.WriteString("\n")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func tree(t *testing.T, k *Kept, r *dockerfile.Remote, o Options) (*Commit, string, error) {
	t.Helper()
	dir := t.TempDir()
	c, err := k.Tree(t.Context(), r, dir, o)
	return c, dir, err
}

func TestTree(t *testing.T) {
	o := newOrigin(t)
	first := o.repo("a.git", map[string]string{"f": "one", "bin/run": "#!/bin/sh", "d/link": "-> ../f", "d/out": "-> /etc/passwd"})
	o.git("a.git", "tag", "-a", "-m", "tag", "v1")
	o.git("a.git", "tag", "both", first)
	second := o.commit("a.git", map[string]string{"f": "two"})
	o.git("a.git", "branch", "both")
	o.git("a.git", "update-ref", "refs/pull/7/head", first)
	third := o.commit("a.git", map[string]string{"f": "three"})
	k := openKept(t)
	for rest, want := range map[string]struct{ commit, ref string }{
		"a.git":                            {third, "refs/heads/main"},
		"a.git#HEAD":                       {third, "refs/heads/main"},
		"a.git#main":                       {third, "refs/heads/main"},
		"a.git#v1":                         {first, "refs/tags/v1"},
		"a.git#both":                       {second, "refs/heads/both"},
		"a.git?tag=both":                   {first, "refs/tags/both"},
		"a.git?branch=both":                {second, "refs/heads/both"},
		"a.git#pull/7/head":                {first, "refs/pull/7/head"},
		"a.git#" + second:                  {second, ""},
		"moved/a.git#" + first:             {first, ""},
		"a.git?tag=v1&commit=" + first:     {first, "refs/tags/v1"},
		"a.git?tag=v1&commit=" + first[:3]: {first, "refs/tags/v1"},
	} {
		c, err := k.Commit(t.Context(), o.remote(rest), Options{})
		if err != nil || c.ID != want.commit || c.Ref != want.ref {
			t.Errorf("%s: %+v, %v; want %v", rest, c, err, want)
		}
		c, dir, err := tree(t, k, o.remote(rest), Options{})
		if err != nil || c.ID != want.commit || c.Ref != want.ref {
			t.Errorf("%s: %+v, %v; want %v", rest, c, err, want)
			continue
		}
		number := map[string]string{first: "one", second: "two", third: "three"}[want.commit]
		if got := treeOf(t, dir); got != "-rwxr-xr-x bin/\n-rwxr-xr-x bin/run: #!/bin/sh\n-rwxr-xr-x d/\nd/link -> ../f\nd/out -> /etc/passwd\n-rw-r--r-- f: "+number+"\n" {
			t.Errorf("%s:\n%s", rest, got)
		}
	}
	// What is pinned and kept needs nobody.
	before := o.uses.Load()
	c, _, err := tree(t, k, o.remote("a.git#"+second), Options{Offline: true})
	if err != nil || !c.Kept || o.uses.Load() != before {
		t.Errorf("offline: %+v, %v, asked %d times", c, err, o.uses.Load()-before)
	}
	for _, rest := range []string{"a.git", "a.git#v1", "a.git#" + strings.Repeat("0", 40), "other.git#" + second} {
		if _, _, err := tree(t, k, o.remote(rest), Options{Offline: true}); !errors.Is(err, ErrNotKept) {
			t.Errorf("offline %s: %v", rest, err)
		}
	}
	// A branch that moved is followed.
	fourth := o.commit("a.git", map[string]string{"f": "four"})
	if c, _, err := tree(t, k, o.remote("a.git#main"), Options{}); err != nil || c.ID != fourth || c.Kept {
		t.Errorf("moved: %+v, %v", c, err)
	}
}

func TestTreeRefuses(t *testing.T) {
	o := newOrigin(t)
	first := o.repo("a.git", map[string]string{"f": "one"})
	o.repo("big.git", map[string]string{"f": strings.Repeat("zeros", 100_000)})
	k := openKept(t)
	other := strings.Repeat("0", 40)
	for _, c := range []struct {
		rest string
		o    Options
		want string
	}{
		{"a.git#nothing", Options{}, "the repository has no ref nothing"},
		{"missing.git", Options{}, "answers 404"},
		{"metadata.git", Options{}, "link-local"},
		{"a.git#" + other, Options{}, other},
		{"a.git#main", Options{Checksum: "f00"}, "the checksum is " + first + ", not f00"},
		{"a.git#main", Options{Checksum: other}, "the checksum is " + first},
		{"a.git#" + first, Options{Checksum: "f00"}, "the checksum is " + first},
		{"a.git?commit=abc", Options{Checksum: "f00"}, "two checksums"},
		{"a.git", Options{Checksum: "sha256:abc"}, "want the id of a commit"},
		{"big.git", Options{MaxBytes: 100_000}, "too large"},
	} {
		_, _, err := tree(t, k, o.remote(c.rest), c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %+v: %v, want %q", c.rest, c.o, err, c.want)
		}
	}
}

func TestTreeCredentials(t *testing.T) {
	o := newOrigin(t)
	o.repo("a.git", map[string]string{"f": "mine", ".gitmodules": "[submodule \"b\"]\n path = b\n url = ../b.git\n"})
	b := o.repo("b.git", map[string]string{"g": "sub"})
	o.git("a.git", "update-index", "--add", "--cacheinfo", "160000,"+b+",b")
	o.git("a.git", "commit", "--quiet", "-m", "sub")
	o.user = "user:S3CRET"
	k := openKept(t)
	if _, _, err := tree(t, k, o.remote("a.git"), Options{}); err == nil || !strings.Contains(err.Error(), "wants credentials") {
		t.Errorf("without credentials: %v", err)
	}
	r := o.remote("a.git")
	r.URL = strings.Replace(r.URL, "//", "//user:S3CRET@", 1)
	_, dir, err := tree(t, k, r, Options{KeepGitDir: true})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "b/g")); string(got) != "sub" {
		t.Errorf("submodule: %q, %v", got, err)
	}
	for _, top := range []string{dir, k.dir} {
		out, _ := exec.Command("grep", "-rlaE", "S3CRET|dXNlcjpTM0NSRVQ", top).Output()
		if len(out) > 0 {
			t.Errorf("the password is in %s", out)
		}
	}
}

func TestTreeSubmodules(t *testing.T) {
	o := newOrigin(t)
	c := o.repo("deep/c", map[string]string{"c": "C"})
	o.repo("b.git", map[string]string{"b": "B", ".gitmodules": "[submodule \"x\"]\n path = lib/c\n url = ../deep/c\n"})
	o.git("b.git", "update-index", "--add", "--cacheinfo", "160000,"+c+",lib/c")
	o.git("b.git", "commit", "--quiet", "-m", "sub")
	b := o.git("b.git", "rev-parse", "HEAD")
	o.commit("b.git", map[string]string{"b": "later"}) // the module is not at the tip
	o.repo("a.git", map[string]string{"f": "A", "d/x": "X", ".gitmodules": "[submodule \"b\"]\n path = mod/b\n url = " + o.url + "/b.git\n" +
		"[submodule \"none\"]\n path = none\n update = none\n url = ext::sh -c id\n"})
	for _, p := range []string{"mod/b", "none"} {
		o.git("a.git", "update-index", "--add", "--cacheinfo", "160000,"+b+","+p)
	}
	o.git("a.git", "commit", "--quiet", "-m", "sub")
	k := openKept(t)
	_, dir, err := tree(t, k, o.remote("a.git"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := treeOf(t, dir)
	for _, want := range []string{"mod/b/b: B\n", "mod/b/lib/c/c: C\n", "-rwxr-xr-x none/\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, ".git/") || strings.Contains(got, ".git:") {
		t.Errorf("a repository is left:\n%s", got)
	}
	for rest, want := range map[string]bool{"a.git?submodules=false": false, "a.git#:d": false, "a.git#:mod/b/lib": true, "a.git#:mod": true} {
		_, dir, err := tree(t, k, o.remote(rest), Options{})
		if _, serr := os.Stat(filepath.Join(dir, "mod/b/lib/c/c")); err != nil || (serr == nil) != want {
			t.Errorf("%s: %v, %v", rest, err, serr)
		}
	}
}

// What a hostile repository may try; none of it runs or reaches anything.
func TestTreeHostile(t *testing.T) {
	o := newOrigin(t)
	canary := filepath.Join(t.TempDir(), "canary")
	secret := o.repo("secret", map[string]string{"s": "S"})
	o.repo("a.git", map[string]string{
		"f": "A", ".gitattributes": "* filter=evil diff=evil merge=evil\n",
		".gitconfig": "[filter \"evil\"]\n smudge = touch " + canary + "\n",
	})
	o.git("a.git", "config", "filter.evil.smudge", "touch "+canary)
	os.WriteFile(filepath.Join(o.dir, "a.git/.git/hooks/post-checkout"), []byte("#!/bin/sh\ntouch "+canary), 0o755)
	k := openKept(t)
	if _, dir, err := tree(t, k, o.remote("a.git"), Options{KeepGitDir: true}); err != nil {
		t.Error(err)
	} else if list, _ := os.ReadDir(filepath.Join(dir, ".git/hooks")); len(list) > 0 {
		t.Errorf("hooks: %v", list)
	}
	for url, want := range map[string]string{
		"ext::sh -c touch% " + canary:          "not one of http",
		"file://" + o.dir + "/secret":          "not one of http",
		o.dir + "/secret":                      "not one of http",
		"--upload-pack=touch " + canary:        "not one of http",
		"ssh://-oProxyCommand=touch/x":         "not the address",
		"../../../../../../etc":                "leads above",
		"http://169.254.169.254/x":             "link-local",
		o.url + "/secret?commit=" + secret[:4]: "a query or a fragment",
	} {
		name := "m" + fmt.Sprintf("%x", url)[:8]
		o.repo(name+".git", map[string]string{".gitmodules": "[submodule \"b\"]\n path = b\n url = \"" + url + "\"\n update = \"!touch " + canary + "\"\n"})
		o.git(name+".git", "update-index", "--add", "--cacheinfo", "160000,"+secret+",b")
		o.git(name+".git", "commit", "--quiet", "-m", "sub")
		_, _, err := tree(t, k, o.remote(name+".git"), Options{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "submodule b") {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
	// Names that git itself refuses to check out.
	blob := o.git("secret", "rev-parse", "HEAD:s")
	for i, name := range []string{".git/hooks/x", "../x", ".GIT/config", "a/../b"} {
		repo := fmt.Sprintf("n%d.git", i)
		o.repo(repo, map[string]string{"s": "S"})
		parts := strings.SplitN(name, "/", 2)
		cmd := exec.Command("git", "mktree", "--missing")
		cmd.Dir = filepath.Join(o.dir, repo)
		cmd.Stdin = strings.NewReader("100644 blob " + blob + "\t" + filepath.Base(name) + "\n")
		inner, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command("git", "mktree", "--missing")
		cmd.Dir = filepath.Join(o.dir, repo)
		cmd.Stdin = strings.NewReader("040000 tree " + strings.TrimSpace(string(inner)) + "\t" + parts[0] + "\n")
		outer, err := cmd.Output()
		if err != nil {
			t.Logf("git mktree does not make %s: %v", name, err)
			continue
		}
		commit := o.git(repo, "commit-tree", "-m", "x", strings.TrimSpace(string(outer)))
		o.git(repo, "update-ref", "refs/heads/main", commit)
		_, dir, err := tree(t, k, o.remote(repo), Options{})
		if err == nil && name != "a/../b" {
			t.Errorf("%s: checked out as\n%s", name, treeOf(t, dir))
		}
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("something of the repository was run")
	}
}

// The kept .git directory is a repository, and the same every time.
func TestTreeKeepsGitDir(t *testing.T) {
	o := newOrigin(t)
	o.repo("a.git", map[string]string{"f": strings.Repeat("text\n", 1000), "d/g": "G"})
	o.git("a.git", "tag", "v1")
	head := o.commit("a.git", map[string]string{"f": strings.Repeat("text\n", 1001)})
	o.git("a.git", "tag", "-a", "-m", "t", "v2")
	var first string
	for i, rest := range []string{"a.git?tag=v2", "a.git?tag=v2&commit=" + head, "a.git?tag=v2"} {
		k := openKept(t)
		if i == 2 { // another way into the mirror
			if _, _, err := tree(t, k, o.remote("a.git#main"), Options{}); err != nil {
				t.Fatal(err)
			}
		}
		_, dir, err := tree(t, k, o.remote(rest), Options{KeepGitDir: true})
		if err != nil {
			t.Fatal(err)
		}
		got := treeOf(t, dir)
		if first == "" {
			first = got
		}
		if got != first {
			t.Errorf("%s: another .git:\n%.1000s\nwas\n%.1000s", rest, got, first)
		}
		if i > 0 {
			continue
		}
		for _, c := range []struct{ args, want string }{
			{"status --porcelain", ""}, {"rev-parse HEAD", head}, {"tag", "v2"}, {"fsck --full --strict", ""}, {"log --oneline --format=%H", head},
			{"describe --tags", "v2"}, {"config remote.origin.url", o.url + "/a.git"},
		} {
			cmd := exec.Command("git", strings.Fields(c.args)...)
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
			out, err := cmd.CombinedOutput()
			if text := strings.TrimSpace(string(out)); err != nil || text != c.want {
				t.Errorf("git %s: %q, %v; want %q", c.args, text, err, c.want)
			}
		}
	}
	if _, dir, err := tree(t, openKept(t), o.remote("a.git#:d"), Options{KeepGitDir: true}); err != nil {
		t.Error(err)
	} else if _, err := os.Stat(filepath.Join(dir, ".git")); err == nil {
		t.Error("a .git for a directory of the repository")
	}
}

func TestJoinAddress(t *testing.T) {
	for _, c := range []struct{ base, relative, want string }{
		{"https://h/a/b.git", "../c.git", "https://h/a/c.git"}, {"https://h/a/b.git/", "./c", "https://h/a/b.git/c"},
		{"https://h/a/b.git", "../../c", "https://h/c"}, {"https://h/a/b.git", "../../../c", ""}, {"https://h/a", ".././../x", ""},
		{"git@h:a/b.git", "../c", "git@h:a/c"}, {"git@h:b.git", "../c", "git@h:c"}, {"git@h:a/b", "../../c", "git@h:c"}, {"git@h:b.git", "../../c", ""},
		{"ssh://git@h:22/a/b", "../c", "ssh://git@h:22/a/c"},
	} {
		got, err := joinAddress(c.base, c.relative)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s + %s: %q, %v; want %q", c.base, c.relative, got, err, c.want)
		}
	}
}

func TestLastWords(t *testing.T) {
	got := lastWords("warning: x\nremote: \x1b[31mred\rremote: more\nfatal: unable to access 'https://u:p@h/x/': no\n")
	if want := "remote: [31mred; remote: more; unable to access 'https://xxxxx:xxxxx@h/x/': no"; got != want {
		t.Errorf("%q", got)
	}
}
