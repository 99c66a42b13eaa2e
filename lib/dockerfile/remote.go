package dockerfile

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// Remote is a source of ADD that has to be fetched.
type Remote struct {
	// Git says that it is a git repository, else it is a file.
	Git bool
	// URL is the address with its credentials; of a repository without the
	// query and the fragment, which are for us. Show Redacted, never this.
	URL string
	// Name is the name of the file.
	Name string

	// Ref is the branch, tag, other ref or commit; empty: the default branch.
	Ref string
	// Checksum is what the commit's id has to begin with; empty: anything.
	Checksum string
	// Subdir is the directory of the repository that is meant; empty: its top.
	Subdir string
	// KeepGitDir and Submodules are "true" or "false" where the address says
	// so, else empty.
	KeepGitDir, Submodules string
}

// UnnamedFile is the name of a file whose URL has none.
const UnnamedFile = "__unnamed__"

var (
	remoteScheme = lazy(`^([a-zA-Z0-9]+)://`)
	// scpAddress is USER@HOST:PATH. Without a user it could be a file.
	scpAddress = lazy(`^([a-zA-Z0-9_][a-zA-Z0-9_-]*)@([a-zA-Z0-9.-]+):([^?#]*)(?:\?([^#]*))?(?:#(.*))?$`)
	gitRefName = lazy(`^[^\x00-\x20\x7f~^:?*\[\\]+$`)
	hexDigits  = lazy(`^[0-9a-f]{1,40}$`)
)

// ParseRemote reads a source of ADD, its variables replaced. It is nil for a
// path of the context. As BuildKit has it, a URL of http or https is a
// repository if its path ends with ".git"; ssh, git and USER@HOST:PATH always
// are. Errors do not hold credentials.
func ParseRemote(word string) (*Remote, error) {
	if !strings.Contains(word, ":") { // most sources: not worth an expression
		return nil, nil
	}
	if m := scpAddress().FindStringSubmatch(word); m != nil {
		r := &Remote{Git: true, URL: m[1] + "@" + m[2] + ":" + m[3]}
		return r.complete(m[2], m[3], m[4], m[5])
	}
	m := remoteScheme().FindStringSubmatch(word)
	if m == nil {
		return nil, nil
	}
	scheme := strings.ToLower(m[1])
	switch scheme {
	case "http", "https", "ssh", "git":
	default:
		return nil, nil
	}
	u, err := url.Parse(word)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%s is not a URL", quoted(RedactURLs(word)))
	}
	if !strings.HasPrefix(scheme, "http") || strings.HasSuffix(u.Path, ".git") {
		bare := *u
		bare.RawQuery, bare.ForceQuery, bare.Fragment, bare.RawFragment = "", false, "", ""
		r := &Remote{Git: true, URL: bare.String()}
		return r.complete(u.Host, u.Path, u.RawQuery, u.Fragment)
	}
	bare := *u
	bare.Fragment, bare.RawFragment = "", ""
	r := &Remote{URL: bare.String(), Name: path.Base(u.Path)}
	if r.Name == "." || r.Name == "/" || r.Name == ".." || strings.ContainsRune(r.Name, 0) {
		r.Name = UnnamedFile
	}
	return r, nil
}

