package tests

import (
	"crypto/sha256"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// serve [-tls] DIR serves its files on a loopback address until the script ends,
// which becomes $URL, and writes each request as a line to $WORK/requests.
// Repositories in it, NAME.git, are served by git. /cut/ announces more than it
// sends, /slow/ sends half and then nothing until the client goes, /wait/ begins
// after half a second, /to/X leads to X. With -tls the certificate is one that only $WORK/cert.pem vouches for. $PORT
// becomes a port that is free.
func serve(ts *testscript.TestScript, neg bool, args []string) {
	tls := len(args) == 2 && args[0] == "-tls"
	if neg || len(args) != 1 && !tls {
		ts.Fatalf("usage: serve [-tls] DIR")
	}
	log, err := os.Create(ts.MkAbs("requests"))
	ts.Check(err)
	ts.Defer(func() { log.Close() })
	free, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, _ := net.SplitHostPort(free.Addr().String())
	free.Close()
	ts.Setenv("PORT", port)
	s := httptest.NewUnstartedServer(site(ts.MkAbs(args[len(args)-1]), log))
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // of handshakes that fail
	if tls {
		s.StartTLS()
		cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
		ts.Check(os.WriteFile(ts.MkAbs("cert.pem"), cert, 0o644))
	} else {
		s.Start()
	}
	ts.Defer(s.Close)
	ts.Setenv("URL", s.URL)
}

// site is what serve serves.
func site(dir string, log io.Writer) http.Handler {
	git, _ := exec.LookPath("git")
	var one sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		if rest, ok := strings.CutPrefix(r.URL.Path, "/wait"); ok {
			time.Sleep(500 * time.Millisecond)
			r.URL.Path = rest
		}
		slow := false
		if rest, ok := strings.CutPrefix(r.URL.Path, "/slow"); ok {
			r.URL.Path, slow = rest, true
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
		if slow {
			w.Header().Set("Content-Length", fmt.Sprint(len(data)))
			_, _ = w.Write(data[:len(data)/2])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return
		}
		_, _ = w.Write(data) // the client may have seen enough
	})
}
