package fetch

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

func digestOf(p []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(p)) }

func openKept(t testing.TB) *Kept {
	t.Helper()
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		t.Setenv(name, "")
	}
	k, err := Open(filepath.Join(t.TempDir(), "fetched"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func serve(t testing.TB, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// left lists the files that are kept, without locks.
func left(t testing.TB, k *Kept) (names []string) {
	t.Helper()
	err := filepath.WalkDir(k.dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && !strings.HasSuffix(p, ".lock") {
			names = append(names, strings.TrimPrefix(p, k.dir+"/"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestFile(t *testing.T) {
	k := openKept(t)
	data := bytes.Repeat([]byte("some bytes\n"), 50_000)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if e := r.Header.Get("Accept-Encoding"); e != "identity" {
			t.Errorf("Accept-Encoding %q", e)
		}
		w.Write(data)
	})
	var last, total int64
	f, err := k.File(t.Context(), url+"/a/x.bin", Options{Progress: func(n, of int64) { last, total = n, of }})
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Path)
	if err != nil || !bytes.Equal(got, data) || f.Digest != digestOf(data) || f.Size != int64(len(data)) || f.Kept {
		t.Errorf("%+v, %d bytes, %v", f, len(got), err)
	}
	if last != f.Size || total != 0 && total != f.Size {
		t.Errorf("progress ended with %d of %d", last, total)
	}
	if st, err := os.Stat(f.Path); err != nil || st.Mode() != 0o400 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
}

// An unchanged file is asked for and not sent again.
func TestFileIsRevalidated(t *testing.T) {
	for _, form := range []string{"etag", "weak", "modified", "again", "nothing"} {
		k := openKept(t)
		var sent, asked atomic.Int32
		content := "first"
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			tag := `"` + content + `"`
			switch form {
			case "weak":
				tag = "W/" + tag
				fallthrough
			case "etag":
				w.Header().Set("ETag", tag)
				if r.Header.Get("If-None-Match") == tag {
					w.WriteHeader(http.StatusNotModified)
					return
				}
			case "modified":
				when := "Wed, 21 Oct 2015 07:28:0" + fmt.Sprint(len(content)) + " GMT"
				w.Header().Set("Last-Modified", when)
				if r.Header.Get("If-Modified-Since") == when {
					w.WriteHeader(http.StatusNotModified)
					return
				}
			case "again":
				w.Header().Set("ETag", tag)
			}
			sent.Add(1)
			w.Write([]byte(content))
		})
		for i, want := range []struct {
			content string
			kept    bool
		}{{"first", false}, {"first", form != "nothing"}, {"second", false}, {"second", form != "nothing"}} {
			content = want.content
			f, err := k.File(t.Context(), url+"/x", Options{})
			if err != nil || f.Kept != want.kept || f.Digest != digestOf([]byte(content)) {
				t.Errorf("%s, request %d: %+v, %v", form, i, f, err)
			}
		}
		if asked.Load() != 4 || form != "nothing" && form != "again" && sent.Load() != 2 {
			t.Errorf("%s: asked %d times, sent %d", form, asked.Load(), sent.Load())
		}
		// When the kept file is gone or damaged, it is fetched anew.
		f, err := k.File(t.Context(), url+"/x", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(f.Path); err != nil {
			t.Fatal(err)
		}
		if f, err := k.File(t.Context(), url+"/x", Options{}); err != nil || f.Kept {
			t.Errorf("%s: after its loss: %+v, %v", form, f, err)
		}
	}
}

func TestFileChecksum(t *testing.T) {
	k := openKept(t)
	data := []byte("checked")
	var asked atomic.Int32
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Write(data)
	})
	ctx := t.Context()
	wrong := digestOf([]byte("other"))
	_, err := k.File(ctx, url+"/x", Options{Checksum: wrong})
	if sum, ok := errors.AsType[*ChecksumError](err); !ok || sum.Want != wrong || sum.Got != digestOf(data) {
		t.Errorf("wrong checksum: %v", err)
	}
	if names := left(t, k); len(names) > 0 {
		t.Errorf("a wrong checksum leaves %v", names)
	}
	for _, bad := range []string{"sha256:1234", "md5:" + strings.Repeat("a", 32), "sha512:" + strings.Repeat("a", 128), strings.ToUpper(digestOf(data))} {
		if _, err := k.File(ctx, url, Options{Checksum: bad}); err == nil || !strings.Contains(err.Error(), "want sha256:") {
			t.Errorf("checksum %s: %v", bad, err)
		}
	}
	right := Options{Checksum: digestOf(data), Offline: true}
	if _, err := k.File(ctx, url+"/x", right); !errors.Is(err, ErrNotKept) {
		t.Errorf("offline before it is kept: %v", err)
	}
	before := asked.Load()
	if f, err := k.File(ctx, url+"/x", Options{Checksum: digestOf(data)}); err != nil || f.Kept {
		t.Errorf("%+v, %v", f, err)
	}
	f, err := k.File(ctx, "http://no.such.host.invalid/elsewhere", right)
	if err != nil || !f.Kept || f.Digest != right.Checksum || asked.Load() != before+1 {
		t.Errorf("kept: %+v, %v, asked %d times more", f, err, asked.Load()-before)
	}
	// A damaged file is not what the checksum says, and goes.
	if err := errors.Join(os.Chmod(f.Path, 0o600), os.WriteFile(f.Path, []byte("damaged"), 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := k.File(ctx, url+"/x", right); !errors.Is(err, ErrNotKept) {
		t.Errorf("offline with a damaged file: %v", err)
	}
	if f, err := k.File(ctx, url+"/x", Options{Checksum: right.Checksum}); err != nil || f.Kept {
		t.Errorf("after the damage: %+v, %v", f, err)
	}
}

// What is not whole never becomes content.
func TestFileCut(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			w.Write(make([]byte, 500))
		},
		"chunked": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(make([]byte, 500))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		k := openKept(t)
		_, err := k.File(t.Context(), serve(t, h)+"/x", Options{})
		if err == nil || !strings.Contains(err.Error(), "the download ended after 500 bytes") {
			t.Errorf("%s: %v", name, err)
		}
		if names := left(t, k); len(names) > 0 {
			t.Errorf("%s: leaves %v", name, names)
		}
	}
	k := openKept(t)
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 500))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	_, err := k.File(ctx, url+"/x", Options{Progress: func(n, _ int64) {
		if n > 0 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) || len(left(t, k)) > 0 {
		t.Errorf("cancelled: %v, leaves %v", err, left(t, k))
	}
}

func TestFileTooLarge(t *testing.T) {
	for _, announced := range []bool{true, false} {
		k := openKept(t)
		var wrote atomic.Int64
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			if announced {
				w.Header().Set("Content-Length", fmt.Sprint(64<<20))
			}
			for range 1024 {
				n, err := w.Write(make([]byte, 64<<10))
				wrote.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
		_, err := k.File(t.Context(), url+"/x", Options{MaxBytes: 100_000})
		if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "more than 100000") || len(left(t, k)) > 0 {
			t.Errorf("announced %v: %v, leaves %v", announced, err, left(t, k))
		}
	}
}

func TestFileRedirects(t *testing.T) {
	k := openKept(t)
	var got atomic.Value
	other := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Header.Get("Authorization") + r.Header.Get("Referer"))
		w.Write([]byte("there"))
	})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		to := map[string]string{
			"/there": strings.Replace(other, "127.0.0.1", "localhost", 1) + "/x", "/file": "file:///etc/passwd", "/metadata": "http://169.254.169.254/latest/meta-data",
			"/six": "http://[fe80::1%25lo]/", "/mapped": "http://[::ffff:169.254.169.254]/", "/nat": "http://[64:ff9b::a9fe:a9fe]/",
			"/aws": "http://[fd00:ec2::254]/", "/loop": "/loop", "/gopher": "gopher://h/", "/decimal": "http://2852039166/",
		}[r.URL.Path]
		http.Redirect(w, r, to, http.StatusFound)
	})
	withUser := strings.Replace(url, "http://", "http://user:S3CRET@", 1)
	if f, err := k.File(t.Context(), withUser+"/there", Options{}); err != nil || f.Digest != digestOf([]byte("there")) {
		t.Errorf("%+v, %v", f, err)
	}
	if s := got.Load(); s != "" {
		t.Errorf("the other host was told %q", s)
	}
	for path, want := range map[string]string{
		"/file": "redirected to a file URL", "/gopher": "redirected to a gopher URL", "/loop": "redirected more than 10 times",
		"/metadata": "link-local", "/six": "link-local", "/mapped": "link-local", "/nat": "link-local", "/aws": "metadata", "/decimal": "",
	} {
		_, err := k.File(t.Context(), withUser+path, Options{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		} else if strings.Contains(err.Error(), "S3CRET") {
			t.Errorf("%s: the error %q tells the password", path, err)
		}
	}
	if _, err := k.File(t.Context(), "http://169.254.169.254/", Options{}); err == nil || !strings.Contains(err.Error(), "link-local") {
		t.Errorf("named at once: %v", err)
	}
	if err := refuseAddress("tcp", "169.254.1.1:80", nil); err == nil {
		t.Error("a name that becomes a link-local address is connected to")
	}
}

