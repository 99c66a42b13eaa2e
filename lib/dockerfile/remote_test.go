package dockerfile

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const someCommit = "0123456789abcdef0123456789abcdef01234567"

func TestParseRemote(t *testing.T) {
	file := func(url, name string) *Remote { return &Remote{URL: url, Name: name} }
	git := func(url, ref, subdir string) *Remote { return &Remote{Git: true, URL: url, Ref: ref, Subdir: subdir} }
	for word, want := range map[string]*Remote{
		// paths of the context
		"file": nil, "./x.git": nil, "../x.git": nil, "github.com/a/b": nil, "custom.xyz/a/b.git": nil, ".git": nil,
		"ftp://h/x": nil, "file:///etc/passwd": nil, "ext::sh -c id": nil, "host:path": nil, "a b@h:x": nil, "/https://h/x": nil,
		// files
		"https://h/a/b.tar.gz":   file("https://h/a/b.tar.gz", "b.tar.gz"),
		"https://h/":             file("https://h/", UnnamedFile),
		"http://h":               file("http://h", UnnamedFile),
		"https://h/x?y=z.git":    file("https://h/x?y=z.git", "x"),
		"https://h/a%20b#frag":   file("https://h/a%20b", "a b"),
		"https://h/a%2Fb":        file("https://h/a%2Fb", "b"),
		"https://h/%2e%2e":       file("https://h/%2e%2e", UnnamedFile),
		"https://h/x.git/":       file("https://h/x.git/", "x.git"),
		"https://h/x.git.bar":    file("https://h/x.git.bar", "x.git.bar"),
		"https://u:p@h:8443/f":   file("https://u:p@h:8443/f", "f"),
		"https://github.com/a/b": file("https://github.com/a/b", "b"),
		// repositories
		"https://h/x.git":                                 git("https://h/x.git", "", ""),
		"HTTPS://h/x.git":                                 git("https://h/x.git", "", ""),
		"https://u:p@h/x.git#main":                        git("https://u:p@h/x.git", "main", ""),
		"https://h/foo/bar.git#baz/qux:quux/quuz":         git("https://h/foo/bar.git", "baz/qux", "quux/quuz"),
		"https://h/x.git#:dir":                            git("https://h/x.git", "", "dir"),
		"https://h/x.git#v1:/../../dir/":                  git("https://h/x.git", "v1", "dir"),
		"git://h/foo":                                     git("git://h/foo", "", ""),
		"ssh://git@h:22/foo#v1":                           git("ssh://git@h:22/foo", "v1", ""),
		"git@h:a/b":                                       git("git@h:a/b", "", ""),
		"git@h:a/b.git#v1:d":                              git("git@h:a/b.git", "v1", "d"),
		"deploy_1@h.example:b?branch=x&subdir=s":          git("deploy_1@h.example:b", "refs/heads/x", "s"),
		"https://h/x.git?branch=main&subdir=a/b":          git("https://h/x.git", "refs/heads/main", "a/b"),
		"https://h/x.git?tag=v1":                          git("https://h/x.git", "refs/tags/v1", ""),
		"https://h/x.git?tag=refs/tags/v1":                git("https://h/x.git", "refs/tags/v1", ""),
		"https://h/x.git?ref=pull/42/head":                git("https://h/x.git", "pull/42/head", ""),
		"https://h/x.git?ref=v1#v1":                       git("https://h/x.git", "v1", ""),
		"https://h/x.git?commit=abc1":                     {Git: true, URL: "https://h/x.git", Ref: "abc1", Checksum: "abc1"},
		"https://h/x.git?tag=v1&checksum=abc1":            {Git: true, URL: "https://h/x.git", Ref: "refs/tags/v1", Checksum: "abc1"},
		"https://h/x.git?keep-git-dir":                    {Git: true, URL: "https://h/x.git", KeepGitDir: "true"},
		"https://h/x.git?keep-git-dir=0&submodules=false": {Git: true, URL: "https://h/x.git", KeepGitDir: "false", Submodules: "false"},
	} {
		got, err := ParseRemote(word)
		if err != nil {
			t.Errorf("%s: %v", word, err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: (-want +got)\n%s", word, d)
		}
	}
}

func TestParseRemoteRefuses(t *testing.T) {
	for word, want := range map[string]string{
		"https://":                            "is not a URL",
		"https:///x":                          "is not a URL",
		"https://h/%zz":                       "is not a URL",
		"https://u:p/w@h/x":                   "is not a URL",
		"https://h:x/y.git":                   "is not a URL",
		"https://h/x.git#--upload-pack=id":    "is not the name of a ref",
		"https://h/x.git#-x":                  "is not the name of a ref",
		"https://h/x.git#a..b":                "is not the name of a ref",
		"https://h/x.git#../x":                "is not the name of a ref",
		"https://h/x.git#a b":                 "is not the name of a ref",
		"https://h/x.git#a~1":                 "is not the name of a ref",
		"https://h/x.git#a@{1}":               "is not the name of a ref",
		"https://h/x.git##ref=v1":             "is not the name of a ref",
		"https://h/x.git?ref=a%0ab":           "is not the name of a ref",
		"https://h/x.git?ref=-x":              "is not the name of a ref",
		"https://h/x.git?branch=*":            "is not the name of a ref",
		"https://h/x.git#v1:.git":             "is not a directory of a repository",
		"https://h/x.git#v1:a/.GIT/hooks":     "is not a directory of a repository",
		"https://h/x.git?x=1":                 "unknown key",
		"https://h/x.git?ref":                 "has no value",
		"https://h/x.git?ref=a&ref=b":         "given twice",
		"https://h/x.git?commit=a&checksum=a": "given twice",
		"https://h/x.git?ref=a#b":             "two refs",
		"https://h/x.git?tag=a&ref=a":         "two refs",
		"https://h/x.git?subdir=a#:b":         "two directories",
		"https://h/x.git?tag=a&branch=b":      "a branch and a tag",
		"https://h/x.git?checksum=xyz":        "is not the id of a commit",
		"https://h/x.git?submodules=perhaps":  "want true or false",
		"https://h/x.git?a=%zz":               "malformed query",
		"ssh://-oProxyCommand=id/x":           "not the address",
		"git@-oProxyCommand:x":                "not the address",
		"git@h:-x":                            "not the address",
		"git@h:":                              "not the address",
		"git://h":                             "not the address",
		"git@h:a\x01b":                        "not the address",
	} {
		got, err := ParseRemote(word)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, error %v, want %q", word, got, err, want)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("%s: the error %q tells the password", word, err)
		}
	}
}