// complete reads what the query and the fragment say about a repository.
func (r *Remote) complete(host, repository, query, fragment string) (*Remote, error) {
	fail := func(err error) (*Remote, error) { return nil, fmt.Errorf("%s: %w", r.Redacted(), err) }
	if strings.HasPrefix(host, "-") || strings.HasPrefix(strings.TrimLeft(repository, "/"), "-") || strings.Trim(repository, "/") == "" ||
		strings.ContainsFunc(repository, isControl) {
		return fail(errors.New("not the address of a repository"))
	}
	r.Ref, r.Subdir, _ = strings.Cut(fragment, ":")
	values, err := url.ParseQuery(query)
	if err != nil {
		return fail(errors.New("malformed query"))
	}
	if err := r.setQuery(values); err != nil {
		return fail(err)
	}
	if r.Checksum != "" && !hexDigits().MatchString(r.Checksum) {
		return fail(fmt.Errorf("%s is not the id of a commit", quoted(r.Checksum)))
	}
	if r.Ref != "" && !ValidRef(r.Ref) {
		return fail(fmt.Errorf("%s is not the name of a ref", quoted(r.Ref)))
	}
	if r.Subdir, err = cleanSubdir(r.Subdir); err != nil {
		return fail(err)
	}
	return r, nil
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

func (r *Remote) setQuery(values url.Values) error {
	said := map[string]string{}
	for key, list := range values {
		if key == "commit" {
			key = "checksum"
		}
		bare := key == "keep-git-dir" || key == "submodules"
		switch key {
		case "ref", "tag", "branch", "subdir", "checksum", "keep-git-dir", "submodules":
		default:
			return fmt.Errorf("unknown key %s of the query", quoted(key))
		}
		if _, twice := said[key]; twice || len(list) > 1 {
			return fmt.Errorf("%s is given twice in the query", key)
		}
		value := list[0]
		switch {
		case value == "" && bare:
			value = "true"
		case value == "":
			return fmt.Errorf("%s has no value in the query", key)
		case bare:
			b, err := strconv.ParseBool(value)
			if err != nil {
				return fmt.Errorf("%s=%s in the query: want true or false", key, value)
			}
			value = strconv.FormatBool(b)
		}
		said[key] = value
	}
	r.Checksum, r.KeepGitDir, r.Submodules = said["checksum"], said["keep-git-dir"], said["submodules"]
	if said["tag"] != "" && said["branch"] != "" {
		return errors.New("a branch and a tag in one query")
	}
	for _, w := range []struct{ key, prefix string }{{"ref", ""}, {"tag", "refs/tags/"}, {"branch", "refs/heads/"}} {
		value := said[w.key]
		if value == "" {
			continue
		}
		if !strings.HasPrefix(value, w.prefix) {
			value = w.prefix + value
		}
		if r.Ref != "" && r.Ref != value {
			return fmt.Errorf("two refs, %s and %s", quoted(r.Ref), quoted(value))
		}
		r.Ref = value
	}
	if v := said["subdir"]; v != "" {
		if r.Subdir != "" && r.Subdir != v {
			return fmt.Errorf("two directories, %s and %s", quoted(r.Subdir), quoted(v))
		}
		r.Subdir = v
	}
	if r.Ref == "" {
		r.Ref = r.Checksum
	}
	return nil
}

// ValidRef follows git-check-ref-format(1), so that no ref can be an option, a
// pattern, an expression or a file name outside refs.
func ValidRef(ref string) bool {
	return gitRefName().MatchString(ref) && len(ref) < 1024 && !strings.ContainsRune("-./#", rune(ref[0])) &&
		!strings.Contains(ref, "..") && !strings.Contains(ref, "//") && !strings.Contains(ref, "/.") && !strings.Contains(ref, "@{") &&
		!strings.HasSuffix(ref, "/") && !strings.HasSuffix(ref, ".") && !strings.HasSuffix(ref, ".lock") && ref != "@"
}

// cleanSubdir makes a directory relative to the top of its repository. ".."
// stops there, as everywhere in COPY and ADD.
func cleanSubdir(dir string) (string, error) {
	clean := strings.TrimPrefix(path.Clean("/"+dir), "/")
	for name := range strings.SplitSeq(clean, "/") {
		if strings.EqualFold(name, ".git") || strings.ContainsFunc(name, isControl) {
			return "", fmt.Errorf("%s is not a directory of a repository", quoted(dir))
		}
	}
	return clean, nil
}

// Commit is the id of the commit that is meant, if the address tells it alone,
// and so what is fetched is the same for ever; else empty.
func (r *Remote) Commit() string {
	for _, id := range []string{r.Checksum, r.Ref} {
		if len(id) == 40 && hexDigits().MatchString(id) {
			return id
		}
	}
	return ""
}

// Redacted is the URL without its credentials.
func (r *Remote) Redacted() string { return RedactURLs(r.URL) }

const redacted = "xxxxx"

// RedactURLs replaces the credentials of every URL in a text. The user of an
// ssh URL is none.
func RedactURLs(text string) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "://")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		b.WriteString("://")
		end := strings.IndexFunc(rest, endsURL)
		if end < 0 {
			end = len(rest)
		}
		authority := rest[:end]
		if i := strings.IndexAny(authority, "/?#"); i >= 0 {
			authority = authority[:i]
		}
		at := strings.LastIndexByte(authority, '@')
		if at < 0 && !validHost(authority) { // a "/" in a password that is not escaped
			at = strings.LastIndexByte(rest[:end], '@')
		}
		if at >= 0 {
			user, _, secret := strings.Cut(rest[:at], ":")
			switch {
			case secret:
				user = redacted + ":" + redacted
			case !strings.HasSuffix(strings.ToLower(before), "ssh"):
				user = redacted
			}
			b.WriteString(user)
			rest = rest[at:]
		}
		text = rest
	}
}

func endsURL(c rune) bool { return c <= ' ' || c == 0x7f || strings.ContainsRune("\"'`<>", c) }

// validHost tells whether s is a host and, perhaps, a port.
func validHost(s string) bool {
	if strings.HasPrefix(s, "[") {
		return true
	}
	_, port, has := strings.Cut(s, ":")
	return !has || strings.Trim(port, "0123456789") == ""
}