// Credentials go to the host they are for and are kept nowhere.
func TestFileCredentials(t *testing.T) {
	k := openKept(t)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if u, p, _ := r.BasicAuth(); u != "user" || p != "S3CRET" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		w.Header().Set("ETag", `"1"`)
		w.Write([]byte("mine"))
	})
	if _, err := k.File(t.Context(), url+"/x", Options{}); err == nil || !strings.HasSuffix(err.Error(), "answers 401 Unauthorized") {
		t.Errorf("without credentials: %v", err)
	}
	for range 2 {
		if _, err := k.File(t.Context(), strings.Replace(url, "//", "//user:S3CRET@", 1)+"/x", Options{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range left(t, k) {
		if p, err := os.ReadFile(filepath.Join(k.dir, name)); err != nil || bytes.Contains(p, []byte("S3CRET")) {
			t.Errorf("%s holds the password, %v", name, err)
		}
	}
	_, err := k.File(t.Context(), "http://user:S3CRET@no.such.host.invalid/x", Options{})
	if err == nil || strings.Contains(err.Error(), "S3CRET") {
		t.Errorf("error %v", err)
	}
}

// A server that calls a file compressed gives the bytes it gives.
func TestFileContentEncoding(t *testing.T) {
	k := openKept(t)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte("inside"))
	z.Close()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(b.Bytes())
	})
	if f, err := k.File(t.Context(), url+"/x.tar.gz", Options{Checksum: digestOf(b.Bytes())}); err != nil {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestFileStatus(t *testing.T) {
	for _, status := range []int{204, 206, 304, 400, 404, 500} {
		k := openKept(t)
		url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, err := k.File(t.Context(), url+"/x", Options{})
		if s, ok := errors.AsType[*StatusError](err); !ok || s.Status != status || len(left(t, k)) > 0 {
			t.Errorf("%d: %v, leaves %v", status, err, left(t, k))
		}
	}
	for _, bad := range []string{"file:///etc/passwd", "ftp://h/x", "/etc/passwd", "https://", "x"} {
		if _, err := openKept(t).File(t.Context(), bad, Options{}); err == nil || !strings.Contains(err.Error(), "not an http or https URL") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// Many who want one file at once fetch it once.
func TestFileTogether(t *testing.T) {
	k := openKept(t)
	var sent atomic.Int32
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		sent.Add(1)
		w.Write(make([]byte, 100_000))
	})
	errs := make(chan error)
	for range 8 {
		go func() {
			_, err := k.File(context.Background(), url+"/x", Options{})
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if sent.Load() != 1 {
		t.Errorf("sent %d times", sent.Load())
	}
}