func TestRemoteCommit(t *testing.T) {
	for word, want := range map[string]string{
		"https://h/x.git": "", "https://h/x.git#" + someCommit: someCommit, "https://h/x.git#" + someCommit[:39]: "",
		"https://h/x.git?tag=v1&commit=" + someCommit: someCommit, "https://h/x.git?tag=v1&commit=0123": "",
		"https://h/x.git#" + strings.ToUpper(someCommit): "",
	} {
		r, err := ParseRemote(word)
		if err != nil || r.Commit() != want {
			t.Errorf("%s: commit %q, want %q (%v)", word, r.Commit(), want, err)
		}
	}
}

func TestRedactURLs(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"ADD https://h/x /":                   "ADD https://h/x /",
		"ADD https://u:p@h/x /":               "ADD https://xxxxx:xxxxx@h/x /",
		"ADD https://token@h/x https://h/a@b": "ADD https://xxxxx@h/x https://h/a@b",
		`["https://u:p@h/x","ssh://git@h/y"]`: `["https://xxxxx:xxxxx@h/x","ssh://git@h/y"]`,
		"ssh://git:secret@h/y":                "ssh://xxxxx:xxxxx@h/y",
		"https://u:p/w@h/x":                   "https://xxxxx:xxxxx@h/x",
		"https://u:p@q@h/x":                   "https://xxxxx:xxxxx@h/x",
		"https://h:8080/a@b":                  "https://h:8080/a@b",
		"https://[::1]:80/a@b":                "https://[::1]:80/a@b",
		"git@h:x":                             "git@h:x",
	} {
		if got := RedactURLs(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzParseRemote: whatever is accepted cannot be an option or an expression of
// git, stays in its repository, and reads the same again.
func FuzzParseRemote(f *testing.F) {
	for _, s := range []string{
		"https://u:p@h/x.git?branch=main&subdir=a/b#v1", "git@h:a/b.git#v1:d", "ssh://git@h:22/foo", "git://h/x?tag=v&commit=abc",
		"https://h/f.tar.gz?token=1#x", "http://[fe80::1%25eth0]/x", "https://h/%2e%2e", "ext::sh -c id", "https://u:p/w@h/x",
	} {
		f.Add(s)
	}
	file := regexp.MustCompile(`^[^/\x00]+$`)
	f.Fuzz(func(t *testing.T, word string) {
		r, err := ParseRemote(word)
		if strings.Contains(RedactURLs(word), "S3CRET@") {
			t.Fatalf("%q: redacted to %q", word, RedactURLs(word))
		}
		if err != nil || r == nil {
			return
		}
		if !r.Git {
			if !file.MatchString(r.Name) || r.Name == ".." || r.Name == "." {
				t.Fatalf("%q: name %q", word, r.Name)
			}
			return
		}
		for _, s := range []string{r.URL, r.Ref, r.Checksum, r.Subdir} {
			if strings.HasPrefix(s, "-") && s != r.Subdir || strings.ContainsAny(s, "\x00\n") {
				t.Fatalf("%q: %+v", word, r)
			}
		}
		if strings.Contains(r.Ref, "..") || strings.Contains("/"+r.Subdir+"/", "/../") || strings.HasPrefix(r.Subdir, "/") {
			t.Fatalf("%q: %+v", word, r)
		}
		again, err := ParseRemote(r.URL)
		if err != nil || again == nil || !again.Git || again.URL != r.URL {
			t.Fatalf("%q: URL %q reads as %+v, %v", word, r.URL, again, err)
		}
	})
}
