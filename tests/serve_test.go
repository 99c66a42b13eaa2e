package tests

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// serve DIR serves its files on a loopback address until the script ends, which
// becomes $URL, and writes each request as a line to $WORK/requests. Repositories
// in it, NAME.git, are served by git. /cut/ announces more than it sends, /to/X
// leads to X.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve DIR")
	}
	dir := ts.MkAbs(args[0])
	log, err := os.Create(ts.MkAbs("requests"))
	ts.Check(err)
	ts.Defer(func() { log.Close() })
	git, _ := exec.LookPath("git")
	var one sync.Mutex
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		fmt.Fprintln(log, r.Method, r.URL.Path)
		one.Unlock()
		if to, ok := strings.CutPrefix(r.URL.Path, "/to/"); ok {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		if strings.Contains(r.URL.Path, ".git/") {
			(&cgi.Handler{Path: git, Args: []string{"http-backend"}, Dir: dir, Env: []string{
				"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_PROTOCOL=" + r.Header.Get("Git-Protocol"),
				"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
			}}).ServeHTTP(w, r)
			return
		}
		name, cut := strings.CutPrefix(r.URL.Path, "/cut")
		data, err := os.ReadFile(filepath.Join(dir, filepath.Clean("/"+name)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		tag := fmt.Sprintf(`"%x"`, sha256.Sum256(data))
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		if cut {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)+1))
		}
		_, _ = w.Write(data) // the client may have seen enough
	}))
	ts.Defer(s.Close)
	ts.Setenv("URL", s.URL)
}
